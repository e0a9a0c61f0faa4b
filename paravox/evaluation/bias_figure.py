"""The figure of the bias study: what bias does to each variant, and what the discriminator learns."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# The same numbers give the same bytes.
matplotlib.rcParams["svg.hashsalt"] = "paravox"
# Distinct for the colour-blind (Okabe and Ito), and by marker.
STYLES = {
    "adversarial_encoder": ("adversarial, scope encoder", "#0072B2", "o"),
    "adversarial_extractor": ("adversarial, scope extractor", "#E69F00", "s"),
    "no_adversarial": ("-Adv", "#333333", "^"),
}
PANELS = {
    "emotion_ccc": ("Emotion", "CCC"),
    "age_mae": ("Age", "MAE (years)"),
    "country_uar": ("Country", "UAR"),
    "age_country_leak": ("Leak of country into age", "partial correlation"),
}
CORPORA = {
    "synthetic": ("synthetic (all labels)", "-"),
    "bursts": ("bursts (one task a source)", "--"),
}


def draw_bias_study(results: dict, path: Path) -> list[Path]:
    """Writes the figure as PNG and SVG: left the measures on Test by bias, right the discriminator over training.

    Args:
        results (`dict`): what the results file of the study holds.
        path (`Path`): of that file; the figures get its name.
    """
    figure = plt.figure(figsize=(11.0, 5.8), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.45, 1], wspace=0.03)
    grid = left.subplots(2, 2)
    for axes, name in zip(grid.flat, PANELS, strict=True):
        _draw_measure(axes, results["means"], name)
    grid[1, 1].axhline(0, color="black", linewidth=0.8)
    for axes in grid[1]:
        axes.set_xlabel("bias of Train (0 to 1)")
    axes = right.subplots()
    _draw_discriminator(axes, results["discriminator"])
    seeds = len({run["seed"] for run in results["runs"]})
    note = f"unbiased Test: mean over {seeds} seed{'s' * (seeds > 1)}, bars: standard error over seeds"
    _add_legend(left, grid[0, 0], 3, note)
    _add_legend(right, axes, 2, "mean over runs, shading: their range")
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    figure.savefig(paths[0], dpi=150)
    figure.savefig(paths[1], metadata={"Date": None})
    plt.close(figure)
    return paths


def _draw_measure(axes: Axes, means: list[dict], name: str) -> None:
    """A measure by bias, a line a variant; the variants stand a little apart, so that no bar hides another."""
    biases = list(dict.fromkeys(entry["bias"] for entry in means))
    gap = 0.012 * max(1e-9, max(biases) - min(biases)) if len(biases) > 1 else 0.012
    for position, (variant, (label, color, marker)) in enumerate(STYLES.items()):
        line = [entry[name] for entry in means if entry["variant"] == variant]
        places = np.array(biases) + (position - 1) * gap
        errors = [np.nan if point["standard_error"] is None else point["standard_error"] for point in line]
        style = {"color": color, "marker": marker, "markersize": 5, "linewidth": 1.4, "capsize": 2.5, "label": label}
        axes.errorbar(places, [point["mean"] for point in line], errors, **style)
    title, unit = PANELS[name]
    axes.set_title(title, fontsize=11)
    axes.set_ylabel(unit)
    axes.set_xticks(biases, [f"{bias:g}" for bias in biases])
    axes.margins(x=0.12)


def _draw_discriminator(axes: Axes, curves: list[dict]) -> None:
    """The accuracy over training: a line a corpus and scope, the mean over its runs, in the shade of their range."""
    for corpus, (where, line_style) in CORPORA.items():
        for variant, (label, color, _) in STYLES.items():
            group = [curve for curve in curves if (curve["corpus"], curve["variant"]) == (corpus, variant)]
            if not group:
                continue
            # Runs may have logged at different steps: all are read off at those that every run has passed.
            steps = np.array(min((curve["steps"] for curve in group), key=lambda steps: steps[-1]))
            lines = np.array([np.interp(steps, curve["steps"], curve["accuracy"]) for curve in group])
            name = f"{where},\n{label.removeprefix('adversarial, ')}"
            mean = lines.mean(axis=0)
            axes.plot(steps, mean, line_style, color=color, linewidth=1.6, label=name)
            axes.fill_between(steps, lines.min(axis=0), lines.max(axis=0), color=color, alpha=0.15, linewidth=0)
    for chance in sorted({curve["chance"] for curve in curves}):
        axes.axhline(chance, color="black", linestyle=":", linewidth=1.2, label=f"chance ({chance:.2f})")
    axes.set_title("Discriminator in training: which task is it?", fontsize=11)
    axes.set_xlabel("training step")
    axes.set_ylabel("accuracy, mean over tasks (0 to 1)")
    axes.set_ylim(0, 1)


def _add_legend(part: SubFigure, axes: Axes, columns: int, note: str) -> None:
    """Puts the legend outside the panels, where no curve of any study can run into it, under a note."""
    handles, labels = axes.get_legend_handles_labels()
    part.legend(
        handles,
        labels,
        title=note,
        ncols=columns,
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        loc="outside lower center",
    )
