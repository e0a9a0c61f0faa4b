"""Scores of groups are those of their clips alone, with the intervals of the bootstrap over their speakers."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value

from paravox.evaluation import group_scores
from paravox.evaluation.bootstrap import bootstrap_scores, draw_speakers, interval
from paravox.evaluation.group_scores import (
    band_width,
    ccc_by_label,
    groups_of_columns,
    groups_of_labels,
    score_groups,
    scores_with_intervals,
    speaker_names,
)
from paravox.modeling.tasks import Task
from paravox.trainers.scoring import score_split

EMOTION = Task("emotion", "intensities", labels=("awe", "fear", "joy"))
AGE = Task("age", "scalar", range=(20, 39), unit="years")
COUNTRY = Task("country", "classes", labels=("China", "USA", "Peru"))
TASKS = [EMOTION, AGE, COUNTRY]


@pytest.fixture
def split():
    """120 clips of 24 speakers. Some labels are unknown, and nobody is from Peru."""
    generator = np.random.default_rng(0)
    labels = {
        "emotion": generator.random((120, 3)).astype(np.float32),
        "age": generator.uniform(20, 39, 120).astype(np.float32),
        "country": generator.integers(2, size=120),
    }
    predictions = {
        "emotion": labels["emotion"] * 0.5 + generator.random((120, 3)) * 0.4,
        "age": labels["age"] + generator.normal(0, 4, 120),
        "country": generator.dirichlet(np.ones(3), 120),
    }
    labels["emotion"][:10, 1] = np.nan
    labels["age"][5:20] = np.nan
    labels["country"][90:] = -100
    return predictions, labels, [f"s{clip // 5}" for clip in range(120)]


def rows_of(values, rows):
    return {name: array[rows] for name, array in values.items()}


def test_scores_and_intervals_are_those_of_the_split_and_of_the_bootstrap(split):
    predictions, labels, speakers = split
    found = scores_with_intervals(TASKS, predictions, labels, speakers)
    expected = score_split(TASKS, predictions, labels)
    drawn = bootstrap_scores(TASKS, predictions, labels, draw_speakers(speakers))
    assert set(found) == set(expected) and len(expected) == 5
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-5), name
        assert found[name].interval == interval(drawn[name]) and found[name].interval[0] < value


def test_a_group_scores_what_its_clips_score_alone(split):
    predictions, labels, speakers = split
    names = [None if clip >= 115 else ("b" if clip % 15 < 5 else "a") for clip in range(120)]
    first, second = score_groups(TASKS, predictions, labels, speakers, names)
    assert (first.name, second.name) == ("a", "b") and first.clips + second.clips == 115
    for group in (first, second):
        rows = [row for row, name in enumerate(names) if name == group.name]
        members = [speakers[row] for row in rows]
        inside = rows_of(predictions, rows), rows_of(labels, rows)
        expected = score_split(TASKS, *inside)
        drawn = bootstrap_scores(TASKS, *inside, draw_speakers(members))
        assert group.speakers == len(set(members)) and set(group.scores) == set(expected)
        for name, value in expected.items():
            assert group.scores[name].value == pytest.approx(value, abs=1e-5)
            assert group.scores[name].interval == interval(drawn[name])


def test_a_task_with_too_few_clips_or_speakers_in_a_group_has_no_score_there(split, monkeypatch):
    predictions, labels, speakers = split
    names = ["x"] * 40 + ["few clips"] * 19 + ["y"] * 61
    by_name = {group.name: group for group in score_groups(TASKS, predictions, labels, speakers, names)}
    assert by_name["few clips"].clips == 19 and by_name["few clips"].scores == {}
    # Of the clips of "x", 25 have an age; those of 5 speakers are the least that counts.
    assert "age_mae" in by_name["x"].scores
    monkeypatch.setattr(group_scores, "MIN_SPEAKERS", 6)
    by_name = {group.name: group for group in score_groups(TASKS, predictions, labels, speakers, names)}
    assert "age_mae" not in by_name["x"].scores and "emotion_ccc" in by_name["x"].scores
    assert "s_mtl" not in by_name["x"].scores


def test_the_ccc_of_each_label_averages_to_that_of_the_task(split):
    predictions, labels, speakers = split
    found = ccc_by_label(EMOTION, predictions["emotion"], labels["emotion"], speakers)
    known = ~np.isnan(labels["emotion"]).any(axis=1)
    for column, label in enumerate(EMOTION.labels):
        guess, truth = predictions["emotion"][known, column], labels["emotion"][known, column].astype(float)
        spread = guess.var() + truth.var() + (guess.mean() - truth.mean()) ** 2
        assert found[label].value == pytest.approx(2 * np.cov(guess, truth, bias=True)[0, 1] / spread)
        assert found[label].interval[0] < found[label].value < found[label].interval[1]
    mean = np.mean([score.value for score in found.values()])
    assert mean == pytest.approx(score_split([EMOTION], predictions, labels)["emotion_ccc"], abs=1e-5)


@pytest.mark.parametrize("clips", [1, 5])
def test_a_single_speaker_has_scores_without_intervals(split, clips):
    predictions, labels, speakers = split
    inside = rows_of(predictions, slice(30, 30 + clips)), rows_of(labels, slice(30, 30 + clips))
    found = scores_with_intervals(TASKS, *inside, speakers[30 : 30 + clips])
    assert found["age_mae"].value == pytest.approx(np.abs(inside[0]["age"] - inside[1]["age"]).mean(), rel=1e-5)
    assert [score.interval for score in found.values()] == [None] * len(found)


def test_a_clip_without_a_speaker_is_a_speaker_of_its_own():
    assert len(set(speaker_names(None, 3))) == 3
    assert len(set(speaker_names(["a", None, "", "a", None], 5))) == 4


def test_columns_that_sort_clips_into_groups():
    clips = Dataset.from_dict(
        {
            "path": ["a", "b"] * 10,
            "speaker": ["s", "t"] * 10,
            "split": ["x", "y"] * 10,
            "age": [20, 30] * 10,
            "awe": [0.0, 1.0] * 10,
            "fear": [0.0, 1.0] * 10,
            "joy": [0.0, 1.0] * 10,
            "country": ["China", "USA"] * 10,
            "sex": ["female", None, "", "male"] * 5,
            "take": list(range(1, 5)) * 5,
            "one": ["only", None] * 10,
            "twelve": [str(row % 12) for row in range(20)],
            "thirteen": [str(row % 13) for row in range(20)],
            "listed": [["a"], ["b"]] * 10,
            "loud": [float("nan"), 0.5, 1.5, 0.5] * 5,
            "source": [0, 1] * 10,
        },
        features=Features(
            {name: Value("string") for name in ("path", "speaker", "split")}
            | {"age": Value("int64")}
            | {name: Value("float32") for name in EMOTION.labels}
            | {name: Value("string") for name in ("country", "sex")}
            | {"take": Value("int64")}
            | {name: Value("string") for name in ("one", "twelve", "thirteen")}
            | {"listed": Sequence(Value("string")), "loud": Value("float32")}
            | {"source": ClassLabel(names=["studio", "phone"])}
        ),
    )
    found = groups_of_columns(clips, TASKS)
    assert list(found) == ["sex", "take", "twelve", "loud", "source"]
    assert found["sex"][:4] == ["female", None, None, "male"] and found["take"][:2] == ["1", "2"]
    assert found["loud"][:2] == [None, "0.5"] and found["source"][:2] == ["studio", "phone"]


def test_true_labels_make_groups(split):
    _, labels, _ = split
    labels["age"][:5] = [20, 24.9, 25, 38.9, 39]
    found = groups_of_labels(TASKS, labels)
    assert list(found) == ["age (bands of 5 years)", "country"]
    bands, countries = found.values()
    assert bands[:6] == ["20 to 25", "20 to 25", "25 to 30", "35 to 40", "35 to 40", None]
    assert countries[90:] == [None] * 30 and countries[0] == COUNTRY.labels[labels["country"][0]]
    nothing = {"emotion": labels["emotion"], "age": np.full(3, np.nan), "country": np.full(3, -100)}
    assert groups_of_labels(TASKS, nothing) == {}


@pytest.mark.parametrize(
    ("low", "high", "unit", "width"),
    [(20, 39, "years", 5), (0, 100, "years", 10), (7, 81, "years", 10), (0, 1, None, 0.1), (0, 3000, "m", 500)],
)
def test_bands_are_round_and_at_most_ten(low, high, unit, width):
    assert band_width(Task("x", "scalar", range=(low, high), unit=unit)) == pytest.approx(width)


def test_groups_are_in_the_order_of_their_numbers(split):
    names = [("5 to 10", "10 to 15", "-5 to 0", "other")[clip % 4] for clip in range(120)]
    found = [group.name for group in score_groups(TASKS, *split, names)]
    assert found == ["-5 to 0", "5 to 10", "10 to 15", "other"]
