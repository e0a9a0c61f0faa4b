"""The folder that a run writes to: one run at a time, and nothing of an earlier one is lost unasked."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paravox.modeling.errors import ConfigError


@contextmanager
def claim_output_folder(folder: Path, empty: bool, overwrite: bool = False) -> Iterator[None]:
    """Holds an output folder for the length of a run.

    Args:
        folder (`Path`): made if it is not there.
        empty (`bool`): whether it must not hold an earlier run's checkpoints.
        overwrite (`bool`, *optional*, defaults to `False`): remove those instead of refusing.

    Raises:
        ConfigError: if another run holds the folder, or an earlier one left checkpoints there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"output_dir {folder} is in use by another run: wait for it or choose another folder"
            ) from None
        checkpoints = [path for path in folder.rglob("checkpoint-*") if path.is_dir()]
        if empty and overwrite:
            for checkpoint in checkpoints:
                shutil.rmtree(checkpoint)
        elif empty and checkpoints:
            raise ConfigError(
                f"output_dir {folder} holds {checkpoints[0].name} of an earlier run: go on with "
                "--resume_from_checkpoint last, choose another folder, or remove it with --overwrite_output_dir"
            )
        yield
