"""What differs between the versions of Transformers in which a saved model opens: 4.57 and newer."""

from inspect import signature
from typing import Any

import torch
from torch import nn

try:
    from transformers import PreTrainedConfig
except ImportError:  # before 5.0
    from transformers import PretrainedConfig as PreTrainedConfig

try:
    from transformers.masking_utils import create_bidirectional_mask
except ImportError:  # before 5.0
    create_bidirectional_mask = None
    from transformers.modeling_attn_mask_utils import _prepare_4d_attention_mask


# Before 5.0, a list of modules to keep in float32 may not name one that has nothing but buffers.
KEEPS_BUFFERS_IN_FLOAT32 = create_bidirectional_mask is not None


def attention_mask_of(config: PreTrainedConfig, hidden: torch.Tensor, frame_mask: torch.Tensor) -> Any:
    """The mask that the layers of an encoder take.

    Args:
        config ([`PreTrainedConfig`]): of the encoder; it names the implementation of the attention.
        hidden (`torch.Tensor` of shape `(batch, frames, hidden)`): the input of the first of the layers.
        frame_mask (`torch.Tensor` of shape `(batch, frames)`): true where a frame is real.

    Returns:
        What the implementation takes: a `torch.Tensor`, or None where every frame is real.
    """
    if create_bidirectional_mask is None:
        return _prepare_4d_attention_mask(frame_mask, hidden.dtype)
    return create_bidirectional_mask(config, hidden, frame_mask)


def run_layer(layer: nn.Module, hidden: torch.Tensor, mask: Any) -> torch.Tensor:
    """Runs one transformer layer of an encoder.

    Args:
        layer (`nn.Module`): of wav2vec 2.0, HuBERT or Whisper.
        hidden (`torch.Tensor` of shape `(batch, frames, hidden)`): its input.
        mask: from [`attention_mask_of`].

    Returns:
        `torch.Tensor` of shape `(batch, frames, hidden)`.
    """
    # Before 5.0, Whisper's layers have a further argument without a default.
    without_default = {"layer_head_mask": None} if "layer_head_mask" in signature(layer.forward).parameters else {}
    output = layer(hidden, mask, **without_default)
    # Before 5.6, layers return a tuple.
    return output[0] if isinstance(output, tuple) else output


__all__ = ["KEEPS_BUFFERS_IN_FLOAT32", "PreTrainedConfig", "attention_mask_of", "run_layer"]
