"""Scores of a split against scikit-learn and the formulas, on the clips whose labels are known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, recall_score

from paravox.modeling.tasks import Task
from paravox.trainers.scoring import metric_names, score_split

EMOTION = Task("emotion", kind="intensities", labels=("awe", "fear", "joy"))
AGE = Task("age", kind="scalar", range=(20, 40))
COUNTRY = Task("country", kind="classes", labels=("a", "b", "c", "d"))
TASKS = [EMOTION, AGE, COUNTRY]
CLIPS = 60


@pytest.fixture
def split():
    """Predictions, labels and logits; a fifth of the labels of each task is unknown."""
    generator = np.random.default_rng(0)
    labels = {
        "emotion": generator.random((CLIPS, 3)).astype(np.float32),
        "age": generator.uniform(20, 40, CLIPS).astype(np.float32),
        "country": generator.integers(0, 4, CLIPS),
    }
    logits = {
        "emotion": (labels["emotion"] + generator.normal(scale=0.3, size=(CLIPS, 3))).astype(np.float32),
        "age": generator.random((CLIPS, 1)).astype(np.float32),
        "country": generator.normal(size=(CLIPS, 4)).astype(np.float32),
    }
    predictions = {
        "emotion": logits["emotion"].clip(0, 1),
        "age": 20 + 20 * logits["age"][:, 0],
        "country": torch.softmax(torch.from_numpy(logits["country"]), dim=1).numpy(),
    }
    labels["emotion"][::5] = np.nan
    labels["age"][1::5] = np.nan
    labels["country"][2::5] = -100
    return predictions, labels, logits


def test_scores_are_those_of_the_formulas(split):
    predictions, labels, logits = split
    scores = score_split(TASKS, predictions, labels, logits)
    assert set(scores) == set(metric_names(TASKS))

    known = ~np.isnan(labels["emotion"]).any(axis=1)
    x, y = predictions["emotion"][known].astype(float), labels["emotion"][known].astype(float)
    covariance = ((x - x.mean(axis=0)) * (y - y.mean(axis=0))).mean(axis=0)
    ccc = 2 * covariance / (x.var(axis=0) + y.var(axis=0) + (x.mean(axis=0) - y.mean(axis=0)) ** 2)
    assert scores["emotion_ccc"] == pytest.approx(ccc.mean(), abs=1e-6)
    assert scores["emotion_uar"] == pytest.approx(recall_score(y.argmax(axis=1), x.argmax(axis=1), average="macro"))

    known = ~np.isnan(labels["age"])
    mae = mean_absolute_error(labels["age"][known], predictions["age"][known])
    assert scores["age_mae"] == pytest.approx(mae, rel=1e-6) and scores["age_loss"] == pytest.approx(mae / 20, rel=1e-5)

    known = labels["country"] != -100
    truth, rows = labels["country"][known], logits["country"][known]
    assert scores["country_uar"] == pytest.approx(recall_score(truth, rows.argmax(axis=1), average="macro"))
    log_probabilities = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    cross_entropy = -log_probabilities[np.arange(len(truth)), truth].mean()
    assert scores["country_loss"] == pytest.approx(cross_entropy, rel=1e-5)

    losses = [scores[f"{task.name}_loss"] for task in TASKS]
    assert scores["loss"] == pytest.approx(np.mean(losses))
    expected = 3 / (1 / scores["emotion_ccc"] + 1 / scores["country_uar"] + scores["age_mae"])
    assert scores["s_mtl"] == pytest.approx(expected)


def test_another_loss_can_be_given(split):
    predictions, labels, logits = split
    seen = []
    scores = score_split(TASKS, predictions, labels, logits, lambda *given: seen.append(given[0]) or torch.tensor(2.5))
    assert seen == ["emotion", "age", "country"] and scores["loss"] == scores["age_loss"] == 2.5


def test_s_mtl_needs_one_task_of_each_kind(split):
    predictions, labels, _ = split
    assert "s_mtl" not in metric_names([EMOTION, AGE])
    assert "s_mtl" not in score_split([EMOTION, AGE], predictions, labels)
    twice = [*TASKS, Task("sex", kind="classes", labels=("f", "m"))]
    assert "s_mtl" not in metric_names(twice)


def test_a_task_without_known_labels_has_no_score(split):
    predictions, labels, logits = split
    labels["age"][:] = np.nan
    scores = score_split(TASKS, predictions, labels, logits)
    assert not any(name.startswith("age") for name in scores) and "s_mtl" not in scores
    assert scores["loss"] == pytest.approx((scores["emotion_loss"] + scores["country_loss"]) / 2)
