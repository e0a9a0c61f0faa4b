"""The loss of each kind of task, computed on the known labels of a batch.

An unknown label is NaN (intensities, scalars) or -100 (classes), and is left out. A batch without a known label gives a
loss of zero that still has a graph, so that a training step on it changes nothing instead of failing.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from .tasks import Task

UNKNOWN_CLASS = -100


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Converts half precision to float32, and returns float32 and float64 unchanged."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def partly_known(labels: Any) -> Any:
    """Which clips have at least one known label of a task.

    Args:
        labels (`torch.Tensor` or `np.ndarray` of shape `(clips, ...)`): class indices as integers, all other labels as
            floats.

    Returns:
        Booleans of the same library, `(clips,)`.
    """
    return _known(labels).any(1)


def fully_known(labels: Any) -> Any:
    """Which clips have all their labels of a task known. Argument and result are as in [`partly_known`]."""
    return _known(labels).all(1)


def _known(labels: Any) -> Any:
    """Booleans `(clips, labels)`, true where a label is known. NaN is the only value that differs from itself."""
    is_float = "float" in str(labels.dtype)
    return (labels == labels if is_float else labels != UNKNOWN_CLASS).reshape(len(labels), -1)


def task_loss(task: Task, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The loss of one task on the outputs of its head, before any clipping.

    Args:
        task ([`Task`]): its kind, loss and range.
        logits (`torch.Tensor` of shape `(batch, task.outputs)`): intensities in 0..1, a scalar whose range is scaled to
            0..1, or class logits.
        labels (`torch.Tensor`): intensities `(batch, outputs)` in 0..1, a scalar `(batch,)` in its unit, or class
            indices `(batch,)`.

    Returns:
        `torch.Tensor`: a scalar, in float32 or wider; zero with a graph where no label is known.
    """
    if task.kind == "classes":
        return cross_entropy_loss(logits, labels, task.class_weights)
    if task.kind == "scalar":
        low, high = task.range
        labels = ((labels - low) / (high - low)).unsqueeze(1)
    logits = at_least_float32(logits)
    return _REGRESSION_LOSSES[task.loss](logits, labels.to(logits.dtype))


def ccc_loss(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One minus the concordance correlation coefficient, averaged over the columns (Burst2Vec, equations 1 and 2).

    Per column over the batch, with population variances:
    `CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2)`.

    Args:
        predictions (`torch.Tensor` of shape `(batch, columns)`): any range.
        labels (`torch.Tensor` of shape `(batch, columns)`): NaN where unknown.

    Returns:
        `torch.Tensor`: a scalar in 0..2. A constant column counts as CCC 0 and has a finite gradient. Columns with
        fewer than two known labels are left out; if no column remains, the loss is zero.
    """
    known = ~torch.isnan(labels)
    counts = known.sum(dim=0).clamp(min=1)
    labels = torch.where(known, labels, 0.0)
    predictions_mean = torch.where(known, predictions, 0.0).sum(dim=0) / counts
    labels_mean = labels.sum(dim=0) / counts
    predictions_centred = torch.where(known, predictions - predictions_mean, 0.0)
    labels_centred = torch.where(known, labels - labels_mean, 0.0)
    covariance = (predictions_centred * labels_centred).sum(dim=0) / counts
    predictions_variance = predictions_centred.square().sum(dim=0) / counts
    labels_variance = labels_centred.square().sum(dim=0) / counts
    spread = predictions_variance + labels_variance + (predictions_mean - labels_mean).square()
    # Rounding can give a constant column of labels a small variance, with which it could reach a CCC above 0.
    labels_vary = torch.where(known, labels, -torch.inf).amax(dim=0) > torch.where(known, labels, torch.inf).amin(dim=0)
    ccc = 2 * torch.where(labels_vary, covariance, 0.0) / torch.where(spread > 0, spread, 1.0)  # (columns,)
    enough = known.sum(dim=0) >= 2
    return _mean_where(1 - ccc, enough)


def mae_loss(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean absolute error over the known labels (Burst2Vec, equation 3); zero where there is none.

    Args:
        predictions (`torch.Tensor` of shape `(batch, columns)`).
        labels (`torch.Tensor` of shape `(batch, columns)`): NaN where unknown.
    """
    known = ~torch.isnan(labels)
    return _mean_where((predictions - torch.where(known, labels, 0.0)).abs(), known)


def mse_loss(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean squared error over the known labels; zero where there is none. The arguments are as in [`mae_loss`]."""
    known = ~torch.isnan(labels)
    return _mean_where((predictions - torch.where(known, labels, 0.0)).square(), known)


def cross_entropy_loss(
    logits: torch.Tensor, labels: torch.Tensor, class_weights: Sequence[float] | None = None
) -> torch.Tensor:
    """The cross-entropy over the clips whose class is known (Burst2Vec, equations 4 and 6); zero where there is none.

    Args:
        logits (`torch.Tensor` of shape `(batch, classes)`).
        labels (`torch.LongTensor` of shape `(batch,)`): -100 where unknown.
        class_weights (sequence of `float`, *optional*): how much a clip of each class counts. The loss is the weighted
            mean, so the scale of the weights does not matter.
    """
    logits = at_least_float32(logits)
    per_clip = nn.functional.cross_entropy(logits, labels, ignore_index=UNKNOWN_CLASS, reduction="none")
    known = labels != UNKNOWN_CLASS
    if class_weights is None:
        return _mean_where(per_clip, known)
    on_device = _class_weights(tuple(class_weights), per_clip.dtype, per_clip.device)
    weights = torch.where(known, on_device[labels.clamp(min=0)], 0.0)
    return torch.where(known, per_clip * weights, 0.0).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


@lru_cache
def _class_weights(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    # Kept, because a process that copies numbers from a list to its device waits for it.
    with torch.inference_mode(False):
        return torch.tensor(weights, dtype=dtype, device=device)


def _mean_where(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    return torch.where(known, values, 0.0).sum() / known.sum().clamp(min=1)


_REGRESSION_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "ccc": ccc_loss,
    "mae": mae_loss,
    "mse": mse_loss,
}
