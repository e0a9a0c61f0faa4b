"""Intervals: the first draw is the score itself; every other one is that of the clips drawn, worked out one by one."""

import numpy as np
import pytest
from sklearn.metrics import recall_score

from paravox.evaluation.bootstrap import bootstrap_scores, draw_speakers, interval
from paravox.modeling.tasks import Task
from paravox.trainers.scoring import score_split

TASKS = [
    Task("emotion", "intensities", labels=("awe", "fear", "joy")),
    Task("age", "scalar", range=(20, 40), unit="years"),
    Task("country", "classes", labels=("China", "USA")),
]
CLIPS = 40


@pytest.fixture
def split():
    generator = np.random.default_rng(0)
    labels = {
        "emotion": generator.random((CLIPS, 3)).astype(np.float32),
        "age": generator.uniform(20, 40, CLIPS).astype(np.float32),
        "country": generator.integers(2, size=CLIPS),
    }
    labels["emotion"][:5] = np.nan
    labels["age"][3:9] = np.nan
    labels["country"][10:14] = -100
    noise = {name: generator.random(values.shape) for name, values in labels.items()}
    predictions = {
        "emotion": 0.5 * np.nan_to_num(labels["emotion"]) + 0.5 * noise["emotion"],
        "age": np.nan_to_num(labels["age"], nan=30) + 8 * noise["age"] - 4,
        "country": np.eye(2)[(noise["country"] < 0.6) * labels["country"].clip(0)],
    }
    return predictions, labels, [f"speaker {clip // 4}" for clip in range(CLIPS)]


def test_the_first_draw_is_the_score(split):
    predictions, labels, speakers = split
    found = bootstrap_scores(TASKS, predictions, labels, draw_speakers(speakers, draws=3))
    expected = score_split(TASKS, predictions, labels)
    assert {name: values[0] for name, values in found.items()} == pytest.approx(expected, abs=1e-6)


def test_every_draw_is_the_score_of_the_clips_that_were_drawn(split):
    predictions, labels, speakers = split
    counts = draw_speakers(speakers, draws=20, seed=1)
    found = bootstrap_scores(TASKS, predictions, labels, counts)
    for draw in range(1, 21):
        rows = np.repeat(np.arange(CLIPS), counts[draw].astype(int))
        drawn = [{name: values[rows] for name, values in table.items()} for table in (predictions, labels)]
        expected = score_split(TASKS, *drawn)
        assert {name: values[draw] for name, values in found.items()} == pytest.approx(expected, abs=1e-6)


def test_speakers_are_drawn_whole(split):
    speakers = split[2]
    counts = draw_speakers(speakers, draws=50)
    assert (counts[0] == 1).all() and (counts.sum(axis=1) == CLIPS).all()
    assert (counts.reshape(51, -1, 4) == counts.reshape(51, -1, 4)[:, :, :1]).all()
    np.testing.assert_array_equal(counts, draw_speakers(speakers, draws=50))


def test_the_interval_leaves_the_score_itself_out():
    values = np.concatenate([[1000.0], np.arange(1001.0)])
    assert interval(values) == [25.0, 975.0]


def test_a_constant_column_counts_0(split):
    predictions, labels, speakers = split
    constant = predictions | {"emotion": np.full((CLIPS, 3), 0.4)}
    found = bootstrap_scores(TASKS, constant, labels, draw_speakers(speakers, draws=5))
    assert found["emotion_ccc"] == pytest.approx(np.zeros(6), abs=1e-12) and (found["s_mtl"][0] == 0)


def test_a_class_that_a_draw_lacks_is_left_out_of_its_recall():
    generator = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2, 0, 1], 4)
    # The last class has one speaker, whom a third of the draws lacks.
    speakers = [f"speaker {clip // 4}" for clip in range(20)]
    predictions = {"country": generator.dirichlet(np.ones(3), 20)}
    task = Task("country", "classes", labels=("China", "USA", "Venezuela"))
    counts = draw_speakers(speakers, draws=50)
    found = bootstrap_scores([task], predictions, {"country": truth}, counts)["country_uar"]
    assert 5 < (counts[:, 8] == 0).sum() < 45
    guess = predictions["country"].argmax(axis=1)
    for draw, weights in zip(found, counts, strict=True):
        drawn = weights > 0
        expected = recall_score(
            truth[drawn], guess[drawn], sample_weight=weights[drawn], average="macro", labels=np.unique(truth[drawn])
        )
        assert draw == pytest.approx(expected)


def test_a_column_that_is_constant_on_both_sides_counts_0(split):
    predictions, labels, speakers = split
    for values in (predictions["emotion"], labels["emotion"]):
        values[:, 1] = 0.25
    found = bootstrap_scores(TASKS[:1], predictions, labels, draw_speakers(speakers, draws=5))["emotion_ccc"]
    other_columns = [
        bootstrap_scores(
            [Task("emotion", "intensities", labels=("x",))],
            {"emotion": predictions["emotion"][:, [column]]},
            {"emotion": labels["emotion"][:, [column]]},
            draw_speakers(speakers, draws=5),
        )["emotion_ccc"]
        for column in (0, 2)
    ]
    np.testing.assert_allclose(found, np.sum(other_columns, axis=0) / 3)


def test_a_task_without_known_labels_has_no_score(split):
    predictions, labels, speakers = split
    labels["age"][:] = np.nan
    found = bootstrap_scores(TASKS, predictions, labels, draw_speakers(speakers, draws=5))
    assert set(found) == {"emotion_ccc", "emotion_uar", "country_uar"}
    assert found.keys() == score_split(TASKS, predictions, labels).keys()
