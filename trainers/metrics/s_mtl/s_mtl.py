"""The multi-task score of the ExVo challenge, as a metric of `evaluate`."""

import datasets
import evaluate

_DESCRIPTION = """
The harmonic mean of the emotions' CCC, the classes' UAR and the inverse of the MAE in years: 3 / (1/CCC + 1/UAR + MAE).
Higher is better. It is 0 if CCC or UAR is not positive. Near published results, one year of MAE changes it by 0.08, and
a tenth of CCC by 0.01.
"""
_CITATION = "Baird, A. et al. (2022). The ICML 2022 Expressive Vocalizations workshop and competition."


def s_mtl(ccc: float, uar: float, mae: float) -> float:
    """The challenge's harmonic mean of three tasks.

    Args:
        ccc (`float`): mean concordance correlation coefficient of the emotions, -1..1.
        uar (`float`): unweighted average recall of the classes, 0..1.
        mae (`float`): mean absolute error of the age, in years, 0 or more.

    Returns:
        `float`: 0 or more; 0 if `ccc` or `uar` is not positive.

    Example:
        >>> round(s_mtl(ccc=0.416, uar=0.506, mae=4.222), 3)
        0.349
    """
    return 3 / (1 / ccc + 1 / uar + mae) if ccc > 0 and uar > 0 else 0.0


class MultiTaskScore(evaluate.Metric):
    """The metric `s_mtl`: `compute(ccc=..., uar=..., mae=...)` returns `s_mtl`; for several rows, their mean."""

    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value("float64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description="ccc, uar and mae: the three scores, as lists of one value",
            features=datasets.Features({"ccc": value, "uar": value, "mae": value}),
        )

    def _compute(self, ccc: list[float], uar: list[float], mae: list[float]) -> dict:
        scores = [s_mtl(*row) for row in zip(ccc, uar, mae, strict=True)]
        return {"s_mtl": sum(scores) / len(scores)}
