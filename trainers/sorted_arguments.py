"""Every argument of the Trainer, sorted: what works and is tested, what the Trainer does by itself, what is refused.

An argument that would change nothing is refused where it is set, and so is one that only a newer Transformers has,
until it is sorted here. The table in docs/training.md says the same.
"""

import dataclasses
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_pt_utils import AcceleratorConfig

from paravox.modeling.errors import ConfigError

TESTED = frozenset(
    """
    auto_find_batch_size bf16 data_seed dataloader_num_workers dataloader_persistent_workers ddp_find_unused_parameters
    disable_tqdm eval_steps eval_strategy gradient_accumulation_steps gradient_checkpointing greater_is_better
    hub_always_push hub_model_id hub_revision hub_strategy hub_token learning_rate load_best_model_at_end logging_steps
    lr_scheduler_type max_grad_norm max_steps metric_for_best_model num_train_epochs optim output_dir
    per_device_eval_batch_size per_device_train_batch_size push_to_hub report_to
    restore_callback_states_from_checkpoint resume_from_checkpoint save_steps save_strategy save_total_limit seed
    use_cpu warmup_steps weight_decay
    """.split()
)
THE_TRAINERS_OWN = frozenset(
    """
    activation_checkpointing activation_checkpointing_kwargs adam_beta1 adam_beta2 adam_epsilon dataloader_in_order
    dataloader_multiprocessing_context dataloader_pin_memory dataloader_prefetch_factor ddp_backend
    ddp_broadcast_buffers ddp_bucket_cap_mb ddp_timeout debug do_eval do_predict do_train enable_jit_checkpoint
    eval_delay eval_on_start fp16 full_determinism gradient_checkpointing_kwargs hub_private_repo ignore_data_skip
    local_rank log_level log_level_replica log_on_each_node logging_dir logging_first_step logging_strategy
    lr_scheduler_kwargs optim_args optim_target_modules project run_name save_on_each_node save_only_model
    skip_memory_metrics tf32 torch_compile torch_compile_backend torch_compile_mode torch_empty_cache_steps
    trackio_bucket_id trackio_space_id trackio_static_space_id warmup_ratio
    """.split()
)
_WHOLE_MODEL = "an evaluation runs the model outside of its wrapper, which needs all weights in each process"
_EVALUATION = "an evaluation scores the whole split by the metrics of its tasks"
_COLLATOR = "the collator knows which inputs and labels a model needs"
REFUSED = {
    "accelerator_config": "the batches of a task are dealt out to the processes in one way",
    "average_tokens_across_devices": "the losses are means over clips, not over tokens",
    "batch_eval_metrics": _EVALUATION,
    "bf16_full_eval": "an evaluation already runs in the precision of bf16",
    "dataloader_drop_last": "a last batch that is too small is filled up with clips that do not count",
    "ddp_static_graph": "a batch of one task gives the other tasks' heads no gradient",
    "deepspeed": _WHOLE_MODEL,
    "eval_accumulation_steps": "predictions leave the device after every batch",
    "eval_do_concat_batches": _EVALUATION,
    "eval_use_gather_object": _EVALUATION,
    "fp16_full_eval": "an evaluation already runs in the precision of fp16",
    "fsdp": _WHOLE_MODEL,
    "fsdp_config": _WHOLE_MODEL,
    "include_for_metrics": _EVALUATION,
    "include_num_input_tokens_seen": "clips have no tokens",
    "label_names": _COLLATOR,
    "label_smoothing_factor": "each task has a loss of its own; classes may have class_weights",
    "length_column_name": "lengths come from the recordings; use length_buckets",
    "liger_kernel_config": "its kernels are for language models",
    "logging_nan_inf_filter": "a loss that is not finite is an error",
    "neftune_noise_alpha": "it adds noise to the embeddings of tokens",
    "parallelism_config": _WHOLE_MODEL,
    "prediction_loss_only": _EVALUATION,
    "remove_unused_columns": _COLLATOR,
    "train_sampling_strategy": "batches are those of task_batching and length_buckets",
    "use_cache": "it is for models that generate text",
    "use_liger_kernel": "its kernels are for language models",
}
"""The arguments that are refused unless they have their default, each with the reason."""

REFUSED_HOOKS = {
    "compute_loss_func": "the model computes the loss of a task; override the trainer's compute_loss",
    "compute_metrics": f"{_EVALUATION}; override the trainer's evaluation_loop",
    "data_collator": f"{_COLLATOR}; override the trainer's get_train_dataloader",
    "preprocess_logits_for_metrics": f"{_EVALUATION}; override the trainer's evaluation_loop",
    "processing_class": "the argument feature_extractor stands for it",
}
"""The same for arguments of the trainer itself."""


def refuse_arguments_without_effect(args: TrainingArguments) -> None:
    """Refuses arguments that would change nothing.

    Args:
        args ([`TrainingArguments`]): as they were given, or as an earlier check has left them.

    Raises:
        ConfigError: if such an argument is set, or one that this version of paravox does not know.
    """
    of_the_trainer = {field.name for field in dataclasses.fields(TrainingArguments)}
    for field in dataclasses.fields(args):
        known = field.name in TESTED or field.name in THE_TRAINERS_OWN
        if field.name not in of_the_trainer or known or _is_default(field, getattr(args, field.name)):
            continue
        if field.name in REFUSED:
            raise ConfigError(f"{field.name} would have no effect, because {REFUSED[field.name]}: leave it out")
        raise ConfigError(
            f"{field.name} is an argument of a newer Transformers that paravox does not know yet: leave it out"
        )


def refuse_hooks_without_effect(given: dict[str, Any]) -> None:
    """Refuses arguments of a stock `Trainer` that would change nothing here.

    Args:
        given (`dict`): the arguments by name.

    Raises:
        ConfigError: if such an argument is given.
    """
    for name, reason in REFUSED_HOOKS.items():
        if given.get(name) is not None:
            raise ConfigError(f"{name} would have no effect, because {reason}: leave it out")


def _is_default(field: dataclasses.Field, value: Any) -> bool:
    default = field.default_factory() if callable(field.default_factory) else field.default
    # The Trainer and its parser turn some defaults into others, such as None or "no" into False, or into an object.
    if isinstance(value, AcceleratorConfig):
        # How batches are copied is set by the arguments themselves.
        return dataclasses.replace(value, non_blocking=False) == AcceleratorConfig()
    return value == default or (not value and default in (None, False, "", "no", []))
