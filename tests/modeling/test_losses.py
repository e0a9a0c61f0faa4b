"""Losses against scipy, scikit-learn and finite differences."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error

from paravox.modeling.losses import (
    ccc_loss,
    cross_entropy_loss,
    fully_known,
    mae_loss,
    mse_loss,
    partly_known,
    task_loss,
)
from paravox.modeling.tasks import Task

EMOTION = Task("emotion", "intensities", labels=("amusement", "awe", "fear"))
AGE = Task("age", "scalar", range=(20, 39), unit="years")
COUNTRY = Task("country", "classes", labels=("China", "South Africa", "USA", "Venezuela"))

NAN = float("nan")


def reference_ccc(predictions: np.ndarray, labels: np.ndarray) -> float:
    """From Pearson's correlation and standard deviations, where the loss uses covariances."""
    correlation = pearsonr(predictions, labels).statistic
    spread = predictions.var() + labels.var() + (predictions.mean() - labels.mean()) ** 2
    return 2 * correlation * predictions.std() * labels.std() / spread


@pytest.fixture
def columns():
    generator = torch.Generator().manual_seed(1)
    labels = torch.rand(9, 3, generator=generator, dtype=torch.float64)
    predictions = 0.6 * labels + 0.3 * torch.randn(9, 3, generator=generator, dtype=torch.float64)
    return predictions, labels


def test_ccc_equals_pearson_and_standard_deviations(columns):
    predictions, labels = columns
    expected = np.mean([reference_ccc(predictions[:, i].numpy(), labels[:, i].numpy()) for i in range(3)])
    assert 0.2 < expected < 0.95
    assert ccc_loss(predictions, labels).item() == pytest.approx(1 - expected, abs=1e-12)


def test_ccc_uses_population_variances():
    # By hand: means 1 and 2, variances 2/3 and 2/3 (not 1 and 1), covariance 2/3: 2 * 2/3 / (4/3 + 1) = 4/7.
    predictions, labels = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[1.0], [2.0], [3.0]])
    assert ccc_loss(predictions, labels).item() == pytest.approx(1 - 4 / 7)


def test_ccc_leaves_out_unknown_labels_column_by_column(columns):
    predictions, labels = columns
    labels = labels.clone()
    labels[[0, 4], 0] = NAN
    labels[7, 2] = NAN
    expected = []
    for column in range(3):
        known = ~torch.isnan(labels[:, column])
        expected.append(reference_ccc(predictions[known, column].numpy(), labels[known, column].numpy()))
    assert ccc_loss(predictions, labels).item() == pytest.approx(1 - np.mean(expected), abs=1e-12)


def test_ccc_leaves_out_columns_with_fewer_than_two_known_labels(columns):
    predictions, labels = columns
    labels = labels.clone()
    labels[1:, 0] = NAN
    labels[:, 1] = NAN
    expected = 1 - reference_ccc(predictions[:, 2].numpy(), labels[:, 2].numpy())
    assert ccc_loss(predictions, labels).item() == pytest.approx(expected, abs=1e-12)


def test_ccc_is_zero_with_a_graph_where_no_column_has_two_known_labels(columns):
    predictions, labels = columns
    predictions = predictions.requires_grad_()
    labels = torch.full_like(labels, NAN)
    labels[0] = 0.5
    loss = ccc_loss(predictions, labels)
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(predictions.grad, torch.zeros_like(predictions))


@pytest.mark.parametrize("constant", ["predictions", "labels", "both", "both and equal"])
@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_column_counts_ccc_zero_with_a_finite_gradient(constant, value, dtype):
    generator = torch.Generator().manual_seed(2)
    predictions = torch.rand(7, 1, generator=generator, dtype=dtype)
    labels = torch.rand(7, 1, generator=generator, dtype=dtype)
    if constant != "labels":
        predictions = torch.full_like(predictions, value + 0.2 if constant == "both" else value)
    if constant != "predictions":
        labels = torch.full_like(labels, value)
    predictions.requires_grad_()
    loss = ccc_loss(predictions, labels)
    assert loss.item() == pytest.approx(1, abs=1e-6)
    loss.backward()
    # No larger than what a column that varies gets: a gradient of 1e8 is finite too.
    assert predictions.grad.abs().max() < 100


def test_a_constant_column_drags_the_mean_down(columns):
    predictions, labels = columns
    labels = labels.clone()
    labels[:, 1] = 0.3
    cccs = [reference_ccc(predictions[:, i].numpy(), labels[:, i].numpy()) for i in (0, 2)]
    assert ccc_loss(predictions, labels).item() == pytest.approx(1 - sum(cccs) / 3, abs=1e-12)


def test_mae_and_mse_equal_sklearn_over_the_known(columns):
    predictions, labels = columns
    labels = labels.clone()
    labels[2, 1] = labels[5, 0] = NAN
    known = ~torch.isnan(labels)
    truth, guess = labels[known].numpy(), predictions[known].numpy()
    assert mae_loss(predictions, labels).item() == pytest.approx(mean_absolute_error(truth, guess), abs=1e-12)
    assert mse_loss(predictions, labels).item() == pytest.approx(mean_squared_error(truth, guess), abs=1e-12)


