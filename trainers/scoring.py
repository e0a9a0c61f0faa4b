"""Scores of a whole split, per task and over all tasks."""

from collections.abc import Callable

import numpy as np
import torch

from paravox.modeling.losses import fully_known, task_loss
from paravox.modeling.tasks import Task

from .metrics.ccc.ccc import ConcordanceCC
from .metrics.mae.mae import MeanAbsoluteError
from .metrics.s_mtl.s_mtl import s_mtl
from .metrics.uar.uar import UnweightedAverageRecall

METRICS_BY_KIND = {"intensities": ("ccc", "uar"), "scalar": ("mae",), "classes": ("uar",)}


def metric_names(tasks: list[Task]) -> list[str]:
    """The names of all scores that [`score_split`] computes for these tasks."""
    names = [f"{task.name}_{metric}" for task in tasks for metric in (*METRICS_BY_KIND[task.kind], "loss")]
    return [*names, "loss", *(["s_mtl"] if _one_of_each_kind(tasks) else [])]


def score_split(
    tasks: list[Task],
    predictions: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    logits: dict[str, np.ndarray] | None = None,
    loss: Callable[[str, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> dict[str, float]:
    """Scores predictions over a whole split, on the clips whose labels are known.

    Intensities have `ccc`, the mean over the columns, and `uar`, the unweighted average recall of the strongest
    intensity. A scalar has `mae` in its unit, and classes have `uar`. Where there is exactly one task of each kind,
    `s_mtl` is computed over them. A task without a known label has no score.

    Args:
        tasks (list of [`Task`]): the tasks to score.
        predictions (`dict` of `np.ndarray`): as the model gives them: `(clips, outputs)`, or `(clips,)` for a scalar.
        labels (`dict` of `np.ndarray`): as [`read_labels`] gives them.
        logits (`dict` of `np.ndarray`, *optional*): as the model gives them. With logits, `<task>_loss` is the task's
            loss over the split, and `loss` the mean of these losses.
        loss (`Callable`, *optional*): takes a task's name, its logits and its labels, and returns its loss. By default
            it is the loss that the task names.

    Returns:
        `dict` of `float`, with names from [`metric_names`].
    """
    scores: dict[str, float] = {}
    for task in tasks:
        known = fully_known(labels[task.name])
        if not known.any():
            continue
        task_scores = _score_task(task, predictions[task.name][known], labels[task.name][known])
        if logits is not None:
            task_logits = torch.from_numpy(logits[task.name][known])
            task_labels = torch.from_numpy(labels[task.name][known])
            value = loss(task.name, task_logits, task_labels) if loss else task_loss(task, task_logits, task_labels)
            task_scores["loss"] = value.item()
        scores |= {f"{task.name}_{metric}": value for metric, value in task_scores.items()}
    losses = [value for name, value in scores.items() if name.endswith("_loss")]
    if losses:
        scores["loss"] = float(np.mean(losses))
    if _one_of_each_kind(tasks):
        by_kind = {task.kind: task.name for task in tasks}
        needed = [f"{by_kind['intensities']}_ccc", f"{by_kind['classes']}_uar", f"{by_kind['scalar']}_mae"]
        if all(name in scores for name in needed):
            scores["s_mtl"] = s_mtl(*(scores[name] for name in needed))
    return scores


def _score_task(task: Task, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    if task.kind == "scalar":
        return _compute(MeanAbsoluteError, "mae", predictions, labels)
    if task.kind == "classes":
        return _compute(UnweightedAverageRecall, "uar", predictions.argmax(axis=1), labels)
    ccc = _compute(ConcordanceCC, "ccc", predictions, labels)
    return ccc | _compute(UnweightedAverageRecall, "uar", predictions.argmax(axis=1), labels.argmax(axis=1))


def _compute(metric: type, name: str, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    result = metric(keep_in_memory=True).compute(predictions=predictions, references=references)
    return {name: float(result[name])}


def _one_of_each_kind(tasks: list[Task]) -> bool:
    return sorted(task.kind for task in tasks) == ["classes", "intensities", "scalar"]
