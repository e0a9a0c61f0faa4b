"""Learned weights of the tasks' losses."""

import torch
from torch import nn

from .losses import at_least_float32


class TaskWeights(nn.Module):
    """Weights the tasks' losses by learned variances: `exp(-s) L + s`, s the task's log variance (Kendall et al. 2018).

    The log variances start at -0.33, as in the baseline of the ExVo 2022 challenge.

    Args:
        tasks (`int`): the number of tasks.
    """

    INITIAL_LOG_VARIANCE = -0.33

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.full((tasks,), self.INITIAL_LOG_VARIANCE))

    def forward(self, position: int, loss: torch.Tensor) -> torch.Tensor:
        """The weighted loss of the task at a position, a scalar."""
        log_variance = at_least_float32(self.log_variances[position])
        return torch.exp(-log_variance) * loss + log_variance
