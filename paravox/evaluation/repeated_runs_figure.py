"""The figure of repeated runs: what each variant reaches on Test, and how Train and Val went apart on the way."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# The same numbers give the same bytes.
matplotlib.rcParams["svg.hashsalt"] = "paravox"
# Distinct for the colour-blind (Okabe and Ito), and by marker.
STYLES = {
    "frozen_head": ("frozen head", "#009E73", "D"),
    "no_adversarial": ("-Adv", "#333333", "^"),
    "adversarial": ("adversarial", "#0072B2", "o"),
}
UNITS = {"ccc": "CCC", "uar": "UAR", "mae": "MAE"}


def draw_repeated_runs(results: dict, path: Path) -> list[Path]:
    """Writes the figure as PNG and SVG: above the scores on Test (on Val where Test has no labels), below the curves.

    Args:
        results (`dict`): what the results file of the runs holds.
        path (`Path`): of that file; the figures get its name.
    """
    split = "test" if "test" in results["constant"] else "val"
    metrics = [name for name in results["constant"][split] if name != "s_mtl"]
    figure = Figure(figsize=(2.6 * max(3, len(metrics)), 6.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.15], hspace=0.04)
    panels = above.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        _draw_scores(axes, results, split, metric)
    _add_legend(above, panels[0], f"{split.capitalize()}: mean over the seeds and ensemble, bars: 95 % over speakers")
    panels = below.subplots(1, 2, sharex=True, sharey=True)
    _draw_curves(panels[0], results["learning_curves"], "train", "Train, mean over the batches")
    _draw_curves(panels[1], results["learning_curves"], "val", "Val, epoch 0: the frozen head")
    _add_legend(below, panels[0], "a line a seed")
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    figure.savefig(paths[0], dpi=150, metadata={"Software": None})
    figure.savefig(paths[1], metadata={"Date": None})
    return paths


def _draw_scores(axes: Axes, results: dict, split: str, metric: str) -> None:
    """A point a variant, its ensemble beside it, hollow; a dotted line for the constant prediction."""
    names = [name for name in STYLES if name in results["means"]]
    for position, name in enumerate(names):
        label, color, marker = STYLES[name]
        for place, kind, face in ((position - 0.13, "means", color), (position + 0.13, "ensembles", "white")):
            entry = results[kind][name][split][metric]
            value, (low, high) = entry["value"], entry["interval"]
            shown = label if kind == "means" else f"{label}, ensemble"
            # A bootstrap's interval need not hold the value that it is about.
            reach = [[max(0, value - low)], [max(0, high - value)]]
            style = {"marker": marker, "color": color, "markerfacecolor": face, "capsize": 2.5, "linestyle": "none"}
            axes.errorbar([place], [value], reach, label=shown, **style)
    axes.axhline(results["constant"][split][metric], color="black", linestyle=":", linewidth=1.2, label="constant")
    task, _, unit = metric.rpartition("_")
    axes.set_title(f"{task}: {UNITS[unit]}", fontsize=11)
    axes.set_xticks([])
    axes.margins(x=0.2)


def _draw_curves(axes: Axes, curves: list[dict], split: str, title: str) -> None:
    for name, (label, color, marker) in STYLES.items():
        for curve in (curve for curve in curves if curve["name"] == name):
            first = label not in axes.get_legend_handles_labels()[1]
            points = np.array(curve[split]).reshape(-1, 2)
            style = {"marker": marker, "markersize": 4, "linewidth": 1.2, "color": color}
            axes.plot(points[:, 0], points[:, 1], label=label if first else None, **style)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{curves[0]['task']}: CCC" if curves else "CCC")


def _add_legend(part: Figure, axes: Axes, note: str) -> None:
    """Puts the legend outside the panels, under a note."""
    handles, labels = axes.get_legend_handles_labels()
    place = {"loc": "outside lower center", "ncols": 4, "frameon": False}
    part.legend(handles, labels, title=note, fontsize=9, title_fontsize=9, **place)
