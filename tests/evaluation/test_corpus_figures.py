"""Figures of a corpus: what is drawn is counted again by hand."""

import numpy as np
import pytest

from paravox.evaluation.corpus_figures import plot_lengths, plot_scalar_by_class
from paravox.modeling.tasks import Task

AGE = Task("age", "scalar", range=(20, 40), unit="years")
COUNTRY = Task("country", "classes", labels=("China", "USA"))


def bars(container):
    """The bars that are not empty: left edge, right edge, bottom and height."""
    return [
        (bar.get_x(), bar.get_x() + bar.get_width(), bar.get_y(), bar.get_height())
        for bar in container
        if bar.get_height()
    ]


def test_each_split_has_a_panel_of_its_own():
    figure = plot_lengths(
        {"train": np.array([0.05, 0.05, 1.25, 6.0]), "validation": np.array([2.0]), "test": np.array([3.05, 3.05])}
    )
    panels = figure.axes
    assert [panel.get_title(loc="left").split(":")[0] for panel in panels] == ["train", "validation", "test"]
    assert panels[0].get_title(loc="left") == "train: 4 clips, 0.00 hours, median 0.65 s (line)"
    # 60 bins of 0.1 seconds up to the longest clip of all splits.
    expected = [[(0.0, 2), (1.2, 1), (5.9, 1)], [(2.0, 1)], [(3.0, 2)]]
    for panel, counts in zip(panels, expected, strict=True):
        found = [(left, height) for left, _, _, height in bars(panel.containers[0])]
        assert found == [(pytest.approx(left), height) for left, height in counts]
    assert [panel.lines[0].get_xdata()[0] for panel in panels] == [pytest.approx(0.65), 2.0, 3.05]
    assert {panel.get_xlim()[0] for panel in panels} == {0} and len({panel.get_xlim() for panel in panels}) == 1
    assert "seconds" in panels[-1].get_xlabel()


def test_a_scalar_is_stacked_by_class_in_bins_of_two_and_a_half():
    ages = np.array([21.0, 22.4, 22.5, 29.9, 30.0, 20.0, np.nan, 39.0])
    countries = np.array([0, 1, 1, 0, 1, 0, 0, -100])
    figure = plot_scalar_by_class(AGE, COUNTRY, ages, countries)
    (panel,) = figure.axes
    china, usa = (bars(container) for container in panel.containers)
    # The last bin contains its upper edge, as in figure 1 of the paper, whose ages end at 40.
    assert china == [(20.0, 22.5, 0.0, 2.0), (27.5, 30.0, 0.0, 1.0)]
    assert usa == [(20.0, 22.5, 2.0, 1.0), (22.5, 25.0, 0.0, 1.0), (27.5, 30.0, 1.0, 1.0)]
    (legend,) = figure.legends
    # The median of 21, 29.9 and 20 and that of 22.4, 22.5 and 30; the class that is drawn on top comes first.
    assert [text.get_text() for text in legend.get_texts()] == ["USA (3; 22.5)", "China (3; 21)"]
    assert legend.get_title().get_text() == "country\n(clips; median age)"
    assert panel.get_xlabel() == "age (years)"


def test_a_class_without_clips_has_no_median():
    figure = plot_scalar_by_class(AGE, COUNTRY, np.array([21.0, 23.0]), np.array([1, 1]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["USA (2; 22)", "China (0)"]


def test_one_value_and_many_classes_can_be_drawn():
    sounds = Task("sound", "classes", labels=tuple(f"sound{number}" for number in range(16)))
    figure = plot_scalar_by_class(AGE, sounds, np.full(16, 25.0), np.arange(16))
    drawn = [container for container in figure.axes[0].containers if bars(container)]
    assert len({container[0].get_facecolor() for container in drawn}) == 16
    assert [bars(container) for container in drawn] == [[(25.0, 27.5, float(n), 1.0)] for n in range(16)]