def test_a_scalar_is_compared_on_the_scale_of_its_range():
    # 20 years are 0, 39 are 1, 29.5 are 0.5: errors 0.25, 0, 0.5.
    logits = torch.tensor([[0.25], [1.0], [0.0]])
    assert task_loss(AGE, logits, torch.tensor([20.0, 39.0, 29.5])).item() == pytest.approx(0.25)


def test_losses_see_values_outside_the_range():
    # A prediction would be clipped to 1, where no gradient leads back.
    logits = torch.tensor([[1.5]], requires_grad=True)
    loss = task_loss(AGE, logits, torch.tensor([39.0]))
    loss.backward()
    assert loss.item() == pytest.approx(0.5)
    assert logits.grad.item() == 1


def test_cross_entropy_equals_sklearn_over_the_known():
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    labels = torch.tensor([0, 3, -100, 1, 2, -100])
    known = labels != -100
    expected = log_loss(labels[known].numpy(), torch.softmax(logits, dim=1)[known].numpy(), labels=range(4))
    assert cross_entropy_loss(logits, labels).item() == pytest.approx(expected, abs=1e-12)
    assert task_loss(COUNTRY, logits, labels).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        (EMOTION, torch.full((4, 3), NAN)),
        (Task("emotion", "intensities", labels=("a", "b", "c"), loss="mae"), torch.full((4, 3), NAN)),
        (Task("emotion", "intensities", labels=("a", "b", "c"), loss="mse"), torch.full((4, 3), NAN)),
        (AGE, torch.full((4,), NAN)),
        (Task("age", "scalar", range=(20, 39), loss="ccc"), torch.full((4,), NAN)),
        (COUNTRY, torch.full((4,), -100)),
    ],
    ids=["ccc", "mae", "mse", "scalar mae", "scalar ccc", "cross-entropy"],
)
def test_a_batch_without_a_known_label_gives_zero_with_a_graph(task, labels):
    logits = torch.randn(4, task.outputs, generator=torch.Generator().manual_seed(4), requires_grad=True)
    loss = task_loss(task, logits, labels)
    assert loss.shape == () and loss.item() == 0
    loss.backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("loss", [ccc_loss, mae_loss, mse_loss])
def test_regression_gradients_agree_with_finite_differences(loss, columns):
    predictions, labels = columns
    labels = labels.clone()
    labels[3, 0] = NAN
    labels[1:, 1] = NAN
    assert torch.autograd.gradcheck(lambda values: loss(values, labels), predictions.requires_grad_())


def test_cross_entropy_gradient_agrees_with_finite_differences():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, -100, 2, 1])
    assert torch.autograd.gradcheck(lambda values: cross_entropy_loss(values, labels), logits)


def test_scalar_gradient_agrees_with_finite_differences():
    logits = torch.rand(4, 1, generator=torch.Generator().manual_seed(7), dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([20.5, NAN, 39.0, 26.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda values: task_loss(AGE, values, labels), logits)


def test_a_prediction_that_is_not_a_number_shows_in_the_loss():
    predictions = torch.tensor([[0.1], [NAN], [0.4]])
    labels = torch.tensor([[0.2], [0.3], [0.5]])
    for loss in (ccc_loss, mae_loss, mse_loss):
        assert torch.isnan(loss(predictions, labels))


@pytest.mark.parametrize(("task", "labels"), [(EMOTION, torch.rand(4, 3)), (COUNTRY, torch.tensor([0, 1, 2, 3]))])
def test_half_precision_logits_give_a_float32_loss(task, labels):
    assert task_loss(task, torch.zeros(4, task.outputs, dtype=torch.bfloat16), labels).dtype == torch.float32


@pytest.mark.parametrize("library", [torch.tensor, np.array])
def test_partly_and_fully_known(library):
    intensities = library([[0.1, NAN, NAN], [NAN, NAN, NAN], [0, 1, 0.5]])
    assert partly_known(intensities).tolist() == [True, False, True]
    assert fully_known(intensities).tolist() == [False, False, True]
    for known in (partly_known, fully_known):
        assert known(library([NAN, 25.0])).tolist() == [False, True]
        assert known(library([0, -100, 3])).tolist() == [True, False, True]


def test_class_weights_are_torch_s():
    logits = torch.randn(7, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 3, -100, 1, 1, 2, -100])
    weights = [0.5, 2.0, 1.0, 4.0]
    expected = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights, dtype=torch.float64), ignore_index=-100)
    loss = cross_entropy_loss(logits, labels, weights)
    torch.testing.assert_close(loss, expected(logits, labels))
    torch.testing.assert_close(cross_entropy_loss(logits, labels, [10 * weight for weight in weights]), loss)
    unknown = cross_entropy_loss(logits, torch.full((7,), -100), weights)
    assert unknown.item() == 0
    unknown.backward()
