"""The bytes of an encoded recording, wherever they come from, as a file that a decoder can read by itself."""

import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from .errors import AudioError

MAX_STREAM_BYTES = 2**29
"""The most that is read from a file object that is no file on the disk: four hours at 16 kHz, 16 bits, mono."""

_BLOCK = 2**20
_MOST_IN_MEMORY = 2**26
# What stands in the place of a recording whose content is kept elsewhere, and how to fetch it.
_POINTERS = {
    b"version https://git-lfs": ("a Git LFS pointer", "git lfs pull"),
    b"/annex/objects/": ("a git-annex pointer", "git annex get"),
}
_KINDS_OF_FILES = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Content(NamedTuple):
    """An encoded recording as an open file.

    libsndfile reads it by its descriptor. It would call back into Python to read a `BytesIO`, and an exception that is
    raised there, such as the KeyboardInterrupt of Ctrl-C, is printed and lost, and the recording seems to be cut.

    Args:
        file (`BinaryIO`): a regular file, without a buffer.
        name (`str`): what messages call it.
        size (`int`): in bytes.
    """

    file: BinaryIO
    name: str
    size: int

    def at(self, position: int, count: int) -> bytes:
        """Reads `count` bytes from a position, or fewer at the end."""
        # A broken header may name a position that no file has.
        if not 0 <= position < self.size:
            return b""
        if hasattr(os, "pread"):
            return os.pread(self.file.fileno(), count, position)
        # libsndfile reads on from where the file is.
        before = self.file.tell()
        self.file.seek(position)
        block = self.file.read(count)
        self.file.seek(before)
        return block

    def find(self, pattern: bytes, start: int) -> int:
        """The first position of a pattern at or after `start`, or -1."""
        while start < self.size:
            block = self.at(start, _BLOCK + len(pattern) - 1)
            if (found := block.find(pattern)) >= 0:
                return start + found
            start += _BLOCK
        return -1

    @contextmanager
    def part(self, start: int, end: int, before: bytes = b"") -> Iterator["Content"]:
        """A copy of the bytes from `start` to `end`, with others before them."""
        with _scratch_file(end - start) as copy:
            _write(copy, before)
            while start < end and (block := self.at(start, min(_BLOCK, end - start))):
                _write(copy, block)
                start += len(block)
            yield Content(copy, self.name, copy.tell())


@contextmanager
def open_content(source: Any, name: str) -> Iterator[Content]:
    """Opens an encoded recording.

    Args:
        source (`str`, `os.PathLike`, `bytes` or `BinaryIO`): a path, the bytes of a file, or a file object, which is
            read from its start where it can seek.
        name (`str`): what messages call it.

    Raises:
        AudioError: if it is missing, empty, not a regular file, a pointer to a recording, or cannot be read.
    """
    try:
        with _opened(source, name) as file:
            content = Content(file, name, os.fstat(file.fileno()).st_size)
            # A file of the system may fail to be read although it seems to be empty.
            head = content.at(0, 64) or file.read(64)
            if not head:
                raise AudioError(f"{name} is empty (0 bytes), expected an audio file: copy it again or leave it out")
            for start, (pointer, command) in _POINTERS.items():
                if head.startswith(start):
                    raise AudioError(f"{name} is {pointer}, not the recording itself: fetch it with {command}")
            yield content
    except OSError as error:
        raise AudioError(f"{name} cannot be read ({_reason(error)}): check the disk, or copy it again") from None


@contextmanager
def _opened(source: Any, name: str) -> Iterator[BinaryIO]:
    if not _is_on_disk(source):
        with _open_path(source, name) if isinstance(source, (str, os.PathLike)) else _copied(source, name) as file:
            yield file
        return
    # Both descriptors have one position, and the buffer of the caller's file relies on it.
    before = os.lseek(source.fileno(), 0, os.SEEK_CUR)
    try:
        with open(os.dup(source.fileno()), "rb", buffering=0) as file:
            yield file
    finally:
        os.lseek(source.fileno(), before, os.SEEK_SET)


def _is_on_disk(source: Any) -> bool:
    """Whether a file object is a regular file as it is, which that of an archive is not, although it has a `fileno`."""
    raw = getattr(source, "raw", source)
    return (
        isinstance(raw, io.FileIO)
        and not raw.closed
        and raw.readable()
        and stat.S_ISREG(os.fstat(raw.fileno()).st_mode)
    )


def _copied(source: Any, name: str) -> BinaryIO:
    is_stream = hasattr(source, "read")
    file = _scratch_file(None if is_stream else len(source))
    try:
        if is_stream:
            _copy_file_object(source, name, file)
        else:
            for start in range(0, len(source), _BLOCK):
                _write(file, source[start : start + _BLOCK])
    except BaseException:
        file.close()
        raise
    return file


def _open_path(path: str | os.PathLike, name: str) -> BinaryIO:
    try:
        # Before it is opened, because opening a pipe waits for somebody to write into it.
        mode = os.stat(path).st_mode
        for is_kind, kind in _KINDS_OF_FILES:
            if is_kind(mode):
                raise AudioError(
                    f"{name} is {kind}, expected an audio file: save the recording to a file, or give its bytes"
                )
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        if "://" in name:
            raise AudioError("an address was given, expected an audio file: download it, or use the pipeline") from None
        raise AudioError(f"{name} does not exist, expected an audio file: check the path") from None
    except IsADirectoryError:
        raise AudioError(f"{name} is a folder, expected an audio file: give a file in it") from None
    except AudioError:
        raise
    except (OSError, ValueError) as error:
        raise AudioError(
            f"{name} cannot be opened ({_reason(error)}), expected an audio file: check the path and permissions"
        ) from None


def _copy_file_object(source: Any, name: str, file: BinaryIO) -> None:
    try:
        # Raised by a file object itself, such as one of a library for archives: anything at all.
        if not hasattr(source, "seekable") or source.seekable():
            source.seek(0)
        while block := source.read(_BLOCK):
            if isinstance(block, str):
                raise AudioError(f"{name} was opened as text: open it with mode 'rb'")
            _write(file, block)
            if file.tell() > MAX_STREAM_BYTES:
                raise AudioError(f"{name} has more than {MAX_STREAM_BYTES:,} bytes: save it to a file or cut it")
    except AudioError:
        raise
    except Exception as error:
        raise AudioError(f"{name} cannot be read ({_reason(error)}): open it again, or give its path") from None
    if block is None:
        raise AudioError(f"{name} does not wait for its content: give its bytes, or a path")


def _scratch_file(size: int | None) -> BinaryIO:
    """A file without a name: in memory if so much may be there, otherwise in the folder of temporary files."""
    if size is not None and size <= _MOST_IN_MEMORY and hasattr(os, "memfd_create"):
        return open(os.memfd_create("recording"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def _write(file: BinaryIO, block: bytes) -> None:
    if file.write(block) != len(block):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
