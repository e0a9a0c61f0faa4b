"""Compiles the layers of an encoder, in which nearly all the time of a training step is spent."""

from typing import Any

import torch
import torch._inductor.config

from paravox.modeling.errors import ConfigError, reason_of
from paravox.modeling.model_with_encoder import ModelWithEncoder

# The layers of an encoder share their code, and so do the graphs that the compiler keeps for it. By default it would
# give up after the eighth.
GRAPHS = 128


def compile_layers(model: ModelWithEncoder, backend: Any = "inductor", mode: str | None = None) -> None:
    """Compiles the layers of a model's encoder in place: each when it first runs.

    Layers of one kind share their graphs, which serve batches of all tasks. Graphs are made for any length and number
    of clips; only whether there is padding, and where a number is 1, needs another one. The draws of SpecAugment and
    LayerDrop lie outside, so nothing of them is compiled. The names of the weights stay as they are.

    Args:
        model ([`ModelWithEncoder`]): its encoder names the layers.
        backend (`str` or `Callable`, *optional*, defaults to `"inductor"`): as in `torch.compile`, like `mode`. The
            mode `reduce-overhead` records what a GPU does, for which each shape needs graphs of its own.
    """
    config: Any = torch._dynamo.config
    # Its name before torch 2.7.
    limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, limit, max(GRAPHS, getattr(config, limit)))
    # This analysis fails where lengths may differ (https://github.com/pytorch/pytorch/issues/181563).
    inductor: Any = getattr(torch._inductor.config, "triton", None)
    if hasattr(inductor, "coalesce_tiling_analysis"):
        inductor.coalesce_tiling_analysis = False
    for layer in model.encoder.layers_to_compile:
        try:
            layer.compile(backend=backend, mode=mode, dynamic=mode != "reduce-overhead")
        except Exception as error:  # of many classes, where there is no such backend or mode
            raise ConfigError(f"torch_compile: {reason_of(error)}: choose another backend or mode") from error
