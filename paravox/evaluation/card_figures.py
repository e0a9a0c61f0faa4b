"""Figures of a model card: training curves, the confusion matrix of a task, the CCC of each emotion."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from paravox.evaluation.figure_style import as_written, figure_may_fail, file_stem, save_figure
from paravox.evaluation.report_figures import plot_confusion
from paravox.evaluation.score_names import metric_title, only_scores
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task
from paravox.trainers.metrics.ccc.ccc import concordance_cc

CURVES_PER_ROW = 3


def plot_scores(
    tasks: list[Task], predictions: dict[str, np.ndarray], labels: dict[str, np.ndarray], folder: Path
) -> list[dict[str, str]]:
    """Plots a confusion matrix for each task of classes and the CCC of each intensity, as PNG files in a folder.

    Args:
        tasks (list of [`Task`]).
        predictions (`dict` of `np.ndarray`): per task, `(clips, ...)` as a model predicts.
        labels (`dict` of `np.ndarray`): per task, as in `MultiTaskDataset.labels`. A task with fewer than two known
            labels has no figure.
        folder (`Path`): made if it does not exist.

    Returns:
        list of `dict`: the `title` and `file` name of each figure, as a model card takes them. One that cannot be drawn
        is left out with a warning.
    """
    plotted = []
    for task in tasks:
        known = fully_known(labels[task.name])
        if task.kind == "scalar" or known.sum() < 2:
            continue
        plot = plot_confusion_matrix if task.kind == "classes" else plot_ccc_by_label
        title = f"Confusion matrix of {task.name}" if task.kind == "classes" else f"CCC by {task.name}"
        file = f"{file_stem(task.name)}.png"
        with figure_may_fail(f"the figure {folder / file}"):
            plot(task, predictions[task.name][known], labels[task.name][known], folder / file)
            plotted.append({"title": title, "file": file})
    return plotted


def plot_training_curves(log_history: list[dict[str, Any]], file: Path) -> bool:
    """Plots the training loss and every score of the evaluations by step.

    Args:
        log_history (list of `dict`): the log of the Trainer.
        file (`Path`): a PNG; its folder is made if it does not exist.

    Returns:
        `bool`: whether there was anything to plot. Otherwise no file is written.
    """
    losses = [(entry["step"], entry["loss"]) for entry in log_history if "loss" in entry]
    scores: dict[str, list[tuple[int, float]]] = {}
    for entry in log_history:
        evaluation = {name.removeprefix("eval_"): value for name, value in entry.items() if name.startswith("eval_")}
        for name, value in only_scores(evaluation).items():
            scores.setdefault(metric_title(name), []).append((entry["step"], value))
    curves = ({"training loss": losses} if losses else {}) | scores
    if not curves:
        return False
    rows = -(-len(curves) // CURVES_PER_ROW)
    figure = Figure(figsize=(3.2 * CURVES_PER_ROW, 2.6 * rows), layout="constrained")
    for position, (name, points) in enumerate(curves.items(), start=1):
        axes = figure.add_subplot(rows, CURVES_PER_ROW, position)
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 40 else None)
        axes.set(title=as_written(name, 40), xlabel="step")
    save_figure(figure, file, (".png",), dpi=110)
    return True


def plot_confusion_matrix(task: Task, probabilities: np.ndarray, labels: np.ndarray, file: Path) -> None:
    """Plots how often each class was predicted for each true class; the colour is the share of the true class.

    Args:
        task ([`Task`]): of kind `classes`.
        probabilities (`np.ndarray` of shape `(clips, classes)`).
        labels (`np.ndarray` of shape `(clips,)`): class indices.
        file (`Path`): a PNG; its folder is made if it does not exist.
    """
    counts = confusion_matrix(labels, probabilities.argmax(axis=1), labels=list(range(task.outputs)))
    figure = plot_confusion(task.labels, counts)
    figure.axes[0].set_title(as_written(task.name))
    save_figure(figure, file, (".png",), dpi=110)


def plot_ccc_by_label(task: Task, predictions: np.ndarray, labels: np.ndarray, file: Path) -> None:
    """Plots the CCC of each intensity as bars, the best one at the top.

    Args:
        task ([`Task`]): of kind `intensities`.
        predictions (`np.ndarray` of shape `(clips, outputs)`).
        labels (`np.ndarray` of the same shape).
        file (`Path`): a PNG; its folder is made if it does not exist.
    """
    values = concordance_cc(predictions, labels)
    order = np.argsort(values)
    figure = Figure(figsize=(5, 1 + 0.3 * task.outputs), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([as_written(task.labels[index]) for index in order], values[order])
    axes.bar_label(bars, fmt="%.2f", padding=2)
    axes.set(title=f"{as_written(task.name)}: CCC", xlim=(min(0, values.min()), 1))
    save_figure(figure, file, (".png",), dpi=110)
