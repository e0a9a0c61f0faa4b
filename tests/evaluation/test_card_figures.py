"""Figures of a model card: counts, shares, scores and curves are those of the predictions and the log."""

import numpy as np
import pytest

from paravox.evaluation import card_figures
from paravox.evaluation.card_figures import plot_confusion_matrix, plot_scores, plot_training_curves
from paravox.modeling.tasks import Task

TASKS = [
    Task("emotion", "intensities", labels=("awe", "fear", "joy")),
    Task("age", "scalar", range=(0, 100)),
    Task("country", "classes", labels=("China", "USA", "Venezuela")),
]


@pytest.fixture
def figures(monkeypatch):
    """The figures by file name, in the place of files."""
    kept = {}
    monkeypatch.setattr(
        card_figures, "save_figure", lambda figure, file, suffixes, dpi: kept.update({file.name: figure})
    )
    return kept


@pytest.fixture
def split():
    """Predictions and labels of 30 clips, of which some have no label."""
    generator = np.random.default_rng(0)
    labels = {
        "emotion": generator.random((30, 3)),
        "age": generator.uniform(0, 100, 30),
        "country": generator.integers(3, size=30),
    }
    noise = np.array([0.05, 2.0, 0.5])
    predictions = {
        "emotion": labels["emotion"] + noise * generator.normal(size=(30, 3)),
        "age": labels["age"],
        "country": generator.dirichlet(np.ones(3), 30),
    }
    labels["emotion"][:4] = np.nan
    labels["country"][4:9] = -100
    return predictions, labels


def ccc(first, second):
    return (
        2 * np.cov(first, second, bias=True)[0, 1] / (first.var() + second.var() + (first.mean() - second.mean()) ** 2)
    )


def test_scores_are_plotted_by_task(split, figures, tmp_path):
    assert plot_scores(TASKS, *split, tmp_path) == [
        {"title": "CCC by emotion", "file": "emotion.png"},
        {"title": "Confusion matrix of country", "file": "country.png"},
    ]
    assert set(figures) == {"emotion.png", "country.png"}


def test_the_confusion_matrix_counts_true_classes_in_rows(split, figures, tmp_path):
    predictions, labels = split
    plot_scores(TASKS, predictions, labels, tmp_path)
    axes = figures["country.png"].axes[0]
    counts = np.zeros((3, 3), int)
    for true, guess in zip(labels["country"], predictions["country"], strict=True):
        if true >= 0:
            counts[true, guess.argmax()] += 1
    assert (counts != counts.T).any()
    found = {(text.get_position()[1], text.get_position()[0]): int(text.get_text()) for text in axes.texts}
    assert found == {(row, column): counts[row, column] for row, column in np.ndindex(3, 3)}
    np.testing.assert_allclose(axes.images[0].get_array(), counts / counts.sum(axis=1, keepdims=True))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["China", "USA", "Venezuela"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["China", "USA", "Venezuela"]


def test_the_best_intensity_is_at_the_top(split, figures, tmp_path):
    predictions, labels = split
    plot_scores(TASKS, predictions, labels, tmp_path)
    axes = figures["emotion.png"].axes[0]
    expected = {
        label: ccc(predictions["emotion"][4:, column], labels["emotion"][4:, column])
        for column, label in enumerate(TASKS[0].labels)
    }
    labels_upwards = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels_upwards == sorted(expected, key=expected.get) == ["fear", "joy", "awe"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([expected[label] for label in labels_upwards])


def test_a_task_without_two_known_labels_has_no_figure(split, figures, tmp_path):
    predictions, labels = split
    labels["emotion"][:, 1] = np.nan
    labels["country"][1:] = -100
    assert plot_scores(TASKS, predictions, labels, tmp_path) == [] and not figures


LOG = [
    {"step": 10, "loss": 2.0, "learning_rate": 1e-3},
    {"step": 20, "eval_emotion_ccc": 0.3, "eval_s_mtl": 0.1, "eval_loss": 1.5, "eval_runtime": 9.0},
    {"step": 30, "loss": 1.0},
    {"step": 40, "eval_emotion_ccc": 0.4, "eval_s_mtl": 0.2},
    {"step": 40, "train_runtime": 100.0, "train_loss": 1.2},
]


def test_curves_are_the_losses_and_scores_of_the_log(figures, tmp_path):
    assert plot_training_curves(LOG, tmp_path / "curves.png")
    found = {axes.get_title(): axes.lines[0].get_xydata().tolist() for axes in figures["curves.png"].axes}
    assert found == {
        "training loss": [[10, 2.0], [30, 1.0]],
        "emotion CCC": [[20, 0.3], [40, 0.4]],
        "S_MTL": [[20, 0.1], [40, 0.2]],
    }


def test_a_log_without_anything_to_plot_has_no_figure(figures, tmp_path):
    assert not plot_training_curves([{"step": 40, "train_runtime": 100.0, "eval_loss": 1.0}], tmp_path / "curves.png")
    assert not figures


def test_labels_that_matplotlib_would_take_for_something_else_are_drawn(split, tmp_path):
    """Such as mathematics, or a name that is hidden from a legend."""
    names = ["$\\frac$", "_a $x_ y$", "x" * 200]
    tasks = [
        Task(name, kind=kind, labels=tuple(names))
        for name, kind in (("emotion", "intensities"), ("country", "classes"))
    ]
    assert len(plot_scores(tasks, *split, tmp_path)) == 2
    assert (tmp_path / "emotion.png").is_file() and (tmp_path / "country.png").is_file()


def test_a_figure_that_fails_is_a_warning_with_the_reason_and_the_others_stay(split, tmp_path, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("no font")

    monkeypatch.setattr(card_figures, "plot_ccc_by_label", fail)
    assert [figure["file"] for figure in plot_scores(TASKS, *split, tmp_path)] == ["country.png"]
    assert "emotion.png could not be drawn and is left out: RuntimeError: no font" in caplog.text


def test_sixty_classes_have_no_numbers_that_take_a_minute_to_draw(figures, tmp_path):
    task = Task("word", kind="classes", labels=tuple(f"w{number}" for number in range(60)))
    plot_confusion_matrix(task, np.eye(60), np.arange(60), tmp_path / "word.png")
    axes = figures["word.png"].axes[0]
    assert not axes.texts and len(figures["word.png"].axes) == 2  # the other one is the scale of the colours
