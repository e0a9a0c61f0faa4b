"""Predictions that need no model, as a baseline for every table."""

import numpy as np

from paravox.modeling.losses import UNKNOWN_CLASS, fully_known
from paravox.modeling.tasks import Task


def constant_predictions(tasks: list[Task], train_labels: dict[str, np.ndarray], clips: int) -> dict[str, np.ndarray]:
    """The same prediction for every clip: the mean intensities, the median and the most frequent class of Train.

    Args:
        tasks (list of [`Task`]).
        train_labels (`dict` of `np.ndarray`): the labels of Train per task, as in `MultiTaskDataset.labels`.
        clips (`int`): the number of rows to return.

    Returns:
        `dict` of `np.ndarray`: per task, `(clips, ...)` as a model predicts, with probability 1 for the most frequent
        class.
    """
    predictions = {}
    for task in tasks:
        labels = train_labels[task.name]
        if not fully_known(labels).any():
            # Nothing is known, and nothing can be scored either.
            predictions[task.name] = np.full((clips, task.outputs) if task.kind != "scalar" else clips, np.nan)
            continue
        if task.kind == "intensities":
            constant = np.nanmean(labels, axis=0)
        elif task.kind == "scalar":
            constant = np.nanmedian(labels)
        else:
            counts = np.bincount(labels[labels != UNKNOWN_CLASS], minlength=task.outputs)
            constant = np.eye(task.outputs)[counts.argmax()]
        predictions[task.name] = np.repeat(constant[None], clips, axis=0)
    return predictions
