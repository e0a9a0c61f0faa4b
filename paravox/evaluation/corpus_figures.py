"""Figures of a corpus: how long its clips are, and how a scalar such as age is distributed over classes."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from paravox.corpora.oversampling import BIN_WIDTH
from paravox.evaluation.figure_style import BLUE, COLOURS, ORANGE, as_written
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task

LENGTH_BINS = 60


def plot_lengths(seconds: dict[str, np.ndarray]) -> Figure:
    """Plots how long clips are, with one panel per split, so that no split hides another.

    Args:
        seconds (`dict` of `np.ndarray`): from the name of a split to the lengths of its clips, `(clips,)`.
    """
    figure = Figure(figsize=(6.4, 0.8 + 1.5 * len(seconds)), layout="constrained")
    panels = figure.subplots(len(seconds), sharex=True, squeeze=False)[:, 0]
    bins = np.linspace(0, max(lengths.max() for lengths in seconds.values()), LENGTH_BINS + 1)
    for axes, (split, lengths) in zip(panels, seconds.items(), strict=True):
        axes.hist(lengths, bins=bins, color=BLUE)
        median = np.median(lengths)
        axes.axvline(median, color=ORANGE, linewidth=1.5)
        title = f"{split}: {len(lengths):,} clips, {lengths.sum() / 3600:.2f} hours, median {median:.2f} s (line)"
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_ylabel("clips")
    panels[-1].set_xlim(left=0)
    panels[-1].set_xlabel("length of a clip (seconds)")
    return figure


def plot_scalar_by_class(scalar: Task, classes: Task, values: np.ndarray, positions: np.ndarray) -> Figure:
    """Plots how a scalar is distributed in each class, as in figure 1 of the Burst2Vec paper.

    The legend has the number of clips and the median of each class, which show at a glance whether one class is older.

    Args:
        scalar ([`Task`]): of kind `scalar`, such as age.
        classes ([`Task`]): of kind `classes`, such as country.
        values (`np.ndarray` of shape `(clips,)`): the scalar of clips of Train and Val, NaN where unknown.
        positions (`np.ndarray` of shape `(clips,)`): the class indices of the same clips, -100 where unknown.
    """
    known = fully_known(values) & fully_known(positions)
    values, positions = values[known], positions[known]
    first, last = np.floor(values.min() / BIN_WIDTH), np.ceil(values.max() / BIN_WIDTH)
    bins = np.arange(first, max(last, first + 1) + 1) * BIN_WIDTH
    parts = [values[positions == position] for position in range(classes.outputs)]
    labels = [
        f"{as_written(label)} ({len(part):,}; {np.median(part):.3g})" if len(part) else f"{as_written(label)} (0)"
        for label, part in zip(classes.labels, parts, strict=True)
    ]
    colours = COLOURS if len(parts) <= len(COLOURS) else matplotlib.colormaps["turbo"](np.linspace(0, 1, len(parts)))
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    # White lines keep neighbours of similar colours apart.
    colours = list(colours[: len(parts)])
    axes.hist(parts, bins=bins, stacked=True, label=labels, color=colours, edgecolor="white", linewidth=0.5)
    name = as_written(scalar.name)
    axes.set_xlabel(f"{name} ({as_written(scalar.unit)})" if scalar.unit else name)
    axes.set_ylabel("clips of Train and Val")
    # In the order of the stacks, from above.
    title = f"{classes.name}\n(clips; median {scalar.name})"
    figure.legend(title=title, frameon=False, loc="outside right upper", reverse=True, alignment="left")
    return figure
