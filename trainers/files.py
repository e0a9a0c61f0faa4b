"""Writing files so that they exist completely or not at all, even if the run is killed while it writes them."""

import logging
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

logger = logging.getLogger(__name__)

CHECKSUM_BYTES = 4
_CONFIG = "config.json"
_BLOCK = 2**20


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
        with _named(part, path):
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


@contextmanager
def model_written_aside(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder for a model, whose files replace those of `folder` when the block ends.

    Other files of the folder stay, but for weights of an earlier save. A model without its config.json cannot be
    opened, so this file is removed first and comes back last: a model is never made of the files of two saves, whether
    the disk becomes full or the process is killed.

    Args:
        folder (`Path`): of the model. It is made if it does not exist.
    """
    part = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.part")
    part.mkdir(parents=True)
    try:
        with _named(part, folder):
            yield part
        files = [path.relative_to(part) for path in part.rglob("*") if path.is_file()]
        folder.mkdir(exist_ok=True)
        (folder / _CONFIG).unlink(missing_ok=True)
        for weights in folder.glob("*.safetensors*"):
            weights.unlink()
        for file in sorted(files, key=lambda file: file.name == _CONFIG):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(part / file, folder / file)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _named(part: Path, path: Path) -> Iterator[None]:
    """Has an error of the disk name the place that the caller knows, and not the one beside it."""
    try:
        yield
    except OSError as error:
        for name in ("filename", "filename2"):
            if isinstance(getattr(error, name), (str, os.PathLike)):
                setattr(error, name, str(getattr(error, name)).replace(str(part), str(path)))
        if error.filename is None:
            error.filename = str(path)
        raise


def files_below(folder: Path, unreadable: Callable[[OSError], None]) -> list[Path]:
    """Lists all files below a folder, sorted by path, without the `._*` files that macOS leaves.

    Links to folders are followed, because parts of a corpus often lie on another disk, but for one that leads back to a
    folder around it.

    Args:
        folder (`Path`): where to begin.
        unreadable (`Callable`): gets the error of a folder that cannot be read, and may raise another one.
    """
    # From a folder to the folders around it and itself, as the system numbers them.
    around = {str(folder): {_identity(folder)}}
    files = []
    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        above = around.pop(place)
        entered = {name: _identity(Path(place, name)) for name in folders}
        folders[:] = [name for name in folders if entered[name] not in above]
        around |= {os.path.join(place, name): above | {entered[name]} for name in folders}
        files += [Path(place, name) for name in names if not name.startswith("._")]
    return sorted(files)


def _identity(folder: Path) -> tuple[int, int] | str:
    try:
        found = os.stat(folder)
    except OSError:
        return str(folder)
    return found.st_dev, found.st_ino


def write_text(path: Path, text: str) -> None:
    """Writes a text file completely or not at all, so that its existence can mean that something is finished."""
    with written_aside(path) as part:
        part.write_text(text, encoding="utf-8", newline="")


def save_array(file: BinaryIO, array: np.ndarray) -> None:
    """Writes an array as NumPy does, and behind it a checksum of its samples and shape, which NumPy does not read.

    It is a CRC-32, which finds every damage of up to 32 bits in a row and takes 1 ms per megabyte on a slow core.

    Args:
        file (`BinaryIO`): opened for writing.
        array (`np.ndarray`): of numbers.
    """
    np.save(file, array)
    file.write(_array_checksum(array))


def load_array(path: Path) -> np.ndarray:
    """Reads what [`save_array`] has written.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, or has no checksum.
    """
    try:
        with open(path, "rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
            found = file.read()
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged header can be anything to NumPy
        raise ValueError(str(error) or type(error).__name__) from None
    if found != _array_checksum(array):
        raise ValueError("its checksum does not fit")
    return array


def keep_array(path: Path, array: np.ndarray) -> None:
    """Writes an array to a file of a cache, completely or not at all, for [`whole_array`]."""
    with written_aside(path) as part, open(part, "xb") as file:
        save_array(file, array)


def whole_array(path: Path) -> np.ndarray | None:
    """What a file of a cache holds; None if there is none, or it is damaged, which a warning then says."""
    try:
        return load_array(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        logger.warning("cache file %s is damaged (%s) and is made again", path, error)
        return None


def file_checksum(path: Path) -> int:
    """The CRC-32 of a file, as `zlib.crc32` gives it for all its bytes."""
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _array_checksum(array: np.ndarray) -> bytes:
    shape = zlib.crc32(f"{array.shape} {array.dtype}".encode())
    return zlib.crc32(np.ascontiguousarray(array).data, shape).to_bytes(CHECKSUM_BYTES, "little")
