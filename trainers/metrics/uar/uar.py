"""Unweighted average recall, as a metric of `evaluate`."""

from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn.metrics import recall_score

_DESCRIPTION = """
The recall of each class, averaged without weights over the classes that occur in the references. It lies in 0..1; 1 is
best. A constant prediction reaches 1 divided by the number of classes. The result is NaN if there are no rows.
"""
_CITATION = "Schuller, B., Steidl, S., Batliner, A. (2009). The INTERSPEECH 2009 emotion challenge."


def unweighted_average_recall(predictions: np.ndarray, references: np.ndarray) -> float:
    """The mean recall of the classes that occur in the references.

    Args:
        predictions (`np.ndarray` of shape `(rows,)`): class indices.
        references (`np.ndarray` of shape `(rows,)`): class indices.

    Returns:
        `float`: 0..1; NaN if there are no rows.

    Example:
        >>> unweighted_average_recall([0, 0, 0, 1], [0, 0, 0, 0])
        0.75
        >>> unweighted_average_recall([0, 0, 0, 0], [0, 0, 0, 1])
        0.5
    """
    if not len(references):
        return float("nan")
    return float(recall_score(references, predictions, labels=np.unique(references), average="macro"))


class UnweightedAverageRecall(evaluate.Metric):
    """The metric `uar`: `compute()` returns `uar`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description="predictions and references: (rows,) of class indices",
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict:
        return {"uar": unweighted_average_recall(predictions, references)}
