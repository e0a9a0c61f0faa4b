"""The gradient reversal layer: the layers before it learn the opposite of what the layers after it learn."""

from typing import Any

import torch


class _GradientReversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return -gradient


def reverse_gradient(values: torch.Tensor) -> torch.Tensor:
    """Returns values unchanged, and reverses the sign of their gradient (Burst2Vec, section 3.4).

    Args:
        values (`torch.Tensor` of any shape): the input of a discriminator or a head.

    Returns:
        `torch.Tensor`: the same values. In the backward pass, the gradient is multiplied by -1.
    """
    return _GradientReversal.apply(values)
