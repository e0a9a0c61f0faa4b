"""Scores with intervals of all clips, of each label, and of groups of clips such as those of one sex or age band."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from datasets import ClassLabel, Dataset, Value

from paravox.evaluation.bootstrap import bootstrap_scores, draw_speakers, interval
from paravox.evaluation.score_names import S_MTL
from paravox.modeling.losses import UNKNOWN_CLASS, fully_known
from paravox.modeling.tasks import Task
from paravox.trainers.multi_task_dataset import audio_column

# A task has scores in a group if that many clips of that many speakers have its label. Fewer make an interval that is
# not worth its name.
MIN_CLIPS = 20
MIN_SPEAKERS = 5
# A column with more values is no grouping of the clips, but rather a description of each.
MAX_VALUES = 12
_MAX_BANDS = 10
_SMALLEST_AGE_BAND = 5
_NO_GROUPING = {"path", "file_name", "file", "file_id", "speaker", "split"}

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Score:
    """A score and its 95 % interval over speakers, which is None where a single speaker has labels."""

    value: float
    interval: list[float] | None


@dataclass(frozen=True)
class Group:
    """Clips that share a value of a column.

    Args:
        name (`str`): the value.
        clips (`int`): how many there are, with and without labels.
        speakers (`int`): of these clips.
        scores (`dict` of [`Score`]): names as in [`score_split`], without the tasks of which too few clips have
            a label.
    """

    name: str
    clips: int
    speakers: int
    scores: dict[str, Score]


def speaker_names(speakers: Sequence[str | None] | None, clips: int) -> list[str]:
    """One name per clip. A clip whose speaker is unknown counts as a speaker of its own.

    Args:
        speakers (sequence of `str` or None, *optional*): as `MultiTaskDataset.speakers` has them.
        clips (`int`): the number of clips.
    """
    named = [None] * clips if speakers is None else speakers
    # No name of a corpus holds this character, so that clips without a speaker never join one.
    return [str(name) if name not in (None, "") else f"\0{row}" for row, name in enumerate(named)]


def scores_with_intervals(
    tasks: list[Task], predictions: Arrays, labels: Arrays, speakers: list[str]
) -> dict[str, Score]:
    """The scores of [`score_split`] with their intervals from [`bootstrap_scores`].

    Args:
        tasks (list of [`Task`]).
        predictions (`dict` of `np.ndarray`): per task, `(clips, ...)` as a model predicts.
        labels (`dict` of `np.ndarray`): per task, as in `MultiTaskDataset.labels`.
        speakers (list of `str`): from [`speaker_names`].
    """
    draws = bootstrap_scores(tasks, predictions, labels, draw_speakers(speakers))
    labelled = {task.name: labelled_speakers(labels[task.name], speakers) for task in tasks}
    scores = {}
    for name, values in draws.items():
        count = min(labelled.values()) if name == S_MTL else labelled[name.rpartition("_")[0]]
        has_interval = count > 1 and not np.isnan(values[1:]).all()
        scores[name] = Score(float(values[0]), interval(values) if has_interval else None)
    return scores


def labelled_speakers(labels: np.ndarray, speakers: list[str]) -> int:
    """How many speakers have a clip whose labels of a task are all known."""
    return len(set(np.array(speakers, dtype=object)[fully_known(labels)]))


def ccc_by_label(task: Task, predictions: np.ndarray, labels: np.ndarray, speakers: list[str]) -> dict[str, Score]:
    """The CCC of each label of a task of intensities, over the clips with all its labels.

    Args:
        task ([`Task`]): of kind `intensities`.
        predictions (`np.ndarray` of shape `(clips, outputs)`).
        labels (`np.ndarray` of the same shape).
        speakers (list of `str`): from [`speaker_names`].
    """
    known = fully_known(labels)
    # A task of one label has that label's CCC as its score.
    single = [Task(f"label{position}", "intensities", labels=(label,)) for position, label in enumerate(task.labels)]
    columns, references = (
        {part.name: np.where(known[:, None], values, np.nan)[:, [position]] for position, part in enumerate(single)}
        for values in (predictions, labels)
    )
    scores = scores_with_intervals(single, columns, references, speakers)
    return {label: scores[f"{part.name}_ccc"] for part, label in zip(single, task.labels, strict=True)}


def score_groups(
    tasks: list[Task], predictions: Arrays, labels: Arrays, speakers: list[str], names: Sequence[str | None]
) -> list[Group]:
    """Scores each group of clips by itself.

    Args:
        tasks (list of [`Task`]), predictions, labels, speakers: as in [`scores_with_intervals`].
        names (sequence of `str` or None): the group of each clip; a clip with None is in no group.

    Returns:
        list of [`Group`], in the order of their names, or of the numbers that these begin with.
    """
    groups = []
    for name in sorted({name for name in names if name is not None}, key=_order):
        rows = [row for row, other in enumerate(names) if other == name]
        members = [speakers[row] for row in rows]
        inside = {task.name: labels[task.name][rows] for task in tasks}
        scored = [task for task in tasks if _is_enough(inside[task.name], members)]
        guesses = {task.name: predictions[task.name][rows] for task in scored}
        scores = scores_with_intervals(scored, guesses, inside, members) if scored else {}
        groups.append(Group(name, len(rows), len(set(members)), scores))
    return groups


def _is_enough(labels: np.ndarray, speakers: list[str]) -> bool:
    return fully_known(labels).sum() >= MIN_CLIPS and labelled_speakers(labels, speakers) >= MIN_SPEAKERS


def groups_of_columns(clips: Dataset, tasks: Iterable[Task]) -> dict[str, list[str | None]]:
    """The columns of a corpus that sort its clips into groups, such as `sex` or `source`.

    They are all columns with 2 to 12 values, except those of the tasks, the split, the file and the speaker.

    Returns:
        `dict`: from the name of a column to the value of each clip, None where there is none.
    """
    used = _NO_GROUPING | {audio_column(clips)}
    for task in tasks:
        used |= {task.name, *(task.labels if task.kind == "intensities" else ())}
    groups = {}
    for column, feature in clips.features.items():
        if column in used or not isinstance(feature, Value | ClassLabel):
            continue
        values = clips[column][:]
        if isinstance(feature, ClassLabel):
            values = [None if value is None or value < 0 else feature.names[value] for value in values]
        names = [None if value in (None, "") or value != value else str(value) for value in values]
        if 2 <= len(set(names) - {None}) <= MAX_VALUES:
            groups[column] = names
    return groups


def groups_of_labels(tasks: Iterable[Task], labels: Arrays) -> dict[str, list[str | None]]:
    """The groups that the true labels make: bands of each scalar, and the labels of each task of classes.

    Returns:
        `dict`: from a title such as `age (bands of 5 years)` or `country` to the group of each clip, None where the
        label is unknown. Tasks without a known label are left out.
    """
    groups: dict[str, list[str | None]] = {}
    for task in tasks:
        values = labels[task.name]
        if task.kind == "intensities" or not fully_known(values).any():
            continue
        if task.kind == "classes":
            groups[task.name] = [None if value == UNKNOWN_CLASS else task.labels[value] for value in values]
        else:
            width = band_width(task)
            unit = f" {task.unit}" if task.unit else ""
            groups[f"{task.name} (bands of {width:g}{unit})"] = _bands(task, values, width)
    return groups


def band_width(task: Task) -> float:
    """The smallest of 1, 2, 5, 10, 20 and so on that makes at most ten bands of a scalar's range; at least 5 years."""
    low, high = task.range
    smallest = _SMALLEST_AGE_BAND if task.unit == "years" else 0
    power = 10.0 ** np.floor(np.log10((high - low) / _MAX_BANDS))
    return next(
        width
        for width in (power * factor for factor in (1, 2, 5, 10, 20, 50, 100))
        if width >= max(smallest, (high - low) / _MAX_BANDS)
    )


def _bands(task: Task, values: np.ndarray, width: float) -> list[str | None]:
    first, last = np.floor(task.range[0] / width), np.ceil(task.range[1] / width)
    # The highest value of the range belongs to the last band.
    bands = np.clip(np.floor(values.astype(np.float64) / width), first, max(first, last - 1))
    return [None if np.isnan(band) else f"{band * width:g} to {(band + 1) * width:g}" for band in bands]


def _order(name: str) -> tuple[float, str]:
    """Sorts by the number that a name begins with, so that the band from 5 comes before the one from 10."""
    number = re.match(r"-?\d+(\.\d+)?", name)
    return (float(number[0]) if number else float("inf"), name)
