"""Fits what makes a trained model's outputs honest: temperatures, and what the training recordings look like."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from paravox.evaluation.reliability import Reliability, class_reliability, intensity_reliability
from paravox.modeling.calibration import calibrated
from paravox.modeling.familiarity import Familiarity
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task

# How many directions of the pooled states get a variance of their own, where there are enough clips.
DIRECTIONS = 64
CLIPS_PER_DIRECTION = 4


@dataclass(frozen=True)
class ModelOutputs:
    """What a model gives for the clips of a split.

    Args:
        logits (`dict` of `np.ndarray`): per task, `(clips, outputs)`.
        predictions (`dict` of `np.ndarray`): per task, as the model gives them.
        pooled_states (`np.ndarray` of shape `(clips, hidden)`): of the encoder's last layer.
    """

    logits: dict[str, np.ndarray]
    predictions: dict[str, np.ndarray]
    pooled_states: np.ndarray


def fit_calibration(task: Task, logits: np.ndarray, labels: np.ndarray) -> dict[str, float] | None:
    """Fits the arguments of [`~paravox.modeling.calibration.calibrated`] to labels, by the likelihood.

    An intensity counts as the probability of a label of 1, so that labels between 0 and 1 are taken as they are.

    Args:
        task ([`Task`]): of kind `classes` or `intensities`.
        logits (`np.ndarray` of shape `(clips, outputs)`): of the model.
        labels (`np.ndarray`): as in a `MultiTaskDataset`; clips whose label is unknown are left out.

    Returns:
        `dict` with `temperature` and, for intensities, `offset`; None where the outputs say nothing of the labels, or
        no label is known.
    """
    known = fully_known(labels)
    if not known.any():
        return None
    logits, labels = np.float64(logits[known]), labels[known]
    if task.kind == "classes":
        rows = np.arange(len(labels))

        def surprise(log_temperature: float) -> float:
            return -log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean()

        found = minimize_scalar(surprise, bounds=(-5.0, 5.0), method="bounded")
        return {"temperature": float(np.exp(found.x))}

    def cost(line: np.ndarray) -> tuple[float, np.ndarray]:
        scores = line[0] * logits + line[1]
        gap = expit(scores) - labels
        return float((np.logaddexp(0, scores) - labels * scores).mean()), np.array([(gap * logits).mean(), gap.mean()])

    slope, shift = minimize(cost, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    if slope <= 0:
        return None
    return {"temperature": float(1 / slope), "offset": float(-shift / slope)}


def reliability_of(
    task: Task, outputs: ModelOutputs, labels: np.ndarray, calibration: dict[str, float] | None = None
) -> Reliability:
    """What was predicted and what was true for a task, as the model predicts it or calibrated.

    Args:
        task ([`Task`]): of kind `classes` or `intensities`.
        outputs ([`ModelOutputs`]): of the same clips.
        labels (`np.ndarray`): as in a `MultiTaskDataset`; clips whose label is unknown are left out.
        calibration (`dict`, *optional*): the arguments of [`~paravox.modeling.calibration.calibrated`].
    """
    known = fully_known(labels)
    given = outputs.predictions[task.name]
    if calibration is not None:
        given = calibrated(task, torch.from_numpy(outputs.logits[task.name]), **calibration).numpy()
    measure = class_reliability if task.kind == "classes" else intensity_reliability
    return measure(given[known], labels[known])


def fit_familiarity(train: np.ndarray, validation: np.ndarray, false_alarm_rate: float) -> Familiarity:
    """Describes the training recordings, and sets the threshold on recordings of other speakers.

    Args:
        train (`np.ndarray` of shape `(clips, hidden)`): pooled states of training recordings.
        validation (`np.ndarray` of shape `(clips, hidden)`): those of Val.
        false_alarm_rate (`float`): the share of Val that lies beyond the threshold.
    """
    train = np.float64(train)
    clips, hidden = train.shape
    directions = max(1, min(DIRECTIONS, clips // CLIPS_PER_DIRECTION, hidden - 1))
    mean = train.mean(axis=0)
    _, scales, right = np.linalg.svd(train - mean, full_matrices=False)
    variances = np.zeros(hidden)
    variances[: len(scales)] = scales**2 / max(1, clips - 1)
    # The variance of all other directions, which must not be 0 where there are few clips.
    rest = max(variances[directions:].mean(), 1e-6 * variances.mean(), np.finfo(np.float32).tiny)
    familiarity = Familiarity(hidden, directions, false_alarm_rate)
    values = {
        "mean": mean,
        "directions": right[:directions],
        "scales": np.sqrt(np.maximum(variances[:directions], rest)),
        "rest_scale": np.sqrt([rest]),
    }
    for name, value in values.items():
        getattr(familiarity, name).copy_(torch.from_numpy(np.float32(value)))
    distances = familiarity.distance(torch.from_numpy(np.float32(validation))).numpy()
    familiarity.threshold.fill_(float(np.quantile(distances, 1 - false_alarm_rate)))
    return familiarity
