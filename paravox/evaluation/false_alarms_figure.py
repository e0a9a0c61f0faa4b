"""The figure of the simulation of false alarms: how far the rate of each test lies from 5 %."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from paravox.evaluation.false_alarms import BOOTSTRAP, LEVEL, PAIRED, PAPER, SPEAKERS, TASKS
from paravox.evaluation.figure_style import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILION, save_figure

# Each test has its own marker too, for prints in black and white.
STYLES = {
    PAPER: ("the paper's (t-test of two samples, Cochran's Q)", VERMILION, "s"),
    PAIRED: ("paired over clips (paired t-test, McNemar)", ORANGE, "D"),
    SPEAKERS: ("t-test over speakers", BLUE, "o"),
    BOOTSTRAP: ("bootstrap over speakers of the score", GREEN, "^"),
}
KINDS = {
    "intensities": "Intensities (score: CCC)",
    "scalar": "Scalar (score: MAE)",
    "classes": "Classes (score: UAR)",
}
# The first size is drawn with full markers and solid lines, the others with empty markers.
LINES = ("-", ":", "--")
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, LEVEL, 0.1, 0.2, 0.5, 1.0)
# A rate of 0 has no place on a logarithmic axis. It is drawn at the lower end.
LOWEST = 0.001


def plot_false_alarms(results: dict, path: Path) -> list[Path]:
    """Writes the figure as PNG and SVG: one column per kind of task, one row per correlation of the models' errors.

    Args:
        results (`dict`): what the results file holds.
        path (`Path`): the results file; the figures get its name.

    Returns:
        list of `Path`: the files.
    """
    rates = results["rates"]
    sharings = list(dict.fromkeys(entry["sharing"] for entry in rates))
    sizes = list(dict.fromkeys((entry["clips"], entry["speakers"]) for entry in rates))
    figure = Figure(figsize=(10.5, 1.9 + 2.5 * len(sharings)), layout="constrained")
    grid = figure.subplots(len(sharings), len(TASKS), sharex=True, sharey=True, squeeze=False)
    for row, sharing in zip(grid, sharings, strict=True):
        for axes, kind in zip(row, KINDS, strict=True):
            _plot_panel(axes, [entry for entry in rates if (entry["sharing"], entry["kind"]) == (sharing, kind)], sizes)
        row[0].set_ylabel(f"errors with correlation {sharing:g}:\nfalse alarms (p ≤ {LEVEL:g})")
    for axes, title in zip(grid[0], KINDS.values(), strict=True):
        axes.set_title(title, fontsize=11)
    grid[-1, 1].set_xlabel("share of the variance of the two models' difference that speakers explain")
    _add_legend(figure, sizes, results["repetitions"])
    return save_figure(figure, path)


def _plot_panel(axes: Axes, entries: list[dict], sizes: list[tuple[int, int]]) -> None:
    """Plots the rates by clustering, one line per test and size, shifted a little so that no marker hides another."""
    clusterings = list(dict.fromkeys(entry["clustering"] for entry in entries))
    axes.axhline(LEVEL, color=BLACK, linewidth=1.0)
    for position, (test, (_, color, marker)) in enumerate(STYLES.items()):
        for number, size in enumerate(sizes):
            line = [entry for entry in entries if (entry["test"], entry["clips"], entry["speakers"]) == (test, *size)]
            rates = np.array([entry["rate"] for entry in line])
            ends = np.array([entry["interval"] for entry in line]).clip(LOWEST)
            shown = rates.clip(LOWEST)
            axes.errorbar(
                np.arange(len(clusterings)) + 0.11 * (position - 1.5) + 0.045 * number,
                shown,
                np.abs(ends.T - shown),
                color=color,
                marker=marker,
                markersize=5,
                markerfacecolor="white" if number else color,
                linestyle=LINES[number % len(LINES)],
                linewidth=0.9 if number else 1.5,
                elinewidth=0.9,
                capsize=1.5,
            )
    axes.set_yscale("log")
    axes.set_ylim(LOWEST * 0.8, 1.0)
    axes.set_yticks(TICKS, [f"{100 * tick:g} %" for tick in TICKS])
    axes.minorticks_off()
    axes.set_xticks(range(len(clusterings)), [f"{clustering:g}" for clustering in clusterings])
    axes.grid(axis="y", color=GREY, alpha=0.15, linewidth=0.6)


def _add_legend(figure: Figure, sizes: list[tuple[int, int]], repetitions: int) -> None:
    """Puts the legend below the panels, where it cannot cover a line."""
    handles = [
        Line2D([], [], color=color, marker=marker, markersize=5, linewidth=1.5, label=label)
        for label, color, marker in STYLES.values()
    ]
    for number, (clips, speakers) in enumerate(sizes):
        face = "white" if number else GREY
        style = {"color": GREY, "marker": "o", "markersize": 5, "markerfacecolor": face}
        label = f"{clips:,} clips of {speakers} speakers"
        handles.append(Line2D([], [], linestyle=LINES[number % len(LINES)], label=label, **style))
    handles.append(Line2D([], [], color=BLACK, linewidth=1.0, label=f"{100 * LEVEL:g} %, as it should be"))
    figure.legend(
        handles=handles,
        title=f"{repetitions:,} simulations of two equally good models per point, bars: 95 % intervals",
        ncols=2,
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        loc="outside lower center",
    )
