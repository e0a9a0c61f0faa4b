"""One pass of a model over any number of audio files: worker processes decode them, and the memory stays flat."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from paravox.modeling.audio import load_clip
from paravox.modeling.errors import AudioError

from .clip_pass import PassSettings, Step, in_row_order, own_generator, read_ahead, run_batches
from .device_features import DeviceFeatures
from .sampler import EvaluationBatchSampler

# A worker decodes this many files at a time, and sends their samples as one tensor.
FILES_PER_CHUNK = 16
# The clips of about this many batches are collected and sorted by their length. More would pad less and need more
# memory. The first window has fewer, so that the model does not wait long for it.
WINDOW_BATCHES, FIRST_WINDOW_BATCHES = 12, 2
# With fewer files, starting workers takes longer than they save.
LEAST_FILES_FOR_WORKERS = 256
# What is measured of each clip, beside the results of a step. No task has a line end in its name.
LENGTH, PEAK = "clip\nsamples", "clip\npeak"
# One core decodes about as fast as this many cores run a small encoder.
CORES_PER_DECODER = 8


def default_workers(device: torch.device, files: int, processes: int = 1) -> int:
    """How many worker processes should decode.

    Beside an accelerator these are all cores but one. Beside a CPU, which needs its cores for the model, a thread is
    enough for the first cores.

    Args:
        device (`torch.device`): where the model runs.
        files (`int`): how many files there are.
        processes (`int`, *optional*, defaults to 1): the number of processes that share the cores of this machine.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = available // processes
    if cores < 3 or files < LEAST_FILES_FOR_WORKERS:
        return 0
    return cores // CORES_PER_DECODER if device.type == "cpu" else cores - 1


class Decoded(NamedTuple):
    """Some files as a worker read them.

    Args:
        samples (`torch.Tensor` of shape `(all samples,)`): float32, the clips one behind the other.
        lengths (list of `int`): the number of samples of each file, 0 where it cannot be used.
        errors (`dict`): the message for each file that cannot be used, by its position.
        functionals (`torch.Tensor` of shape `(files that can be used, functionals)`, *optional*).
    """

    samples: torch.Tensor
    lengths: list[int]
    errors: dict[int, str]
    functionals: torch.Tensor | None


class DecodedFiles(Dataset):
    """Decodes files. Its items are asked for by lists of paths, so that a worker need not know them all.

    Args:
        extractor: the feature extractor of the model.
    """

    def __init__(self, extractor: Any) -> None:
        self.sampling_rate = extractor.sampling_rate
        self.max_seconds = extractor.max_seconds
        self.compare = DeviceFeatures(extractor).compare

    def __getitem__(self, paths: Sequence[str]) -> Decoded:
        clips: list[np.ndarray] = []
        lengths: list[int] = []
        errors: dict[int, str] = {}
        for position, path in enumerate(paths):
            try:
                clips.append(load_clip(path, None, self.sampling_rate, max_seconds=self.max_seconds))
                lengths.append(len(clips[-1]))
            except AudioError as error:
                errors[position] = str(error)
                lengths.append(0)
        samples = torch.from_numpy(np.concatenate(clips)) if clips else torch.zeros(0)
        return Decoded(samples, lengths, errors, self.functionals(clips))

    def functionals(self, clips: list[np.ndarray]) -> torch.Tensor | None:
        """The functionals of clips `(clips, functionals)`, if the model takes them."""
        if self.compare is None or not clips:
            return None
        return self.compare([(clip, self.sampling_rate) for clip in clips], return_tensors="pt")["functionals"]


@dataclass
class FileResults:
    """The results of some files that follow each other.

    Args:
        files (`int`): how many files these are.
        errors (`dict`): the message for each file that cannot be used, by its position among these files.
        results (`dict` of `np.ndarray`): by name `(files, ...)`; zeros for files that cannot be used. It is empty if
            none can be used.
    """

    files: int
    errors: dict[int, str]
    results: dict[str, np.ndarray]


