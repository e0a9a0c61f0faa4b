"""Calibration: what a model says with 0.8 is right, or has a label, of 0.8 on average."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from .errors import ConfigError
from .losses import at_least_float32
from .tasks import Task

FIELDS = {"classes": {"temperature"}, "intensities": {"temperature", "offset"}}


def parse_calibration(calibration: Any, tasks: Sequence[Task]) -> dict[str, dict[str, float]] | None:
    """Checks how a config says that outputs are calibrated.

    Args:
        calibration (`dict`, *optional*): by task, the arguments of [`calibrated`]. Tasks without an entry, and scalars,
            stay as the model predicts them.
        tasks (sequence of [`Task`]): of the model.

    Raises:
        ConfigError: if it is of another form, or names a task that the model does not have.
    """
    if calibration is None:
        return None
    kinds = {task.name: task.kind for task in tasks if task.kind in FIELDS}
    if not isinstance(calibration, dict) or not calibration.keys() <= kinds.keys():
        raise ConfigError(f"calibration is {calibration!r}: give a mapping by task, for any of {', '.join(kinds)}")
    for name, values in calibration.items():
        fields = FIELDS[kinds[name]]
        if not isinstance(values, dict) or values.keys() != fields or not all(map(_is_number, values.values())):
            raise ConfigError(f"calibration of {name!r} is {values!r}: give numbers for {' and '.join(sorted(fields))}")
        if not values["temperature"] > 0:
            raise ConfigError(f"calibration of {name!r} has the temperature {values['temperature']}: it is above 0")
    return {name: dict(values) for name, values in calibration.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def calibrated(task: Task, logits: torch.Tensor, temperature: float, offset: float = 0.0) -> torch.Tensor:
    """Calibrated outputs of a task.

    Class probabilities are a softmax with a temperature (Guo et al. 2017, "On calibration of modern neural networks",
    section 4.2). An intensity is `sigmoid((output - offset) / temperature)` (Platt 1999): where labels are 0 and 1, the
    probability of 1. Neither changes the order of the labels of a class, or of the clips of one intensity.

    Args:
        task ([`Task`]): of kind `classes` or `intensities`.
        logits (`torch.Tensor` of shape `(batch, outputs)`): of the model.
        temperature (`float`): above 0. The larger it is, the less sure the outputs are.
        offset (`float`, *optional*, defaults to 0): the output whose intensity is one half.

    Returns:
        `torch.Tensor` of shape `(batch, outputs)`, float32 or wider, in 0..1.
    """
    scaled = (at_least_float32(logits) - offset) / temperature
    return torch.softmax(scaled, dim=-1) if task.kind == "classes" else torch.sigmoid(scaled)


def calibrate(
    tasks: dict[str, Task],
    calibration: dict[str, dict[str, float]] | None,
    logits: dict[str, torch.Tensor],
    predictions: dict[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    """The outputs of every task, calibrated where the config says how, otherwise as the model predicts them.

    Args:
        tasks (`dict` of [`Task`]): by name.
        calibration (`dict`, *optional*): from the config.
        logits, predictions (`dict` of `torch.Tensor`): of a batch.
    """
    settings = calibration or {}
    return {
        name: calibrated(task, logits[name], **settings[name]) if name in settings else predictions[name]
        for name, task in tasks.items()
    }
