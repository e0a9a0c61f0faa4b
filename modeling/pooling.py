"""Pooling: from the hidden states of an encoder to one vector per clip."""

import torch
from torch import nn

from .losses import at_least_float32


def masked_mean(states: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
    """The mean over the real frames of each clip.

    Args:
        states (`torch.Tensor` of shape `(batch, frames, hidden)`): of any float type. They are summed in float32 or
            wider.
        frame_mask (`torch.BoolTensor` of shape `(batch, frames)`): true where a frame is real.

    Returns:
        `torch.Tensor` of shape `(batch, hidden)`, float32 or wider; zeros for a clip without a real frame.
    """
    states = at_least_float32(states)
    weights = frame_mask.unsqueeze(-1).to(states.dtype)  # (batch, frames, 1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class LayerWeights(nn.Module):
    """A learned weighted mean of an encoder's layers. The weights are a softmax, and are equal at the start.

    It is applied to layers that are already pooled over time, so that the layers of a frozen encoder need to be pooled
    only once. Each layer is first brought to zero mean and unit variance over its features (a layer norm without
    weights), so that no layer dominates the others by its scale alone.

    Args:
        layers (`int`): the number of the encoder's hidden states, including the one before its first layer.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))

    def forward(self, pooled_layers: torch.Tensor) -> torch.Tensor:
        """(batch, layers, hidden) -> (batch, hidden), in float32 or wider"""
        pooled_layers = at_least_float32(pooled_layers)
        weights = torch.softmax(at_least_float32(self.scores), dim=0)
        normalised = nn.functional.layer_norm(pooled_layers, pooled_layers.shape[-1:])
        return torch.einsum("l,blh->bh", weights.to(normalised.dtype), normalised)
