"""What a training program does where neither the YAML file nor the command line says otherwise."""

import dataclasses
from typing import Any, TypeVar

from paravox.modeling.errors import ConfigError
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments

Arguments = TypeVar("Arguments", bound=MultiTaskTrainingArguments)


def training_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """Defaults that let a YAML file of a few lines train, validate each epoch and keep the best epoch.

    Args:
        given (`dict`): the settings that were given, by name.

    Returns:
        `dict`: values for arguments of the Trainer, in the place of its own defaults.
    """
    strategy = str(given.get("eval_strategy", "epoch"))
    defaults = {
        "output_dir": "runs/train",
        "num_train_epochs": 10,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 16,
        "eval_strategy": strategy,
        "save_strategy": strategy,
        "save_total_limit": 1,
        "logging_steps": 10,
        "logging_first_step": True,
    }
    if "learning_rate" not in given:
        # New layers start from random numbers and have far to go; the encoder only has to be adapted.
        defaults |= {"learning_rate": 5e-4, "encoder_learning_rate": 5e-5, "warmup_steps": 0.1}
    if strategy == "steps" and "eval_steps" in given:
        defaults["save_steps"] = given["eval_steps"]
    if strategy != "no":
        defaults |= {"load_best_model_at_end": True, "metric_for_best_model": "loss"}
    return {name: value for name, value in defaults.items() if name not in given}


def without_validation(args: Arguments) -> Arguments:
    """The arguments of a run whose corpus has no validation split: it evaluates nothing and keeps the last epoch.

    Raises:
        ConfigError: if the run was to stop early, which only a validation split could tell.
    """
    if args.early_stopping_patience is not None:
        raise ConfigError(
            "early_stopping_patience needs a validation split, but the corpus has none: add one or leave it out"
        )
    print("The corpus has no validation split: nothing chooses an epoch, and the last one is kept.")
    return dataclasses.replace(args, eval_strategy="no", load_best_model_at_end=False, metric_for_best_model=None)
