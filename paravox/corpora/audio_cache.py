"""A cache of decoded audio on disk, so that each clip is decoded and resampled only once."""

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from paravox.modeling.audio import AudioSource, load_audio
from paravox.modeling.errors import ConfigError
from paravox.trainers.files import CHECKSUM_BYTES, load_array, save_array, written_aside

logger = logging.getLogger(__name__)

# Part of every key, so that no version reads what another one has written in a different format.
FORMAT = "float32-mono-2"
_OTHER_BYTES = 128 + CHECKSUM_BYTES  # of an entry: the header of a .npy file, and the checksum
# A larger file is no clip. It is decoded block by block each time, because its content would have to be in memory.
_MOST_BYTES = 2**26
# A process measures the folder again when it has written this share of the bound since it last did.
_COUNT_AFTER = 0.01


class AudioCache:
    """Reads clips and keeps their decoded audio in a folder.

    The name of an entry is a digest of the file's content and the audio settings. So an entry is never out of date, and
    files with the same content share one. Entries are written aside and renamed, so that several processes can use a
    folder at once, and copies of the cache can go to the workers of a `DataLoader`. Each entry carries a checksum, and
    a damaged one is made again.

    A run goes on when the folder or the disk is full: from then on, the process logs one warning and decodes each time
    what is not in the cache. Nothing is ever removed; delete the folder to start again. One hour of audio at 16 kHz
    takes 0.23 GB.

    Args:
        folder (`str` or `Path`): the folder. It is made if it does not exist.
        max_gigabytes (`float`, *optional*, defaults to 20): how much disk the folder takes at most, in 10^9 bytes. A
            single process never exceeds this; each further process that writes at the same time may add up to 1 % of
            it.
        sampling_rate (`int`, *optional*, defaults to 16000): the rate of the decoded audio in hertz.

    Raises:
        ConfigError: if the folder cannot be made, or `max_gigabytes` is not a number of at least 0.
    """

    def __init__(self, folder: str | Path, max_gigabytes: float = 20.0, sampling_rate: int = 16_000) -> None:
        if not max_gigabytes >= 0:
            raise ConfigError(f"max_gigabytes of the audio cache is {max_gigabytes}, expected 0 or more: correct it")
        self.folder = Path(folder)
        self.max_gigabytes = max_gigabytes
        self.sampling_rate = sampling_rate
        self._stopped = False
        self._counted: int | None = None
        self._written = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"audio cache {self.folder} cannot be made ({error.strerror}), expected a folder: give another one"
            ) from None

    def load(self, source: AudioSource) -> np.ndarray:
        """Reads one clip at the sampling rate of the cache.

        Args:
            source ([`AudioSource`]): a path, bytes, or a `dict` with `bytes` and `path`. Arrays, file objects and files
                of more than 64 MB are read too, but not kept.

        Returns:
            `np.ndarray` of shape `(samples,)`: mono float32, as [`load_audio`] returns it.

        Raises:
            AudioError: if the clip cannot be used. Such a clip is never kept.
        """
        content, path = _content_and_path(source)
        if content is None:
            return load_audio(source, self.sampling_rate)
        digest = hashlib.blake2b(content, digest_size=20, salt=str(self.sampling_rate).encode(), person=FORMAT.encode())
        name = digest.hexdigest()
        entry = self.folder / name[:2] / f"{name}.npy"
        samples = _read(entry)
        if samples is None:
            # Not from the path: the file may have changed since its content was hashed.
            samples = load_audio({"bytes": content, "path": path}, self.sampling_rate)
            self._keep(entry, samples)
        return samples

    def size_bytes(self) -> int:
        """Measures how many bytes the folder takes on disk, including files that are being written."""
        total = 0
        for path in self.folder.rglob("*.*"):
            # Another process may have renamed it in the meantime.
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def _keep(self, entry: Path, samples: np.ndarray) -> None:
        if self._stopped:
            return
        size = samples.nbytes + _OTHER_BYTES
        if not self._has_room(size):
            self._stop(f"is full at {self.max_gigabytes:g} GB")
            return
        try:
            with written_aside(entry) as part, open(part, "xb") as file:
                save_array(file, samples)
            self._written += size
        except OSError as error:
            self._stop(f"cannot be written ({error.strerror or error})")

    def _has_room(self, size: int) -> bool:
        bound = self.max_gigabytes * 1e9
        if self._counted is None or self._written + size > _COUNT_AFTER * bound:
            self._counted, self._written = self.size_bytes(), 0
        return self._counted + self._written + size <= bound

    def _stop(self, reason: str) -> None:
        self._stopped = True
        logger.warning("audio cache %s %s: clips that are not in it are decoded each time", self.folder, reason)


def _content_and_path(source: AudioSource) -> tuple[bytes | None, str | os.PathLike | None]:
    """Returns the bytes of a recording, or None to let load_audio say what is wrong, and its path if known."""
    content, path = source, None
    if isinstance(source, dict):
        content, path = source.get("bytes"), source.get("path")
    elif isinstance(source, (str, os.PathLike)):
        content, path = None, source
    if content is None and path is not None:
        with suppress(OSError, ValueError):
            # Neither a pipe nor a device, which might never end.
            if Path(path).is_file() and Path(path).stat().st_size <= _MOST_BYTES:
                content = Path(path).read_bytes()
    return (content if isinstance(content, (bytes, bytearray)) else None), path


def _read(entry: Path) -> np.ndarray | None:
    """Reads the samples of an entry, or returns None if it is missing or damaged."""
    try:
        samples = load_array(entry)
        if samples.dtype != np.float32 or samples.ndim != 1:
            raise ValueError(f"it holds {samples.dtype} of shape {samples.shape}")
    except FileNotFoundError:
        return None
    except ValueError as error:
        logger.warning("entry %s of the audio cache is damaged (%s) and is replaced", entry, error)
        return None
    return samples
