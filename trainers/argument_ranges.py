"""The ranges of the Trainer's numbers. What lies outside would fail after minutes, or change nothing."""

import math
from typing import Any, NamedTuple

from paravox.modeling.errors import ConfigError


class Range(NamedTuple):
    """The numbers that an argument may be.

    Args:
        lowest (`float`).
        highest (`float`, *optional*): by default any number that is finite.
    """

    lowest: float
    highest: float = math.inf


_COUNT, _SHARE, _AT_LEAST_0, _SEED = Range(1, 10**9), Range(0, 1), Range(0), Range(0, 2**32 - 1)
RANGES = {
    "adam_beta1": _SHARE,
    "adam_beta2": _SHARE,
    "adam_epsilon": _AT_LEAST_0,
    "data_seed": _SEED,
    "dataloader_num_workers": Range(0, 1_000),
    "dataloader_prefetch_factor": Range(1, 10_000),
    "ddp_bucket_cap_mb": Range(1, 10**6),
    "ddp_timeout": Range(1, 10**8),
    "early_stopping_patience": _COUNT,
    "encoder_learning_rate": _AT_LEAST_0,
    "eval_delay": _AT_LEAST_0,
    "eval_steps": _AT_LEAST_0,
    "gradient_accumulation_steps": _COUNT,
    "learning_rate": _AT_LEAST_0,
    "logging_steps": _AT_LEAST_0,
    "max_grad_norm": _AT_LEAST_0,
    "max_steps": Range(-1, 10**12),
    "num_train_epochs": Range(0, 10**9),
    "per_device_eval_batch_size": Range(1, 10**6),
    "per_device_train_batch_size": Range(1, 10**6),
    "save_steps": _AT_LEAST_0,
    "save_total_limit": Range(0, 10**9),
    "seed": _SEED,
    "torch_empty_cache_steps": _COUNT,
    "trainable_encoder_layers": Range(0, 10**6),
    "warmup_ratio": _SHARE,
    "warmup_steps": Range(0, 10**12),
    "weight_decay": _AT_LEAST_0,
}


def check_ranges(args: Any) -> None:
    """Looks at the numbers of training arguments.

    Args:
        args ([`TrainingArguments`]): an argument that this version of Transformers does not have is left out.

    Raises:
        ConfigError: if one is not in its range, or not finite.
    """
    for name, (lowest, highest) in RANGES.items():
        value = getattr(args, name, None)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if not (lowest <= value <= highest and math.isfinite(value)):
            most = f"from {lowest:g} to {highest:g}" if highest < math.inf else f"of at least {lowest:g}"
            raise ConfigError(f"{name} is {value!r}: give a number {most}, or leave it out")
