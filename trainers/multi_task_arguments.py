"""The arguments of the multi-task trainer: those of the Trainer, and its own."""

import math
from dataclasses import dataclass, field
from typing import Any

import yaml
from transformers import TrainingArguments
from transformers.trainer_utils import HubStrategy

from paravox.modeling.errors import ConfigError, ParavoxError, reason_of

from .argument_ranges import check_ranges
from .sampler import TASK_BATCHING
from .sorted_arguments import refuse_arguments_without_effect


@dataclass
class MultiTaskTrainingArguments(TrainingArguments):
    """[`TrainingArguments`] with one-task batches, a budget of audio and a learning rate for the encoder.

    Raises:
        ConfigError: if a setting is out of its range, contradicts another or would have no effect.
    """

    task_batching: str = field(
        default="proportional",
        metadata={
            "help": "How the task of a batch is chosen: proportional (every clip of every task once per epoch), "
            "round_robin (the tasks take turns), uniform (drawn at random, all tasks equally likely), or all_tasks (no "
            "task is chosen: a batch serves every task that its clips have labels of).",
            "choices": list(TASK_BATCHING),
        },
    )
    task_batch_sizes: dict | str | None = field(
        default=None,
        metadata={
            "help": "Batch size per process for some tasks, such as {age: 16}. The other tasks have "
            "per_device_train_batch_size."
        },
    )
    length_buckets: bool = field(
        default=True, metadata={"help": "Put clips of about one length into a batch, for little padding."}
    )
    pad_to_buckets: bool | None = field(
        default=None,
        metadata={"help": "Pad batches to a few lengths, so that their shapes repeat; by default on for CUDA."},
    )
    max_batch_seconds: float | None = field(
        default=None,
        metadata={"help": "The most seconds of audio in a batch of a process, with padding. It limits the memory."},
    )
    encoder_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the encoder; by default that of the other layers."}
    )
    trainable_encoder_layers: int | None = field(
        default=None,
        metadata={"help": "Freeze the encoder except for this many of its top layers; 0 freezes all of it."},
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={"help": "Stop after this many evaluations without a better metric_for_best_model."},
    )
    early_stopping_threshold: float = field(
        default=0.0,
        metadata={"help": "The gain of metric_for_best_model with which the patience starts anew."},
    )
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Always false: the collator chooses what a model needs."}
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Always false: a loss that is not finite is an error."}
    )
    ddp_find_unused_parameters: bool | None = field(
        default=True, metadata={"help": "Needed, because a batch of one task gives the other tasks' heads no gradient."}
    )
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata={"help": "Continue with the remaining patience when resuming."}
    )

    def __post_init__(self) -> None:
        refuse_arguments_without_effect(self)
        check_ranges(self)
        try:
            super().__post_init__()
        except ParavoxError:
            raise
        # The Trainer raises errors of many classes about arguments that contradict each other.
        except Exception as error:
            raise ConfigError(f"the training arguments do not fit ({reason_of(error)}): correct them") from error
        # With a copy that blocks, the process would wait in each step for all that the device still has to do.
        accelerator_config: Any = self.accelerator_config
        accelerator_config.non_blocking = self.dataloader_pin_memory
        self.task_batch_sizes = _mapping("task_batch_sizes", self.task_batch_sizes)
        sizes: Any = self.task_batch_sizes or {}
        for task, size in sizes.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ConfigError(f"task_batch_sizes: {task!r} has {size!r}, expected a whole number of at least 1")
        for name in ("max_batch_seconds", "encoder_learning_rate", "early_stopping_patience"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} is {value!r}: give a number above 0, or leave it out")
        if not 0 <= self.early_stopping_threshold < math.inf:
            raise ConfigError(
                f"early_stopping_threshold is {self.early_stopping_threshold!r}: give a number of at least 0"
            )
        if self.pad_to_buckets and not self.length_buckets:
            raise ConfigError("pad_to_buckets needs length_buckets: turn it on, or pad_to_buckets off")
        if self.task_batching == "all_tasks" and self.task_batch_sizes:
            raise ConfigError("task_batch_sizes cannot be used with all_tasks: use per_device_train_batch_size")
        if self.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            raise ConfigError(
                f"hub_strategy {HubStrategy(self.hub_strategy).value!r} would push optimizer states, which are "
                "pickles: use every_save or end. From the Hub you can continue from the weights; an exact resume "
                "needs the local checkpoint"
            )
        if self.early_stopping_patience is not None and self.metric_for_best_model is None:
            raise ConfigError("early_stopping_patience needs metric_for_best_model: give one, such as emotion_ccc")
        if self.early_stopping_patience is not None and str(self.eval_strategy) in ("no", "IntervalStrategy.NO"):
            raise ConfigError("early_stopping_patience needs evaluations: set eval_strategy to steps or epoch")

    @property
    def repeats_shapes(self) -> bool:
        """Whether batches are padded to a few lengths: as `pad_to_buckets` says, by default with CUDA."""
        if self.pad_to_buckets is None:
            return self.length_buckets and self.device.type == "cuda"
        return self.pad_to_buckets


def _mapping(name: str, given: Any) -> dict[str, Any] | None:
    """A mapping that may be given as text, as on a command line: in JSON, or as in a YAML file."""
    try:
        value = yaml.safe_load(given) if isinstance(given, str) else given
    # As in a settings file, odd text makes PyYAML raise errors of many classes.
    except Exception:
        value = given
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"{name} is {given!r}, expected a mapping, such as {{age: 16}}: correct it")
    return value
