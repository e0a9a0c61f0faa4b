"""What is drawn: every line, bar, shading and error bar has the numbers that the csv beside it has."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted_study import EMOTIONS, LANGUAGES, SHOTS, STUDY

from paravox.study import figures
from paravox.study.statistics import StudyResults

EVERYTHING = "ased+emodb+ravdess+turev"
RESULTS = StudyResults(
    STUDY, pd.DataFrame({"checkpoint": ["none"], "status": ["finished"], "macro_f1": [0.5]}), outside=0
)


@pytest.fixture
def drawn(monkeypatch):
    """Figures that would have been saved, with the paths that they would have been saved to."""
    kept = {}
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: kept.update({path.name: figure}) or [path])
    return kept


def random_columns(table, *columns, seed=0):
    """A table with a random number per row and column, which no sum of others gives."""
    generator = np.random.default_rng(seed)
    return table.assign(**{column: generator.random(len(table)) for column in columns})


def labels_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def shading(collection):
    """The lowest and highest y at each x of a shading."""
    points = pd.DataFrame(collection.get_paths()[0].vertices, columns=["x", "y"]).groupby("x")["y"]
    return points.min().to_numpy(), points.max().to_numpy()


def test_figure_2(drawn):
    table = pd.DataFrame(itertools.product(SHOTS, range(5)), columns=["k", "corpora"])
    numbers = random_columns(table, "mean", "low", "high", "standard_error").assign(always_no=0.4375)
    figures.plot_figure_2(numbers, RESULTS, Path())
    (axes,) = drawn["figure_2"].axes
    assert labels_of(axes) == ["k = 64", "k = 8", "k = 2", "always no"]
    for line, shade, k in zip(axes.lines, axes.collections, (64, 8, 2), strict=False):
        rows = numbers[numbers["k"] == k]
        np.testing.assert_array_equal(line.get_xydata(), rows[["corpora", "mean"]])
        low, high = shading(shade)
        np.testing.assert_allclose(low, rows["mean"] - rows["standard_error"])
        np.testing.assert_allclose(high, rows["mean"] + rows["standard_error"])
    assert set(axes.lines[3].get_ydata()) == {0.4375}
    assert "shading: standard error of the mean" in drawn["figure_2"].get_supxlabel()


def test_figure_3(drawn):
    table = pd.DataFrame(itertools.product(SHOTS, STUDY["corpora"]), columns=["k", "corpus"])
    numbers = random_columns(table, "difference", "below", "above")
    numbers = numbers.assign(
        low=numbers["difference"] - numbers["below"], high=numbers["difference"] + numbers["above"]
    )
    figures.plot_figure_3(numbers, RESULTS, Path())
    (axes,) = drawn["figure_3"].axes
    assert labels_of(axes) == STUDY["corpora"]
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(k) for k in SHOTS]
    errors = [container for container in axes.containers if hasattr(container, "has_yerr")]
    bars = [container for container in axes.containers if not hasattr(container, "has_yerr")]
    for corpus, bar, error in zip(STUDY["corpora"], bars, errors, strict=True):
        rows = numbers[numbers["corpus"] == corpus]
        assert bar.get_label() == corpus
        np.testing.assert_allclose([patch.get_height() for patch in bar.patches], rows["difference"])
        # Each group of bars is around the place of its k.
        assert [round(patch.get_x() + patch.get_width() / 2) for patch in bar.patches] == [0, 1, 2]
        segments = np.array(error.lines[2][0].get_segments())
        np.testing.assert_allclose(segments[:, 0, 1], rows["low"])
        np.testing.assert_allclose(segments[:, 1, 1], rows["high"])


def test_figure_4(drawn):
    languages = list(dict.fromkeys(LANGUAGES.values()))
    columns = ["language", "emotion", "k", "checkpoint"]
    table = pd.DataFrame(itertools.product(languages, EMOTIONS, SHOTS, (EVERYTHING, "none")), columns=columns)
    numbers = random_columns(table, "mean", "below", "above")
    numbers = numbers.assign(low=numbers["mean"] - numbers["below"], high=numbers["mean"] + numbers["above"])
    figures.plot_figure_4(numbers, RESULTS, Path())
    panels = drawn["figure_4"].axes
    for axes, (language, emotion) in zip(panels, itertools.product(languages, EMOTIONS), strict=True):
        assert [line.get_label() for line in axes.lines] == ["all corpora", "none"]
        for line, shade, checkpoint in zip(axes.lines, axes.collections, (EVERYTHING, "none"), strict=True):
            rows = numbers[(numbers[columns[:2]] == [language, emotion]).all(axis=1)]
            rows = rows[rows["checkpoint"] == checkpoint]
            np.testing.assert_array_equal(line.get_ydata(), rows["mean"])
            low, high = shading(shade)
            np.testing.assert_allclose(low, rows["low"])
            np.testing.assert_allclose(high, rows["high"])
    assert [axes.get_title() for axes in panels[:2]] == EMOTIONS
    assert [axes.get_ylabel() for axes in panels[::2]] == [f"{language}\nmacro F1" for language in languages]
