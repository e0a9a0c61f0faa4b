"""Every hidden layer of clips, pooled over time: what heads on a frozen encoder learn from."""

import torch

from paravox.modeling.encoders import SpeechEncoder
from paravox.modeling.pooling import masked_mean


def run_all_layers(encoder: SpeechEncoder, inputs: dict[str, torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Runs an encoder.

    Args:
        encoder ([`SpeechEncoder`]).
        inputs (`dict` of `torch.Tensor`): the encoder's input and `attention_mask`.

    Returns:
        One `torch.Tensor` `(batch, frames, hidden)` per layer and one before them, and `(batch, frames)`, true where a
        frame is real.
    """
    mask = inputs["attention_mask"]
    layers = encoder.layer_states(inputs[encoder.input_name], mask)
    return layers, encoder.frame_mask(mask, layers[0].shape[1])


def pool_layers(layers: list[torch.Tensor], frame_mask: torch.Tensor) -> torch.Tensor:
    """The mean of each layer over time: layers times `(batch, frames, hidden)` -> `(batch, layers, hidden)`."""
    return torch.stack([masked_mean(layer, frame_mask) for layer in layers], dim=1)


def layer_moments(layers: list[torch.Tensor], frame_mask: torch.Tensor) -> torch.Tensor:
    """The mean and the variance of each layer over the real frames of each clip.

    Args:
        layers (list of `torch.Tensor`, each `(batch, frames, hidden)`).
        frame_mask (`torch.BoolTensor` of shape `(batch, frames)`): true where a frame is real.

    Returns:
        `torch.Tensor` of shape `(batch, layers, 2, hidden)`, float32 or wider: first the mean, then the variance.
    """
    moments = []
    for layer in layers:
        mean = masked_mean(layer, frame_mask)
        variance = masked_mean((layer.to(mean.dtype) - mean.unsqueeze(1)) ** 2, frame_mask)
        moments.append(torch.stack([mean, variance], dim=1))
    return torch.stack(moments, dim=1)
