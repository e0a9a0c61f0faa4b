"""What `--help` shows of a program with settings: its own options by group, the Trainer's on request."""

import argparse
import dataclasses
import sys
import textwrap
from collections.abc import Iterator
from enum import Enum
from typing import Any

from transformers import TrainingArguments

WIDTH = 120  # columns; a narrower terminal folds the lines
OPTION_WIDTH = 34
# The Trainer's arguments that most runs set.
OFTEN_USED = (
    "output_dir",
    "num_train_epochs",
    "max_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "eval_strategy",
    "save_strategy",
    "metric_for_best_model",
    "logging_steps",
    "seed",
    "bf16",
    "use_cpu",
    "dataloader_num_workers",
    "resume_from_checkpoint",
    "report_to",
    "push_to_hub",
)


def print_help(
    actions: dict[str, argparse.Action], dataclass_types: tuple[Any, ...], description: str, everything: bool
) -> None:
    """Prints how a program is called, what it does and its options.

    Args:
        actions (`dict`): the options by name.
        dataclass_types (tuple of `type`): they group the options; the first line of a docstring is a group's title.
        description (`str`): of the program.
        everything (`bool`): whether the arguments that a group takes over from the Trainer are shown too.
    """
    program = sys.argv[0].rsplit("/", 1)[-1]
    print(f"usage: {program} SETTINGS.yaml [--OPTION VALUE ...]\n\n{description.strip()}\n")
    for dataclass_type in dataclass_types:
        own = list(_own_fields(dataclass_type))
        print(f"{_title(dataclass_type)}:")
        for name in own:
            _print_option(actions[name])
        print()
        inherited = [
            one.name for one in dataclasses.fields(dataclass_type) if one.name in actions and one.name not in own
        ]
        if inherited and everything:
            print("Arguments of the Trainer of Transformers:")
            for name in inherited:
                _print_option(actions[name])
        elif inherited:
            print("Often used arguments of the Trainer (--help_all shows all of them with their meaning):")
            print(textwrap.fill(", ".join(OFTEN_USED), WIDTH, initial_indent="  ", subsequent_indent="  "))


def _title(dataclass_type: Any) -> str:
    if issubclass(dataclass_type, TrainingArguments):
        return "Training with several tasks"
    return (dataclass_type.__doc__ or dataclass_type.__name__).strip().splitlines()[0].rstrip(".")


def _own_fields(dataclass_type: Any) -> Iterator[str]:
    """The options that paravox adds, in the order in which they are declared."""
    inherited = TrainingArguments.__dataclass_fields__ if issubclass(dataclass_type, TrainingArguments) else {}
    for field in dataclasses.fields(dataclass_type):
        if field.name not in inherited and field.init:
            yield field.name


def _print_option(action: argparse.Action) -> None:
    option = f"  --{action.dest} {_value_name(action)}".rstrip()
    default = action.default.value if isinstance(action.default, Enum) else action.default
    shown = "" if default in (None, [], {}, "") or action.required else f" (default: {_as_yaml(default)})"
    text = " ".join(str(action.help or "").split()).split(" (default:")[0] + shown
    if action.required:
        text += " (required)"
    first = option.ljust(OPTION_WIDTH) if len(option) < OPTION_WIDTH - 1 else f"{option}  "
    indent = " " * OPTION_WIDTH
    print(textwrap.fill(text.replace("%%", "%"), WIDTH, initial_indent=first, subsequent_indent=indent))


def _value_name(action: argparse.Action) -> str:
    parser = getattr(action.type, "__name__", "")  # what reads the value from text
    names = {"int": "N", "float": "X", "str": "TEXT", "_json_value": "JSON"}
    kind = "NAME" if action.choices else names.get(parser, "")
    if action.nargs == "?" or parser == "string_to_bool":
        kind = "true|false"
    return f"{kind} ..." if action.nargs in ("+", "*") else kind


def _as_yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
