"""The folder that a run writes to: one run at a time, and nothing of an earlier run is removed unless asked for."""

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from transformers import TrainingArguments

from paravox.modeling.errors import CheckpointError, ConfigError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# A run cannot go on without any of these, or would go on with other numbers.
CHECKPOINT_PARTS = ("model*.safetensors", "optimizer*", "scheduler.pt", "rng_state*")
# The locks that this process holds. A forked worker would hold them too, for seconds after the run was killed.
_locks: set[IO] = set()


def _leave_locks_to_the_parent() -> None:
    for lock in _locks:
        lock.close()
    _locks.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where processes do not inherit locks
    os.register_at_fork(after_in_child=_leave_locks_to_the_parent)


@contextmanager
def claim_output_folder(folder: Path, empty: bool, overwrite: bool = False) -> Iterator[None]:
    """Holds an output folder for the length of a run.

    Args:
        folder (`Path`): made if it is not there.
        empty (`bool`): whether the folder must not hold checkpoints of an earlier run.
        overwrite (`bool`, *optional*, defaults to `False`): remove these checkpoints instead of refusing.

    Raises:
        ConfigError: if another run holds the folder, an earlier run left checkpoints in it, or the disk becomes full
            before the run is over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        _lock(lock, folder)
        checkpoints = [path for path in folder.rglob("checkpoint-*") if path.is_dir()]
        if empty and overwrite:
            for checkpoint in checkpoints:
                shutil.rmtree(checkpoint)
        elif empty and checkpoints:
            raise ConfigError(
                f"output_dir {folder} holds {checkpoints[0].name} of an earlier run: go on with "
                "--resume_from_checkpoint last, choose another folder, or remove it with --overwrite"
            )
        _locks.add(lock)
        try:
            yield
        except Exception as error:
            if not _is_of_a_full_disk(error, folder):
                raise
            raise ConfigError(
                f"no disk space is left for output_dir {folder} ({' '.join(str(error).split())[:120]}): free some and "
                "start the command again (train.py with --resume_from_checkpoint last), or choose another folder"
            ) from error
        finally:
            _locks.discard(lock)


def _lock(lock: IO, folder: Path) -> None:
    """Locks the file of a folder. Where files cannot be locked, it says so and goes on."""
    try:
        if fcntl is None:
            raise OSError("this system has no flock")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(
            f"output_dir {folder} is in use by another run: wait for it or choose another folder"
        ) from None
    except OSError as error:
        print(f"output_dir {folder} cannot be locked ({error}): start no second run in it", file=sys.stderr)


def last_whole_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint of a run from which a run can go on; None if there is none."""
    whole = [path for path in folder.glob("checkpoint-*") if _is_whole(path)]
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def find_checkpoint(args: TrainingArguments) -> str | None:
    """The checkpoint that a run is to go on from, if `resume_from_checkpoint` asks for one: a folder, or `last`.

    Raises:
        CheckpointError: if there is no checkpoint of the Trainer.
    """
    asked = args.resume_from_checkpoint
    if asked in (None, "", False):
        return None
    folder = Path(args.output_dir) if asked == "last" else Path(asked)
    found = last_whole_checkpoint(folder) if asked == "last" else str(folder)
    if found is None or not (Path(found) / "trainer_state.json").is_file():
        raise CheckpointError(
            f"resume_from_checkpoint {asked!r}: there is no checkpoint of the Trainer in {folder}: check the folder"
        )
    return found


def _is_whole(checkpoint: Path) -> bool:
    # The Trainer writes its state last: without it, or with a part of it, the checkpoint was cut off. Other parts are
    # missing where a run was killed while it removed the checkpoint.
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return False
    return all(any(checkpoint.glob(part)) for part in CHECKPOINT_PARTS)


def _is_of_a_full_disk(error: Exception, folder: Path) -> bool:
    """Whether a write failed for lack of space. Not all libraries that write weights keep the number of the error."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "no space left" in str(error).lower() or (
        isinstance(error, (OSError, RuntimeError)) and shutil.disk_usage(folder).free < 2**20
    )
