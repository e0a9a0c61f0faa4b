"""How unlike the training recordings a clip is, and the warning that comes with it."""

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from .errors import ConfigError
from .losses import at_least_float32

# A recording is silent if no sample is further from their mean than this share of full scale: -70 dB.
SILENCE = 10 ** (-70 / 20)


class Familiarity(nn.Module):
    """Knows the pooled states of the training recordings, as a normal distribution.

    The distribution has its own variance along its leading directions, and one variance for all others (Tipping and
    Bishop 1999, "Probabilistic principal component analysis"). The distance of a clip is the mean of its squared
    deviations from the mean of the distribution, each divided by the variance.

    Args:
        hidden_size (`int`): the width of the states.
        directions (`int`): how many directions have a variance of their own.
        false_alarm_rate (`float`): the share of recordings like those of the training that lie beyond the threshold.
    """

    def __init__(self, hidden_size: int, directions: int, false_alarm_rate: float) -> None:
        super().__init__()
        self.false_alarm_rate = false_alarm_rate
        self.register_buffer("mean", torch.zeros(hidden_size))
        self.register_buffer("directions", torch.zeros(directions, hidden_size))
        self.register_buffer("scales", torch.ones(directions))
        self.register_buffer("rest_scale", torch.ones(1))
        self.register_buffer("threshold", torch.ones(1))

    def distance(self, pooled_states: torch.Tensor) -> torch.Tensor:
        """(batch, hidden) -> (batch,): the mean squared deviation in units of the variance, float32 or wider"""
        deviations = at_least_float32(pooled_states)
        deviations = deviations - at_least_float32(self.mean)
        directions = at_least_float32(self.directions)
        along = deviations @ directions.T
        # Directions that were saved in half precision are not quite orthogonal.
        rest = ((deviations**2).sum(dim=-1) - (along**2).sum(dim=-1)).clamp(min=0)
        squares = ((along / at_least_float32(self.scales)) ** 2).sum(dim=-1)
        return (squares + rest / at_least_float32(self.rest_scale) ** 2) / deviations.shape[-1]

    def forward(self, pooled_states: torch.Tensor) -> torch.Tensor:
        """How unusual clips are: their distance as a share of the threshold, so that 1 lies on it.

        Args:
            pooled_states (`torch.Tensor` of shape `(batch, hidden)`): the last layer, averaged over time.

        Returns:
            `torch.Tensor` of shape `(batch,)`, float32 or wider.
        """
        return (self.distance(pooled_states) / at_least_float32(self.threshold)).sqrt()


def parse_familiarity(familiarity: Any) -> dict[str, Any] | None:
    """Checks the arguments of a config for [`Familiarity`], but for the width.

    Raises:
        ConfigError: if they are none.
    """
    if familiarity is None:
        return None
    given = familiarity if isinstance(familiarity, dict) else {}
    directions, rate = given.get("directions"), given.get("false_alarm_rate")
    if (
        given.keys() != {"directions", "false_alarm_rate"}
        or type(directions) is not int
        or not 1 <= directions <= 65_536
        or not isinstance(rate, float)
        or not 0 < rate < 1
    ):
        raise ConfigError(
            f"familiarity is {familiarity!r}: give directions, a whole number above 0, and false_alarm_rate, between 0 "
            "and 1"
        )
    return dict(familiarity)


def warning_of(samples: int, peak: float, minimum_samples: int, unusual: float | None = None) -> str | None:
    """What a reader of a prediction must know about its recording.

    Args:
        samples (`int`): the length of the recording.
        peak (`float`): its largest deviation from the mean of its samples, as a share of full scale.
        minimum_samples (`int`): the receptive field of the encoder.
        unusual (`float`, *optional*): from [`Familiarity`].

    Returns:
        `str`: `silence`, `too short`, or `unlike the training recordings`; None if there is nothing to say.
    """
    if peak < SILENCE:
        return "silence"
    if samples < minimum_samples:
        return "too short"
    if unusual is not None and (unusual > 1 or math.isnan(unusual)):
        return "unlike the training recordings"
    return None


def peak_of(samples: np.ndarray) -> float:
    """The largest deviation of a recording's samples `(samples,)` from their mean, which a constant offset does not
    raise."""
    return float(np.abs(samples - samples.mean()).max())
