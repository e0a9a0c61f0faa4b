"""Frozen probes against loops over scikit-learn's models, and their scores against scikit-learn's metrics."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, mean_squared_error, r2_score
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from paravox.evaluation.probes import can_be_probed, fit_probe, predict_probe, score_draws
from paravox.modeling.tasks import Task

EMOTION = Task("emotion", "intensities", labels=("awe", "fear", "joy"))
AGE = Task("age", "scalar", range=(20, 60), unit="years")
COUNTRY = Task("country", "classes", labels=("China", "Peru", "USA"))


@pytest.fixture
def clips():
    """160 clips of 40 speakers, whose features tell something about every label."""
    generator = np.random.default_rng(0)
    speakers = np.repeat([f"s{number}" for number in generator.permutation(40)], 4)
    hidden = generator.normal(size=(160, 3)) + np.repeat(generator.normal(size=(40, 3)), 4, axis=0)
    features = (hidden @ generator.normal(size=(3, 12)) * 5 + generator.normal(size=(160, 12))).astype(np.float32)
    labels = {
        "emotion": np.clip(0.5 + 0.2 * hidden + 0.2 * generator.normal(size=(160, 3)), 0, 1).astype(np.float32),
        "age": np.clip(40 + 6 * hidden[:, 0] + 6 * generator.normal(size=160), 20, 60).astype(np.float32),
        "country": np.digitize(hidden[:, 1] + 0.5 * generator.normal(size=160), [0.5, 1.5]),
    }
    return features, labels, speakers


def search_by_hand(make, candidates, folds, features, labels, score):
    """The model with the best mean score over the folds, fitted on all clips; features are standardised by each fit."""
    means = []
    for candidate in candidates:
        found = []
        for fitted, scored in folds:
            scaler = StandardScaler().fit(features[fitted])
            model = make(candidate).fit(scaler.transform(features[fitted]), labels[fitted])
            found.append(score(labels[scored], model.predict(scaler.transform(features[scored]))))
        means.append(np.mean(found))
    best = candidates[int(np.argmax(means))]
    scaler = StandardScaler().fit(features)
    return best, lambda others: scaler.transform(others), make(best).fit(scaler.transform(features), labels)


@pytest.mark.parametrize("task", [EMOTION, AGE], ids=lambda task: task.name)
def test_intensities_and_scalars_are_predicted_by_a_ridge_regression(clips, task):
    features, labels, speakers = clips
    truth = labels[task.name]
    folds = list(GroupKFold(5).split(features, truth, speakers))
    best, scale, ridge = search_by_hand(
        lambda alpha: Ridge(alpha=alpha), [1e4, 1e3, 100, 10, 1], folds, features.astype(float), truth,
        lambda known, guess: -mean_squared_error(known, guess),
    )  # fmt: skip
    assert best in (1, 10, 100)
    others = features[::-1] * 3
    expected = ridge.predict(scale(others.astype(float))).clip(*((20, 60) if task is AGE else (0, 1)))
    assert (expected == expected.max()).sum() > 1  # something was clipped
    found = predict_probe(fit_probe(task, features, truth, speakers), task, others)
    assert found.shape == truth.shape
    assert found == pytest.approx(expected, abs=1e-4)


def test_classes_are_predicted_by_a_balanced_logistic_regression(clips):
    features, labels, speakers = clips
    truth = labels["country"]
    assert np.bincount(truth).max() > 2 * np.bincount(truth).min()
    folds = list(StratifiedGroupKFold(5).split(features, truth, speakers))
    best, scale, regression = search_by_hand(
        lambda c: LogisticRegression(C=c, class_weight="balanced", max_iter=200), [1e-3, 1e-2, 0.1, 1], folds,
        features.astype(float), truth, balanced_accuracy_score,
    )  # fmt: skip
    probe = fit_probe(COUNTRY, features, truth, speakers)
    found = predict_probe(probe, COUNTRY, features)
    assert probe.best_params_ == {"logisticregression__C": best}
    assert found == pytest.approx(regression.predict_proba(scale(features.astype(float))), abs=1e-4)


def test_clips_without_a_label_are_not_fitted(clips):
    features, labels, speakers = clips
    ages, countries = labels["age"].copy(), labels["country"].copy()
    ages[::2], countries[::2] = np.nan, -100
    for task, known in ((AGE, ages), (COUNTRY, countries)):
        found = predict_probe(fit_probe(task, features, known, speakers), task, features)
        alone = fit_probe(task, features[1::2], known[1::2], speakers[1::2])
        assert found == pytest.approx(predict_probe(alone, task, features))


def test_a_class_that_train_lacks_has_no_probability(clips):
    features, labels, speakers = clips
    countries = labels["country"]
    probe = fit_probe(COUNTRY, features, np.where(countries == 1, 2, countries), speakers)
    found = predict_probe(probe, COUNTRY, features)
    assert not found[:, 1].any()
    assert found.sum(axis=1) == pytest.approx(1)


def test_what_can_be_probed():
    speakers = np.array(["a", "a", "b", "b"])
    countries = np.array([0, 0, 1, -100])
    assert can_be_probed(countries, speakers, np.array([1]))
    assert not can_be_probed(countries, speakers, np.array([-100]))
    assert not can_be_probed(np.array([0, 1, -100, -100]), speakers, np.array([1]))  # one speaker
    assert not can_be_probed(np.array([1, 1, 1, -100]), speakers, np.array([1]))  # one class
    assert can_be_probed(np.array([30, np.nan, 30, 30]), speakers, np.array([30.0]))
    assert not can_be_probed(np.array([30, 31, np.nan, np.nan]), speakers, np.array([30.0]))


def test_scores_of_a_scalar_are_those_of_the_drawn_clips():
    generator = np.random.default_rng(0)
    truth, guess = generator.uniform(20, 60, 30).astype(np.float32), generator.uniform(20, 60, 30)
    truth[4] = np.nan
    counts = np.stack([np.ones(30), generator.integers(0, 3, 30)])
    found = score_draws(AGE, guess, truth, counts)
    for draw, count in enumerate(counts):
        rows = [row for row in np.repeat(np.arange(30), count.astype(int)) if row != 4]
        assert found["r2"][draw] == pytest.approx(r2_score(truth[rows], guess[rows]), abs=1e-6)
        assert found["mean_error"][draw] == pytest.approx(np.mean([guess[row] - truth[row] for row in rows]), abs=1e-5)
        assert found["mae"][draw] == pytest.approx(np.mean([abs(guess[row] - truth[row]) for row in rows]), abs=1e-5)


def test_scores_of_a_draw_without_clips_are_unknown():
    found = score_draws(COUNTRY, np.eye(3), np.array([0, 1, 2]), np.array([[1, 1, 1], [0, 0, 0]]))
    assert found["uar"][0] == 1 and np.isnan(found["uar"][1])
    found = score_draws(AGE, np.array([30.0, 40]), np.array([31.0, 41]), np.array([[1, 1], [0, 2]]))
    assert found["mae"].tolist() == [1, 1] and np.isnan(found["r2"][1])
