"""Significance tests between two models on the same clips: the paper's own, and tests that take speakers as the sample.

Burst2Vec, Table 2, marks differences with p <= 0.05 by tests over clips. Both models predict the same clips, though,
and clips of one speaker are alike. [`speaker_test`] and [`bootstrap_test`] allow for both.
`recipes/burst2vec/false_alarms.py` measures what difference that makes.
"""

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from scipy.stats import ttest_1samp, ttest_ind, ttest_rel

from paravox.modeling.errors import ConfigError, needs_extra
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task

# With fewer discordant clips, the chi-square distribution is too rough for McNemar's test, as a common rule says.
FEW_DISCORDANT = 25


def clip_errors(task: Task, predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The error of a model on each clip.

    Args:
        task ([`Task`]).
        predictions (`np.ndarray` of shape `(clips, ...)`): as a model predicts them: intensities `(clips, labels)`, a
            scalar `(clips,)` in its unit, or the probabilities of the classes `(clips, classes)`.
        labels (`np.ndarray` of shape `(clips, ...)`): as in `MultiTaskDataset.labels`; NaN or -100 where unknown.

    Returns:
        `np.ndarray` of shape `(clips,)`: for intensities the mean absolute error over the labels, for a scalar the
        absolute error in its unit, for classes 1 where the most probable class is wrong and 0 where it is right. NaN
        for a clip whose label is not fully known.
    """
    predictions = np.asarray(predictions, np.float64)
    if task.kind == "classes":
        errors = (predictions.argmax(axis=1) != labels).astype(np.float64)
    else:
        errors = np.abs(predictions - labels).reshape(len(labels), -1).mean(axis=1)
    return np.where(fully_known(labels), errors, np.nan)


def paper_test(task: Task, first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float:
    """The p-value of the paper's test between two models (Burst2Vec, section 5 and Table 2).

    The paper names an independent two-sample t-test for emotion and age, and Cochran's Q test for the country. It does
    not say on which values its t-test ran. Ours runs on the absolute error of each clip, as [`clip_errors`] gives it.
    Both tests take clips as independent of each other. The t-test also takes the clips of the two models as different
    ones, although they are the same. Cochran's Q of two models compares them clip by clip.

    Args:
        task ([`Task`]).
        first, second (`np.ndarray` of shape `(clips, ...)`): the predictions of two models on the same clips.
        labels (`np.ndarray` of shape `(clips, ...)`): as in [`clip_errors`].

    Returns:
        `float`: two-sided, in 0..1. It is 1 where nothing differs, and NaN where fewer than two labels are known.
    """
    errors = _known_errors(task, first, second, labels)
    if task.kind == "classes":
        return _p_value(len(errors), lambda: _statsmodels("contingency_tables").cochrans_q(errors).pvalue)
    return _p_value(len(errors), lambda: ttest_ind(errors[:, 0], errors[:, 1]).pvalue)


def paired_test(task: Task, first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float:
    """The p-value of a test that compares two models clip by clip, taking clips as independent of each other.

    It is the paired t-test of [`clip_errors`] for intensities and scalars, and McNemar's test for classes: the exact
    one where the models differ on fewer than 25 clips, otherwise the chi-square test without continuity correction,
    which equals Cochran's Q. The arguments and the result are as in [`paper_test`].
    """
    errors = _known_errors(task, first, second, labels)
    if task.kind != "classes":
        return _p_value(len(errors), lambda: ttest_rel(errors[:, 0], errors[:, 1]).pvalue)
    wrong = errors.astype(bool)
    table = [[np.sum((wrong[:, 0] == a) & (wrong[:, 1] == b)) for b in (False, True)] for a in (False, True)]
    exact = table[0][1] + table[1][0] < FEW_DISCORDANT
    mcnemar = _statsmodels("contingency_tables").mcnemar
    return _p_value(len(errors), lambda: mcnemar(table, exact=exact, correction=False).pvalue)


def speaker_test(
    task: Task, first: np.ndarray, second: np.ndarray, labels: np.ndarray, speakers: Sequence[str] | np.ndarray
) -> float:
    """The p-value of a one-sample t-test over speakers: is the mean over speakers of the difference of errors 0?

    Each speaker counts once, with the mean over its clips of the difference of [`clip_errors`], however many clips it
    has. The test is sound for clips that are clustered by speaker, as far as the speakers are a random sample.

    Args:
        task, first, second, labels: as in [`paper_test`].
        speakers (sequence of `str`): the speaker of each clip.

    Returns:
        `float`: two-sided, in 0..1. It is 1 where no speaker differs, and NaN where fewer than two speakers have clips
        with known labels.
    """
    known = fully_known(labels)
    errors = _known_errors(task, first, second, labels)
    names, speaker_of_clip = np.unique(np.asarray(speakers)[known], return_inverse=True)
    totals = np.bincount(speaker_of_clip, errors[:, 0] - errors[:, 1], minlength=len(names))
    # What is left by rounding must not look like a difference that all speakers share.
    means = np.round(totals / np.bincount(speaker_of_clip, minlength=len(names)), 12)
    return _p_value(len(names), lambda: ttest_1samp(means, 0).pvalue)


def bootstrap_test(first_draws: np.ndarray, second_draws: np.ndarray) -> float:
    """The p-value of a difference of a score, such as CCC, UAR or MAE, from the same draws of speakers for both models.

    It is twice the smaller of the shares of draws in which the difference is at most 0 and at least 0, where each share
    is (count + 1) / (draws + 1), so that no number of draws can give a p-value of 0.

    Args:
        first_draws, second_draws (`np.ndarray` of shape `(draws + 1,)`): from [`bootstrap_scores`] with the same
            counts. The first entry, which is the score itself, is left out, and so is a draw in which a score is NaN.

    Returns:
        `float`: two-sided, above 0 and at most 1; NaN if there is no draw.
    """
    differences = np.asarray(first_draws)[1:] - np.asarray(second_draws)[1:]
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return np.nan
    smaller = min(np.sum(differences <= 0), np.sum(differences >= 0))
    return min(1.0, 2 * float(smaller + 1) / (len(differences) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for several tests.

    Args:
        p_values (sequence of `float`): one for each test; NaN where there was no test.

    Returns:
        list of `float`: the corrected p-values in the same order. NaN stays NaN and is not counted as a test.
    """
    corrected = np.array(p_values, np.float64)
    tested = ~np.isnan(corrected)
    if tested.any():
        corrected[tested] = _statsmodels("multitest").multipletests(corrected[tested], method="holm")[1]
    return corrected.tolist()


def _statsmodels(module: str) -> Any:
    """A module of `statsmodels.stats`, which is optional."""
    try:
        return import_module(f"statsmodels.stats.{module}")
    except ImportError:
        raise ConfigError(needs_extra("a significance test", "statsmodels", "study")) from None


def _known_errors(task: Task, first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The errors of both models on the clips with known labels, `(known clips, 2)`."""
    errors = np.stack([clip_errors(task, predictions, labels) for predictions in (first, second)], axis=1)
    return errors[fully_known(labels)]


def _p_value(sample: int, test: Callable[[], float]) -> float:
    """The p-value of a test of two models, if the sample is large enough for one."""
    if sample < 2:
        return np.nan
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        # scipy warns where all differences are nearly the same, which is no mistake here.
        warnings.simplefilter("ignore", RuntimeWarning)
        p = float(test())
    # A statistic of 0 / 0: nothing varies, and nothing differs.
    return 1.0 if np.isnan(p) else p
