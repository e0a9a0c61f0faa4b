"""Figures of a report of scores. They are at most 5 inches wide, so that they can be read on a phone."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from paravox.evaluation.figure_style import BLUE, ORANGE, VERMILION, as_written
from paravox.evaluation.group_scores import Score
from paravox.evaluation.reliability import Reliability
from paravox.modeling.tasks import Task

WIDTH = 4.8
# With more points than this, an SVG of vectors is larger and slower than a picture.
_MANY_POINTS = 300
# The numbers of more classes than this would be too small to read, and take a minute to draw.
_MOST_CLASSES_WITH_NUMBERS = 25
# The mean of fewer predictions says little, so its point is hollow.
_FEW = 10


def plot_confusion(labels: Sequence[str], counts: np.ndarray) -> Figure:
    """Plots how often each class was predicted for each true class, with the recall at the right.

    The colour is the share of the true class. With many classes, a scale of the colours takes the place of the numbers.

    Args:
        labels (sequence of `str`): the names of the classes.
        counts (`np.ndarray` of shape `(classes, classes)`): true classes in rows, as scikit-learn's `confusion_matrix`.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / totals.clip(min=1)
    with_numbers = len(labels) <= _MOST_CLASSES_WITH_NUMBERS
    cell = min(0.6, max(0.3 if with_numbers else 0.15, 3.4 / len(labels)))
    size = cell * len(labels)
    names = 9 if with_numbers else 6
    figure = Figure(figsize=(size + 1.8, size + 1.2), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    font = 9 if len(labels) <= 6 else 8.5
    if not with_numbers:
        figure.colorbar(picture, label="share of the true class", shrink=0.5)
    for row, column in np.ndindex(counts.shape) if with_numbers else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=font)
    axes.set_xticks(
        range(len(labels)),
        [as_written(label) for label in labels],
        rotation=45 if with_numbers else 90,
        ha="right" if with_numbers else "center",
        fontsize=names,
    )
    axes.set_yticks(range(len(labels)), [as_written(label) for label in labels], fontsize=names)
    axes.set(xlabel="predicted", ylabel="true")
    right = axes.secondary_yaxis("right")
    recalls = [f"{shares[row, row]:.2f}" if totals[row] else "–" for row in range(len(labels))]
    right.set_yticks(range(len(labels)), recalls, fontsize=names)
    right.tick_params(length=0)
    right.set_ylabel("recall")
    return figure


def plot_intervals(scores: dict[str, Score], xlabel: str, overall: Score | None = None) -> Figure:
    """Plots scores as points with their intervals, the first at the top.

    Args:
        scores (`dict` of [`Score`]): by what stands at the left.
        xlabel (`str`): the name of the score.
        overall ([`Score`], *optional*): of all clips, as a vertical line and its interval as a band.
    """
    figure = Figure(figsize=(WIDTH, 0.9 + 0.27 * len(scores)), layout="constrained")
    axes = figure.subplots()
    if overall is not None:
        axes.axvline(overall.value, color=ORANGE, linewidth=1.5, label="all clips")
        if overall.interval is not None:
            axes.axvspan(*overall.interval, color=ORANGE, alpha=0.15, linewidth=0)
    for position, score in enumerate(scores.values()):
        if score.interval is not None:
            axes.plot(score.interval, [position, position], color=BLUE, linewidth=2, alpha=0.6)
        axes.plot(score.value, position, "o", color=BLUE, markersize=6)
    axes.set_yticks(range(len(scores)), [as_written(name) for name in scores], fontsize=9)
    axes.set_ylim(len(scores) - 0.4, -0.6)
    axes.set_xlabel(xlabel)
    # Long numbers of nearly equal scores would run into each other.
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", alpha=0.3)
    if overall is not None:
        figure.legend(loc="outside upper right", frameon=False, fontsize=9)
    return figure


def plot_scalar(task: Task, predictions: np.ndarray, labels: np.ndarray) -> Figure:
    """Plots predicted against true values, with the line on which they are equal.

    Args:
        task ([`Task`]): of kind `scalar`.
        predictions (`np.ndarray` of shape `(clips,)`): in the unit of the task.
        labels (`np.ndarray` of the same shape): all of them known.
    """
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    many = len(labels) > _MANY_POINTS
    axes.scatter(labels, predictions, s=14, alpha=0.3 if many else 0.6, color=BLUE, linewidth=0, rasterized=many)
    ends = [float(min(labels.min(), predictions.min())), float(max(labels.max(), predictions.max()))]
    _plot_identity(axes, ends)
    unit = f" ({as_written(task.unit)})" if task.unit else ""
    name = as_written(task.name)
    axes.set(xlabel=f"true {name}{unit}", ylabel=f"predicted {name}{unit}", aspect="equal")
    return figure


def plot_reliability(found: Reliability, xlabel: str, ylabel: str, counted: str) -> Figure:
    """Plots what is true against what was predicted, and below it how many predictions each bin has.

    Args:
        found ([`Reliability`]).
        xlabel (`str`): what was predicted.
        ylabel (`str`): what is true.
        counted (`str`): what the bins count, such as `clips`.
    """
    bins = len(found.counts)
    figure = Figure(figsize=(4.2, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    _plot_identity(upper, [0, 1])
    for enough, face in ((True, BLUE), (False, "white")):
        shown = (found.counts > 0) & ((found.counts >= _FEW) == enough)
        label = None if enough else f"fewer than {_FEW} {counted}"
        if shown.any():
            upper.plot(
                found.predicted[shown], found.observed[shown], "o", color=BLUE, markerfacecolor=face, label=label
            )
    upper.set(xlim=(0, 1), ylim=(-0.03, 1.03), ylabel=ylabel)
    upper.grid(alpha=0.3)
    upper.legend(loc="upper left", frameon=False, fontsize=9)
    lower.bar(np.arange(bins) / bins, found.counts, width=1 / bins, align="edge", color=BLUE, edgecolor="white")
    lower.set(xlabel=xlabel, ylabel=counted)
    figure.align_ylabels()
    return figure


def _plot_identity(axes: Axes, ends: list[float]) -> None:
    axes.plot(ends, ends, color=VERMILION, linestyle="--", linewidth=1.2, label="predicted = true", zorder=1)