def pass_over_files(
    model: nn.Module,
    extractor: Any,
    paths: Sequence[str],
    step: Step,
    settings: PassSettings,
    title: str = "encoding",
) -> Iterator[FileResults]:
    """Runs a model once over every file, without gradient. Files that cannot be used do not stop it.

    Args:
        model (`nn.Module`): moved to the device of the settings, and put into evaluation mode for the pass.
        extractor: the feature extractor of the model.
        paths (sequence of `str`): the files.
        step ([`Step`]): gets the model and its inputs.
        settings ([`PassSettings`]): where the pass runs, and in which batches. `max_batch_seconds` is needed.
        title (`str`, *optional*, defaults to `"encoding"`): printed before the line of progress.

    Yields:
        [`FileResults`], in the order of the files. Beside the results of the step, it has [`LENGTH`], the length of
        each clip in samples at the model's rate, and [`PEAK`], the largest deviation of its samples from their mean.
    """
    features = DeviceFeatures(extractor)

    def from_samples(model: nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        measured = {LENGTH: inputs["lengths"], PEAK: peaks(inputs["samples"], inputs["lengths"])}
        return step(model, features(**inputs)) | measured

    decoded = iter(_loader(extractor, paths, settings))
    windows = _windows(decoded, extractor.sampling_rate, settings.max_batch_seconds or 0.0)
    with tqdm(total=len(paths), desc=title, unit="clip", leave=False, disable=not settings.show_progress) as progress:
        for window in read_ahead(windows):
            results = []
            batches = read_ahead(_batches(window, extractor.sampling_rate, settings))
            for rows, values in run_batches(model, batches, from_samples, settings.device, settings.dtype):
                results.append((rows, values))
                progress.update(len(rows))
            progress.update(len(window.errors))
            yield FileResults(len(window.lengths), window.errors, in_row_order(results, len(window.lengths)))


def peaks(samples: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The largest deviation of each clip's samples from their mean `(batch,)`, for `samples` padded with zeros."""
    real = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
    means = samples.sum(dim=1) / lengths
    return ((samples - means[:, None]).abs() * real).amax(dim=1)


def padded_samples(clips: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The `samples` `(batch, samples)` and `lengths` `(batch,)` of clips, as [`DeviceFeatures`] takes them."""
    lengths = torch.tensor([len(clip) for clip in clips])
    return {"samples": nn.utils.rnn.pad_sequence(clips, batch_first=True), "lengths": lengths}


@dataclass
class SamplesCollator:
    """Collates clips of a [`MultiTaskDataset`] of recordings for a model whose features are made on its device.

    Args:
        extractor: the feature extractor of the model.
    """

    extractor: Any
    _decoder: DecodedFiles = field(init=False)

    def __post_init__(self) -> None:
        self._decoder = DecodedFiles(self.extractor)

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch: `index`, `samples`, `lengths` and, where the model takes them, `functionals`."""
        rate, longest = self._decoder.sampling_rate, self._decoder.max_seconds
        clips = [load_clip((item["clip"], rate), None, rate, max_seconds=longest) for item in items]
        batch = {"index": torch.tensor([item["draw"].index for item in items])}
        batch |= padded_samples([torch.from_numpy(clip) for clip in clips])
        functionals = self._decoder.functionals(clips)
        return batch if functionals is None else batch | {"functionals": functionals}


@dataclass
class _Window:
    """The decoded files of several chunks."""

    clips: list[torch.Tensor] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    functionals: list[torch.Tensor] = field(default_factory=list)
    samples: int = 0

    def add(self, chunk: Decoded) -> None:
        self.errors |= {len(self.lengths) + position: message for position, message in chunk.errors.items()}
        self.lengths += chunk.lengths
        self.samples += len(chunk.samples)
        # Copied, because what a worker sends lies in shared memory, of which there may be little.
        self.clips += chunk.samples.clone().split([length for length in chunk.lengths if length])
        if chunk.functionals is not None:
            self.functionals.append(chunk.functionals.clone())


def _loader(extractor: Any, paths: Sequence[str], settings: PassSettings) -> Iterable[Decoded]:
    chunks = (list(paths[start : start + FILES_PER_CHUNK]) for start in range(0, len(paths), FILES_PER_CHUNK))
    return DataLoader(
        DecodedFiles(extractor),
        batch_size=None,
        sampler=chunks,
        collate_fn=_unchanged,
        num_workers=settings.num_workers,
        prefetch_factor=settings.prefetch_factor,
        multiprocessing_context=_worker_context(torch.device(settings.device)) if settings.num_workers else None,
        generator=own_generator(),
    )


def _worker_context(device: torch.device) -> Any:
    """How workers are started. A process that uses CUDA must not be forked, so one that does not use it forks them."""
    if device.type == "cpu" or "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])
    return context


def _unchanged(chunk: Decoded) -> Decoded:
    return chunk


def _windows(chunks: Iterator[Decoded], sampling_rate: int, batch_seconds: float) -> Iterator[_Window]:
    batches, window = FIRST_WINDOW_BATCHES, _Window()
    for chunk in chunks:
        window.add(chunk)
        if window.samples >= batches * batch_seconds * sampling_rate:
            yield window
            batches, window = min(2 * batches, WINDOW_BATCHES), _Window()
    if window.lengths:
        yield window


def _batches(window: _Window, sampling_rate: int, settings: PassSettings) -> Iterator[dict[str, torch.Tensor]]:
    pin: Callable[[torch.Tensor], torch.Tensor] = (
        torch.Tensor.pin_memory if torch.device(settings.device).type == "cuda" else torch.Tensor.contiguous
    )
    lengths = np.array(window.lengths)
    rows = np.flatnonzero(lengths)
    if not len(rows):
        return
    functionals = torch.cat(window.functionals) if window.functionals else None
    seconds = lengths[rows] / sampling_rate
    budget = max(settings.max_batch_seconds or 0.0, float(seconds.max()))
    for draws in EvaluationBatchSampler(seconds, settings.batch_size, budget):
        places = [draw.index for draw in draws]
        batch = {"index": torch.from_numpy(rows[places])} | padded_samples([window.clips[place] for place in places])
        if functionals is not None:
            batch["functionals"] = functionals[places]
        yield {name: pin(values) for name, values in batch.items()}
