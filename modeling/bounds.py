"""The largest sizes of what a config describes, so that a damaged or hostile one is refused before memory is asked for.

All of them are far above those of any model that is published.
"""

import math
from collections.abc import Iterable
from typing import Any

from .errors import ConfigError
from .transformers_versions import PreTrainedConfig

LARGEST_SIZE = 65_536  # of a layer
MOST_LAYERS = 256
MOST_WEIGHTS = 20 * 10**9
LARGEST_NUMBER = 10**9  # of any other number, such as an index or the samples of a clip
LARGEST_VOCABULARY = 10**7
MOST_LABELS = 10_000  # and any other items of a field
MOST_ITEMS = 1_000  # of a list, such as the convolutions
# Fields that say nothing of the model itself; Transformers looks at some of them.
_FREE = frozenset(
    """
    _name_or_path architectures auto_map custom_pipelines dtype id2label label2id model_type name_or_path problem_type
    return_dict task_specific_params tokenizer_class torch_dtype transformers_version
    """.split()
)


def check_fields(what: str, given: dict[str, Any], usual: dict[str, Any], free: Iterable[str] = _FREE) -> None:
    """Looks at plain data whose usual values are known: each must have the type of the usual one, and no absurd size.

    Args:
        what (`str`): the data, for the message.
        given (`dict`): the data. Fields that the usual ones lack are not looked at.
        usual (`dict`): the usual values. None says nothing of a type.
        free (iterable of `str`, *optional*): fields that may have any value.

    Raises:
        ConfigError: if one of them has another type or is out of its range.
    """
    for name, expected in usual.items():
        if name in given and name not in free and given[name] is not None:
            _check_value(f"{name} of {what}", given[name], expected, "layers" in name)


def _check_value(name: str, value: Any, expected: Any, counts_layers: bool) -> None:
    if isinstance(expected, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    elif isinstance(expected, int):
        most = MOST_LAYERS if counts_layers else LARGEST_NUMBER
        fits, wanted = _is_whole(value) and -1 <= value <= most, f"a whole number of at most {most:,}"
    elif isinstance(expected, float):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        lowest, most = (0, 1) if "drop" in name or "_prob" in name else (-LARGEST_NUMBER, LARGEST_NUMBER)
        fits, wanted = is_number and lowest <= value <= most, f"a number from {lowest:,} to {most:,}"
    elif isinstance(expected, str):
        fits, wanted = isinstance(value, str), "text"
    elif isinstance(expected, (list, tuple)) and expected and all(map(_is_whole, expected)):
        fits = isinstance(value, (list, tuple)) and len(value) <= MOST_ITEMS
        fits = fits and all(_is_whole(item) and 0 <= item <= LARGEST_NUMBER for item in value)
        wanted = f"a list of whole numbers from 0 to {LARGEST_NUMBER:,}"
    else:
        return
    if not fits:
        raise ConfigError(f"{name} is {str(value)[:80]!r}, expected {wanted}: correct it")


def check_lengths(what: str, fields: dict[str, Any]) -> None:
    """Raises [`ConfigError`] where a field holds very many items, which a library would repeat in its error."""
    for name, value in fields.items():
        if isinstance(value, (list, tuple, dict, str)) and len(value) > MOST_LABELS:
            raise ConfigError(f"{str(name)[:80]} of {what} holds {len(value):,} items: correct it")


def check_number(name: str, value: Any, lowest: float, highest: float) -> None:
    """Raises [`ConfigError`] unless a value is None or a number in a range."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (is_number and lowest <= value <= highest):
        raise ConfigError(
            f"{name} is {str(value)[:80]!r}, expected a number from {lowest:,} to {highest:,}: correct it"
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_encoder_config(config: PreTrainedConfig) -> None:
    """Looks at the config of an encoder before a model is made of it.

    Args:
        config ([`PreTrainedConfig`]): of a supported encoder.

    Raises:
        ConfigError: if a field has another type than it usually has, or describes an encoder of absurd size.
    """
    # Fields with an underscore are those of Transformers itself.
    check_fields(f"a {config.model_type} encoder", vars(config), vars(type(config)()))
    if not _number(config, "vocab_size") <= LARGEST_VOCABULARY:
        raise ConfigError(f"the encoder has vocab_size {config.vocab_size}: give at most {LARGEST_VOCABULARY:,}")
    hidden = _number(config, "hidden_size")
    if not 0 < hidden <= LARGEST_SIZE:
        raise ConfigError(f"the encoder has hidden_size {hidden}: give a whole number from 1 to {LARGEST_SIZE:,}")
    heads = _number(config, "num_attention_heads")
    if heads < 1 or hidden % heads:
        raise ConfigError(
            f"the encoder's hidden_size {hidden} does not divide into {heads} attention heads: correct one"
        )
    wide = max(_number(config, name) for name in ("intermediate_size", "encoder_ffn_dim"))
    layers = max(_number(config, name) for name in ("num_hidden_layers", "encoder_layers"))
    if wide < 1 or layers < 0:
        raise ConfigError(f"the encoder has {layers} layers whose inner width is {wide}: correct its config")
    positions = max(_number(config, name) for name in ("max_source_positions", "num_conv_pos_embeddings"))
    channels = [*(getattr(config, "conv_dim", None) or ()), hidden]
    kernels = [*(getattr(config, "conv_kernel", None) or ()), 1]
    front = sum(kernel * one * one for kernel, one in zip(kernels, channels, strict=False))
    positions = max(positions, _number(config, "num_buckets") * heads)
    weights = layers * (4 * hidden**2 + 2 * hidden * wide) + positions * hidden**2 // 16 + front
    if weights > MOST_WEIGHTS:
        raise ConfigError(
            f"the encoder would have about {weights:.0e} weights, expected at most {MOST_WEIGHTS:.0e}: correct its "
            "config"
        )
    strides, kernel_sizes = getattr(config, "conv_stride", None), getattr(config, "conv_kernel", None)
    if strides is not None and kernel_sizes is not None:
        spans = [*strides, *kernel_sizes]
        lengths = {len(strides), len(kernel_sizes), len(config.conv_dim)}
        if len(lengths) > 1 or min(spans, default=0) < 1 or math.prod(spans) > 10**12 or min(config.conv_dim) < 1:
            raise ConfigError("conv_dim, conv_kernel and conv_stride of the encoder do not fit")


def _number(config: PreTrainedConfig, name: str) -> int:
    value = getattr(config, name, 0)
    return value if _is_whole(value) else 0


def size_of(name: str, size: Any) -> int:
    """Returns the width of a layer.

    Raises:
        ConfigError: if it is no whole number, or absurd.
    """
    if not _is_whole(size) or not 1 <= size <= LARGEST_SIZE:
        raise ConfigError(f"{name} is {size!r}: give a whole number from 1 to {LARGEST_SIZE:,}")
    return size
