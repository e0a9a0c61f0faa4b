"""Calibration: the bins are scikit-learn's, and the error is what a loop over the bins gives."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from paravox.evaluation.reliability import class_reliability, intensity_reliability, reliability


@pytest.fixture
def clips():
    """Probabilities of four classes for 300 clips, and labels that are right more often than chance."""
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.full(4, 0.5), 300)
    guess = probabilities.argmax(axis=1)
    return probabilities, np.where(generator.random(300) < 0.6, guess, generator.integers(4, size=300))


def error_by_loop(predicted, observed, bins):
    """Guo et al. (2017), equation 3: bins are open at the left and closed at the right."""
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [row for row, value in enumerate(predicted) if low < value <= high]
        if inside:
            total += len(inside) / len(predicted) * abs(np.mean(predicted[inside]) - np.mean(observed[inside]))
    return total


def test_bins_of_classes_are_those_of_scikit_learn(clips):
    probabilities, labels = clips
    found = class_reliability(probabilities, labels)
    right = probabilities.argmax(axis=1) == labels
    observed, predicted = calibration_curve(right, probabilities.max(axis=1), n_bins=10)
    filled = found.counts > 0
    # The most probable of four classes never has less than 0.25, so some bins are empty.
    assert 0 < filled.sum() < 10 and found.counts.sum() == 300 and np.isnan(found.observed[~filled]).all()
    np.testing.assert_allclose(found.observed[filled], observed)
    np.testing.assert_allclose(found.predicted[filled], predicted)
    assert found.error == pytest.approx(error_by_loop(probabilities.max(axis=1), right, 10))


def test_intensities_are_compared_value_by_value():
    generator = np.random.default_rng(1)
    predictions, labels = generator.random((50, 3)), generator.random((50, 3))
    found = intensity_reliability(predictions, labels)
    assert found.counts.sum() == 150
    assert found.error == pytest.approx(error_by_loop(predictions.ravel(), labels.ravel(), 10))


def test_ends_belong_to_the_first_and_the_last_bin():
    found = reliability(np.array([0.0, 0.5, 1.0]), np.array([0, 1, 1]), bins=2)
    assert found.counts.tolist() == [2, 1] and found.predicted.tolist() == [0.25, 1.0]
    assert found.observed.tolist() == [0.5, 1.0] and found.error == pytest.approx(2 / 3 * 0.25)


def test_no_predictions_have_no_error():
    assert np.isnan(reliability(np.array([]), np.array([])).error)
