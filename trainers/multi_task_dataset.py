"""The trainer's view of a corpus: clips that are decoded when drawn, and the labels of every task as arrays."""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Audio, ClassLabel, Dataset

from paravox.modeling.audio import duration_seconds, load_audio
from paravox.modeling.errors import AudioError, ConfigError, CorpusError
from paravox.modeling.losses import UNKNOWN_CLASS
from paravox.modeling.tasks import Task

from .lower_states import LowerStates

# The task of a draw whose batch serves every task that its clips have labels of.
ALL_TASKS = "*"
# Any number will do.
SHARED_CROPS_SEED = 1


class ClipDraw(NamedTuple):
    """One clip of a batch, as a sampler asks for it.

    Args:
        index (`int`): the clip's row.
        task (`str`, *optional*): the task of its batch, or [`ALL_TASKS`]; None when evaluating.
        epoch (`int`, *optional*): mixed into whatever is random about the clip.
        counted (`bool`, *optional*): false for a repeated clip that only fills a process's share of a batch: its labels
            are hidden from the loss.
    """

    index: int
    task: str | None = None
    epoch: int = 0
    counted: bool = True


class MultiTaskDataset(torch.utils.data.Dataset):
    """Clips with the labels of any number of tasks, each of which may be unknown for any clip.

    Args:
        corpus (`datasets.Dataset`): with an `Audio(decode=False)` column, or a column `path` of file names. Intensities
            are one column per label, a scalar or a class is the column that bears the task's name; None, NaN and an
            empty string mean unknown.
        tasks (list of [`Task`]): which labels to read.
        load (`Callable`, *optional*): from what the audio column holds to mono float32 samples at `sampling_rate`; for
            example a cache's `load`. Decodes and resamples by default.
        sampling_rate (`int`, *optional*, defaults to 16000): in hertz.
        max_seconds (`float`, *optional*): a longer clip is cropped to this length, at a place drawn anew each epoch.
        seed (`int`, *optional*, defaults to 0): of the crops and the augmentation.
        augmentation (`Callable`, *optional*): from samples, their rate and the numbers `(seed, epoch, row)` to samples
            of the same length, such as a [`ClipAugmentation`]; applied to every clip that is drawn, after cropping.

    Raises:
        CorpusError: if a column is missing or holds a label that its task does not know.
    """

    def __init__(
        self,
        corpus: Dataset,
        tasks: list[Task],
        load: Callable[[Any], np.ndarray] = load_audio,
        sampling_rate: int = 16_000,
        max_seconds: float | None = None,
        seed: int = 0,
        augmentation: Callable[[np.ndarray, int, tuple[int, int, int]], np.ndarray] | None = None,
    ) -> None:
        self.clips = corpus.select_columns([audio_column(corpus)]).with_format(None)
        self.tasks = list(tasks)
        self.labels = {task.name: read_labels(corpus, task) for task in tasks}
        self.load = load
        self.sampling_rate = sampling_rate
        self.max_seconds = max_seconds
        self.seed = seed
        self.augmentation = augmentation
        self.pooled_states: np.ndarray | None = None
        self.lower_states: LowerStates | None = None

    def __len__(self) -> int:
        return len(self.clips)

    def labelled_clips(self, task: str) -> np.ndarray:
        """The rows with at least one known label for a task, in order."""
        labels = self.labels[task]
        known = labels != UNKNOWN_CLASS if labels.dtype == np.int64 else ~np.isnan(labels)
        return np.flatnonzero(known.reshape(len(known), -1).any(axis=1))

    @cached_property
    def seconds(self) -> np.ndarray:
        """The length of each clip after cropping, `(clips,)`, read from the files' headers."""
        if self.pooled_states is not None:
            return np.zeros(len(self))
        with ThreadPoolExecutor(max_workers=4) as pool:
            seconds = np.fromiter(pool.map(self._header_seconds, range(len(self))), dtype=np.float64, count=len(self))
        return np.minimum(seconds, self.max_seconds) if self.max_seconds is not None else seconds

    def with_pooled_states(self, pooled_states: np.ndarray) -> "MultiTaskDataset":
        """The same clips, standing for what a frozen encoder made of them instead of for their audio.

        Args:
            pooled_states (`np.ndarray` of shape `(clips, layers, hidden)`): in the order of the rows.

        Raises:
            ConfigError: if the clips are augmented.
        """
        self.refuse_augmentation()
        return self._changed(pooled_states=pooled_states)

    def with_lower_states(self, lower_states: LowerStates) -> "MultiTaskDataset":
        """The same clips, standing for what an encoder's frozen lower layers made of them.

        Args:
            lower_states ([`LowerStates`]): in the order of the rows.

        Raises:
            ConfigError: if the clips are augmented.
        """
        self.refuse_augmentation()
        return self._changed(lower_states=lower_states)

    def with_shared_crops(self) -> "MultiTaskDataset":
        """The same clips, cropped at places that do not depend on the run's seed, so that runs of all seeds share them."""
        return self._changed(seed=SHARED_CROPS_SEED)

    def without_augmentation(self) -> "MultiTaskDataset":
        """The same clips, unchanged when drawn."""
        return self if self.augmentation is None else self._changed(augmentation=None)

    def with_shuffled_labels(self, seed: int) -> "MultiTaskDataset":
        """The same clips with their labels dealt out at random, for a control."""
        order = np.random.default_rng(seed).permutation(len(self))
        return self._changed(labels={task: labels[order] for task, labels in self.labels.items()})

    def __getitem__(self, draw: ClipDraw) -> dict[str, Any]:
        item = {"draw": draw, "labels": {task: labels[draw.index] for task, labels in self.labels.items()}}
        if self.pooled_states is not None:
            item["pooled_states"] = self.pooled_states[draw.index]
        elif self.lower_states is not None:
            item["lower_states"] = self.lower_states[draw.index]
            item["lower_pooled_states"] = self.lower_states.lower_pooled(draw.index)
        else:
            samples = self._crop(self.load(self._source(draw.index)), draw)
            if self.augmentation is not None:
                samples = self.augmentation(samples, self.sampling_rate, (self.seed, draw.epoch, draw.index))
            item["audio"] = (samples, self.sampling_rate)
        return item

    def content(self, index: int) -> bytes:
        """The recording's file as it is, and how it is cropped: what a clip's states depend on."""
        source = self._source(index)
        content = source.get("bytes") if isinstance(source, dict) else None
        if content is None:
            content = Path(source["path"] if isinstance(source, dict) else source).read_bytes()
        if self.max_seconds is None or self._header_seconds(index) <= self.max_seconds:
            return content
        return content + f"{self.max_seconds} {self.seed} {index}".encode()

    def _source(self, index: int) -> Any:
        (source,) = self.clips[int(index)].values()
        return source

    def _header_seconds(self, index: int) -> float:
        return duration_seconds(self._source(index))

    def _crop(self, samples: np.ndarray, draw: ClipDraw) -> np.ndarray:
        length = len(samples) if self.max_seconds is None else int(self.max_seconds * self.sampling_rate)
        surplus = len(samples) - length
        if surplus <= 0:
            return samples
        start = np.random.default_rng([self.seed, draw.epoch, draw.index]).integers(surplus + 1)
        return samples[start : start + length]

    def skip_unreadable(self) -> tuple["MultiTaskDataset", list[str]]:
        """The clips that can be decoded, and one message for each that cannot; decodes every clip."""
        readable, messages = [], []
        for index in range(len(self)):
            try:
                self.load(self._source(index))
                readable.append(index)
            except AudioError as error:
                messages.append(str(error))
        labels = {task: values[readable] for task, values in self.labels.items()}
        return self._changed(clips=self.clips.select(readable), labels=labels), messages

    def refuse_augmentation(self) -> None:
        if self.augmentation is not None:
            raise ConfigError(
                "augmentation and an encoder's stored outputs do not go together, every epoch would see the first draw "
                "again: turn one of the two off"
            )

    def _changed(self, **attributes: Any) -> "MultiTaskDataset":
        other = copy.copy(self)
        other.__dict__.pop("seconds", None)
        other.__dict__.update(attributes)
        return other


