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
    from transformers.modeling_attn_mask_utils import _prepare_4d_attention_mask

    def create_bidirectional_mask(config: Any, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, frames), true where a frame is real -> (batch, 1, frames, frames), added to the attention's scores"""
        return _prepare_4d_attention_mask(mask, hidden.dtype)


def run_layer(layer: nn.Module, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Runs one transformer layer of an encoder.

    Args:
        layer (`nn.Module`): of wav2vec 2.0, HuBERT or Whisper.
        hidden (`torch.Tensor` of shape `(batch, frames, hidden)`): its input.
        mask (`torch.Tensor`): from `create_bidirectional_mask`.

    Returns:
        `torch.Tensor` of shape `(batch, frames, hidden)`.
    """
    # Before 5.0, Whisper's layers have a further argument without a default.
    without_default = {"layer_head_mask": None} if "layer_head_mask" in signature(layer.forward).parameters else {}
    output = layer(hidden, mask, **without_default)
    # Before 5.6, layers return a tuple.
    return output[0] if isinstance(output, tuple) else output


__all__ = ["PreTrainedConfig", "create_bidirectional_mask", "run_layer"]
