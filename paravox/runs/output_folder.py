"""The folder that a run writes to: one run at a time, and nothing of an earlier run is removed unless asked for."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from paravox.modeling.errors import ConfigError, ParavoxError
from paravox.runs.disk_faults import FULL, READ_ONLY, place_of, reason_of_disk

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

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
        ConfigError: if the folder cannot be made or written, another run holds it, an earlier run left checkpoints in
            it, or the disk becomes full or read-only before the run is over.
    """
    with _open_lock(folder) as lock:
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
        except ParavoxError:  # which says itself what is wrong
            raise
        except Exception as error:
            reason = reason_of_disk(error, folder)
            if reason not in (FULL, READ_ONLY):
                raise
            place = place_of(error)
            # A cache may lie on another disk.
            elsewhere = place is not None and not Path(place).absolute().is_relative_to(folder.absolute())
            where = place if elsewhere else f"output_dir {folder}"
            raise ConfigError(
                f"{reason} for {where} ({' '.join(str(error).split())[:120]}): "
                f"{'free some' if reason == FULL else 'make it writable'} and start the command again (train.py with "
                "--resume_from_checkpoint last), or choose another folder"
            ) from error
        finally:
            _locks.discard(lock)


def _open_lock(folder: Path) -> IO:
    """Makes the folder, and opens the file in it that is locked."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return open(folder / ".lock", "w")
    except OSError as error:
        reason = reason_of_disk(error) or error.strerror
        raise ConfigError(
            f"output_dir {folder} cannot be written ({reason}): give a folder on a disk that can be written and has "
            "room, or correct its permissions"
        ) from None


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
