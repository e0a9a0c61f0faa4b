"""Confidence intervals of scores by a bootstrap over speakers, because clips of one speaker are not independent."""

from collections.abc import Callable

import numpy as np

from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task
from paravox.trainers.metrics.s_mtl.s_mtl import s_mtl
from paravox.trainers.scoring import metric_names

DRAWS = 2_000


def draw_speakers(speakers: list[str], draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Draws as many speakers as there are, with replacement, and returns how often each clip counts in each draw.

    Args:
        speakers (list of `str`): the speaker of each clip.
        draws (`int`, *optional*, defaults to 2000): the number of draws.
        seed (`int`, *optional*, defaults to 0): the same seed and speakers give the same draws, so that the scores of
            several models can be compared draw by draw.

    Returns:
        `np.ndarray` of shape `(draws + 1, clips)`: the first row counts every clip once.
    """
    names, speaker_of_clip = np.unique(speakers, return_inverse=True)
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return np.concatenate([np.ones((1, len(names))), counts])[:, speaker_of_clip]


def bootstrap_scores(
    tasks: list[Task], predictions: dict[str, np.ndarray], labels: dict[str, np.ndarray], counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The scores of [`score_split`] in every draw of speakers.

    Args:
        tasks (list of [`Task`]).
        predictions (`dict` of `np.ndarray`): per task, `(clips, ...)` as a model predicts.
        labels (`dict` of `np.ndarray`): per task, as in `MultiTaskDataset.labels`.
        counts (`np.ndarray` of shape `(draws + 1, clips)`): from [`draw_speakers`].

    Returns:
        `dict` of `np.ndarray` of shape `(draws + 1,)`: keys as [`metric_names`] without the losses. A class that a draw
        lacks is left out of its recall; a score of which a draw has nothing is NaN.
    """
    scores: dict[str, np.ndarray] = {}
    for task in tasks:
        truth, guess = labels[task.name], predictions[task.name]
        known = fully_known(truth)
        if not known.any():
            continue
        truth, guess, weights = truth[known], np.asarray(guess[known], np.float64), counts[:, known]
        with np.errstate(invalid="ignore", divide="ignore"):
            for metric, function in _METRICS_BY_KIND[task.kind].items():
                scores[f"{task.name}_{metric}"] = function(guess, truth, weights)
    if "s_mtl" in metric_names(tasks):
        by_kind = {task.kind: task.name for task in tasks}
        parts = (f"{by_kind['intensities']}_ccc", f"{by_kind['classes']}_uar", f"{by_kind['scalar']}_mae")
        if all(name in scores for name in parts):
            drawn = zip(*(scores[name] for name in parts), strict=True)
            scores["s_mtl"] = np.array([s_mtl(*values) for values in drawn])
    return scores


def interval(values: np.ndarray) -> list[float]:
    """The 95 % interval of a score over its draws, leaving out the first one, which is the score itself."""
    return [round(float(end), 4) for end in np.nanpercentile(values[1:], [2.5, 97.5])]


def _ccc(guess: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    truth = np.asarray(truth, np.float64)
    total = weights.sum(axis=1, keepdims=True)
    mean_guess, mean_truth = weights @ guess / total, weights @ truth / total
    covariance = weights @ (guess * truth) / total - mean_guess * mean_truth
    spread = weights @ guess**2 / total - mean_guess**2 + weights @ truth**2 / total - mean_truth**2
    ccc = 2 * covariance / (spread + (mean_guess - mean_truth) ** 2)
    # A column whose predictions and labels are both constant has a CCC of 0, as in the metric.
    return np.nan_to_num(ccc).mean(axis=1)


def _recall(guess: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    classes = np.unique(truth)
    hit = guess == truth
    recalls = [
        weights[:, truth == label] @ hit[truth == label] / weights[:, truth == label].sum(1) for label in classes
    ]
    return np.nanmean(recalls, axis=0)


def _mae(guess: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ np.abs(guess - truth) / weights.sum(axis=1)


_Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_METRICS_BY_KIND: dict[str, dict[str, _Metric]] = {
    "intensities": {
        "ccc": _ccc,
        "uar": lambda guess, truth, weights: _recall(guess.argmax(axis=1), truth.argmax(axis=1), weights),
    },
    "scalar": {"mae": _mae},
    "classes": {"uar": lambda guess, truth, weights: _recall(guess.argmax(axis=1), truth, weights)},
}
