"""Calibration: whether clips that are predicted with 0.8 are right, or have a label, of 0.8 on average."""

from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """What was predicted and what was true, in bins of the prediction of equal width from 0 to 1.

    Args:
        predicted (`np.ndarray` of shape `(bins,)`): the mean prediction of each bin, NaN in an empty one.
        observed (`np.ndarray` of shape `(bins,)`): the mean of what is true, NaN in an empty one.
        counts (`np.ndarray` of shape `(bins,)`): the number of predictions.
    """

    predicted: np.ndarray
    observed: np.ndarray
    counts: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap between predicted and observed, weighted by the counts.

        It is that of Guo et al. (2017), "On calibration of modern neural networks", section 2. NaN without predictions.
        """
        filled = self.counts > 0
        gaps = np.abs(self.predicted[filled] - self.observed[filled])
        return float(np.average(gaps, weights=self.counts[filled])) if filled.any() else float("nan")


def reliability(predicted: np.ndarray, observed: np.ndarray, bins: int = BINS) -> Reliability:
    """Sorts predictions into bins.

    Args:
        predicted (`np.ndarray` of shape `(values,)`): in 0..1.
        observed (`np.ndarray` of shape `(values,)`): what is true: 0 or 1 for an event, or an intensity in 0..1.
        bins (`int`, *optional*, defaults to 10): an upper end belongs to its bin, as in scikit-learn's
            `calibration_curve`.
    """
    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    bin_of_value = np.searchsorted(inner_edges, predicted)
    counts = np.bincount(bin_of_value, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_predicted = np.bincount(bin_of_value, weights=predicted, minlength=bins) / counts
        mean_observed = np.bincount(bin_of_value, weights=observed, minlength=bins) / counts
    return Reliability(mean_predicted, mean_observed, counts)


def class_reliability(probabilities: np.ndarray, labels: np.ndarray) -> Reliability:
    """The probability of the predicted class against how often it is right.

    Args:
        probabilities (`np.ndarray` of shape `(clips, classes)`).
        labels (`np.ndarray` of shape `(clips,)`): class indices, all of them known.
    """
    return reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


def intensity_reliability(predictions: np.ndarray, labels: np.ndarray) -> Reliability:
    """Predicted intensities against labelled ones, with one value per clip and label.

    Args:
        predictions (`np.ndarray` of shape `(clips, outputs)`): in 0..1.
        labels (`np.ndarray` of the same shape): all of them known.
    """
    return reliability(np.ravel(predictions), np.ravel(labels))
