"""A corpus as the trainer uses it: clips from a source, and the labels of every task as arrays."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import torch
from datasets import Audio, ClassLabel, Dataset

from paravox.modeling.errors import AudioError, ConfigError, CorpusError
from paravox.modeling.losses import UNKNOWN_CLASS, partly_known
from paravox.modeling.tasks import Task

from .clip_sources import Augmentation, ClipSource, Recordings
from .sampler import ClipDraw


class MultiTaskDataset(torch.utils.data.Dataset):
    """Clips with the labels of any number of tasks. Any label of any clip may be unknown.

    `source` is where the clips come from: [`Recordings`] at first. `speakers` has the speaker of each clip where the
    corpus has a column `speaker`, and `files` the name of each file.

    Args:
        corpus (`datasets.Dataset`): with an `Audio(decode=False)` column, or a column `path` of file names. Intensities
            have one column per label. Scalars and classes have one column with the task's name. None, NaN and an empty
            string mean that a label is unknown.
        tasks (list of [`Task`]): which labels to read.
        load (`Callable`, *optional*): as in [`Recordings`], like the arguments below.
        sampling_rate (`int`, *optional*, defaults to 16000): in hertz.
        max_seconds (`float`, *optional*): longer clips are cropped to this length.
        seed (`int`, *optional*, defaults to 0): the seed of the crops and the augmentation.
        augmentation (`Callable`, *optional*): changes every clip that is read.

    Raises:
        CorpusError: if a column is missing, or holds a value that its task does not allow.
    """

    def __init__(
        self,
        corpus: Dataset,
        tasks: list[Task],
        load: Callable[[Any], np.ndarray] | None = None,
        sampling_rate: int = 16_000,
        max_seconds: float | None = None,
        seed: int = 0,
        augmentation: Augmentation | None = None,
    ) -> None:
        clips = corpus.select_columns([audio_column(corpus)]).with_format(None)
        columns = corpus.column_names
        self.speakers: list[str | None] | None = list(corpus["speaker"]) if "speaker" in columns else None
        self.files = _file_names(clips)
        self.source: ClipSource = Recordings(clips, load, sampling_rate, max_seconds, seed, augmentation)
        self.tasks = list(tasks)
        self.labels = {task.name: read_labels(corpus, task) for task in tasks}

    def __len__(self) -> int:
        return len(self.source)

    @property
    def seconds(self) -> np.ndarray:
        """The length of each clip, `(clips,)`, by which batches are made."""
        return self.source.seconds

    @property
    def recordings(self) -> Recordings:
        """The source, for what only recordings can do.

        Raises:
            ConfigError: if the clips are read from stored outputs of an encoder.
        """
        if not isinstance(self.source, Recordings):
            raise ConfigError(
                f"the clips come from {type(self.source).__name__}, not from recordings: give the dataset of recordings"
            )
        return self.source

    def __getitem__(self, draw: ClipDraw) -> dict[str, Any]:
        labels = {task: labels[draw.index] for task, labels in self.labels.items()}
        return {"draw": draw, "labels": labels, "clip": self.source.read(draw.index, draw.epoch)}

    def labelled_clips(self, task: str) -> np.ndarray:
        """The rows with at least one known label of a task, in ascending order."""
        return np.flatnonzero(partly_known(self.labels[task]))

    def with_source(self, source: ClipSource) -> "MultiTaskDataset":
        """The same clips and labels, read from another source.

        Args:
            source ([`ClipSource`]): the same clips in the same order.
        """
        other = copy.copy(self)
        other.source = source
        return other

    def with_shuffled_labels(self, seed: int) -> "MultiTaskDataset":
        """The same clips with their labels in a random order, as a control: the labels of a clip stay together."""
        order = np.random.default_rng(seed).permutation(len(self))
        other = copy.copy(self)
        other.labels = {task: labels[order] for task, labels in self.labels.items()}
        return other

    def skip_unreadable(self, longest_seconds: float | None = None) -> tuple["MultiTaskDataset", list[str]]:
        """Decodes every clip, and returns the clips that can be used and one message for each of the others.

        Args:
            longest_seconds (`float`, *optional*): as in [`~MultiTaskDataset.faults_of_clips`].
        """
        faults = self.faults_of_clips(longest_seconds, decode=True)
        usable = [row for row, fault in enumerate(faults) if fault is None]
        other = self.with_source(self.recordings.select(usable))
        other.labels = {task: labels[usable] for task, labels in self.labels.items()}
        other.files = [self.files[row] for row in usable]
        other.speakers = self.speakers and [self.speakers[row] for row in usable]
        return other, [fault for fault in faults if fault is not None]

    def faults_of_clips(self, longest_seconds: float | None = None, decode: bool = False) -> list[str | None]:
        """Says for every clip what is wrong with it, or `None` if nothing is.

        Args:
            longest_seconds (`float`, *optional*): the longest clip that the encoder takes, after cropping.
            decode (`bool`, *optional*, defaults to `False`): whether to decode every clip, which takes long. Otherwise,
                only its header is read.
        """
        recordings = self.recordings
        # Resampling may add a part of a sample.
        most = math.inf if longest_seconds is None else longest_seconds + 1 / recordings.sampling_rate
        cropped = math.inf if recordings.max_seconds is None else recordings.max_seconds
        faults: list[str | None] = []
        for row, found in enumerate(recordings.headers):
            if isinstance(found, AudioError):
                faults.append(str(found))
            elif min(found, cropped) > most:
                name = self.files[row] or f"row {row}"
                faults.append(
                    f"{name} lasts {found:.1f} s, but the encoder takes at most {longest_seconds:g} s: cut it"
                )
            else:
                faults.append(recordings.check(row) if decode else None)
        return faults


def _file_names(clips: Dataset) -> list[str]:
    """The names of the recordings' files without their folders, empty for bytes without a name."""
    # As Arrow, whose columns are not copied: the bytes of a corpus may fill the memory.
    column = clips.with_format("arrow")[:].column(0)
    if pyarrow.types.is_struct(column.type):
        column = pyarrow.compute.struct_field(column, "path")
    return [Path(path).name if path else "" for path in column.to_pylist()]


def audio_column(corpus: Dataset) -> str:
    """The name of the column that holds the recordings: the one of type `Audio`, otherwise `path`.

    Raises:
        CorpusError: if there is no such column, or more than one.
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
        CorpusError: if a column is missing or a value does not fit the task.
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
    values = [_as_label(value, task.labels) for value in values]
    positions: dict[Any, int] = {label: position for position, label in enumerate(task.labels)}
    positions[None] = UNKNOWN_CLASS
    unknown = sorted({repr(value) for value in values if value not in positions})
    if unknown:
        raise CorpusError(
            f"task {task.name!r}: {unknown[0]} is not one of its labels ({', '.join(map(repr, task.labels))}): "
            "correct the column or add the label"
        )
    return np.array([positions[value] for value in values], dtype=np.int64)


def _as_label(value: Any, labels: tuple[str, ...]) -> str | None:
    """A value of a column as the label that it means: Parquet also stores labels as whole numbers and truth values.

    Returns:
        `str`, or `None` where the label is unknown. A value that means no label stays as text.
    """
    if value is None or value == "" or value != value:
        return None
    if isinstance(value, bool):
        return next((text for text in (str(value), str(value).lower()) if text in labels), str(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
