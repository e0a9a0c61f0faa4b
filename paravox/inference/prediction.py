"""Runs models over clips: each clip is decoded and encoded once, and the results are in the order of the clips."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paravox.inference.opening import FeatureExtractor, Model
from paravox.modeling.errors import AudioError
from paravox.modeling.familiarity import warning_of
from paravox.modeling.records import RecordNames, Windows, embeddings_of, record_of_windows
from paravox.modeling.tasks import Task, parse_tasks
from paravox.trainers.clip_pass import PassSettings, in_row_order, pass_over_clips
from paravox.trainers.device_features import DeviceFeatures
from paravox.trainers.file_pass import LENGTH, PEAK, SamplesCollator, default_workers, pass_over_files
from paravox.trainers.multi_task_dataset import MultiTaskDataset

# Enough for efficient matrix products, and little enough for the memory of a laptop.
CPU_BATCH_SECONDS = 30.0
# Enough to keep a large GPU busy, and what one second of audio takes there at most: the first convolutions of a large
# encoder of waveforms, in float32.
CUDA_BATCH_SECONDS, CUDA_BYTES_PER_SECOND = 1_000.0, 32 * 2**20
# Beside the results of tasks; no task has a line end in its name.
UNUSUAL, _EMBEDDINGS = "clip\nunusual", "embeddings\n"
# Short clips do not fill a batch to its seconds before this many.
LARGEST_BATCH = 4_096


def default_batch_seconds(device: torch.device) -> float:
    """How many seconds of audio a batch should have, padding included: more where a GPU has the memory for it."""
    if device.type != "cuda":
        return CPU_BATCH_SECONDS
    free, _ = torch.cuda.mem_get_info(device)
    return min(CUDA_BATCH_SECONDS, max(CPU_BATCH_SECONDS, free / CUDA_BYTES_PER_SECOND))


def pass_settings(
    model: Model, clips: int, batch_seconds: float | None = None, num_workers: int | None = None, processes: int = 1
) -> PassSettings:
    """The settings of a pass over clips, on the device of the model.

    Args:
        model ([`Burst2VecForMultiTask`], [`ComParEForMultiTask`] or [`Burst2VecEnsemble`]): it runs where it is, in the
            type of its weights.
        clips (`int`): the number of clips.
        batch_seconds (`float`, *optional*): seconds of audio per batch, padding included. A longer clip gets a batch of
            its own. By default it depends on the device.
        num_workers (`int`, *optional*): processes that decode. By default it depends on the device, on the number of
            cores and on the number of clips.
        processes (`int`, *optional*, defaults to 1): the number of processes that share the cores of this machine.
    """
    return PassSettings(
        model.device,
        batch_size=LARGEST_BATCH,
        max_batch_seconds=default_batch_seconds(model.device) if batch_seconds is None else batch_seconds,
        num_workers=default_workers(model.device, clips, processes) if num_workers is None else num_workers,
    )


def predict_dataset(
    model: Model,
    extractor: FeatureExtractor,
    dataset: MultiTaskDataset,
    batch_seconds: float | None = None,
    num_workers: int | None = None,
) -> dict[str, np.ndarray]:
    """Predicts every clip of a corpus.

    Args:
        model ([`Burst2VecForMultiTask`], [`ComParEForMultiTask`] or [`Burst2VecEnsemble`]): on any device, in any type.
        extractor: the feature extractor that was saved with the model.
        dataset ([`MultiTaskDataset`]): its clips; the labels are not used.
        batch_seconds (`float`, *optional*): as in [`pass_settings`].
        num_workers (`int`, *optional*): as in [`pass_settings`].

    Returns:
        `dict` of `np.ndarray`: per task, in the order of the rows: intensities `(clips, outputs)` in 0..1, a scalar
        `(clips,)` in its unit, class probabilities `(clips, outputs)`.
    """
    features = DeviceFeatures(extractor)
    batches = pass_over_clips(
        model,
        dataset,
        SamplesCollator(extractor),
        lambda model, inputs: _predict(model, features(**inputs)),
        pass_settings(model, len(dataset), batch_seconds, num_workers),
        "predict",
    )
    return in_row_order(batches, len(dataset))


def predict_files(
    model: Model,
    extractor: FeatureExtractor,
    paths: Sequence[str | Path],
    batch_seconds: float | None = None,
    num_workers: int | None = None,
) -> dict[str, np.ndarray]:
    """Predicts audio files; arguments and result as in [`predict_dataset`].

    Raises:
        AudioError: if a file cannot be used. [`predict_records`] goes on where one cannot.
    """
    parts = []
    settings = pass_settings(model, len(paths), batch_seconds, num_workers)
    for part in pass_over_files(model, extractor, [str(path) for path in paths], _predict, settings, "predict"):
        for message in part.errors.values():
            raise AudioError(message)
        parts.append(part.results)
    names = parse_tasks(model.config.tasks) if parts else []
    return {task.name: np.concatenate([part[task.name] for part in parts]) for task in names}


def predict_records(
    model: Model,
    extractor: FeatureExtractor,
    paths: Sequence[str | Path],
    settings: PassSettings,
    cut: Windows | None = None,
    embeddings: bool = False,
) -> Iterator[dict[str, Any]]:
    """Predicts audio files one after the other, with the same little memory for any number of them.

    Args:
        model ([`Burst2VecForMultiTask`], [`ComParEForMultiTask`] or [`Burst2VecEnsemble`]): on any device, in any type.
        extractor: the feature extractor that was saved with the model.
        paths (sequence of `str` or `Path`).
        settings ([`PassSettings`]): from [`pass_settings`].
        cut ([`Windows`], *optional*): cut longer recordings into windows. By default they are not cut.
        embeddings (`bool`, *optional*, defaults to `False`): add the embeddings, as the pipeline does.

    Yields:
        One mapping per file, in the order of the files, ready for JSON: `file` and for each task a value, or a mapping
        of labels to values; or `error`, the reason why the file cannot be used. Intensities and probabilities are
        calibrated if the model was. Beside them is `unusual`, if the model knows it, and `warning`, where the recording
        says little, as the pipeline describes them. If recordings are cut, the values are means over `windows`, a list
        with those of each window and its `start` and `end` in seconds. What is not of a task stands under its
        [`RecordNames`].

    Raises:
        ConfigError: if an ensemble is asked for embeddings.
    """
    tasks = parse_tasks(model.config.tasks)
    names = RecordNames.beside(tasks)
    files = [str(path) for path in paths]
    coming = iter(files)
    step = _describe_with_embeddings if embeddings else describe
    for part in pass_over_files(model, extractor, files, step, settings, "predict", cut):
        row = 0
        for position, spans in enumerate(part.spans):
            file, rows = {names.file: next(coming)}, range(row, row + len(spans))
            row += len(spans)
            if position in part.errors:
                yield file | {names.error: part.errors[position]}
                continue
            records = [_as_record(names, tasks, part.results, one) for one in rows]
            warnings = [_warning(extractor, part.results, one) for one in rows]
            if cut is None:
                yield file | records[0] | ({names.warning: warnings[0]} if warnings[0] else {})
            else:
                rate = extractor.sampling_rate
                seconds = [(start / rate, end / rate) for start, end in spans]
                yield file | record_of_windows(names, seconds, records, warnings)


def _predict(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return model(**inputs).predictions


def describe(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A step of a pass: each task's outputs, calibrated if the model was, and [`UNUSUAL`], if the model knows it."""
    return _described(model(**inputs))


