"""The scores of a trial, from its predictions on a speaker's clips."""

import numpy as np


def binary_scores(predictions: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Macro F1 over the two classes, accuracy, and F1 of the positive class, for any number of trials at once.

    A class that neither occurs nor is predicted has an F1 of 0, as in scikit-learn with `zero_division=0`.

    Args:
        predictions (`np.ndarray` of bool, shape `(..., clips)`).
        labels (`np.ndarray` of bool, shape `(..., clips)`).

    Returns:
        `dict` of `np.ndarray`, each `(...)`, in 0..1.
    """
    hits = (predictions & labels).sum(axis=-1)
    rejections = (~predictions & ~labels).sum(axis=-1)
    wrong = (predictions != labels).sum(axis=-1)
    positive_f1 = 2 * hits / np.maximum(2 * hits + wrong, 1)
    negative_f1 = 2 * rejections / np.maximum(2 * rejections + wrong, 1)
    return {
        "macro_f1": (positive_f1 + negative_f1) / 2,
        "accuracy": (hits + rejections) / labels.shape[-1],
        "positive_f1": positive_f1,
    }


def as_text(predictions: np.ndarray) -> str:
    """Predictions as a results file stores them: one 0 or 1 per clip."""
    return "".join("01"[int(prediction)] for prediction in predictions)
