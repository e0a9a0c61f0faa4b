"""The figure of repeated runs: every point, bar and line is a number of the results file."""

import json
from pathlib import Path

import numpy as np
import pytest

from paravox.evaluation import repeated_runs_figure
from paravox.evaluation.repeated_runs_figure import plot_repeated_runs
from paravox.recipes.burst2vec import repeat

METRICS = ["emotion_ccc", "age_mae"]
NAMES = {"frozen_head": "frozen head", "no_adversarial": "-Adv", "adversarial": "adversarial"}


def score(value):
    return {"value": value, "interval": [value - 0.1, value + 0.3]}


@pytest.fixture
def results():
    """Every score is another number, on Val and on Test."""
    numbers = iter(np.arange(1.0, 100.0))

    def splits():
        return {split: {name: score(next(numbers)) for name in [*METRICS, "s_mtl"]} for split in ("val", "test")}

    return {
        "constant": {split: {name: next(numbers) for name in [*METRICS, "s_mtl"]} for split in ("val", "test")},
        "means": {name: splits() for name in ("adversarial", "no_adversarial", "frozen_head")},
        "ensembles": {name: splits() for name in ("adversarial", "no_adversarial", "frozen_head")},
        "learning_curves": [
            {"name": name, "seed": seed, "task": "emotion", "train": [[0.5, 0.1 * seed]], "val": [[0, 0.2], [1, place]]}
            for place, name in enumerate(("adversarial", "no_adversarial"))
            for seed in (1, 2)
        ],
    }


@pytest.fixture
def plotted(monkeypatch):
    """Plots results without writing them; gives the figure."""

    def plot(results):
        figures = []
        monkeypatch.setattr(repeated_runs_figure, "save_figure", lambda figure, path: figures.append(figure) or [path])
        plot_repeated_runs(results, Path("x.json"))
        return figures[0]

    return plot


def points(axes):
    """By label: the height of each point and the ends of its bar."""
    found = {}
    for container in axes.containers:
        (ends,) = container.lines[2][0].get_segments()
        found[container.get_label()] = [container.lines[0].get_ydata()[0], *ends[:, 1]]
    return found


@pytest.mark.parametrize("split", ["test", "val"])
def test_points_are_the_scores_of_test_or_of_val(results, plotted, split):
    if split == "val":
        del results["constant"]["test"]
    panels = plotted(results).axes[:2]
    for axes, metric, title in zip(panels, METRICS, ("emotion CCC", "age MAE"), strict=True):
        assert axes.get_title() == title
        expected = {}
        for name, label in NAMES.items():
            for part, shown in (("means", label), ("ensembles", f"{label}, ensemble")):
                value = results[part][name][split][metric]["value"]
                expected[shown] = pytest.approx([value, value - 0.1, value + 0.3])
        assert points(axes) == expected
        (constant,) = [line for line in axes.lines if line.get_label() == "constant prediction"]
        assert constant.get_ydata()[0] == results["constant"][split][metric]


def test_filled_points_are_means_and_open_ones_ensembles(results, plotted):
    for container in plotted(results).axes[0].containers:
        is_open = container.lines[0].get_markerfacecolor() == "white"
        assert is_open == container.get_label().endswith(", ensemble")


def test_a_score_outside_its_interval_has_no_negative_bar(results, plotted):
    results["means"]["adversarial"]["test"]["age_mae"] = {"value": 5.0, "interval": [5.5, 6.0]}
    assert points(plotted(results).axes[1])["adversarial"] == [5.0, 5.0, 6.0]


def test_there_is_one_line_per_run(results, plotted):
    train, val = plotted(results).axes[2:]
    assert (train.get_title(), val.get_title()) == ("Train (mean over batches)", "Val (epoch 0: frozen head)")
    expected = [curve for name in NAMES for curve in results["learning_curves"] if curve["name"] == name]
    for axes, split in ((train, "train"), (val, "val")):
        assert [line.get_xydata().tolist() for line in axes.lines] == [curve[split] for curve in expected]
        assert axes.get_legend_handles_labels()[1] == ["-Adv", "adversarial"]
        assert axes.get_ylabel() == "emotion CCC"


def test_no_frozen_head_is_named_where_there_was_none(results, plotted):
    for part in ("means", "ensembles"):
        del results[part]["frozen_head"]
    for curve in results["learning_curves"]:
        curve["val"] = curve["val"][1:]
    figure = plotted(results)
    assert figure.axes[3].get_title() == "Val"
    assert "frozen head" not in points(figure.axes[0])


def test_no_panel_is_empty_without_intensities(results, plotted):
    figure = plotted(results | {"learning_curves": []})
    assert len(figure.axes) == 2 and figure.get_figheight() < 4
    assert len(plotted(results).axes) == 4


def test_the_committed_results_can_be_plotted(tmp_path):
    results = json.loads((Path(repeat.__file__).parent / "results" / "real_bursts.json").read_text())
    files = plot_repeated_runs(results, tmp_path / "real_bursts.json")
    text = files[1].read_text()
    for label in ("frozen head", "-Adv, ensemble", "adversarial, ensemble", "constant prediction"):
        assert f"<!-- {label} -->" in text
    assert "<!-- Test: mean over seeds" in text


def test_no_legend_covers_a_panel(monkeypatch):
    results = json.loads((Path(repeat.__file__).parent / "results" / "real_bursts.json").read_text())
    figures = []
    monkeypatch.setattr(repeated_runs_figure, "save_figure", lambda figure, path: figures.append(figure) or [])
    plot_repeated_runs(results, Path("x.json"))
    (figure,) = figures
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    legends = [legend.get_window_extent() for part in figure.subfigs for legend in part.legends]
    panels = [axes.get_window_extent() for axes in figure.axes]
    assert len(legends) == 2
    for legend in legends:
        assert legend.x0 >= 0 and legend.y0 >= 0 and legend.x1 <= width and legend.y1 <= height
        assert not any(legend.overlaps(panel) for panel in panels)
    assert not legends[0].overlaps(legends[1])
