"""Concordance correlation coefficient, as a metric of `evaluate`."""

from typing import Any

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
The concordance correlation coefficient of each column over all rows,
2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2) with population variances, and its mean over the columns
(Burst2Vec, equation 1, over a whole split). It lies in -1..1; 1 is best. A constant column counts as 0. The result is
NaN for fewer than two rows.
"""
_CITATION = (
    "Lin, L. I. (1989). A concordance correlation coefficient to evaluate reproducibility. Biometrics 45, 255-268."
)


def concordance_cc(predictions: np.ndarray, references: np.ndarray) -> np.ndarray:
    """The concordance correlation coefficient of each column.

    Args:
        predictions (`np.ndarray` of shape `(rows, columns)` or `(rows,)`): any range, finite.
        references (`np.ndarray` of the same shape): any range, finite.

    Returns:
        `np.ndarray` of shape `(columns,)`: -1..1. It is 0 for a column where predictions or references are constant,
        and NaN if there are fewer than two rows.

    Raises:
        ValueError: if the shapes differ or a value is not finite.

    Example:
        >>> concordance_cc([[0.0], [1.0], [2.0]], [[0.0], [1.0], [2.0]])
        array([1.])
        >>> concordance_cc([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]).round(4)
        array([0.5714])
    """
    x, y = np.asarray(predictions, dtype=np.float64), np.asarray(references, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"predictions have shape {x.shape} and references {y.shape}: they must be equal")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("predictions or references hold NaN or infinite values: score only rows whose label is known")
    x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    if len(x) < 2:
        return np.full(x.shape[1], np.nan)
    covariance = ((x - x.mean(axis=0)) * (y - y.mean(axis=0))).mean(axis=0)
    spread = x.var(axis=0) + y.var(axis=0) + np.square(x.mean(axis=0) - y.mean(axis=0))
    return 2 * covariance / np.where(spread > 0, spread, 1.0)


class ConcordanceCC(evaluate.Metric):
    """The metric `ccc`: `compute()` returns `ccc`, the mean over the columns, and `ccc_per_column`, a list."""

    def _info(self) -> evaluate.MetricInfo:
        one, many = datasets.Value("float64"), datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description="predictions and references: (rows, columns) or (rows,) of numbers",
            features=[
                datasets.Features({"predictions": many, "references": many}),
                datasets.Features({"predictions": one, "references": one}),
            ],
        )

    def _compute(self, predictions: Any, references: Any) -> dict:
        per_column = concordance_cc(predictions, references)
        return {"ccc": float(per_column.mean()), "ccc_per_column": per_column.tolist()}
