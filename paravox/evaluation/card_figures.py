"""Figures of a model card: training curves, a task's confusion matrix, the CCC of each emotion."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task
from paravox.trainers.metrics.ccc.ccc import concordance_cc

CURVES_A_ROW = 3


def draw_scores(
    tasks: list[Task], predictions: dict[str, np.ndarray], labels: dict[str, np.ndarray], folder: Path
) -> list[dict[str, str]]:
    """A confusion matrix for each task of classes, and the CCC of each intensity, as PNG files in a folder.

    Returns:
        list of `dict`: the `title` and `file` name of each, as a card takes them.
    """
    drawn = []
    for task in tasks:
        known = fully_known(labels[task.name])
        if task.kind == "scalar" or known.sum() < 2:
            continue
        draw = draw_confusion_matrix if task.kind == "classes" else draw_ccc_by_label
        title = f"Confusion matrix of {task.name}" if task.kind == "classes" else f"CCC by {task.name}"
        file = f"{task.name}.png"
        draw(task, predictions[task.name][known], labels[task.name][known], folder / file)
        drawn.append({"title": title, "file": file})
    return drawn


def draw_training_curves(log_history: list[dict[str, Any]], file: Path) -> bool:
    """The training loss, and every score of the evaluations, over the steps; gives whether there was anything to draw.

    Args:
        log_history (list of `dict`): the Trainer's.
        file (`Path`): a PNG; its folder is made.
    """
    losses = [(entry["step"], entry["loss"]) for entry in log_history if "loss" in entry]
    scores: dict[str, list[tuple[int, float]]] = {}
    for entry in log_history:
        for name, value in entry.items():
            if name.startswith("eval_") and name.endswith(("_ccc", "_uar", "_mae", "s_mtl")):
                scores.setdefault(name.removeprefix("eval_"), []).append((entry["step"], value))
    curves = ({"training loss": losses} if losses else {}) | scores
    if not curves:
        return False
    rows = -(-len(curves) // CURVES_A_ROW)
    figure = Figure(figsize=(3.2 * CURVES_A_ROW, 2.6 * rows), layout="constrained")
    for position, (name, points) in enumerate(curves.items(), start=1):
        axes = figure.add_subplot(rows, CURVES_A_ROW, position)
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 40 else None)
        axes.set(title=name.replace("_", " "), xlabel="step")
    _save(figure, file)
    return True


def draw_confusion_matrix(task: Task, probabilities: np.ndarray, labels: np.ndarray, file: Path) -> None:
    """Counts of true class by predicted class, and the share of each true class by colour.

    Args:
        task ([`Task`]): of kind `classes`.
        probabilities (`np.ndarray` of shape `(clips, classes)`).
        labels (`np.ndarray` of shape `(clips,)`): class indices.
        file (`Path`): a PNG; its folder is made.
    """
    classes = range(task.outputs)
    counts = confusion_matrix(labels, probabilities.argmax(axis=1), labels=list(classes))
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    figure = Figure(figsize=(2 + 0.6 * task.outputs, 1.6 + 0.6 * task.outputs), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for row, column in np.ndindex(counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, counts[row, column], ha="center", va="center", color=colour)
    axes.set_xticks(classes, task.labels, rotation=45, ha="right")
    axes.set_yticks(classes, task.labels)
    axes.set(title=task.name, xlabel="predicted", ylabel="true")
    _save(figure, file)


def draw_ccc_by_label(task: Task, predictions: np.ndarray, labels: np.ndarray, file: Path) -> None:
    """The CCC of each intensity, the best one first.

    Args:
        task ([`Task`]): of kind `intensities`.
        predictions (`np.ndarray` of shape `(clips, outputs)`).
        labels (`np.ndarray` of the same shape).
        file (`Path`): a PNG; its folder is made.
    """
    values = concordance_cc(predictions, labels)
    order = np.argsort(values)
    figure = Figure(figsize=(5, 1 + 0.3 * task.outputs), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([task.labels[index] for index in order], values[order])
    axes.bar_label(bars, fmt="%.2f", padding=2)
    axes.set(title=f"{task.name}: CCC", xlim=(min(0, values.min()), 1))
    _save(figure, file)


def _save(figure: Figure, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110, metadata={"Software": None})
