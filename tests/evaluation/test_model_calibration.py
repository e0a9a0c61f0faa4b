"""Temperatures and familiarity, against scikit-learn, SciPy's distributions and data whose truth is known."""

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from paravox.evaluation.model_calibration import (
    ModelOutputs,
    fit_calibration,
    fit_familiarity,
    reliability_of,
)
from paravox.modeling.tasks import Task

CLASSES = Task("origin", "classes", labels=("a", "b", "c"))
INTENSITIES = Task("emotion", "intensities", labels=("x", "y"))


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def test_the_temperature_that_made_the_labels_is_found(generator):
    logits = generator.normal(size=(20_000, 3)) * 4
    labels = np.array([generator.choice(3, p=row) for row in softmax(logits / 2.5, axis=1)])
    assert fit_calibration(CLASSES, logits, labels)["temperature"] == pytest.approx(2.5, rel=0.05)
    # Clips whose label is unknown do not count.
    unknown = np.concatenate([labels, np.full(5_000, -100)])
    more = np.concatenate([logits, generator.normal(size=(5_000, 3)) * 100])
    assert fit_calibration(CLASSES, more, unknown) == fit_calibration(CLASSES, logits, labels)


def test_intensities_are_fitted_as_by_logistic_regression(generator):
    logits = generator.normal(0.2, 0.3, size=(3_000, 2))
    labels = (generator.random(logits.shape) < expit((logits - 0.4) / 0.15)).astype(np.float32)
    found = fit_calibration(INTENSITIES, logits, labels)
    expected = LogisticRegression(C=1e10, tol=1e-10).fit(logits.reshape(-1, 1), labels.ravel())
    slope, shift = expected.coef_.item(), expected.intercept_.item()
    assert found["temperature"] == pytest.approx(1 / slope, rel=1e-3)
    assert found["offset"] == pytest.approx(-shift / slope, rel=1e-3)


def test_outputs_that_fall_with_the_labels_and_unknown_labels_are_not_calibrated(generator):
    logits = generator.normal(size=(500, 2))
    assert fit_calibration(INTENSITIES, logits, (logits < 0).astype(np.float32)) is None
    assert fit_calibration(INTENSITIES, logits, np.full((500, 2), np.nan)) is None
    assert fit_calibration(CLASSES, logits, np.full(500, -100)) is None


def test_calibration_lowers_the_error_and_keeps_the_order(generator):
    logits = generator.normal(size=(5_000, 3)) * 6
    labels = np.array([generator.choice(3, p=row) for row in softmax(logits / 3, axis=1)])
    outputs = ModelOutputs({"origin": logits}, {"origin": softmax(logits, axis=1)}, np.zeros((5_000, 4)))
    before = reliability_of(CLASSES, outputs, labels)
    after = reliability_of(CLASSES, outputs, labels, fit_calibration(CLASSES, logits, labels))
    # The error by hand: confident by more than the share that is right.
    confidence, right = softmax(logits, axis=1).max(axis=1), logits.argmax(axis=1) == labels
    assert before.error == pytest.approx(confidence.mean() - right.mean(), abs=0.02) and before.error > 0.1
    assert after.error < 0.02


def test_the_distance_is_the_likelihood_of_probabilistic_pca(generator):
    hidden, directions = 8, 3
    scales = np.array([5, 4, 3, 1, 1, 1, 1, 1.0])
    mixing = np.linalg.qr(generator.normal(size=(hidden, hidden)))[0]
    train = generator.normal(size=(12, hidden)) * scales @ mixing + 2
    others = generator.normal(size=(50, hidden)) * scales @ mixing + 2
    familiarity = fit_familiarity(train, others, 0.1)  # 12 clips give 3 directions
    assert familiarity.directions.shape == (directions, hidden)
    pca = PCA(directions).fit(train)
    constant = hidden * np.log(2 * np.pi) + np.linalg.slogdet(pca.get_covariance())[1]
    expected = (-2 * pca.score_samples(others) - constant) / hidden
    found = familiarity.distance(torch.from_numpy(np.float32(others)))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_the_threshold_has_the_false_alarm_rate_that_was_asked_for(generator):
    train, validation, new = (generator.normal(size=(size, 16)) for size in (2_000, 1_000, 4_000))
    familiarity = fit_familiarity(train, validation, 0.05)
    unusual = {
        name: familiarity(torch.from_numpy(np.float32(clips))) for name, clips in [("val", validation), ("new", new)]
    }
    assert (unusual["val"] > 1).float().mean().item() == pytest.approx(0.05, abs=0.002)
    assert (unusual["new"] > 1).float().mean().item() == pytest.approx(0.05, abs=0.02)
    # Twice as far from the mean is twice as unusual, and another kind of clip is far beyond the threshold.
    mean = train.mean(axis=0)
    once, twice = (familiarity(torch.from_numpy(np.float32(mean + step * (new[:5] - mean)))) for step in (1, 2))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-4)
    assert (familiarity(torch.from_numpy(np.float32(new[:5] + 6))) > 2).all()


def test_few_clips_and_directions_without_variance_do_not_divide_by_zero(generator):
    train = np.zeros((4, 6))
    train[:, 0] = generator.normal(size=4)
    familiarity = fit_familiarity(train, train, 0.5)
    assert torch.isfinite(familiarity(torch.from_numpy(np.float32(train)))).all()
    assert familiarity(torch.full((1, 6), 3.0)).item() > 10
