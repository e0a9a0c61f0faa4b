"""What a program says where the disk, and not the program, is at fault: it is full, read-only, or not to be written."""

import errno
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from paravox.modeling.errors import ConfigError

FULL = "no disk space is left"
READ_ONLY = "the disk can only be read"
_REASONS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: "the file is larger than the disk or its limits allow",
    errno.EROFS: READ_ONLY,
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EEXIST: "something else has this name",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EIO: "the disk has an error",
}
# As the libraries say it that do not keep the number of the error, such as safetensors and SQLite.
_WORDS = {
    "no space left": FULL,
    r"\d+ requested and \d+ written": FULL,  # NumPy
    "disk quota exceeded": FULL,
    "database or disk is full": FULL,
    "read-only file system": READ_ONLY,
    "readonly database": READ_ONLY,
}


def reason_of_disk(error: BaseException, folder: Path | None = None) -> str | None:
    """Why the disk is at fault for an error, such as "no disk space is left".

    Args:
        error (`BaseException`): what was raised, and what it was raised from.
        folder (`Path`, *optional*): where the program writes. An error that gives no reason is that of a full disk if
            there is hardly any space left there.

    Returns:
        `str`, *optional*: None if the error is not one of the disk.
    """
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _REASONS:
            return _REASONS[one.errno]
        for words, reason in _WORDS.items():
            if re.search(words, str(one), re.IGNORECASE):
                return reason
    if folder is not None and isinstance(error, (OSError, RuntimeError)) and shutil.disk_usage(folder).free < 2**20:
        return FULL
    return None


def fault_of_disk(error: BaseException) -> ConfigError | None:
    """The error that a program ends with where the disk is at fault; None if it is not.

    Args:
        error (`BaseException`): what was raised, and what it was raised from.
    """
    reason = reason_of_disk(error)
    if reason is None:
        return None
    place = place_of(error)
    where = f"{place} cannot be used" if place else " ".join(str(error).split())[:200]
    todo = "free some space" if reason == FULL else "choose another place, or correct it or its permissions"
    return ConfigError(f"{where} ({reason}): {todo}, and start the command again")


def place_of(error: BaseException) -> str | None:
    """The file or folder that an error of the disk is about, where one of those it was raised from knows it."""
    # Of two names, the second one is that of the copy.
    named = [one.filename2 or one.filename for one in _chain(error) if isinstance(one, OSError) and one.filename]
    return str(named[0]) if named else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was raised from, or while it was handled."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__
