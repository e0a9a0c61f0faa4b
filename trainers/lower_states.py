"""What an encoder's frozen layers give for every clip, kept on disk, so that a training step costs only what learns."""

import hashlib
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from paravox.modeling.errors import ConfigError

# Part of every name: what an older version wrote is not read by a newer one.
FORMAT = "float32-1"
_STATES, _INDEX = "states.bin", "index.npz"


class EncodedClip(NamedTuple):
    """One clip as the encoder sees it.

    Args:
        row (`int`): the clip's place in its corpus.
        states (`np.ndarray` of shape `(frames, hidden)`): after the frozen layers, real frames alone.
        pooled (`np.ndarray` of shape `(layers, hidden)`): every layer the model looks at, averaged over time.
    """

    row: int
    states: np.ndarray
    pooled: np.ndarray


class LowerStates:
    """States of the clips of a corpus, read from disk when they are asked for.

    Args:
        files (list of `Path`): of float32 states, frame after frame.
        places (`np.ndarray` of shape `(clips, 3)`): of each clip: its file, first frame, and number of frames.
        pooled (`np.ndarray` of shape `(clips, layers, hidden)`): pooled states of every layer that the model looks at.
        layers (`int`): after how many layers the states are.
    """

    def __init__(self, files: list[Path], places: np.ndarray, pooled: np.ndarray, layers: int) -> None:
        self.files = files
        self.places = places
        self.pooled = pooled
        self.layers = layers
        self._maps: dict[int, np.memmap] = {}

    @classmethod
    def open(cls, folder: Path) -> "LowerStates":
        """The states that [`write_states`] left in a folder."""
        with np.load(folder / _INDEX) as index:
            return cls([folder / _STATES], index["places"], index["pooled"], int(index["layers"]))

    @classmethod
    def join(cls, parts: list["LowerStates"]) -> "LowerStates":
        """Several corpora's states of one encoder, one behind the other."""
        files: list[Path] = []
        places = []
        for part in parts:
            places.append(part.places + np.array([len(files), 0, 0]))
            files += part.files
        pooled = np.concatenate([part.pooled for part in parts])
        return cls(files, np.concatenate(places), pooled, parts[0].layers)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> np.ndarray:
        """One clip's states `(frames, hidden)`."""
        file, first, frames = self.places[row]
        if file not in self._maps:
            hidden = self.pooled.shape[-1]
            self._maps[file] = np.memmap(self.files[file], np.float32, mode="r").reshape(-1, hidden)
        return np.array(self._maps[file][first : first + frames])

    def lower_pooled(self, row: int) -> np.ndarray | None:
        """One clip's pooled states up to these layers `(layers + 1, hidden)`; None for a model of the last layer alone."""
        return self.pooled[row, : self.layers + 1] if self.pooled.shape[1] > 1 else None

    def __getstate__(self) -> dict:
        # A worker opens the files for itself: what they hold would otherwise be sent to it.
        return self.__dict__ | {"_maps": {}}


def states_folder(cache_dir: Path, identity: Iterable[bytes]) -> Path:
    """Where states lie: named by a digest of all that they depend on, so that they can never be stale."""
    digest = hashlib.blake2b(FORMAT.encode(), digest_size=16)
    for part in identity:
        digest.update(hashlib.blake2b(part, digest_size=16).digest())
    return Path(cache_dir) / digest.hexdigest()


def write_states(folder: Path, clips: Iterable[EncodedClip], count: int, layers: int) -> None:
    """Writes the states of a corpus aside and puts them in place when they are whole.

    Two runs may do so at once: the first one's are kept, and both are equal.

    Args:
        folder (`Path`): from [`states_folder`].
        clips (iterable of [`EncodedClip`]): every clip once, in any order.
        count (`int`): how many there are.
        layers (`int`): after how many layers the states are.
    """
    part = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.part")
    part.mkdir(parents=True)
    try:
        places = np.zeros((count, 3), np.int64)
        pooled: list[np.ndarray] = [np.empty(0)] * count
        written = 0
        with open(part / _STATES, "wb") as file:
            for clip in clips:
                np.ascontiguousarray(clip.states, np.float32).tofile(file)
                places[clip.row] = 0, written, len(clip.states)
                pooled[clip.row] = clip.pooled
                written += len(clip.states)
        np.savez(part / _INDEX, places=places, pooled=np.stack(pooled), layers=layers)
        if not folder.is_dir():
            part.rename(folder)
    except OSError:
        # Another run put its own there between the look and the renaming; anything else is for the caller.
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_room(cache_dir: Path, seconds: float, hidden_size: int, max_gigabytes: float) -> None:
    """Raises [`ConfigError`] where the states of so many seconds of audio would take more than they may.

    All encoders of the seam give about 50 frames a second.
    """
    needed = 50 * seconds * hidden_size * 4 / 1e9
    if needed > max_gigabytes:
        raise ConfigError(
            f"the states of {seconds / 3600:.1f} hours would take {needed:.1f} GB in {cache_dir}, more than "
            f"cache_gigabytes of {max_gigabytes:g}: raise it, or turn cache_lower_layers off"
        )
