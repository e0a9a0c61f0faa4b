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
from paravox.modeling.records import Windows

from .clip_pass import PassSettings, Step, in_row_order, own_generator, read_ahead, run_batches
from .device_features import DeviceFeatures
from .sampler import EvaluationBatchSampler

# A worker decodes this many files at a time, and sends their samples as one tensor.
FILES_PER_CHUNK = 16
# Files that are cut may be hours long, so that few of them fit into the memory.
LONG_FILES_PER_CHUNK = 1
# The clips of about this many batches are collected and sorted by their length. More would pad less and need more
# memory. The first group has fewer, so that the model does not wait long for it.
GROUP_BATCHES, FIRST_GROUP_BATCHES = 12, 2
ADVICE = "cut it, or give window_seconds"
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
        functionals (`torch.Tensor` of shape `(windows, functionals)`, *optional*): of every window of the files that
            can be used.
    """

    samples: torch.Tensor
    lengths: list[int]
    errors: dict[int, str]
    functionals: torch.Tensor | None


class DecodedFiles(Dataset):
    """Decodes files. Its items are asked for by lists of paths, so that a worker need not know them all.

    Args:
        extractor: the feature extractor of the model.
        cut ([`Windows`], *optional*): how files will be cut, which may then be longer than the model takes.
    """

    def __init__(self, extractor: Any, cut: Windows | None = None) -> None:
        self.sampling_rate = extractor.sampling_rate
        self.cut = cut
        self.max_seconds = extractor.max_seconds if cut is None else None
        self.compare = DeviceFeatures(extractor).compare

    def __getitem__(self, paths: Sequence[str]) -> Decoded:
        clips: list[np.ndarray] = []
        lengths: list[int] = []
        errors: dict[int, str] = {}
        for position, path in enumerate(paths):
            try:
                clips.append(load_clip(path, None, self.sampling_rate, None, self.max_seconds, ADVICE))
                lengths.append(len(clips[-1]))
            except AudioError as error:
                errors[position] = str(error)
                lengths.append(0)
        joined = clips[0] if len(clips) == 1 else np.concatenate([np.zeros(0, np.float32), *clips])
        parts = [clip[start:end] for clip in clips for start, end in spans_of(len(clip), self.cut, self.sampling_rate)]
        return Decoded(torch.from_numpy(joined), lengths, errors, self.functionals(parts))

    def functionals(self, clips: list[np.ndarray]) -> torch.Tensor | None:
        """The functionals of clips `(clips, functionals)`, if the model takes them."""
        if self.compare is None or not clips:
            return None
        return self.compare([(clip, self.sampling_rate) for clip in clips], return_tensors="pt")["functionals"]


def spans_of(samples: int, cut: Windows | None, sampling_rate: int) -> list[tuple[int, int]]:
    """The start and the end of each window of a clip, in samples. A clip that is not cut is one window."""
    return [(0, samples)] if cut is None or not samples else cut.spans(samples, sampling_rate)


@dataclass
class FileResults:
    """The results of some files that follow each other.

    Args:
        errors (`dict`): the message for each file that cannot be used, by its position among these files.
        spans (list of lists of pairs of `int`): for each file the start and the end of each of its windows, in samples
            at the model's rate. A file that is not cut is one window, and one that cannot be used is an empty one.
        results (`dict` of `np.ndarray`): by name `(windows, ...)`, those of all files; zeros for files that cannot be
            used. It is empty if none can be used.
    """

    errors: dict[int, str]
    spans: list[list[tuple[int, int]]]
    results: dict[str, np.ndarray]

    @property
    def files(self) -> int:
        """How many files these are."""
        return len(self.spans)


def pass_over_files(
    model: nn.Module,
    extractor: Any,
    paths: Sequence[str],
    step: Step,
    settings: PassSettings,
    title: str = "encoding",
    cut: Windows | None = None,
) -> Iterator[FileResults]:
    """Runs a model once over every file, without gradient. Files that cannot be used do not stop it.

    Args:
        model (`nn.Module`): moved to the device of the settings, and put into evaluation mode for the pass.
        extractor: the feature extractor of the model.
        paths (sequence of `str`): the files.
        step ([`Step`]): gets the model and its inputs.
        settings ([`PassSettings`]): where the pass runs, and in which batches. `max_batch_seconds` is needed.
        title (`str`, *optional*, defaults to `"encoding"`): printed before the line of progress.
        cut ([`Windows`], *optional*): how to cut the files. By default they are not cut.

    Yields:
        [`FileResults`], in the order of the files. Beside the results of the step, it has [`LENGTH`], the length of
        each window in samples at the model's rate, and [`PEAK`], the largest deviation of its samples from their mean.
    """
    features = DeviceFeatures(extractor)

    def from_samples(model: nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        measured = {LENGTH: inputs["lengths"], PEAK: peaks(inputs["samples"], inputs["lengths"])}
        return step(model, features(**inputs)) | measured

    rate = extractor.sampling_rate
    decoded = iter(_loader(extractor, paths, settings, cut))
    groups = _groups(decoded, rate, settings.max_batch_seconds or 0.0, cut)
    with tqdm(total=len(paths), desc=title, unit="clip", leave=False, disable=not settings.show_progress) as progress:
        for group in read_ahead(groups):
            results = []
            batches = read_ahead(_batches(group, rate, settings))
            missing = np.array([len(spans) for spans in group.spans])
            file_of = np.repeat(np.arange(len(missing)), missing)
            missing[list(group.errors)] = 0
            for rows, values in run_batches(model, batches, from_samples, settings.device, settings.dtype):
                results.append((rows, values))
                before = np.count_nonzero(missing)
                np.subtract.at(missing, file_of[rows], 1)
                progress.update(before - np.count_nonzero(missing))
            progress.update(len(group.errors))
            yield FileResults(group.errors, group.spans, in_row_order(results, len(group.lengths)))


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
class _Group:
    """The decoded files of several chunks: their windows, and the length of each, which is 0 for a file in `errors`."""

    sampling_rate: int
    cut: Windows | None
    spans: list[list[tuple[int, int]]] = field(default_factory=list)
    clips: list[torch.Tensor] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    functionals: list[torch.Tensor] = field(default_factory=list)
    samples: int = 0

    def add(self, chunk: Decoded) -> None:
        self.errors |= {len(self.spans) + position: message for position, message in chunk.errors.items()}
        self.samples += len(chunk.samples)
        # Copied, because what a worker sends lies in shared memory, of which there may be little.
        files = iter(chunk.samples.clone().split([length for length in chunk.lengths if length]))
        for length in chunk.lengths:
            self.spans.append(spans_of(length, self.cut, self.sampling_rate))
            self.lengths += [end - start for start, end in self.spans[-1]]
            if length:
                samples = next(files)
                # Views, so that windows that overlap take no memory of their own.
                self.clips += [samples[start:end] for start, end in self.spans[-1]]
        if chunk.functionals is not None:
            self.functionals.append(chunk.functionals.clone())


def _loader(
    extractor: Any, paths: Sequence[str], settings: PassSettings, cut: Windows | None = None
) -> Iterable[Decoded]:
    size = FILES_PER_CHUNK if cut is None else LONG_FILES_PER_CHUNK
    chunks = (list(paths[start : start + size]) for start in range(0, len(paths), size))
    return DataLoader(
        DecodedFiles(extractor, cut),
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


def _groups(
    chunks: Iterator[Decoded], sampling_rate: int, batch_seconds: float, cut: Windows | None
) -> Iterator[_Group]:
    batches, group = FIRST_GROUP_BATCHES, _Group(sampling_rate, cut)
    for chunk in chunks:
        group.add(chunk)
        if group.samples >= batches * batch_seconds * sampling_rate:
            yield group
            batches, group = min(2 * batches, GROUP_BATCHES), _Group(sampling_rate, cut)
    if group.spans:
        yield group


def _batches(group: _Group, sampling_rate: int, settings: PassSettings) -> Iterator[dict[str, torch.Tensor]]:
    pin: Callable[[torch.Tensor], torch.Tensor] = (
        torch.Tensor.pin_memory if torch.device(settings.device).type == "cuda" else torch.Tensor.contiguous
    )
    lengths = np.array(group.lengths)
    rows = np.flatnonzero(lengths)
    if not len(rows):
        return
    functionals = torch.cat(group.functionals) if group.functionals else None
    seconds = lengths[rows] / sampling_rate
    budget = max(settings.max_batch_seconds or 0.0, float(seconds.max()))
    for draws in EvaluationBatchSampler(seconds, settings.batch_size, budget):
        places = [draw.index for draw in draws]
        batch = {"index": torch.from_numpy(rows[places])} | padded_samples([group.clips[place] for place in places])
        if functionals is not None:
            batch["functionals"] = functionals[places]
        yield {name: pin(values) for name, values in batch.items()}
