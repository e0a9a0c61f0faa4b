"""What needs no model: the predictions that every table is compared with."""

import numpy as np

from paravox.modeling.losses import UNKNOWN_CLASS
from paravox.modeling.tasks import Task


def constant_predictions(tasks: list[Task], train_labels: dict[str, np.ndarray], clips: int) -> dict[str, np.ndarray]:
    """The same prediction for every clip: mean intensities, the median, the most frequent class of the training part.

    Args:
        tasks (list of [`Task`]).
        train_labels (`dict` of `np.ndarray`): as `MultiTaskDataset.labels`.
        clips (`int`): how many rows to give.

    Returns:
        `dict` of `np.ndarray`: per task, as a model gives them, with probability 1 for the most frequent class.
    """
    predictions = {}
    for task in tasks:
        labels = train_labels[task.name]
        if task.kind == "intensities":
            constant = np.nanmean(labels, axis=0)
        elif task.kind == "scalar":
            constant = np.nanmedian(labels)
        else:
            counts = np.bincount(labels[labels != UNKNOWN_CLASS], minlength=task.outputs)
            constant = np.eye(task.outputs)[counts.argmax()]
        predictions[task.name] = np.repeat(constant[None], clips, axis=0)
    return predictions
