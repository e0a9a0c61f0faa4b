"""The figure of Table 2: every score of every row with its interval."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paravox.evaluation.figure_style import BLACK, BLUE, ORANGE
from paravox.evaluation.score_names import column_title

PANELS_PER_LINE = 2
COLOURS = {"val": (BLUE, "o"), "test": (ORANGE, "s")}


def plot_table_2(results: dict[str, Any], split: str) -> Figure:
    """Plots one panel per score, with one point per row of the table, and a line for the constant prediction.

    The line is left out where it is so far from all rows that they could not be told apart.

    Args:
        results (`dict`): what [`make_table`] returns.
        split (`str`): `val` or `test`.
    """
    constant, *rows = results["rows"]
    scores = [score for score in results["scores"] if any(score in row.get(split, {}) for row in rows)]
    lines = math.ceil(len(scores) / PANELS_PER_LINE)
    # Narrow enough to be read on a phone.
    figure = Figure(figsize=(5, 0.3 + lines * (0.7 + 0.2 * len(rows))), layout="constrained")
    panels = figure.subplots(lines, PANELS_PER_LINE, sharey=True, squeeze=False).flat
    for score, axes in zip(scores, panels, strict=False):
        _plot_score(axes, rows, constant, split, score)
    for axes in panels[len(scores) :]:
        axes.remove()
    # All panels share the axis of the first one.
    panels[0].set_yticks(range(len(rows)), [row["code"] for row in rows])
    panels[0].invert_yaxis()
    return figure


def _plot_score(axes: Axes, rows: list[dict[str, Any]], constant: dict[str, Any], split: str, score: str) -> None:
    colour, marker = COLOURS[split]
    for position, row in enumerate(rows):
        entry = row.get(split, {}).get(score)
        if entry is None:
            continue
        value, (low, high) = entry["value"], entry["interval"]
        # The interval of a bootstrap need not include the score that it is about.
        reach = [[max(0, value - low)], [max(0, high - value)]]
        face = "white" if "members" in row else colour
        style = {"marker": marker, "color": colour, "markerfacecolor": face, "markersize": 5, "capsize": 2}
        axes.errorbar([value], [position], xerr=reach, linestyle="none", **style)
    low, high = axes.get_xlim()
    level = constant.get(split, {}).get(score, {}).get("value", np.nan)
    if low - (high - low) <= level <= high + (high - low):
        axes.axvline(level, color=BLACK, linestyle=":", linewidth=1.2)
    axes.set_title(column_title(split, score), fontsize=10)
    axes.tick_params(labelsize=8)
    axes.locator_params(axis="x", nbins=5)
    axes.margins(y=0.5 / len(rows))
    axes.grid(axis="x", linewidth=0.4, alpha=0.5)
