"""The clips of the study, each decoded only once, and how a pass runs over them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paravox.modeling.audio import duration_seconds
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor, pad_features
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.clip_sources import ClipSource
from paravox.trainers.sampler import ClipDraw

# The last bits of a clip's states depend on the other clips of its batch, so the study always makes the same batches.
STUDY_PASS = PassSettings(batch_size=32, max_batch_seconds=60.0)


class StudyClips:
    """A [`ClipSource`] that decodes each clip and extracts its features once, when they are first needed.

    The features stay in memory. One hour of audio takes 0.12 GB as log-mel frames and 0.23 GB as a waveform.

    Args:
        paths (list of `str`): in the order of the study's table.
        extractor ([`Burst2VecFeatureExtractor`]): of the encoder.
        max_seconds (`float`, *optional*): longer clips are cut to their first `max_seconds`.
    """

    def __init__(
        self, paths: list[str], extractor: Burst2VecFeatureExtractor, max_seconds: float | None = None
    ) -> None:
        self.paths = paths
        self.extractor = extractor
        self.max_seconds = max_seconds
        # All three by path, so that selections of the clips can share them.
        self._features: dict[str, np.ndarray] = {}
        self._seconds: dict[str, float] = {}
        self._digests: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def seconds(self) -> np.ndarray:
        """The length of each clip after cutting, `(clips,)`, read from the headers of the files."""
        return np.array([self._header_seconds(path) for path in self.paths])

    def select(self, rows: Sequence[int] | np.ndarray) -> "StudyClips":
        """Some of the clips, in the order given. What is decoded of them is shared."""
        selection = StudyClips([self.paths[int(row)] for row in rows], self.extractor, self.max_seconds)
        selection._features, selection._seconds, selection._digests = self._features, self._seconds, self._digests
        return selection

    def read(self, row: int, epoch: int = 0) -> np.ndarray:
        """The features of one clip: `(samples,)`, or `(mel bins, frames)` for Whisper."""
        path = self.paths[row]
        if path not in self._features:
            self._features[path] = self.features(row)
        return self._features[path]

    def features(self, row: int) -> np.ndarray:
        """The same, but the features are not kept in memory."""
        samples = self.extractor.load(self.paths[row])
        if self.max_seconds is not None:
            samples = samples[: int(self.max_seconds * self.extractor.sampling_rate)]
        clip = (samples, self.extractor.sampling_rate)
        return self.extractor([clip])[self.extractor.model_input_names[0]][0]

    def collate(
        self, clips: list[np.ndarray], feature_extractor: Any = None, padded_seconds: float | None = None
    ) -> dict[str, torch.Tensor]:
        """The model's inputs for a batch of clips, padded to the longest of them.

        No sampler of the study gives a length to pad to.
        """
        inputs, mask = pad_features(clips)
        return {self.extractor.model_input_names[0]: torch.from_numpy(inputs), "attention_mask": torch.from_numpy(mask)}

    def identity(self) -> Iterator[bytes]:
        """All that the features of the clips depend on: files, cut and the settings of the extractor."""
        yield from self.sample_identity()
        yield self.extractor.to_json_string().encode()

    def sample_identity(self) -> Iterator[bytes]:
        """All that the samples of the clips depend on: the bytes of the files, and the cut."""
        yield repr(self.max_seconds).encode()
        for path in self.paths:
            if path not in self._digests:
                self._digests[path] = hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest()
            yield self._digests[path]

    def _header_seconds(self, path: str) -> float:
        if path not in self._seconds:
            seconds = duration_seconds(path)
            self._seconds[path] = seconds if self.max_seconds is None else min(seconds, self.max_seconds)
        return self._seconds[path]


@dataclass(frozen=True)
class ClipsWithoutLabels:
    """The clips of a source as a pass reads them, for a [`MultiTaskCollator`] of the same source."""

    source: ClipSource

    @property
    def seconds(self) -> np.ndarray:
        return self.source.seconds

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, draw: ClipDraw) -> dict[str, Any]:
        return {"draw": draw, "labels": {}, "clip": self.source.read(draw.index, draw.epoch)}