def audio_column(corpus: Dataset) -> str:
    """The name of the column that holds the recordings: the one of type `Audio`, otherwise `path`.

    Raises:
        CorpusError: if there is none, or more than one.
    """
    found = [name for name, feature in corpus.features.items() if isinstance(feature, Audio)]
    if len(found) > 1:
        raise CorpusError(f"columns {', '.join(found)} all hold audio: remove all but one")
    if found:
        if corpus.features[found[0]].decode:
            raise CorpusError(f"column {found[0]!r} would be decoded: cast it with Audio(decode=False)")
        return found[0]
    if "path" in corpus.column_names:
        return "path"
    raise CorpusError(f"no column of audio among {', '.join(corpus.column_names)}: cast one to Audio(decode=False)")


def read_labels(corpus: Dataset, task: Task) -> np.ndarray:
    """The labels of one task.

    Returns:
        `np.ndarray`: intensities `(clips, outputs)` or a scalar `(clips,)` as float32 with NaN where unknown; class
        indices `(clips,)` as int64 with -100 where unknown.

    Raises:
        CorpusError: if a column is missing or a value is not of the task.
    """
    columns = list(task.labels) if task.kind == "intensities" else [task.name]
    missing = [column for column in columns if column not in corpus.column_names]
    if missing:
        raise CorpusError(
            f"task {task.name!r}: column {missing[0]!r} is missing (found {', '.join(corpus.column_names)}): "
            "rename the column or the label"
        )
    if task.kind == "classes":
        return _read_classes(corpus, task)
    values = np.stack([_as_floats(corpus[column][:], column) for column in columns], axis=1)
    low, high = task.range if task.kind == "scalar" else (0.0, 1.0)
    outside = np.argwhere((values < low) | (values > high))
    if len(outside):
        row, column = outside[0]
        raise CorpusError(
            f"task {task.name!r}: {len(outside)} values lie outside {low:g} to {high:g}, the first is "
            f"{values[row, column]:g} in row {row}, column {columns[column]!r}: correct it or the task's range"
        )
    return values[:, 0] if task.kind == "scalar" else values


def _as_floats(values: list[Any], column: str) -> np.ndarray:
    try:
        return np.array([np.nan if value in (None, "") else value for value in values], dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise CorpusError(f"column {column!r} holds a value that is not a number ({error}): correct it") from None


def _read_classes(corpus: Dataset, task: Task) -> np.ndarray:
    values = corpus[task.name][:]
    feature = corpus.features[task.name]
    if isinstance(feature, ClassLabel):
        values = [None if value is None or value < 0 else feature.names[value] for value in values]
    positions = {label: position for position, label in enumerate(task.labels)} | {
        None: UNKNOWN_CLASS,
        "": UNKNOWN_CLASS,
    }
    strange = sorted({str(value) for value in values if value not in positions})
    if strange:
        raise CorpusError(
            f"task {task.name!r}: {strange[0]!r} is not one of its labels ({', '.join(task.labels)}): "
            "correct the column or add the label"
        )
    return np.array([positions[value] for value in values], dtype=np.int64)
