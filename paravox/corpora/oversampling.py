"""Oversampling against the imbalance of combinations of labels (Burst2Vec, section 4.1)."""

import numpy as np
from datasets import Dataset

from paravox.modeling.tasks import Task
from paravox.trainers.multi_task_dataset import read_labels

BIN_WIDTH = 2.5  # in the unit of a scalar: years of age in figure 1 of the paper


def oversample(train: Dataset, tasks: list[Task], max_repeats: int, seed: int) -> Dataset:
    """Repeats rows until every combination of labels is as frequent as the most frequent one.

    The combinations are the strata of [`strata`]. The repeated rows of a stratum are drawn at random, and each row is
    used at most `max_repeats` times, so that a small stratum may stay smaller than the largest. Balancing one task
    alone could unbalance another.

    Args:
        train (`datasets.Dataset`): the clips of Train, and only of Train.
        tasks (list of [`Task`]): their labels form the strata.
        max_repeats (`int`): how often a row is used at most, 1 or more.
        seed (`int`): of the draws.

    Returns:
        `datasets.Dataset`: every row of `train`, then the repeated rows.
    """
    generator = np.random.default_rng(seed)
    stratum_of_row = strata(train, tasks)
    counts = np.bincount(stratum_of_row)
    chosen = [np.arange(len(train))]
    for stratum, count in enumerate(counts):
        rows = np.flatnonzero(stratum_of_row == stratum)
        # Drawing without replacement from max_repeats - 1 copies uses no row more often than that.
        copies = generator.permutation(np.repeat(rows, max_repeats - 1))
        chosen.append(copies[: counts.max() - count])
    return train.select(np.concatenate(chosen))


def strata(clips: Dataset, tasks: list[Task]) -> np.ndarray:
    """Numbers the combination of labels that each row has.

    A combination is the class of each task of classes, a bin of 2.5 units of each scalar and the strongest label of
    each task of intensities. An unknown label is a value of its own.

    Returns:
        `np.ndarray` of shape `(clips,)`: numbers from 0 without gaps.
    """
    columns = [_stratum_values(task, read_labels(clips, task)) for task in tasks]
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _stratum_values(task: Task, labels: np.ndarray) -> np.ndarray:
    if task.kind == "classes":
        return labels
    if task.kind == "scalar":
        bins = np.floor((labels - task.range[0]) / BIN_WIDTH)
    else:
        bins = np.where(np.isnan(labels).any(axis=1), np.nan, np.nan_to_num(labels).argmax(axis=1))
    return np.nan_to_num(bins, nan=-1).astype(np.int64)
