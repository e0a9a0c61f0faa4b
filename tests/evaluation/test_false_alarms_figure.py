"""The figure of false alarms: every point and bar is a number of the results file, and nothing covers a panel."""

import json
from itertools import product
from pathlib import Path

import pytest

from paravox.evaluation import false_alarms_figure
from paravox.evaluation.false_alarms_figure import plot_false_alarms
from paravox.recipes.burst2vec import false_alarms

KINDS, TESTS = ("intensities", "scalar", "classes"), ("paper", "paired", "speakers", "bootstrap")
SIZES = [(1350, 45), (300, 15)]


@pytest.fixture
def results():
    rates = []
    cases = product(SIZES, (0.0, 0.5), (0.0, 0.1, 0.3), KINDS, TESTS)
    for number, ((clips, speakers), sharing, clustering, kind, test) in enumerate(cases, start=1):
        rate = round(0.005 * number, 4)
        about = {"clips": clips, "speakers": speakers, "sharing": sharing, "clustering": clustering}
        ends = [rate - 0.004, rate + 0.007]
        rates.append({**about, "kind": kind, "test": test, "rate": rate, "interval": ends})
    return {"repetitions": 1500, "rates": rates}


def draw(results, monkeypatch):
    figures = []
    monkeypatch.setattr(false_alarms_figure, "save_figure", lambda figure, path: figures.append(figure) or [path])
    plot_false_alarms(results, Path("x.json"))
    return figures[0]


def test_every_rate_and_interval_is_plotted(results, monkeypatch):
    figure = draw(results, monkeypatch)
    assert len(figure.axes) == 6
    assert [axes.get_title() for axes in figure.axes] == [
        "Intensities (score: CCC)",
        "Scalar (score: MAE)",
        "Classes (score: UAR)",
        "",
        "",
        "",
    ]
    assert ["correlation 0:" in figure.axes[0].get_ylabel(), "correlation 0.5:" in figure.axes[3].get_ylabel()] == [
        True
    ] * 2
    markers = dict(zip(TESTS, "sDo^", strict=True))
    for axes, (sharing, kind) in zip(figure.axes, product((0.0, 0.5), KINDS), strict=True):
        if sharing == 0.5:  # the upper row shares its ticks
            assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.1", "0.3"]
        assert set(axes.lines[0].get_ydata()) == {0.05}
        for container, (test, size) in zip(axes.containers, product(TESTS, SIZES), strict=True):
            entries = [
                entry
                for entry in results["rates"]
                if (entry["sharing"], entry["kind"], entry["test"]) == (sharing, kind, test)
                and (entry["clips"], entry["speakers"]) == size
            ]
            line, _, (bars,) = container.lines
            assert line.get_ydata() == pytest.approx([entry["rate"] for entry in entries])
            assert line.get_xdata() == pytest.approx([0, 1, 2], abs=0.25)
            assert line.get_marker() == markers[test]
            assert (line.get_markerfacecolor() == "white") == (size == SIZES[1])
            for segment, entry in zip(bars.get_segments(), entries, strict=True):
                assert segment[:, 1] == pytest.approx(entry["interval"])


def test_a_rate_of_0_is_drawn_at_the_lower_end(results, monkeypatch):
    results["rates"][0] |= {"rate": 0.0, "interval": [0.0, 0.004]}
    axes = draw(results, monkeypatch).axes[0]
    line, _, (bars,) = axes.containers[0].lines
    assert line.get_ydata()[0] == 0.001 > axes.get_ylim()[0]
    assert bars.get_segments()[0][:, 1] == pytest.approx([0.001, 0.004])


def test_the_legend_names_tests_sizes_and_simulations_and_covers_nothing(results, monkeypatch):
    figure = draw(results, monkeypatch)
    (legend,) = figure.legends
    assert legend.get_title().get_text().startswith("1,500 simulations of two equally good models")
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[4:] == ["1,350 clips of 45 speakers", "300 clips of 15 speakers", "5 %, as it should be"]
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height
    for axes in figure.axes:
        assert not box.overlaps(axes.get_tightbbox())  # with the labels of the axes


def test_the_committed_results_can_be_plotted(tmp_path):
    results = json.loads((Path(false_alarms.__file__).parent / "results" / "false_alarms.json").read_text())
    files = plot_false_alarms(results, tmp_path / "false_alarms.json")
    assert [file.name for file in files] == ["false_alarms.png", "false_alarms.svg"]
    title = f"{results['repetitions']:,} simulations of two equally good models per point, bars: 95 % intervals"
    assert f"<!-- {title} -->" in files[1].read_text()
