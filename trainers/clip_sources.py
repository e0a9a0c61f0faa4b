"""Sources of clips: recordings, or the states that a frozen encoder gave for them."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from datasets import Dataset

from paravox.modeling.audio import duration_seconds, load_audio
from paravox.modeling.errors import AudioError, ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self

# Crops with this seed are the same in runs of every seed, so that the runs can share stored states.
SHARED_CROPS_SEED = 1
# Reading headers mostly waits for the disk, so a few threads make it faster.
HEADER_THREADS = 4
# Resampling may round the length of a clip up. Without room for that, a batch could be longer than others like it.
SPARE_SAMPLES = 2

Augmentation = Callable[[np.ndarray, int, Sequence[int]], np.ndarray]


class ClipSource(Protocol):
    """What a [`MultiTaskDataset`] needs from the source of its clips."""

    @property
    def seconds(self) -> np.ndarray:
        """The length of each clip, `(clips,)`, by which batches are made."""

    def __len__(self) -> int: ...

    def read(self, row: int, epoch: int) -> Any:
        """One clip, as [`ClipSource.collate`] takes it. A random crop or augmentation depends on the epoch."""

    def collate(
        self, clips: list[Any], feature_extractor: Any, padded_seconds: float | None = None
    ) -> dict[str, torch.Tensor]:
        """The model's inputs for a batch of clips, padded to the longest of them, or to `padded_seconds`.

        Vectors have no length, so their sources do not use it.
        """


@dataclass(frozen=True, eq=False)
class Recordings:
    """Clips that are decoded each time they are read.

    Args:
        clips (`datasets.Dataset`): one column of paths or undecoded audio.
        load (`Callable`, *optional*): turns a value of the column into mono float32 samples at `sampling_rate`, such as
            the `load` of an audio cache. By default it decodes and resamples.
        sampling_rate (`int`, *optional*, defaults to 16000): in hertz.
        max_seconds (`float`, *optional*): longer clips are cropped to this length, at a place that is drawn once per
            epoch.
        seed (`int`, *optional*, defaults to 0): the seed of the crops and the augmentation.
        augmentation (`Callable`, *optional*): turns samples, their rate and the numbers `(seed, epoch, row)` into
            samples of the same length, such as a [`ClipAugmentation`]. It is applied after cropping.
    """

    clips: Dataset
    load: Callable[[Any], np.ndarray] | None = None
    sampling_rate: int = 16_000
    max_seconds: float | None = None
    seed: int = 0
    augmentation: Augmentation | None = None

    def __len__(self) -> int:
        return len(self.clips)

    @cached_property
    def seconds(self) -> np.ndarray:
        """The length of each clip after cropping, `(clips,)`, read from the headers of the files.

        Raises:
            AudioError: for the first clip whose header cannot be read.
        """
        for found in self.headers:
            if isinstance(found, AudioError):
                raise found
        seconds = np.array(self.headers, dtype=np.float64)
        return np.minimum(seconds, self.max_seconds) if self.max_seconds is not None else seconds

    @cached_property
    def headers(self) -> list[float | AudioError]:
        """The length of each clip in seconds before cropping, or what is wrong with its header."""
        with ThreadPoolExecutor(HEADER_THREADS) as pool:
            return list(pool.map(self._header, range(len(self))))

    def read(self, row: int, epoch: int) -> np.ndarray:
        """One clip's samples, `(samples,)`."""
        samples = self._crop(self._load(row), row, epoch)
        if self.augmentation is not None:
            samples = self.augmentation(samples, self.sampling_rate, (self.seed, epoch, row))
        return samples

    def collate(
        self, clips: list[np.ndarray], feature_extractor: Any, padded_seconds: float | None = None
    ) -> dict[str, torch.Tensor]:
        options = {}
        if padded_seconds is not None:
            options["padded_samples"] = math.ceil(padded_seconds * self.sampling_rate) + SPARE_SAMPLES
        clips_with_rate = [(samples, self.sampling_rate) for samples in clips]
        return dict(feature_extractor(clips_with_rate, return_tensors="pt", **options))

    def with_shared_crops(self) -> "Self":
        """The same clips, cropped at places that do not depend on the seed of the run."""
        return dataclasses.replace(self, seed=SHARED_CROPS_SEED)

    def without_augmentation(self) -> "Self":
        """The same clips without augmentation."""
        return dataclasses.replace(self, augmentation=None)

    def select(self, rows: Sequence[int]) -> "Self":
        """The clips of some rows, in the given order."""
        chosen = dataclasses.replace(self, clips=self.clips.select(rows))
        if "headers" in self.__dict__:
            # Cached, because reading the headers of a large corpus again takes long.
            chosen.__dict__["headers"] = [self.headers[row] for row in rows]
        return chosen

    def distinct(self) -> tuple[list[int], np.ndarray]:
        """The rows of the different recordings, for a corpus that repeats some of them.

        Returns:
            The first row of each recording, in ascending order, and `(clips,)`: for each row, the position of its
            recording in that list.
        """
        position_of: dict[Any, int] = {}
        rows: list[int] = []
        positions: list[int] = []
        for row in range(len(self)):
            source = self._source(row)
            recording = (source.get("path"), source.get("bytes")) if isinstance(source, dict) else source
            if recording not in position_of:
                position_of[recording] = len(rows)
                rows.append(row)
            positions.append(position_of[recording])
        return rows, np.array(positions)

    def check(self, row: int) -> str | None:
        """Decodes a clip and returns what is wrong with it, or `None` if nothing is."""
        try:
            self._load(row)
        except AudioError as error:
            return str(error)
        return None

    def refuse_augmentation(self) -> None:
        """Raises [`ConfigError`] if clips are augmented, which rules out storing an encoder's states for them."""
        if self.augmentation is not None:
            raise ConfigError(
                "augmentation does not go together with stored outputs of an encoder, because every epoch would see "
                "the same augmented clips: turn one of the two off"
            )

    def content(self, row: int) -> bytes:
        """All that an encoder's states for a clip depend on: the bytes of its file, and its crop."""
        source = self._source(row)
        content = source.get("bytes") if isinstance(source, dict) else None
        if content is None:
            content = Path(source["path"] if isinstance(source, dict) else source).read_bytes()
        if self.max_seconds is None or self._header_seconds(row) <= self.max_seconds:
            return content
        return content + f"{self.max_seconds} {self.seed} {row}".encode()

    def _load(self, row: int) -> np.ndarray:
        source = self._source(row)
        return load_audio(source, self.sampling_rate) if self.load is None else self.load(source)

    def _source(self, row: int) -> Any:
        (source,) = self.clips[int(row)].values()
        return source

    def _header(self, row: int) -> float | AudioError:
        try:
            return self._header_seconds(row)
        except AudioError as error:
            return error

    def _header_seconds(self, row: int) -> float:
        return duration_seconds(self._source(row))

    def _crop(self, samples: np.ndarray, row: int, epoch: int) -> np.ndarray:
        length = len(samples) if self.max_seconds is None else int(self.max_seconds * self.sampling_rate)
        surplus = len(samples) - length
        if surplus <= 0:
            return samples
        start = np.random.default_rng([self.seed, epoch, row]).integers(surplus + 1)
        return samples[start : start + length]


@dataclass(frozen=True, eq=False)
class PooledStates:
    """Clips as vectors: the states of a frozen encoder for each clip, averaged over time.

    Args:
        states (`np.ndarray` of shape `(clips, layers, hidden)`): in the order of the rows.
    """

    states: np.ndarray

    @property
    def seconds(self) -> np.ndarray:
        """Zeros, `(clips,)`: vectors need no padding, so any of them can be in one batch."""
        return np.zeros(len(self.states))

    def __len__(self) -> int:
        return len(self.states)

    def read(self, row: int, epoch: int) -> np.ndarray:
        """One clip's states, `(layers, hidden)`."""
        return self.states[row]

    def collate(
        self, clips: list[np.ndarray], feature_extractor: Any, padded_seconds: float | None = None
    ) -> dict[str, torch.Tensor]:
        return {"pooled_states": torch.from_numpy(np.stack(clips))}
