"""Starts train.py several times, for programs that compare runs. What is finished is not run again."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from paravox.evaluation.finished_run import RESULTS, FinishedRun, is_finished
from paravox.modeling.errors import ConfigError
from paravox.runs.program import start
from paravox.runs.training_checkpoints import last_whole_checkpoint

GO_ON = "start the same command again: finished runs are kept, and the one that was stopped goes on"
TRAIN = "burst2vec.train"
_PRIVATE_OPTIONS = ("--data_dir", "--encoder", "--start_from", "--cache_dir")


def train_once(
    folder: Path,
    settings: Sequence[str],
    overwrite: bool = False,
    program: str = TRAIN,
    log: Path | None = None,
) -> FinishedRun:
    """Runs train.py, or another program, in a process of its own, unless the run is finished.

    A run that was stopped goes on. The program must have the options of train.py and leave what it leaves.

    Args:
        folder (`Path`): the `output_dir` of the run.
        settings (sequence of `str`): the rest of its command line, a YAML file first.
        overwrite (`bool`, *optional*, defaults to `False`): start anew, whatever the folder holds.
        program (`str`, *optional*, defaults to `"burst2vec.train"`): a module of `paravox.recipes`.
        log (`Path`, *optional*): a file that gets what the program prints.

    Returns:
        [`FinishedRun`].

    Raises:
        CheckpointError: if the run has left no results.
        SystemExit: if it has failed; it has said why.
    """
    if overwrite:
        # Otherwise a run that is stopped now would look finished.
        (folder / RESULTS).unlink(missing_ok=True)
    elif is_finished(folder):
        print(f"{folder} is finished")
        return FinishedRun(folder)
    stopped = not overwrite and last_whole_checkpoint(folder) is not None
    print(f"{folder}: {'going on' if stopped else 'starting'}", flush=True)
    how = ["--resume_from_checkpoint", "last"] if stopped else ["--overwrite", "true"]
    # An empty --output keeps an `output` in the YAML from being written by every run.
    start(program, [*settings, "--output_dir", str(folder), "--output", "", *how], log)
    return FinishedRun(folder)


def refuse_options(options: Iterable[str], reasons: dict[str, str]) -> None:
    """Refuses options of train.py that the calling program sets itself.

    Args:
        options (iterable of `str`): what is passed on to train.py.
        reasons (`dict`): what to do instead, by option.

    Raises:
        ConfigError: if one of them is given, also as `--option=value`.
    """
    for option in options:
        name = option.split("=")[0]
        if name in reasons:
            raise ConfigError(f"{name} cannot be passed on to train.py: {reasons[name]}")


def without_paths(arguments: Sequence[str]) -> list[str]:
    """A command line as anyone could type it: absolute paths, and places of data and weights, by their last part."""
    public, option = [], ""
    for argument in arguments:
        if argument.startswith("--"):
            option, equals, value = argument.partition("=")
            public.append(option + equals + (_last_part(value, option) if equals else ""))
        else:
            public.append(_last_part(argument, option))
            option = ""
    return public


def _last_part(value: str, option: str) -> str:
    return Path(value).name if Path(value).is_absolute() or option in _PRIVATE_OPTIONS else value
