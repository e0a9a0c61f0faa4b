"""The clips of trials that train: their features lie on the device, where a batch is one indexing operation."""

from typing import NamedTuple

import numpy as np
import torch

from paravox.modeling.feature_extraction_burst2vec import pad_features
from paravox.study.clips import StudyClips
from paravox.trainers.sampler import EvaluationBatchSampler

# One speaker's evaluation part is one to three of these batches. They are the same on every device, because an encoder
# with group norm gives a clip other states in other batches.
EVALUATION_CLIPS, EVALUATION_SECONDS = 64, 120.0
# Training batches are padded to a multiple of this, because a GPU prepares its kernels anew for each shape.
SECONDS_PER_STEP = 0.25


class Part(NamedTuple):
    """Clips that are predicted together, as the inputs of a model.

    Args:
        batches (list of `dict`): what the model takes for each batch, on the device.
        order (`torch.Tensor` of shape `(clips,)`): for each clip, its place among the results of all batches.
    """

    batches: list[dict[str, torch.Tensor]]
    order: torch.Tensor


class DeviceClips:
    """The features of those clips of a study that trials have asked for, on the device of the trials.

    Args:
        clips ([`StudyClips`]): of the whole study.
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): where the features are kept.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): of the features, and of the encoder that takes
            them.
    """

    def __init__(
        self, clips: StudyClips, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.clips = clips
        self.device = torch.device(device)
        self.dtype = dtype
        self._names = clips.extractor.model_input_names
        settings = clips.extractor.input_settings
        # How many samples or frames one second has.
        self._per_second = settings["sampling_rate"] / (settings["hop_length"] or 1)
        self._places = np.full(len(clips), -1)  # of every clip of the study in the two below; -1 where it is not held
        self._lengths = np.zeros(0, np.int64)
        self._features: torch.Tensor | None = None  # (held clips, ..., longest)
        self._parts: dict[bytes, Part] = {}

    def hold(self, rows: np.ndarray) -> None:
        """Reads those clips that are not held yet, and moves their features to the device.

        Args:
            rows (`np.ndarray` of int, shape `(rows,)`): among the clips of the study.
        """
        missing = [int(row) for row in dict.fromkeys(rows.tolist()) if self._places[row] < 0]
        if missing:
            self._read(missing)

    def _read(self, rows: list[int]) -> None:
        features = [self.clips.features(row) for row in rows]
        self._keep(rows, torch.from_numpy(pad_features(features)[0]), np.array([clip.shape[-1] for clip in features]))

    def _keep(self, rows: list[int], features: torch.Tensor, lengths: np.ndarray) -> None:
        """Adds features `(rows, ..., longest)` of these lengths, `(rows,)`, to those that are held."""
        added = features.to(self.device, self.dtype)
        if self._features is not None:
            longest = max(added.shape[-1], self._features.shape[-1])
            added = torch.cat([_lengthened(held, longest) for held in (self._features, added)])
        self._features = added
        self._places[rows] = len(self._lengths) + np.arange(len(rows))
        self._lengths = np.concatenate([self._lengths, lengths])

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """The lengths of clips that are held, `(rows,)`, in samples or frames."""
        return self._lengths[self._places[rows]]

    def training_length(self, rows: np.ndarray) -> int:
        """The length that a training batch of these clips is padded to."""
        step = max(1, round(SECONDS_PER_STEP * self._per_second))
        return step * -(-int(self.lengths(rows).max()) // step)

    def places(self, rows: np.ndarray) -> torch.Tensor:
        """Where clips that are held lie, `(rows,)` on the device: what `batch` takes."""
        return torch.from_numpy(self._places[rows]).to(self.device)

    def batch(self, places: torch.Tensor, lengths: torch.Tensor, length: int) -> dict[str, torch.Tensor]:
        """The inputs of a model for some clips. Nothing is moved between devices, and nothing is waited for.

        Args:
            places (`torch.Tensor` of int, shape `(batch,)`): from `places`.
            lengths (`torch.Tensor` of int, shape `(batch,)`): of these clips, on the device.
            length (`int`): what they are padded to, which is at least the longest of them.
        """
        assert self._features is not None
        features = self._features[..., : min(length, self._features.shape[-1])].index_select(0, places)
        mask = torch.arange(length, device=self.device) < lengths.unsqueeze(1)
        return dict(zip(self._names, (_lengthened(features, length), mask.long()), strict=True))

    def part(self, rows: np.ndarray) -> Part:
        """All batches of clips that are held, made only once for the same clips."""
        key = rows.tobytes()
        if key not in self._parts:
            lengths = self.lengths(rows)
            seconds = lengths / self._per_second
            budget = max(EVALUATION_SECONDS, float(seconds.max()))
            sampler = EvaluationBatchSampler(seconds, EVALUATION_CLIPS, budget)
            drawn = [np.array([draw.index for draw in draws]) for draws in sampler]
            batches = [
                self.batch(
                    self.places(rows[few]), torch.from_numpy(lengths[few]).to(self.device), int(lengths[few].max())
                )
                for few in drawn
            ]
            order = torch.from_numpy(np.argsort(np.concatenate(drawn))).to(self.device)
            self._parts[key] = Part(batches, order)
        return self._parts[key]


def _lengthened(features: torch.Tensor, length: int) -> torch.Tensor:
    """(..., length of the features) -> (..., length)"""
    return torch.nn.functional.pad(features, (0, length - features.shape[-1]))
