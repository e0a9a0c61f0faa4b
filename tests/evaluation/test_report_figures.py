"""Figures of a report show the numbers that they were given, and cope with classes and bins that are empty."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from sklearn.metrics import confusion_matrix, recall_score

from paravox.evaluation.figure_style import figure_bytes
from paravox.evaluation.group_scores import Score
from paravox.evaluation.reliability import reliability
from paravox.evaluation.report_figures import WIDTH, plot_confusion, plot_intervals, plot_reliability, plot_scalar
from paravox.modeling.tasks import Task

AGE = Task("age", "scalar", range=(0, 100), unit="years")


def labels_of(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_the_confusion_matrix_has_counts_and_recalls():
    generator = np.random.default_rng(0)
    true, guess = generator.integers(3, size=60), generator.integers(4, size=60)
    counts = confusion_matrix(true, guess, labels=range(4))
    figure = plot_confusion(["a", "b", "c", "never"], counts)
    axes = figure.axes[0]
    found = np.zeros((4, 4), int)
    for text in axes.texts:
        column, row = text.get_position()
        found[row, column] = int(text.get_text())
    np.testing.assert_array_equal(found, counts)
    recalls = recall_score(true, guess, labels=range(3), average=None)
    (right,) = axes.child_axes
    assert labels_of(right.yaxis) == [*(f"{recall:.2f}" for recall in recalls), "–"]
    assert labels_of(axes.yaxis) == labels_of(axes.xaxis) == ["a", "b", "c", "never"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_intervals_are_drawn_from_the_top_with_those_of_all_clips():
    scores = {"x": Score(0.5, [0.4, 0.7]), "alone": Score(0.2, None)}
    axes = plot_intervals(scores, "CCC", overall=Score(0.3, [0.25, 0.35])).axes[0]
    points = [line.get_xydata().tolist() for line in axes.lines]
    assert points[1:] == [[[0.4, 0], [0.7, 0]], [[0.5, 0]], [[0.2, 1]]]
    assert axes.lines[0].get_xdata()[0] == 0.3
    # A polygon up to matplotlib 3.8, and a rectangle since.
    band = axes.patches[0].get_path().transformed(axes.patches[0].get_patch_transform())
    assert band.get_extents().intervalx.tolist() == [0.25, 0.35]
    assert labels_of(axes.yaxis) == ["x", "alone"] and axes.yaxis_inverted() and axes.get_xlabel() == "CCC"


@pytest.mark.parametrize("clips", [1, 50, 1000])
def test_the_scatter_has_one_point_per_clip_and_the_identity_line(clips):
    generator = np.random.default_rng(0)
    labels, predictions = generator.uniform(10, 60, (2, clips))
    axes = plot_scalar(AGE, predictions, labels).axes[0]
    points = next(part for part in axes.collections if isinstance(part, PathCollection))
    np.testing.assert_allclose(points.get_offsets(), np.column_stack([labels, predictions]))
    assert points.get_rasterized() == (clips > 300)
    line = axes.lines[0].get_xydata()
    assert (line[:, 0] == line[:, 1]).all() and line.min() <= labels.min() and line.max() >= predictions.max()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("true age (years)", "predicted age (years)")


def test_reliability_shows_filled_bins_and_marks_those_with_few_values():
    predicted = np.repeat([0.15, 0.55, 0.95], [20, 3, 10])
    observed = np.concatenate([np.zeros(10), np.ones(10), [1, 0, 0], np.ones(10)])
    upper, lower = plot_reliability(reliability(predicted, observed), "predicted", "right", "clips").axes
    identity, filled, hollow = upper.lines
    np.testing.assert_allclose(filled.get_xydata(), [[0.15, 0.5], [0.95, 1.0]])
    np.testing.assert_allclose(hollow.get_xydata(), [[0.55, 1 / 3]])
    assert hollow.get_markerfacecolor() == "white" and hollow.get_label() == "fewer than 10 clips"
    assert identity.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert [bar.get_height() for bar in lower.patches] == [0, 20, 0, 0, 0, 3, 0, 0, 0, 10]


def test_figures_of_usual_size_fit_a_phone_and_their_labels_may_hold_anything():
    labels = ["$\\frac{$", "<b>&", "a label that is longer than all others by far", *"abcdefg"]
    figures = [
        plot_confusion(labels, np.eye(10, dtype=int)),
        plot_intervals({label: Score(0.1, [0.0, 0.2]) for label in labels}, "CCC"),
        plot_scalar(AGE, np.array([3.0]), np.array([3.0])),
        plot_reliability(reliability(np.array([]), np.array([])), "x", "y", "clips"),
    ]
    for figure in figures:
        assert figure.get_figwidth() <= WIDTH + 0.5 and figure_bytes(figure, ".svg").startswith(b"<?xml")
