"""The figure of repeated runs: the scores of each variant, and how those on Train and Val developed during training."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from paravox.evaluation.figure_style import BLACK, BLUE, GREEN, GREY, save_figure
from paravox.evaluation.finished_run import FROZEN_HEAD
from paravox.evaluation.repeated_runs import ADVERSARIAL, NO_ADVERSARIAL
from paravox.evaluation.score_names import S_MTL, metric_title

# Each variant has its own marker too, for prints in black and white.
STYLES = {
    FROZEN_HEAD: ("frozen head", GREEN, "D"),
    NO_ADVERSARIAL: ("-Adv", GREY, "^"),
    ADVERSARIAL: ("adversarial", BLUE, "o"),
}


def plot_repeated_runs(results: dict, path: Path) -> list[Path]:
    """Writes the figure as PNG and SVG.

    The upper half has the scores on Test, or on Val if Test has no labels. The lower half has the learning curves; it
    is left out if no task has intensities.

    Args:
        results (`dict`): what the results file of the runs holds.
        path (`Path`): the results file; the figures get its name.

    Returns:
        list of `Path`: the files.
    """
    split = "test" if "test" in results["constant"] else "val"
    metrics = [name for name in results["constant"][split] if name != S_MTL]
    curves = results["learning_curves"]
    width = 2.6 * max(3, len(metrics))
    figure = Figure(figsize=(width, 6.6 if curves else 3.1), layout="constrained")
    parts = figure.subfigures(2 if curves else 1, 1, height_ratios=[1, 1.15][: 2 if curves else 1], hspace=0.04)
    scores = np.atleast_1d(parts)[0]
    panels = scores.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        _plot_scores(axes, results, split, metric)
    note = f"{split.capitalize()}: mean over seeds, and ensemble of all seeds; bars: 95 % intervals over speakers"
    _add_legend(scores, panels[0], note)
    if curves:
        panels = parts[1].subplots(1, 2, sharex=True, sharey=True)
        _plot_curves(panels[0], curves, "train", "Train (mean over batches)")
        from_frozen_head = any(curve["val"] and curve["val"][0][0] == 0 for curve in curves)
        _plot_curves(panels[1], curves, "val", "Val (epoch 0: frozen head)" if from_frozen_head else "Val")
        _add_legend(parts[1], panels[0], "one line per seed")
    return save_figure(figure, path)


def _plot_scores(axes: Axes, results: dict, split: str, metric: str) -> None:
    """Plots a filled point per variant, an open point for its ensemble, and a line for the constant prediction."""
    names = [name for name in STYLES if name in results["means"]]
    for position, name in enumerate(names):
        label, color, marker = STYLES[name]
        for place, part, face in ((position - 0.13, "means", color), (position + 0.13, "ensembles", "white")):
            entry = results[part][name][split][metric]
            value, (low, high) = entry["value"], entry["interval"]
            shown = label if part == "means" else f"{label}, ensemble"
            # The interval of a bootstrap need not include the score that it is about.
            reach = [[max(0, value - low)], [max(0, high - value)]]
            style = {"marker": marker, "color": color, "markerfacecolor": face, "capsize": 2.5, "linestyle": "none"}
            axes.errorbar([place], [value], reach, label=shown, **style)
    axes.axhline(
        results["constant"][split][metric], color=BLACK, linestyle=":", linewidth=1.2, label="constant prediction"
    )
    axes.set_title(metric_title(metric), fontsize=11)
    axes.set_xticks([])
    axes.margins(x=0.2)


def _plot_curves(axes: Axes, curves: list[dict], split: str, title: str) -> None:
    for name, (label, color, marker) in STYLES.items():
        for curve in (curve for curve in curves if curve["name"] == name):
            first = label not in axes.get_legend_handles_labels()[1]
            points = np.array(curve[split]).reshape(-1, 2)
            style = {"marker": marker, "markersize": 4, "linewidth": 1.2, "color": color}
            axes.plot(points[:, 0], points[:, 1], label=label if first else None, **style)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("epoch")
    axes.set_ylabel(metric_title(f"{curves[0]['task']}_ccc"))


def _add_legend(part: Figure | SubFigure, axes: Axes, note: str) -> None:
    """Puts the legend outside the panels, below a note."""
    handles, labels = axes.get_legend_handles_labels()
    place = {"loc": "outside lower center", "ncols": 4, "frameon": False}
    part.legend(handles, labels, title=note, fontsize=9, title_fontsize=9, **place)
