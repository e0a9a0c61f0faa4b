"""Decoded audio on disk, so that a clip is decoded and resampled once."""

import hashlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from paravox.modeling.audio import load_audio

logger = logging.getLogger(__name__)

# Part of every key: what an older version wrote is not read by a newer one.
FORMAT = "float32-mono-1"


class AudioCache:
    """Reads clips through a folder of decoded ones.

    An entry's name is a digest of the file's content and the audio settings, so it can never be stale, and equal files
    share one. Entries are written aside and renamed, so several processes can use a folder at once. Once the folder holds
    `max_gigabytes`, new clips are decoded without being kept; an hour at 16 kHz takes 0.23 GB.

    Args:
        folder (`str` or `Path`): made if it is not there.
        max_gigabytes (`float`, *optional*, defaults to 20): the most that it takes on disk.
        sampling_rate (`int`, *optional*, defaults to 16000): of the decoded audio, in hertz.
    """

    def __init__(self, folder: str | Path, max_gigabytes: float = 20.0, sampling_rate: int = 16_000) -> None:
        self.folder = Path(folder)
        self.max_gigabytes = max_gigabytes
        self.sampling_rate = sampling_rate
        self.folder.mkdir(parents=True, exist_ok=True)
        self._full = False
        self._written = 0
        self._found = self.size_bytes()

    def load(self, source: Any) -> np.ndarray:
        """One clip as [`load_audio`] gives it at the cache's rate.

        Args:
            source: a path, bytes, or a dict with `bytes` and `path`.

        Raises:
            AudioError: if the clip cannot be used; such a clip is never kept.
        """
        content = _content(source)
        if content is None:
            return load_audio(source, self.sampling_rate)
        digest = hashlib.blake2b(content, digest_size=20, salt=str(self.sampling_rate).encode(), person=FORMAT.encode())
        entry = self.folder / digest.hexdigest()[:2] / f"{digest.hexdigest()}.npy"
        try:
            return np.load(entry)
        except FileNotFoundError:
            pass
        except (ValueError, EOFError, OSError):
            logger.warning("cache entry %s is damaged and is made anew", entry)
        samples = load_audio(source, self.sampling_rate)
        self._keep(entry, samples)
        return samples

    def size_bytes(self) -> int:
        """What the folder's entries take on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*.npy"))

    def _keep(self, entry: Path, samples: np.ndarray) -> None:
        if self._full or self._found + self._written + samples.nbytes > self.max_gigabytes * 1e9:
            if not self._full:
                logger.warning(
                    "cache %s is full at %g GB: further clips are decoded each time", self.folder, self.max_gigabytes
                )
            self._full = True
            return
        aside = None
        try:
            entry.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=entry.parent, suffix=".part", delete=False) as file:
                aside = file.name
                np.save(file, samples)
            os.replace(aside, entry)
            self._written += samples.nbytes
        except OSError as error:
            # A full disk must not end a run: the clip is there, it is only not kept.
            logger.warning("cache %s cannot be written (%s): further clips are decoded each time", self.folder, error)
            self._full = True
            if aside is not None:
                Path(aside).unlink(missing_ok=True)


def _content(source: Any) -> bytes | None:
    """The bytes of a recording; None where load_audio is to say what is wrong with it."""
    if isinstance(source, dict):
        source = source.get("bytes") if source.get("bytes") is not None else source.get("path")
    if isinstance(source, bytes):
        return source
    path = Path(source)
    return path.read_bytes() if path.is_file() else None
