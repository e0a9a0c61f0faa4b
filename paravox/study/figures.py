"""Figures 2 to 4 of the pre-finetuning paper, from the numbers of `report_statistics`."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paravox.corpora.combinations import NO_CORPUS
from paravox.study.statistics import CONSTANT, StudyResults

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# The same numbers give the same bytes.
matplotlib.rcParams["svg.hashsalt"] = "paravox"
# Distinct for the colour-blind (Okabe and Ito).
COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"]
F1 = "macro F1 on the test part"


def draw_figure_2(numbers: pd.DataFrame, results: StudyResults, folder: Path) -> list[Path]:
    """The score by the number of pre-finetuning corpora, a line a k; shading is the standard error of the mean."""
    figure, axes = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
    shots = results.study["shots"]
    shades = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(shots)))
    # The largest k first: the legend then has the order that the lines mostly have.
    for k, color in sorted(zip(shots, shades, strict=True), key=lambda pair: -pair[0]):
        line = numbers[numbers["k"] == k]
        absent = "" if line["mean"].notna().any() else ", no trials"
        axes.plot(line["corpora"], line["mean"], color=color, marker="o", markersize=4, label=f"k = {k}{absent}")
        low, high = line["mean"] - line["standard_error"], line["mean"] + line["standard_error"]
        axes.fill_between(line["corpora"], low, high, color=color, alpha=0.2, linewidth=0)
    always_no = numbers["always_no"].iloc[0]
    if np.isfinite(always_no):
        # Not axhline, which leaves no margin below it.
        ends = [numbers["corpora"].min() - 1, numbers["corpora"].max() + 1]
        axes.plot(ends, [always_no] * 2, color="black", linestyle="--", linewidth=1, label=CONSTANT)
    if numbers["mean"].isna().all():
        _say(axes, "no trials")
    sizes = sorted(numbers["corpora"].unique())
    absent = [size for size in sizes if numbers.loc[numbers["corpora"] == size, "mean"].isna().all()]
    axes.set_xticks(sizes, [f"{size}\nno trials" if size in absent else str(size) for size in sizes])
    axes.set_xlim(-0.2, max(sizes) + 0.2)
    axes.set_xlabel("number of pre-finetuning corpora")
    axes.set_ylabel(F1)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _save(figure, results, folder / "figure_2", "shading: standard error of the mean")


def draw_figure_3(numbers: pd.DataFrame, results: StudyResults, folder: Path) -> list[Path]:
    """What each corpus changes against no pre-finetuning, a group of bars a k."""
    figure, axes = plt.subplots(figsize=(8.6, 4.2), layout="constrained")
    corpora, shots = results.study["corpora"], results.study["shots"]
    empty = [k for k in shots if numbers.loc[numbers["k"] == k, "difference"].isna().all()]
    width = 0.8 / len(corpora)
    for position, corpus in enumerate(corpora):
        bars = numbers[numbers["corpus"] == corpus].set_index("k").loc[shots]
        places = np.arange(len(shots)) + (position - (len(corpora) - 1) / 2) * width
        color = COLORS[position % len(COLORS)]
        absent = "" if bars["difference"].notna().any() else ", no trials"
        axes.bar(places, bars["difference"], width * 0.92, color=color, label=f"{corpus}{absent}")
        errors = np.abs(bars[["low", "high"]].sub(bars["difference"], axis=0).to_numpy().T)
        axes.errorbar(places, bars["difference"], errors, fmt="none", ecolor="#333333", elinewidth=0.9, capsize=1.5)
        if not absent:
            gaps = bars["difference"].isna().to_numpy() & ~np.isin(shots, empty)
            _mark_gaps(axes, places[gaps], "no trials")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(shots)), [f"{k}\nno trials" if k in empty else str(k) for k in shots])
    if len(empty) == len(shots):
        absent = [name for name in (NO_CORPUS,) if results.of([name]).empty]
        _say(axes, f"no trials of the checkpoint {absent[0]} to compare with" if absent else "no trials")
    axes.set_xlabel("k: clips that a trial trains on")
    axes.set_ylabel("change of macro F1 against\nno pre-finetuning")
    axes.legend(title="combinations with", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _save(figure, results, folder / "figure_3", "error bars: 95 % bootstrap interval over speakers")


def draw_figure_4(numbers: pd.DataFrame, results: StudyResults, folder: Path) -> list[Path]:
    """All corpora against none by k: a column an emotion, a row a language."""
    languages, emotions, shots = list(numbers["language"].unique()), results.study["emotions"], results.study["shots"]
    size = (max(6.4, 1.2 + 2.1 * len(emotions)), 1.1 + 2.3 * len(languages))
    figure, grid = plt.subplots(
        len(languages), len(emotions), figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    styles = {results.everything: ("all corpora", COLORS[0], "-"), NO_CORPUS: ("none", COLORS[5], "--")}
    for row, language in enumerate(languages):
        for column, emotion in enumerate(emotions):
            axes = grid[row, column]
            panel = numbers[(numbers["language"] == language) & (numbers["emotion"] == emotion)]
            places, gaps = np.arange(len(shots)), {}
            for checkpoint, (label, color, style) in styles.items():
                line = panel[panel["checkpoint"] == checkpoint].set_index("k").loc[shots]
                axes.plot(places, line["mean"], style, color=color, marker="o", markersize=3, label=label)
                axes.fill_between(places, line["low"], line["high"], color=color, alpha=0.15, linewidth=0)
                gaps[label] = line["mean"].isna().to_numpy()
            neither = np.logical_and.reduce(list(gaps.values()))
            absent = [label for label, gap in gaps.items() if gap.all()]
            if absent:
                _say(axes, "no trials" if neither.all() else f"no trials: {absent[0]}", height=0.05)
            else:
                _mark_gaps(axes, places[neither], "no trials")
                for label, gap in gaps.items():
                    _mark_gaps(axes, places[gap & ~neither], f"no trials: {label}")
            axes.set_xticks(range(len(shots)), [str(k) for k in shots], fontsize=8)
            if row == 0:
                axes.set_title(emotion, fontsize=10)
            if row == len(languages) - 1:
                axes.set_xlabel("k")
        grid[row, 0].set_ylabel(f"{language}\nmacro F1")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, title="pre-finetuned on", frameon=False, loc="outside right upper")
    return _save(figure, results, folder / "figure_4", "shading: 95 % bootstrap interval over speakers")


def _say(axes: Axes, text: str, height: float = 0.5) -> None:
    """Writes into the middle of a panel, at a height in 0..1."""
    axes.text(0.5, height, text, transform=axes.transAxes, ha="center", va="center", fontsize=9, wrap=True)


def _mark_gaps(axes: Axes, places: np.ndarray, text: str) -> None:
    """Writes upright at places of the x axis."""
    for place in places:
        axes.annotate(text, (place, 0.03), xycoords=axes.get_xaxis_transform(), rotation=90, ha="center", fontsize=7)


def _save(figure: Figure, results: StudyResults, path: Path, note: str) -> list[Path]:
    """Writes a figure as PNG and SVG, with the trials that are missing and how it was made below it."""
    figure.supxlabel(f"{note}\n{results.coverage}\n{describe_study(results)}", fontsize=7.5, color="#444444")
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    figure.savefig(paths[0], dpi=150)
    figure.savefig(paths[1], metadata={"Date": None})
    plt.close(figure)
    return paths


def describe_study(results: StudyResults) -> str:
    """How the trials were run, in a line."""
    study = results.study
    how = [f"mode {study.get('mode', 'unknown')}"]
    how.append(f"layer {study.get('layer')}" if study.get("mode") == "head" else f"epoch by {study.get('selection')}")
    return ", ".join([*how, f"{len(study['speakers'])} speakers", f"seed {study.get('seed')}"])
