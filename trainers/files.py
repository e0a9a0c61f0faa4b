"""Writing files so that they exist completely or not at all, even if the run is killed while it writes them."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames what was written there to `path` when the block ends.

    If the block fails, nothing is left behind. Two processes may write the same path at once: the file of the later one
    replaces the file of the earlier one, whereas a folder of the earlier one stays, so both must write the same.

    Args:
        path (`Path`): a file, or a folder that is written as a whole. Its parent folder is made if it does not exist.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
    try:
        yield part
        try:
            os.replace(part, path)
        except OSError:
            # Another process has put its own folder there in the meantime. The caller handles any other error.
            if not path.is_dir():
                raise
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):
            part.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a text file completely or not at all, so that its existence can mean that something is finished."""
    with written_aside(path) as part:
        part.write_text(text)
