"""The multi-task score of the ExVo challenge, as a metric of `evaluate`."""

import datasets
import evaluate

_DESCRIPTION = """
The harmonic mean of the emotions' CCC, the classes' UAR and one over the MAE in years: 3 / (1/CCC + 1/UAR + MAE). Higher is
better; 0 where CCC or UAR is not positive. Near published results a year of MAE moves it by .08, a tenth of CCC by .01.
"""
_CITATION = "Baird, A. et al. (2022). The ICML 2022 Expressive Vocalizations workshop and competition."


def s_mtl(ccc: float, uar: float, mae: float) -> float:
    """The challenge's harmonic mean of three tasks.

    Args:
        ccc (`float`): mean concordance correlation coefficient of the emotions, -1..1.
        uar (`float`): unweighted average recall of the classes, 0..1.
        mae (`float`): mean absolute error of the age, in years, 0 or more.

    Returns:
        `float`: 0 or more; 0 where `ccc` or `uar` is not positive.

    Example:
        >>> round(s_mtl(ccc=0.416, uar=0.506, mae=4.222), 3)
        0.349
    """
    return 3 / (1 / ccc + 1 / uar + mae) if ccc > 0 and uar > 0 else 0.0


class MultiTaskScore(evaluate.Metric):
    """`compute(ccc=..., uar=..., mae=...)` gives `s_mtl`, or their means over several rows."""

    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value("float64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description="ccc, uar and mae: the three scores, in lists of one value",
            features=datasets.Features({"ccc": value, "uar": value, "mae": value}),
        )

    def _compute(self, ccc, uar, mae) -> dict:
        scores = [s_mtl(*row) for row in zip(ccc, uar, mae, strict=True)]
        return {"s_mtl": sum(scores) / len(scores)}
