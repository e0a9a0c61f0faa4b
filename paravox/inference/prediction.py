"""Run saved models over clips: one decoding and one pass of the encoder each, results in the order of the clips."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from paravox.modeling.audio import duration_seconds, load_audio
from paravox.modeling.configuration_ensemble import Burst2VecEnsembleConfig
from paravox.modeling.encoders import open_checkpoint
from paravox.modeling.errors import AudioError, CheckpointError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.modeling.tasks import Task, parse_tasks
from paravox.trainers.clip_pass import PassSettings, in_row_order, pass_over_clips
from paravox.trainers.data_collator import MultiTaskCollator
from paravox.trainers.multi_task_dataset import MultiTaskDataset

# Enough for the matrix products to be worth their start, little enough for a laptop.
DEFAULT_BATCH_SECONDS = 30.0

Model = Burst2VecForMultiTask | Burst2VecEnsemble
FeatureExtractor = Burst2VecFeatureExtractor | Burst2VecEnsembleFeatureExtractor


def open_model(name_or_path: str, revision: str | None = None) -> tuple[Model, FeatureExtractor]:
    """A saved model or ensemble, in evaluation mode, and its feature extractor.

    Args:
        name_or_path (`str`): a folder, or a name on the Hub.
        revision (`str`, *optional*): a branch, tag or commit there; `main` by default.

    Raises:
        CheckpointError: if there is none at that folder or name, or it is of another class.
    """
    options = {} if revision is None else {"revision": revision}
    config = open_checkpoint(Burst2VecEnsembleConfig.get_config_dict, name_or_path, **options)[0]
    model_class, extractor_class = Burst2VecForMultiTask, Burst2VecFeatureExtractor
    if config.get("model_type") == Burst2VecEnsembleConfig.model_type:
        model_class, extractor_class = Burst2VecEnsemble, Burst2VecEnsembleFeatureExtractor
    model = model_class.from_pretrained(name_or_path, **options)
    return model, open_checkpoint(extractor_class.from_pretrained, name_or_path, **options)


class SkippingLoader:
    """Decodes clips and remembers those that cannot be used instead of failing on them."""

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}

    def readable(self, paths: list[Path]) -> list[Path]:
        """The files whose header can be read."""
        for path in paths:
            try:
                duration_seconds(path)
            except AudioError as error:
                self.faults[str(path)] = str(error)
        return [path for path in paths if str(path) not in self.faults]

    def __call__(self, source: Any) -> np.ndarray:
        try:
            return load_audio(source)
        except AudioError as error:
            # It stays in its batch as silence; whoever asks for the results leaves it out.
            self.faults[str(source)] = str(error)
            return np.zeros(1, np.float32)


def predict_dataset(
    model: Model,
    extractor: FeatureExtractor,
    dataset: MultiTaskDataset,
    batch_seconds: float = DEFAULT_BATCH_SECONDS,
) -> dict[str, np.ndarray]:
    """Predicts every clip of a corpus.

    Args:
        model ([`Burst2VecForMultiTask`] or [`Burst2VecEnsemble`]): on any device.
        extractor ([`Burst2VecFeatureExtractor`] or [`Burst2VecEnsembleFeatureExtractor`]): saved beside the model.
        dataset ([`MultiTaskDataset`]).
        batch_seconds (`float`, *optional*, defaults to 30): seconds of audio a batch, padding counted; a longer clip has
            a batch of its own.

    Returns:
        `dict` of `np.ndarray`: per task, as the model gives them, in the order of the rows.
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
    paths: list[str],
    load: Callable[[Any], np.ndarray] = load_audio,
    batch_seconds: float = DEFAULT_BATCH_SECONDS,
) -> dict[str, np.ndarray]:
    """Predicts audio files; arguments and result as in [`predict_dataset`]."""
    dataset = MultiTaskDataset(Dataset.from_dict({"path": [str(path) for path in paths]}), tasks=[], load=load)
    return predict_dataset(model, extractor, dataset, batch_seconds)


def mean_predictions(members: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The ensemble of several models' predictions: the mean of intensities, scalars and class probabilities (section 4.2)."""
    return {task: np.mean([member[task] for member in members], axis=0) for task in members[0]}


def as_records(tasks: list[Task], predictions: dict[str, np.ndarray], paths: list[str]) -> list[dict[str, Any]]:
    """One plain mapping a clip, ready for JSON: `file`, and per task a mapping of labels to values, or a value."""
    records = []
    for row, path in enumerate(paths):
        record: dict[str, Any] = {"file": str(path)}
        record |= {task.name: task.as_record(predictions[task.name][row]) for task in tasks}
        records.append(record)
    return records


def same_tasks(models: list[Model], names: list[str]) -> list[Task]:
    """The tasks that several models share.

    Raises:
        CheckpointError: if they predict different things and cannot be averaged.
    """
    tasks = parse_tasks(models[0].config.tasks)
    for model, name in zip(models, names, strict=True):
        if parse_tasks(model.config.tasks) != tasks:
            raise CheckpointError(
                f"checkpoint {name!r} has other tasks than {names[0]!r}: average models of the same tasks"
            )
    return tasks


def find_audio_files(paths: list[str]) -> list[Path]:
    """Files as given, and every audio file below the folders, sorted.

    Raises:
        AudioError: if a path does not exist, or a folder holds no audio file.
    """
    suffixes = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".au", ".w64", ".caf", ".webm"}
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes)
        if not inside:
            raise AudioError(f"folder {path} holds no audio file ({', '.join(sorted(suffixes))}): give another one")
        files += inside
    return files
