"""The constant prediction, by hand and by scikit-learn's dummy estimators."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor

from paravox.evaluation.baselines import constant_predictions
from paravox.modeling.tasks import Task

TASKS = [
    Task("emotion", "intensities", labels=("awe", "fear")),
    Task("age", "scalar", range=(0, 100)),
    Task("country", "classes", labels=("China", "USA", "Venezuela")),
]


def test_they_are_those_of_dummy_estimators():
    generator = np.random.default_rng(0)
    labels = {
        "emotion": generator.random((31, 2)).astype(np.float32),
        "age": generator.gamma(2.0, 12.0, 31).astype(np.float32),
        "country": generator.choice(3, 31, p=[0.2, 0.2, 0.6]),
    }
    found = constant_predictions(TASKS, labels, clips=5)
    inputs = np.zeros((31, 1))
    mean = DummyRegressor(strategy="mean").fit(inputs, labels["emotion"]).predict(inputs[:5])
    median = DummyRegressor(strategy="median").fit(inputs, labels["age"]).predict(inputs[:5])
    assert not np.isclose(median[0], labels["age"].mean(), atol=0.5)
    most_frequent = DummyClassifier(strategy="most_frequent").fit(inputs, labels["country"]).predict_proba(inputs[:5])
    np.testing.assert_allclose(found["emotion"], mean, rtol=1e-6)
    np.testing.assert_allclose(found["age"], median, rtol=1e-6)
    np.testing.assert_array_equal(found["country"], most_frequent)


def test_unknown_labels_do_not_count():
    labels = {
        "emotion": np.array([[0.2, np.nan], [0.4, 0.5], [np.nan, np.nan]], np.float32),
        "age": np.array([np.nan, 20, 40, 90], np.float32),
        "country": np.array([-100, -100, -100, 2, 1, 2]),
    }
    found = constant_predictions(TASKS, labels, clips=1)
    assert found["emotion"][0] == pytest.approx([0.3, 0.5]) and found["age"][0] == 40
    assert found["country"].tolist() == [[0, 0, 1]]
