"""Batched logistic regressions: against scikit-learn, and against each problem solved alone."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from paravox.trainers.logistic_regression import fit_classes, fit_heads

PROBLEMS, SIZE = 12, 40


@pytest.fixture(params=[2, 8, 24])
def problems(request):
    shots = request.param
    generator = np.random.default_rng(shots)
    features = generator.normal(size=(PROBLEMS, shots, SIZE))
    labels = np.stack([generator.permutation(np.arange(shots) % 2 == 0) for _ in range(PROBLEMS)])
    features[labels] += 0.4
    return features, labels


@pytest.mark.parametrize("inverse_penalty", [0.01, 1.0, 10.0])
def test_scikit_learn_finds_the_same_boundary(problems, inverse_penalty):
    features, labels = problems
    weights, biases = fit_heads(features, labels, inverse_penalty)
    unseen = np.random.default_rng(1).normal(size=(50, SIZE))
    for samples, truth, weight, bias in zip(features, labels, weights, biases, strict=True):
        model = LogisticRegression(C=inverse_penalty, tol=1e-10, max_iter=10_000).fit(samples, truth)
        np.testing.assert_allclose(unseen @ weight + bias, model.decision_function(unseen), atol=1e-5)


def test_a_batch_equals_its_problems_alone(problems):
    features, labels = problems
    weights, biases = fit_heads(features, labels)
    for number in range(PROBLEMS):
        weight, bias = fit_heads(features[[number]], labels[[number]])
        np.testing.assert_allclose(weight[0], weights[number], atol=1e-8)
        np.testing.assert_allclose(bias[0], biases[number], atol=1e-8)


def test_the_gradient_is_zero(problems):
    features, labels = problems
    weights, biases = fit_heads(features, labels)
    values = np.einsum("psd,pd->ps", features, weights) + biases[:, None]
    residuals = labels - 1 / (1 + np.exp(-values))
    np.testing.assert_allclose(weights - np.einsum("ps,psd->pd", residuals, features), 0, atol=1e-10)
    np.testing.assert_allclose(residuals.sum(axis=1), 0, atol=1e-10)


def test_equal_samples_of_both_kinds_get_a_boundary_of_zero():
    features = np.ones((1, 4, 3))
    weights, biases = fit_heads(features, np.array([[True, True, False, False]]))
    np.testing.assert_allclose(weights, 0, atol=1e-12)
    np.testing.assert_allclose(biases, 0, atol=1e-12)


def test_a_device_without_float64_leaves_the_problems_to_the_cpu(problems):
    expected = fit_heads(*problems)
    for ours, theirs in zip(fit_heads(*problems, device="mps"), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == np.float64


@pytest.mark.parametrize("classes", [2, 3])
def test_classes_are_those_of_scikit_learn(classes):
    generator = np.random.default_rng(classes)
    features, targets = generator.normal(size=(4, 15, SIZE)), np.arange(15) % classes
    weights, biases = fit_classes(features, targets, classes, 0.1)
    assert weights.shape == (4, classes, SIZE) and biases.shape == (4, classes)
    unseen = generator.normal(size=(50, SIZE))
    for samples, weight, bias in zip(features, weights, biases, strict=True):
        logits = unseen @ weight.T + bias
        model = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000)
        if classes == 2:
            expected = model.fit(samples, targets).predict_proba(unseen)
            np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), expected, atol=1e-5)
            continue
        for number in range(classes):
            expected = model.fit(samples, targets == number).decision_function(unseen)
            np.testing.assert_allclose(logits[:, number], expected, atol=1e-5)