def _describe_with_embeddings(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    output = model(**inputs)
    results = _described(output)
    for name, values in embeddings_of(output).items():
        by_task = {f"{name}\n{task}": of_task for task, of_task in values.items()} if isinstance(values, dict) else {}
        results |= {f"{_EMBEDDINGS}{place}": one for place, one in (by_task or {name: values}).items()}
    return results


def _described(output: Any) -> dict[str, torch.Tensor]:
    unusual = {} if output.get("unusual") is None else {UNUSUAL: output.unusual}
    return output.get("calibrated", output.predictions) | unusual


def _as_record(names: RecordNames, tasks: Sequence[Task], results: dict[str, np.ndarray], row: int) -> dict[str, Any]:
    """The record of a row, as the pipeline would give it, without a warning."""
    record: dict[str, Any] = {task.name: task.as_record(results[task.name][row]) for task in tasks}
    if UNUSUAL in results:
        record[names.unusual] = float(results[UNUSUAL][row])
    embeddings: dict[str, Any] = {}
    for place in (name for name in results if name.startswith(_EMBEDDINGS)):
        name, _, task = place.removeprefix(_EMBEDDINGS).partition("\n")
        values = results[place][row].tolist()
        if task:
            embeddings.setdefault(name, {})[task] = values
        else:
            embeddings[name] = values
    return record | ({names.embeddings: embeddings} if embeddings else {})


def _warning(extractor: FeatureExtractor, results: dict[str, np.ndarray], row: int) -> str | None:
    unusual = float(results[UNUSUAL][row]) if UNUSUAL in results else None
    minimum = getattr(extractor, "minimum_samples", 0)
    return warning_of(int(results[LENGTH][row]), float(results[PEAK][row]), minimum, unusual)


def mean_predictions(members: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean of several models' intensities, scalars and class probabilities (Burst2Vec, section 4.2)."""
    return {task: np.mean([member[task] for member in members], axis=0) for task in members[0]}
