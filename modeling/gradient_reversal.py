"""The gradient reversal layer: what lies before it learns to make worse what lies behind it."""

import torch


class _GradientReversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: torch.Tensor) -> torch.Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        return -gradient


def reverse_gradient(values: torch.Tensor) -> torch.Tensor:
    """Passes values through unchanged and their gradient with the opposite sign (Burst2Vec, section 3.4).

    Args:
        values (`torch.Tensor` of any shape): what a discriminator or a head sees.

    Returns:
        `torch.Tensor`: the same values; in the backward pass the gradient is multiplied by -1.
    """
    return _GradientReversal.apply(values)
