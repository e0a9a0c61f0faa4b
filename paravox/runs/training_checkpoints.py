"""The checkpoints of a run that was stopped: from which one it can go on, and what is wrong with the others."""

import json
import re
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import TrainingArguments

from paravox.modeling.errors import CheckpointError

STATE = "trainer_state.json"
LAST = "last"
# A run cannot go on without any of these, or would go on with other numbers.
PARTS = ("model*.safetensors", "optimizer*", "scheduler.pt", "rng_state*")
# These are read if they are there.
_MORE_PARTS = ("scaler.pt", "config.json", "*.index.json")


def find_checkpoint(args: TrainingArguments) -> str | None:
    """The checkpoint that a run is to go on from, if `resume_from_checkpoint` asks for one: a folder, or `last`.

    With `last`, the newest one that is whole is taken, and a line names those that are passed over. A run that was
    stopped before it had saved anything begins anew, which a line says too.

    Args:
        args ([`TrainingArguments`]): of the run.

    Returns:
        `str`, *optional*: None where the run begins anew.

    Raises:
        CheckpointError: if there is no checkpoint of the Trainer, or none that is whole.
    """
    asked = args.resume_from_checkpoint
    if asked in (None, "", False):
        return None
    folder = Path(args.output_dir) if asked == LAST else Path(asked)
    if asked != LAST:
        if not (folder / STATE).is_file():
            raise _no_checkpoint(asked, folder)
        if fault := fault_of_checkpoint(folder, complete=False):
            raise CheckpointError(
                f"resume_from_checkpoint {asked!r} cannot be used, because {fault}: give an older checkpoint of the run"
            )
        return str(folder)
    found = last_whole_checkpoint(folder, say=args.process_index == 0)
    if found is None:
        saved = [checkpoint for checkpoint in _checkpoints(folder) if (checkpoint / STATE).is_file()]
        if saved:
            raise CheckpointError(
                f"resume_from_checkpoint {LAST!r}: none of the {len(saved)} checkpoints in {folder} is whole "
                f"({saved[0].name}: {fault_of_checkpoint(saved[0])}): start anew with --overwrite true and without "
                "--resume_from_checkpoint"
            )
        if not (folder / ".lock").is_file():  # which every run leaves
            raise _no_checkpoint(asked, folder)
        if args.process_index == 0:
            print(f"{folder} holds no checkpoint that was saved to its end: the run begins anew", file=sys.stderr)
    return found


def last_whole_checkpoint(folder: Path, say: bool = False) -> str | None:
    """The newest checkpoint of a run from which a run can go on.

    Args:
        folder (`Path`): the `output_dir` of the run.
        say (`bool`, *optional*, defaults to `False`): print a line about each newer one that is passed over.

    Returns:
        `str`, *optional*: its folder; None if there is none.
    """
    for checkpoint in _checkpoints(folder):
        fault = fault_of_checkpoint(checkpoint)
        if fault is None:
            return str(checkpoint)
        if say:
            print(f"{checkpoint} is passed over, because {fault}", file=sys.stderr)
    return None


def fault_of_checkpoint(checkpoint: Path, complete: bool = True) -> str | None:
    """What keeps a run from going on from a checkpoint, such as "its optimizer.pt is cut or damaged".

    Args:
        checkpoint (`Path`): its folder.
        complete (`bool`, *optional*, defaults to `True`): whether all parts must be there without which a run would go
            on with other numbers.

    Returns:
        `str`, *optional*: None if there is nothing.
    """
    # The Trainer writes its state last: without it, the checkpoint was cut off. Other parts are missing where a run was
    # killed while it removed the checkpoint.
    for part in (STATE, *PARTS) if complete else (STATE,):
        if not any(checkpoint.glob(part)):
            return f"it has no {part}: it was not saved, or not removed, to its end"
    for pattern in (STATE, *PARTS, *_MORE_PARTS):
        for file in sorted(checkpoint.glob(pattern)):
            if not _is_readable(file):
                return f"its {file.name} is cut or damaged"
    missing = [name for name in _shards(checkpoint) if not (checkpoint / name).is_file()]
    if missing:
        return f"it has no {missing[0]}"
    return _fault_of_best(checkpoint)


def _fault_of_best(checkpoint: Path) -> str | None:
    """What is wrong with the weights of the best checkpoint so far, which the run would end with."""
    best = _read_json(checkpoint / STATE).get("best_model_checkpoint")
    folder = checkpoint.parent / Path(str(best)).name
    if not best or folder == checkpoint:
        return None
    damaged = [file for file in sorted(folder.glob(PARTS[0])) if not _is_readable(file)]
    return f"{damaged[0].name} of the best checkpoint so far, {folder.name}, is cut or damaged" if damaged else None


def _checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, whole or not, the newest first."""
    found = [path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]), reverse=True)


def _shards(checkpoint: Path) -> set[str]:
    indexes = [_read_json(file) for file in checkpoint.glob("*.index.json")]
    return {name for index in indexes for name in index.get("weight_map", {}).values()}


def _is_readable(file: Path) -> bool:
    """Whether a part can be read to its end. Nothing of it is run: what torch has saved is looked at as a ZIP file."""
    if file.is_dir():  # of FSDP or DeepSpeed
        return any(file.iterdir())
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as weights:
                return bool(weights.keys())
        if file.suffix == ".json":
            return isinstance(_read_json(file), dict)
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    # ZIP files raise errors of many classes, and a damaged one of another zip method NotImplementedError.
    except (OSError, ValueError, RuntimeError, SafetensorError, zipfile.BadZipFile, EOFError, zlib.error):
        return False


def _read_json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _no_checkpoint(asked: str, folder: Path) -> CheckpointError:
    return CheckpointError(
        f"resume_from_checkpoint {asked!r}: there is no checkpoint of the Trainer in {folder}: check the folder, or "
        "leave resume_from_checkpoint out to begin anew"
    )
