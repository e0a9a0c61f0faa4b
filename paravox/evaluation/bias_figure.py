"""The figure of the bias study: what bias does to each variant, and what the discriminator learns."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from paravox.evaluation.bias_measures import AUXILIARY, LEAK, NO_ADVERSARIAL
from paravox.evaluation.figure_style import BLACK, BLUE, GREEN, GREY, ORANGE, save_figure

# Each variant has its own marker too, for prints in black and white.
STYLES = {
    "adversarial_encoder": ("adversarial, scope encoder", BLUE, "o"),
    "adversarial_extractor": ("adversarial, scope extractor", ORANGE, "s"),
    AUXILIARY: ("auxiliary, no reversal", GREEN, "D"),
    NO_ADVERSARIAL: ("-Adv", GREY, "^"),
}
PANELS = {
    "emotion_ccc": ("Emotion", "CCC"),
    "age_mae": ("Age", "MAE (years)"),
    "country_uar": ("Country", "UAR"),
    LEAK: ("Leak of country into age", "partial correlation"),
}
CORPORA = {
    "synthetic": ("synthetic (all labels)", "-"),
    "bursts": ("bursts (one task each)", "--"),
}


def plot_bias_study(results: dict, path: Path) -> list[Path]:
    """Writes the figure as PNG and SVG: on the left the measures on Test by bias, on the right the discriminator.

    Args:
        results (`dict`): what the results file of the study holds.
        path (`Path`): the results file; the figures get its name.

    Returns:
        list of `Path`: the files.
    """
    figure = Figure(figsize=(11.0, 6.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.45, 1], wspace=0.03)
    grid = left.subplots(2, 2)
    for axes, name in zip(grid.flat, PANELS, strict=True):
        _plot_measure(axes, results["means"], name)
    grid[1, 1].axhline(0, color=BLACK, linewidth=0.8)
    for axes in grid[1]:
        axes.set_xlabel("bias of Train (0 to 1)")
    axes = right.subplots()
    _plot_discriminator(axes, results["discriminator"])
    seeds = len({run["seed"] for run in results["runs"]})
    note = "unbiased Test, one seed"
    if seeds > 1:
        note = f"unbiased Test: mean over {seeds} seeds, bars: standard error over the seeds"
    _add_legend(left, grid[0, 0], 2, note)
    _add_legend(right, axes, 2, "mean over runs; the shaded area is their range")
    return save_figure(figure, path)


def _plot_measure(axes: Axes, means: list[dict], name: str) -> None:
    """Plots a measure by bias, one line per variant, shifted a little so that no error bar hides another."""
    biases = list(dict.fromkeys(entry["bias"] for entry in means))
    gap = 0.012 * max(1e-9, max(biases) - min(biases)) if len(biases) > 1 else 0.012
    for position, (variant, (label, color, marker)) in enumerate(STYLES.items()):
        line = [entry[name] for entry in means if entry["variant"] == variant]
        if not line:  # in results of an earlier version
            continue
        places = np.array(biases) + (position - 1.5) * gap
        errors = [np.nan if point["standard_error"] is None else point["standard_error"] for point in line]
        style = {"color": color, "marker": marker, "markersize": 5, "linewidth": 1.4, "capsize": 2.5, "label": label}
        axes.errorbar(places, [point["mean"] for point in line], errors, **style)
    title, unit = PANELS[name]
    axes.set_title(title, fontsize=11)
    axes.set_ylabel(unit)
    axes.set_xticks(biases, [f"{bias:g}" for bias in biases])
    axes.margins(x=0.12)


def _plot_discriminator(axes: Axes, curves: list[dict]) -> None:
    """Plots the accuracy by training step: for each corpus and variant, the mean over the runs and their range."""
    for corpus, (where, line_style) in CORPORA.items():
        for variant, (label, color, _) in STYLES.items():
            group = [curve for curve in curves if (curve["corpus"], curve["variant"]) == (corpus, variant)]
            if not group:
                continue
            # Runs may have logged at different steps: all are interpolated at those of the shortest run.
            steps = np.array(min((curve["steps"] for curve in group), key=lambda steps: steps[-1]))
            lines = np.array([np.interp(steps, curve["steps"], curve["accuracy"]) for curve in group])
            name = f"{where},\n{label.removeprefix('adversarial, ')}"
            mean = lines.mean(axis=0)
            axes.plot(steps, mean, line_style, color=color, linewidth=1.6, label=name)
            axes.fill_between(steps, lines.min(axis=0), lines.max(axis=0), color=color, alpha=0.15, linewidth=0)
    for chance in sorted({curve["chance"] for curve in curves}):
        axes.axhline(chance, color=BLACK, linestyle=":", linewidth=1.2, label=f"chance ({chance:.2f})")
    axes.set_title("Discriminator during training: which task is it?", fontsize=11)
    axes.set_xlabel("training step")
    axes.set_ylabel("accuracy, mean over tasks (0 to 1)")
    axes.set_ylim(0, 1)


def _add_legend(part: SubFigure, axes: Axes, columns: int, note: str) -> None:
    """Puts the legend outside the panels, where it cannot cover a curve, below a note."""
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
