"""Files that are there whole or not at all, also when a run is killed while it writes them."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and moves what was written there into place at the end.

    If the block fails, nothing is left behind. Two processes may write the same file at once: a file of the second takes
    the place of the first one's; a folder of the first stays, so both must write the same.

    Args:
        path (`Path`): a file, or a folder that is made as a whole. Its parent folder is made if it is not there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
    try:
        yield part
        try:
            os.replace(part, path)
        except OSError:
            # Another process has put its own folder there meanwhile; anything else is for the caller.
            if not path.is_dir():
                raise
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):
            part.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole; its being there can say that something is finished."""
    with written_aside(path) as part:
        part.write_text(text)
