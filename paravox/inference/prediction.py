"""Runs models over clips: each clip is decoded and encoded once, and the results are in the order of the clips."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paravox.inference.audio_files import as_dataset
from paravox.inference.opening import FeatureExtractor, Model
from paravox.modeling.tasks import Task
from paravox.trainers.clip_pass import PassSettings, in_row_order, pass_over_clips
from paravox.trainers.data_collator import MultiTaskCollator
from paravox.trainers.multi_task_dataset import MultiTaskDataset

# Enough for efficient matrix products, and little enough for the memory of a laptop.
DEFAULT_BATCH_SECONDS = 30.0


def predict_dataset(
    model: Model,
    extractor: FeatureExtractor,
    dataset: MultiTaskDataset,
    batch_seconds: float = DEFAULT_BATCH_SECONDS,
) -> dict[str, np.ndarray]:
    """Predicts every clip of a corpus.

    Args:
        model ([`Burst2VecForMultiTask`], [`ComParEForMultiTask`] or [`Burst2VecEnsemble`]): on any device.
        extractor: the feature extractor that was saved with the model.
        dataset ([`MultiTaskDataset`]): its clips; the labels are not used.
        batch_seconds (`float`, *optional*, defaults to 30): seconds of audio per batch, padding included. A longer clip
            gets a batch of its own.

    Returns:
        `dict` of `np.ndarray`: per task, in the order of the rows: intensities `(clips, outputs)` in 0..1, a scalar
        `(clips,)` in its unit, class probabilities `(clips, outputs)`.
    """
    settings = PassSettings(model.device, max_batch_seconds=batch_seconds)
    collate = MultiTaskCollator(dataset.source, extractor)
    batches = pass_over_clips(
        model, dataset, collate, lambda model, inputs: model(**inputs).predictions, settings, "predict"
    )
    return in_row_order(batches, len(dataset))


def predict_files(
    model: Model,
    extractor: FeatureExtractor,
    paths: Sequence[str | Path],
    batch_seconds: float = DEFAULT_BATCH_SECONDS,
) -> dict[str, np.ndarray]:
    """Predicts audio files; arguments and result as in [`predict_dataset`].

    Raises:
        AudioError: if a file cannot be read. [`readable_files`] sorts such files out before.
    """
    return predict_dataset(model, extractor, as_dataset(paths, extractor.sampling_rate), batch_seconds)


def mean_predictions(members: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean of several models' intensities, scalars and class probabilities (Burst2Vec, section 4.2)."""
    return {task: np.mean([member[task] for member in members], axis=0) for task in members[0]}


def as_records(
    tasks: Sequence[Task], predictions: dict[str, np.ndarray], paths: Sequence[str | Path]
) -> list[dict[str, Any]]:
    """One mapping per clip, ready for JSON: `file`, and for each task a mapping of labels to values, or one value."""
    records = []
    for row, path in enumerate(paths):
        record: dict[str, Any] = {"file": str(path)}
        record |= {task.name: task.as_record(predictions[task.name][row]) for task in tasks}
        records.append(record)
    return records
