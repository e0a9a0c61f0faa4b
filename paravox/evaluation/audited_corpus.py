"""The clips of an audit: who is in which part, what probes predict, and by what the errors of a model are split."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from datasets import Dataset, DatasetDict

from paravox.evaluation.baselines import constant_predictions
from paravox.evaluation.probes import can_be_probed, score_draws
from paravox.modeling.errors import ConfigError, CorpusError
from paravox.modeling.losses import UNKNOWN_CLASS, fully_known, partly_known
from paravox.modeling.tasks import Task
from paravox.trainers.multi_task_dataset import read_labels

TASK_OF_CLIP = "task_of_clip"
# The quantiles of Train between which a scalar has its bands.
BAND_QUANTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class AuditedSplit:
    """The clips of one split, with the labels of every target.

    Args:
        clips (`datasets.Dataset`): with a column of recordings.
        labels (`dict` of `np.ndarray`): by task and group, as in `MultiTaskDataset.labels`.
        speakers (`np.ndarray` of shape `(clips,)`): a clip of an unknown speaker has one of its own.
    """

    clips: Dataset
    labels: dict[str, np.ndarray]
    speakers: np.ndarray

    def __len__(self) -> int:
        return len(self.speakers)


class ErrorGroup(NamedTuple):
    """Clips of the scored split that have labels of two tasks, and share that of the second one.

    Args:
        task ([`Task`]): whose error is measured.
        by (`str`): the other task, or the group.
        label (`str`): its class, its strongest intensity or its band of values.
        rows (`np.ndarray`): of the clips.
    """

    task: Task
    by: str
    label: str
    rows: np.ndarray


@dataclass(frozen=True)
class AuditedCorpus:
    """Probes are fitted on Train and scored on another split, which has no speaker in common with it.

    Args:
        train, scored ([`AuditedSplit`]).
        tasks (list of [`Task`]): of the models.
        groups (list of [`Task`]): of kind `classes`: what else is probed, such as the source of a clip.
    """

    train: AuditedSplit
    scored: AuditedSplit
    tasks: list[Task]
    groups: list[Task]

    @cached_property
    def targets(self) -> list[Task]:
        """What probes predict: the tasks and groups that both splits have enough labels of."""
        train, scored = self.train, self.scored
        return [
            target
            for target in (*self.tasks, *self.groups)
            if can_be_probed(train.labels[target.name], train.speakers, scored.labels[target.name])
        ]

    @cached_property
    def chance(self) -> dict[str, dict[str, float]]:
        """The scores of a constant prediction that is fitted on Train, by target and metric."""
        # Adding zero takes the sign from a zero.
        constants = constant_predictions(self.targets, self.train.labels, len(self.scored))
        once = np.ones((1, len(self.scored)))
        found = {}
        for target in self.targets:
            scores = score_draws(target, constants[target.name], self.scored.labels[target.name], once)
            found[target.name] = {metric: round(float(values[0]), 4) + 0.0 for metric, values in scores.items()}
        return found

    @cached_property
    def error_groups(self) -> list[ErrorGroup]:
        """For each task, the clips by the labels of every other task and group. A group has at least two speakers."""
        found = []
        for task in self.tasks:
            known = fully_known(self.scored.labels[task.name])
            # By the task of a clip, all clips of a task would be one group.
            for by in (*self.tasks, *(group for group in self.groups if group.name != TASK_OF_CLIP)):
                names, numbers = self._labels_by_number(by)
                for number, name in enumerate(names if by != task else []):
                    rows = np.flatnonzero(known & (numbers == number))
                    if len(np.unique(self.scored.speakers[rows])) > 1:
                        found.append(ErrorGroup(task, by.name, name, rows))
        return found

    def _labels_by_number(self, task: Task) -> tuple[list[str], np.ndarray]:
        """The names by which clips are split, and the number of each clip's name, -100 where it is unknown."""
        labels = self.scored.labels[task.name]
        known = fully_known(labels)
        if task.kind == "classes":
            return list(task.labels), labels
        if task.kind == "intensities":
            return list(task.labels), np.where(known, np.nan_to_num(labels).argmax(axis=1), UNKNOWN_CLASS)
        of_train = self.train.labels[task.name]
        of_train = of_train[fully_known(of_train)]
        if not len(of_train):
            return [], labels
        edges = np.unique(np.round(np.quantile(of_train.astype(float), BAND_QUANTILES), 1))
        names = [f"below {edges[0]:g}"]
        names += [f"{low:g} to {high:g}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
        numbers = np.digitize(labels.astype(float), edges)
        return [*names, f"{edges[-1]:g} or more"], np.where(known, numbers, UNKNOWN_CLASS)


def open_audited_corpus(corpus: DatasetDict, tasks: list[Task], split: str, group: str | None = None) -> AuditedCorpus:
    """Prepares a corpus for an audit.

    Clips of Train whose speakers are also in the scored split are left out. Where no clip has labels of two tasks, the
    task that a clip has labels of is a group, `task_of_clip`.

    Args:
        corpus (`datasets.DatasetDict`): with `train`, the scored split, and a column `speaker`.
        tasks (list of [`Task`]): of the models.
        split (`str`): which split to score.
        group (`str`, *optional*): a column whose values are classes to predict, such as `source`.

    Raises:
        CorpusError: if a split or a column is missing, the column has fewer than two values, or no speaker is left in
            Train.
        ConfigError: if the group is a task.
    """
    for name in ("train", split):
        if name not in corpus:
            raise CorpusError(f"split {name!r} is missing (found {', '.join(corpus)}): an audit needs it")
    train, scored = corpus["train"], corpus[split]
    columns = ["speaker"] if group is None else ["speaker", group]
    for column in columns:
        for clips in (train, scored):
            if column not in clips.column_names:
                raise CorpusError(
                    f"column {column!r} is missing (found {', '.join(clips.column_names)}): an audit needs it"
                )
    others = set(scored["speaker"]) - {None, ""}
    rows = [row for row, speaker in enumerate(train["speaker"]) if speaker not in others]
    if not rows:
        raise CorpusError(f"every speaker of Train is also in {split}: an audit needs other speakers in Train")
    parts = {"train": train.select(rows), "scored": scored}
    labels = {part: {task.name: read_labels(clips, task) for task in tasks} for part, clips in parts.items()}
    has_task = {part: np.stack([partly_known(values) for values in labels[part].values()], axis=1) for part in parts}
    groups = []
    if group is not None:
        if group in {task.name for task in tasks}:
            raise ConfigError(f"group {group!r} is a task of the model, which is audited anyway: leave it out")
        columns_of_group = {part: _as_text(clips[group]) for part, clips in parts.items()}
        groups.append(_as_task(group, columns_of_group))
        for part, values in columns_of_group.items():
            numbers = {label: number for number, label in enumerate(groups[-1].labels)}
            labels[part][group] = np.array([numbers.get(value, UNKNOWN_CLASS) for value in values])
    if len(tasks) > 1 and all((has.sum(axis=1) <= 1).all() for has in has_task.values()):
        groups.append(Task(TASK_OF_CLIP, kind="classes", labels=tuple(task.name for task in tasks)))
        for part, has in has_task.items():
            labels[part][TASK_OF_CLIP] = np.where(has.any(axis=1), has.argmax(axis=1), UNKNOWN_CLASS)
    audited = {part: AuditedSplit(clips, labels[part], _speakers(part, clips)) for part, clips in parts.items()}
    return AuditedCorpus(audited["train"], audited["scored"], tasks, groups)


def _as_text(values: list) -> list[str | None]:
    return [None if value in (None, "") else str(value) for value in values]


def _as_task(name: str, columns: dict[str, list[str | None]]) -> Task:
    labels = sorted({value for column in columns.values() for value in column if value is not None})
    if len(labels) < 2:
        raise CorpusError(
            f"column {name!r} has {len(labels)} different values, expected at least 2: name another column as the group"
        )
    return Task(name, kind="classes", labels=tuple(labels))


def _speakers(part: str, clips: Dataset) -> np.ndarray:
    return np.array([speaker or f"{part} clip {row}" for row, speaker in enumerate(clips["speaker"])])
