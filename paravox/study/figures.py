"""Figures 2 to 4 of the pre-finetuning paper, from the numbers of `paravox.study.statistics`."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paravox.corpora.combinations import NO_CORPUS
from paravox.evaluation.figure_style import BLACK, BLUE, COLOURS, GREY, VERMILION, save_figure
from paravox.study.statistics import CONSTANT, StudyResults

ABSENT = "no trials"


def plot_figure_2(numbers: pd.DataFrame, results: StudyResults, folder: Path) -> list[Path]:
    """Plots the score against the number of pre-finetuning corpora, one line per k, and returns the files."""
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.subplots()
    shots = results.study["shots"]
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(shots)))
    # The largest k comes first, so that the legend has the order of most lines.
    for k, color in sorted(zip(shots, shades, strict=True), key=lambda pair: -pair[0]):
        line = numbers[numbers["k"] == k]
        absent = "" if line["mean"].notna().any() else f", {ABSENT}"
        axes.plot(line["corpora"], line["mean"], color=color, marker="o", markersize=4, label=f"k = {k}{absent}")
        low, high = line["mean"] - line["standard_error"], line["mean"] + line["standard_error"]
        axes.fill_between(line["corpora"], low, high, color=color, alpha=0.2, linewidth=0)
    always_no = numbers["always_no"].iloc[0]
    if np.isfinite(always_no):
        # Not axhline, which leaves no margin below the line.
        ends = [numbers["corpora"].min() - 1, numbers["corpora"].max() + 1]
        axes.plot(ends, [always_no] * 2, color=BLACK, linestyle="--", linewidth=1, label=CONSTANT)
    if numbers["mean"].isna().all():
        _write(axes, ABSENT)
    sizes = sorted(numbers["corpora"].unique())
    empty = [size for size in sizes if numbers.loc[numbers["corpora"] == size, "mean"].isna().all()]
    axes.set_xticks(sizes, [f"{size}\n{ABSENT}" if size in empty else str(size) for size in sizes])
    axes.set_xlim(-0.2, max(sizes) + 0.2)
    axes.set_xlabel("number of pre-finetuning corpora")
    axes.set_ylabel("macro F1 on the test part")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _save(figure, results, folder / "figure_2", "shading: standard error of the mean")


def plot_figure_3(numbers: pd.DataFrame, results: StudyResults, folder: Path) -> list[Path]:
    """Plots how much each corpus changes the score against no pre-finetuning, one group of bars per k."""
    figure = Figure(figsize=(8.6, 4.2), layout="constrained")
    axes = figure.subplots()
    corpora, shots = results.study["corpora"], results.study["shots"]
    empty = [k for k in shots if numbers.loc[numbers["k"] == k, "difference"].isna().all()]
    width = 0.8 / len(corpora)
    for position, corpus in enumerate(corpora):
        bars = numbers[numbers["corpus"] == corpus].set_index("k").loc[shots]
        places = np.arange(len(shots)) + (position - (len(corpora) - 1) / 2) * width
        absent = "" if bars["difference"].notna().any() else f", {ABSENT}"
        color = COLOURS[position % len(COLOURS)]
        axes.bar(places, bars["difference"], width * 0.92, color=color, label=f"{corpus}{absent}")
        errors = np.abs(bars[["low", "high"]].sub(bars["difference"], axis=0).to_numpy().T)
        axes.errorbar(places, bars["difference"], errors, fmt="none", ecolor=GREY, elinewidth=0.9, capsize=1.5)
        if not absent:
            gaps = bars["difference"].isna().to_numpy() & ~np.isin(shots, empty)
            _mark_gaps(axes, places[gaps], ABSENT)
    axes.axhline(0, color=BLACK, linewidth=0.8)
    axes.set_xticks(range(len(shots)), [f"{k}\n{ABSENT}" if k in empty else str(k) for k in shots])
    if len(empty) == len(shots):
        has_none = not results.trials_of([NO_CORPUS]).empty
        _write(axes, ABSENT if has_none else f"{ABSENT} of the checkpoint {NO_CORPUS} to compare with")
    axes.set_xlabel("k: number of clips that a trial trains on")
    axes.set_ylabel("change of macro F1 against\nno pre-finetuning")
    axes.legend(title="combinations with", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _save(figure, results, folder / "figure_3", "error bars: 95 % bootstrap interval over speakers")


def plot_figure_4(numbers: pd.DataFrame, results: StudyResults, folder: Path) -> list[Path]:
    """Plots all corpora and none against k, with one column of panels per emotion and one row per language."""
    languages, emotions = list(numbers["language"].unique()), results.study["emotions"]
    size = (max(6.4, 1.2 + 2.1 * len(emotions)), 1.1 + 2.3 * len(languages))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(languages), len(emotions), sharex=True, sharey=True, squeeze=False)
    for row, language in enumerate(languages):
        for column, emotion in enumerate(emotions):
            panel = numbers[(numbers["language"] == language) & (numbers["emotion"] == emotion)]
            _plot_panel(grid[row, column], panel, results)
        grid[row, 0].set_ylabel(f"{language}\nmacro F1")
    for axes, emotion in zip(grid[0], emotions, strict=True):
        axes.set_title(emotion, fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("k")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, title="pre-finetuned on", frameon=False, loc="outside right upper")
    return _save(figure, results, folder / "figure_4", "shading: 95 % bootstrap interval over speakers")


def _plot_panel(axes: Axes, panel: pd.DataFrame, results: StudyResults) -> None:
    """One language and emotion of figure 4."""
    shots = results.study["shots"]
    places, gaps = np.arange(len(shots)), {}
    styles = {results.everything: ("all corpora", BLUE, "-"), NO_CORPUS: ("none", VERMILION, "--")}
    for checkpoint, (label, color, style) in styles.items():
        line = panel[panel["checkpoint"] == checkpoint].set_index("k").loc[shots]
        axes.plot(places, line["mean"], style, color=color, marker="o", markersize=3, label=label)
        axes.fill_between(places, line["low"], line["high"], color=color, alpha=0.15, linewidth=0)
        gaps[label] = line["mean"].isna().to_numpy()
    neither = np.logical_and.reduce(list(gaps.values()))
    absent = [label for label, gap in gaps.items() if gap.all()]
    if absent:
        _write(axes, ABSENT if neither.all() else f"{ABSENT}: {absent[0]}", height=0.05)
    else:
        _mark_gaps(axes, places[neither], ABSENT)
        for label, gap in gaps.items():
            _mark_gaps(axes, places[gap & ~neither], f"{ABSENT}: {label}")
    axes.set_xticks(places, [str(k) for k in shots], fontsize=8)


def _write(axes: Axes, text: str, height: float = 0.5) -> None:
    """Writes into the middle of a panel, at a height in 0..1."""
    axes.text(0.5, height, text, transform=axes.transAxes, ha="center", va="center", fontsize=9, wrap=True)


def _mark_gaps(axes: Axes, places: np.ndarray, text: str) -> None:
    """Writes upright at places of the x axis where there is nothing to plot."""
    for place in places:
        axes.annotate(text, (place, 0.03), xycoords=axes.get_xaxis_transform(), rotation=90, ha="center", fontsize=7)


def _save(figure: Figure, results: StudyResults, path: Path, note: str) -> list[Path]:
    """Saves a figure with a note, the number of missing trials and the method of the study below it."""
    figure.supxlabel(f"{note}\n{results.coverage}\n{results.method}", fontsize=7.5, color=GREY)
    return save_figure(figure, path)
