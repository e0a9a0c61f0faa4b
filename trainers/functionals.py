"""Clips as vectors of functionals, which are computed once and kept on disk."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn

from paravox.modeling.modeling_compare import ComParEForMultiTask

from .clip_pass import PassSettings, in_row_order, pass_over_clips
from .data_collator import MultiTaskCollator
from .files import keep_array, whole_array
from .lower_states import states_folder
from .multi_task_dataset import MultiTaskDataset


@dataclass(frozen=True, eq=False)
class Functionals:
    """A [`ClipSource`] of functionals.

    Args:
        values (`np.ndarray` of shape `(clips, functionals)`): float32, in the order of the rows.
    """

    values: np.ndarray

    @property
    def seconds(self) -> np.ndarray:
        """Zeros, `(clips,)`: vectors need no padding, so any of them can be in one batch."""
        return np.zeros(len(self.values))

    def __len__(self) -> int:
        return len(self.values)

    def read(self, row: int, epoch: int) -> np.ndarray:
        """One clip's functionals, `(functionals,)`."""
        return self.values[row]

    def collate(
        self, clips: list[np.ndarray], feature_extractor: Any, padded_seconds: float | None = None
    ) -> dict[str, torch.Tensor]:
        return {"functionals": torch.from_numpy(np.stack(clips))}


def extract_functionals(
    dataset: MultiTaskDataset,
    feature_extractor: Any,
    cache_dir: str | Path,
    settings: PassSettings | None = None,
    title: str = "functionals",
) -> MultiTaskDataset:
    """Computes the functionals of all clips, once for clips of equal content.

    They are kept in a file whose name is a digest of the clips' content and the settings of the feature extractor, so
    that another run over the same clips, in any order, reads them. 10,000 clips take 0.25 GB.

    Args:
        dataset ([`MultiTaskDataset`]): of [`Recordings`].
        feature_extractor ([`ComParEFeatureExtractor`]): computes the functionals.
        cache_dir (`str` or `Path`): where they are kept. It is made if it does not exist.
        settings ([`PassSettings`], *optional*): of the pass; `num_workers` is the number of processes that compute.
        title (`str`, *optional*, defaults to `"functionals"`): printed before the line of progress.

    Returns:
        [`MultiTaskDataset`]: the same clips and labels, with [`Functionals`] as its source.

    Raises:
        AudioError: if a clip cannot be read.
        ConfigError: if openSMILE is not installed, or the clips are augmented.
    """
    recordings = dataset.recordings
    recordings.refuse_augmentation()
    digests = [hashlib.blake2b(recordings.content(row), digest_size=16).hexdigest() for row in range(len(dataset))]
    contents, rows, places = np.unique(digests, return_index=True, return_inverse=True)
    identity = [feature_extractor.to_json_string(), *contents]
    folder = states_folder(Path(cache_dir), (str(part).encode() for part in identity))
    file = folder.with_name(f"functionals-{folder.name}.npy")
    functionals = whole_array(file)
    if functionals is None:
        clips = dataset.with_source(recordings.select(rows.tolist()))
        collate = MultiTaskCollator(clips.source, feature_extractor)
        batches = pass_over_clips(nn.Identity(), clips, collate, _unchanged, settings or PassSettings(), title)
        functionals = in_row_order(batches, len(clips))["functionals"]
        keep_array(file, functionals)
    return dataset.with_source(Functionals(functionals[places]))


def standardise_by(model: ComParEForMultiTask, functionals: np.ndarray) -> None:
    """Puts the mean and the standard deviation of functionals into a model. A constant functional has the scale 1.

    Args:
        model ([`ComParEForMultiTask`]): whose buffers are set.
        functionals (`np.ndarray` of shape `(clips, functionals)`): of Train.
    """
    scaler = StandardScaler().fit(functionals.astype(np.float64))
    model.standardisation.mean.copy_(torch.from_numpy(scaler.mean_))
    model.standardisation.scale.copy_(torch.from_numpy(scaler.scale_))


def _unchanged(model: nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return inputs
