"""The leakage matrix as a heat map: how well each target can be predicted from each representation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from paravox.evaluation.figure_style import BLACK, VERMILION, save_figure
from paravox.evaluation.leakage import MAIN_METRICS

TITLES = {"ccc": "CCC", "r2": "R²", "uar": "UAR"}
PANELS_PER_ROW = 2
# Above this share of the scale the cells are too dark for black numbers.
DARK = 0.5

Matrix = Mapping[str, Mapping[str, float | None]]
"""By representation and target: the main metric of the target's kind."""


def plot_leakage(
    matrices: Mapping[str, Matrix],
    chance: Mapping[str, float],
    targets: Sequence[Mapping[str, Any]],
    path: Path,
    note: str = "",
) -> list[Path]:
    """Writes the heat map as PNG and SVG, one panel per model.

    A cell has the score as a number. Its colour is the share of the way from chance to a perfect score, so that the
    columns can be compared. Frames mark the task that a representation is made for; `encoder`, `projected` and `shared`
    serve all tasks.

    Args:
        matrices (mapping of [`Matrix`]): by the title of the panel; all have the same representations.
        chance (mapping of `float`): the score of a constant prediction by target.
        targets (sequence of mappings): the columns, each with `name` and `kind`.
        path (`Path`): the results file; the figures get its name.
        note (`str`, *optional*): what is shown below the panels.

    Returns:
        list of `Path`: the files.
    """
    representations = list(next(iter(matrices.values())))
    columns = min(PANELS_PER_ROW, len(matrices))
    lines = -(-len(matrices) // columns)
    size = (2.2 + columns * (1.6 + 1.0 * len(targets)), lines * (1.2 + 0.36 * (len(representations) + 1)) + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (title, matrix) in zip(grid, matrices.items(), strict=False):
        image = _plot_matrix(axes, title, matrix, chance, targets)
    for axes in grid[len(matrices) :]:
        axes.set_visible(False)
    bar = figure.colorbar(image, ax=list(grid), shrink=0.8, aspect=30, pad=0.02)
    bar.set_label("share of the way from chance to a perfect score", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    text = (
        "Frames mark the task that a representation is made for. In the other cells of these rows, dark means leaked."
    )
    figure.supxlabel(f"{text}\n{note}" if note else text, fontsize=9)
    return save_figure(figure, path)


def share_above_chance(score: float, chance: float) -> float:
    """How far a score lies between chance (0) and perfect (1); 0 for anything below chance."""
    return float(np.clip((score - chance) / (1 - chance), 0, 1))


def _plot_matrix(
    axes: Axes, title: str, matrix: Matrix, chance: Mapping[str, float], targets: Sequence[Mapping[str, Any]]
) -> Any:
    rows = [*matrix, "chance"]
    names = [target["name"] for target in targets]
    scores = [[matrix[row].get(name) for name in names] for row in matrix] + [[chance[name] for name in names]]
    shares = np.array(
        [
            [
                0.0 if score is None else share_above_chance(score, chance[name])
                for score, name in zip(line, names, strict=True)
            ]
            for line in scores
        ]
    )
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, line in enumerate(scores):
        for column, score in enumerate(line):
            if score is not None:
                color = "white" if shares[row, column] > DARK else BLACK
                # Without the sign of a zero, which means nothing.
                number = f"{round(score, 2) + 0.0:.2f}"
                axes.text(column, row, number, ha="center", va="center", fontsize=9, color=color)
            if rows[row].endswith(f"[{names[column]}]"):
                axes.add_patch(
                    Rectangle((column - 0.47, row - 0.45), 0.94, 0.9, fill=False, edgecolor=VERMILION, linewidth=1.8)
                )
    axes.axhline(len(rows) - 1.5, color=BLACK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    headings = [f"{target['name']}\n{TITLES[MAIN_METRICS[target['kind']]]}" for target in targets]
    axes.set_xticks(range(len(targets)), headings, fontsize=9)
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=11)
    return image
