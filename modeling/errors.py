"""The errors of paravox: one sentence each that says what was found, where, what was expected and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_REASON = 300


class ParavoxError(ValueError):
    """The base of every error that paravox raises on bad input; its message is meant for the user."""


class AudioError(ParavoxError):
    """A recording that cannot be used: missing, empty, truncated, not audio, of zero length, or not finite."""


class CorpusError(ParavoxError):
    """A corpus whose files, labels or splits do not fit. The message lists each fault with its first examples."""


class ConfigError(ParavoxError):
    """A setting that is unknown, has the wrong type, or contradicts another."""


class CheckpointError(ParavoxError):
    """A checkpoint that cannot be opened as asked: another class, a newer version, missing weights."""


class TrainingError(ParavoxError):
    """A training run that cannot go on, such as one whose loss is no longer a finite number."""


def reason_of(error: BaseException) -> str:
    """What an error of a library says, on one line that is not too long, or the name of its class."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= LONGEST_REASON else said[:LONGEST_REASON] + "..."


def did_you_mean(name: str, known: Iterable[str], prefix: str = "", otherwise: str | None = None) -> str:
    """The end of a message about an unknown name: the nearest known name, or all of them.

    Args:
        name (`str`): what was given.
        known (iterable of `str`): what would have been possible.
        prefix (`str`, *optional*): printed before the nearest name, such as `--` for options.
        otherwise (`str`, *optional*): the advice if no name is near; by default the known names.
    """
    names = [str(one) for one in known]
    nearest = get_close_matches(str(name), names, n=1)
    return f"did you mean {prefix + nearest[0]!r}?" if nearest else otherwise or f"use one of {', '.join(names)}"


def needs_extra(what: str, package: str, extra: str) -> str:
    """The message about an optional package that is missing.

    Args:
        what (`str`): what needs it, as the subject of the sentence.
        package (`str`): its name.
        extra (`str`): the extra of paravox that installs it.
    """
    return f"{what} needs {package}, which is not installed: pip install 'paravox[{extra}]'"
