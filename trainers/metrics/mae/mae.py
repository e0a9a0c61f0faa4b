"""Mean absolute error, as a metric of `evaluate`."""

from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn.metrics import mean_absolute_error

_DESCRIPTION = """
The mean absolute difference of predictions and references, in their unit (Burst2Vec, equation 3). 0 is best. The result
is NaN if there are no rows.
"""
_CITATION = "Anuchitanukul, A., Specia, L. (2022). Burst2Vec. ICML Expressive Vocalizations Workshop."


def mean_absolute_difference(predictions: np.ndarray, references: np.ndarray) -> float:
    """The mean absolute error, in the unit of its arguments.

    Args:
        predictions (`np.ndarray` of shape `(rows,)`): in any unit.
        references (`np.ndarray` of shape `(rows,)`): in the same unit.

    Returns:
        `float`: 0 or more; NaN if there are no rows.

    Example:
        >>> mean_absolute_difference([20.0, 30.0], [21.0, 27.0])
        2.0
    """
    return float(mean_absolute_error(references, predictions)) if len(references) else float("nan")


class MeanAbsoluteError(evaluate.Metric):
    """The metric `mae`: `compute()` returns `mae`."""

    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value("float64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description="predictions and references: (rows,) of numbers in one unit",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict:
        return {"mae": mean_absolute_difference(predictions, references)}
