"""How every program ends: with its result, with one sentence about what is wrong, or with a hint how to go on."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from paravox.modeling.errors import ParavoxError

STOPPED = 130  # what shells give for a program that Ctrl-C has stopped
START_AGAIN = "start the command again"


def run(
    main: Callable[[Sequence[str] | None], Any], argv: Sequence[str] | None = None, go_on: str = START_AGAIN
) -> NoReturn:
    """Runs the `main` of a program and leaves the process.

    An error of paravox is one sentence and exit code 1; Ctrl-C is one line that says how to go on, and exit code 130.
    Anything else is a defect, whose traceback is shown.

    Args:
        main (`Callable`): takes the arguments of the command line.
        argv (list of `str`, *optional*): these arguments; those of the process by default.
        go_on (`str`, *optional*): how to go on after Ctrl-C, the end of a sentence.
    """
    try:
        main(argv)
    except ParavoxError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        print(f"\nStopped. To go on, {go_on}.", file=sys.stderr)
        sys.exit(STOPPED)
    sys.exit(0)
