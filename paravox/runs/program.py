"""How a program ends, and how it starts another one."""

import _thread
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from paravox.modeling.errors import ParavoxError
from paravox.runs.disk_faults import fault_of_disk

# The exit codes that shells give a program which Ctrl-C has stopped, and one whose reader has left.
INTERRUPTED = 130
CLOSED_PIPE = 141
_SOON = 0.05  # seconds
START_AGAIN = "start the same command again"


def run(main: Callable[..., Any], argv: Sequence[str] | None = None, go_on: str = START_AGAIN) -> NoReturn:
    """Runs the `main` of a program and ends the process.

    An error of paravox, or of the disk, is shown as one sentence, with exit code 1. Ctrl-C is answered by one line that
    says how to go on, with exit code 130. Any other exception is a defect of the program, so its traceback is shown.

    Args:
        main (`Callable`): takes the arguments of the command line.
        argv (list of `str`, *optional*): these arguments. By default those of the process.
        go_on (`str`, *optional*): how to go on after Ctrl-C, as the end of a sentence.
    """
    if "transformers" in sys.modules:  # a program that does not need it should not wait for it
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # of loading and saving weights, which would stand between the lines of a run
    try:
        with reader_may_leave(), interrupts_arrive():
            main(argv)
    except ParavoxError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        # What was half made, such as a loader that was starting its workers, may fail while Python removes it.
        sys.unraisablehook = lambda unraisable: None
        print(f"\nStopped. To go on, {go_on}.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        fault = fault_of_disk(error)
        if fault is None:
            raise
        sys.exit(f"{type(fault).__name__}: {fault}")
    sys.exit(0)


@contextmanager
def interrupts_arrive() -> Iterator[None]:
    """Brings back a Ctrl-C that Python has dropped because it came while an object was removed, as in a `__del__`.

    Python can only report an exception there. Without this, the program would go on as if nobody had stopped it.
    """
    report = sys.unraisablehook

    def bring_back(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt) or sys.is_finalizing():
            report(unraisable)
            return
        # Not now, because it would come while this function runs, and be dropped again.
        again = threading.Timer(_SOON, _thread.interrupt_main)
        again.daemon = True
        again.start()

    sys.unraisablehook = bring_back
    try:
        yield
    finally:
        sys.unraisablehook = report


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Ends the process without a traceback if what it prints is read no longer, as by `paravox train --help | head`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What Python still holds goes nowhere; otherwise it would complain about the pipe at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED_PIPE)


def start(program: str, arguments: Sequence[str], log: Path | None = None) -> None:
    """Runs another program in a process of its own, as a person would; what it prints goes to the same terminal.

    If it fails, it has said why, and this process ends with the same exit code.

    Args:
        program (`str`): a module of `paravox.recipes`, such as `burst2vec.train`.
        arguments (list of `str`): of its command line.
        log (`Path`, *optional*): a file that gets what it prints, after what the file holds already.
    """
    command = [sys.executable, "-m", f"paravox.recipes.{program}", *arguments]
    if log is None:
        done = subprocess.run(command)
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(done.returncode)
