"""The figure of the bias study: every point, bar and line is a number of the results file."""

import json
from pathlib import Path

import numpy as np
import pytest

from paravox.evaluation import bias_figure
from paravox.evaluation.bias_figure import plot_bias_study
from paravox.recipes.burst2vec import bias_study

MEASURES = ("emotion_ccc", "age_mae", "country_uar", "age_country_leak")
LABELS = {
    "adversarial_encoder": "adversarial, scope encoder",
    "adversarial_extractor": "adversarial, scope extractor",
    "auxiliary": "auxiliary, no reversal",
    "no_adversarial": "-Adv",
}


@pytest.fixture
def results():
    numbers = iter(np.arange(1.0, 100.0))
    means = [
        {"bias": bias, "variant": variant}
        | {name: {"mean": next(numbers), "standard_error": 0.25 if bias else None} for name in MEASURES}
        for bias in (0.0, 0.9)
        for variant in LABELS
    ]
    curves = [
        {"corpus": corpus, "variant": "adversarial_encoder", "chance": 0.25, "steps": steps, "accuracy": accuracy}
        for corpus, steps, accuracy in (
            ("synthetic", [10, 20, 30], [0.2, 0.4, 0.6]),
            ("synthetic", [5, 25], [0.1, 0.5]),
            ("bursts", [10, 20], [0.8, 0.9]),
        )
    ]
    return {"runs": [{"seed": 1}, {"seed": 2}], "means": means, "discriminator": curves}


@pytest.fixture
def figure(results, monkeypatch):
    figures = []
    monkeypatch.setattr(bias_figure, "save_figure", lambda figure, path: figures.append(figure) or [path])
    plot_bias_study(results, Path("x.json"))
    return figures[0]


def test_every_measure_is_plotted_by_bias(results, figure):
    units = ("CCC", "MAE (years)", "UAR", "partial correlation")
    for axes, name, unit in zip(figure.axes[:4], MEASURES, units, strict=True):
        assert axes.get_ylabel() == unit
        for container in axes.containers:
            variant = next(key for key, label in LABELS.items() if label == container.get_label())
            entries = [entry for entry in results["means"] if entry["variant"] == variant]
            line, _, (bars,) = container.lines
            assert line.get_ydata().tolist() == [entry[name]["mean"] for entry in entries]
            assert line.get_xdata() == pytest.approx([0.0, 0.9], abs=0.02)
            _, with_error = bars.get_segments()
            mean = entries[1][name]["mean"]
            assert with_error[:, 1].tolist() == [mean - 0.25, mean + 0.25]
        assert len(axes.containers) == 4
    assert [axes.get_title() for axes in figure.axes[:4]] == ["Emotion", "Age", "Country", "Leak of country into age"]


def test_the_discriminator_is_the_mean_over_runs_and_their_range(figure):
    axes = figure.axes[4]
    synthetic, bursts, chance = axes.lines
    # At the steps of the run that ended first. The other run is at 0.2 at step 5, as at its first, and 0.5 at step 25.
    assert synthetic.get_xdata().tolist() == [5, 25]
    assert synthetic.get_ydata() == pytest.approx([(0.2 + 0.1) / 2, (0.5 + 0.5) / 2])
    assert bursts.get_xydata().tolist() == [[10, 0.8], [20, 0.9]]
    assert set(chance.get_ydata()) == {0.25}
    assert synthetic.get_linestyle() == "-" and bursts.get_linestyle() == "--"
    low, high = axes.collections[0].get_paths()[0].get_extents().get_points()[:, 1]
    assert (low, high) == pytest.approx((0.1, 0.5))


def test_the_note_counts_seeds(results, monkeypatch, figure):
    def note():
        figures = []
        monkeypatch.setattr(bias_figure, "save_figure", lambda figure, path: figures.append(figure))
        plot_bias_study(results, Path("x.json"))
        return figures[0].subfigs[0].legends[0].get_title().get_text()

    assert note() == "unbiased Test: mean over 2 seeds, bars: standard error over the seeds"
    results["runs"] = [{"seed": 1}]
    assert note() == "unbiased Test, one seed"


def test_the_committed_results_can_be_plotted(tmp_path):
    results = json.loads((Path(bias_study.__file__).parent / "results" / "bias_study.json").read_text())
    seeds = len({run["seed"] for run in results["runs"]})
    files = plot_bias_study(results, tmp_path / "bias_study.json")
    assert [file.name for file in files] == ["bias_study.png", "bias_study.svg"]
    assert (
        f"<!-- unbiased Test: mean over {seeds} seeds, bars: standard error over the seeds -->" in files[1].read_text()
    )


def test_no_legend_covers_a_panel(monkeypatch):
    results = json.loads((Path(bias_study.__file__).parent / "results" / "bias_study.json").read_text())
    # With every variant that a study can have on both corpora, so that the legends are as large as they get.
    for key in ("means", "discriminator"):
        like = [entry for entry in results[key] if entry["variant"] == "adversarial_encoder"]
        kept = [entry for entry in results[key] if entry["variant"] != "auxiliary"]
        results[key] = kept + [entry | {"variant": "auxiliary"} for entry in like]
    assert {curve["corpus"] for curve in results["discriminator"]} == {"synthetic", "bursts"}
    figures = []
    monkeypatch.setattr(bias_figure, "save_figure", lambda figure, path: figures.append(figure) or [])
    plot_bias_study(results, Path("x.json"))
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
