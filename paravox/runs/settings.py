"""Settings of a program: dataclasses filled from one YAML file, with every field an option of the command line."""

import argparse
import json
import sys
import typing
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from paravox.modeling.errors import ConfigError, ParavoxError, did_you_mean, reason_of
from paravox.runs.packaged_settings import find_settings
from paravox.runs.settings_help import print_help

# What people type who come from other packages, or from an earlier paravox.
OTHER_NAMES = {
    "batch_size": "per_device_train_batch_size",
    "config": "the YAML file as the first argument, without --config",
    "epochs": "num_train_epochs",
    "freeze_encoder": "trainable_encoder_layers: 0",
    "lr": "learning_rate",
    "overwrite_output_dir": "overwrite",
    "patience": "early_stopping_patience",
    "results_file": "output",
}


class _Parser(HfArgumentParser):
    """Raises our error where argparse would print a page of usage and leave."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message[0].lower()}{message[1:]}: see --help")


def parse_settings(
    dataclass_types: Iterable[Any],
    argv: Sequence[str] | None = None,
    description: str = "",
    defaults: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> tuple[Any, ...]:
    """Reads the settings of a run.

    Args:
        dataclass_types: their fields are the keys of the YAML file and the options of the command line.
        argv (list of `str`, *optional*): a YAML file first, then `--key value`; by default the command line. Mappings
            and lists of mappings are given as JSON.
        description (`str`, *optional*): what `--help` says of the program, such as its docstring.
        defaults (`Callable`, *optional*): is given the settings of the YAML file and, as text, those of the command
            line, and returns values for other fields that replace the defaults of the dataclasses.

    Returns:
        An instance of each dataclass.

    Raises:
        ConfigError: if the file cannot be read, a key is unknown (the message names the nearest one), a value has the
            wrong type, or a needed key is missing.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    dataclass_types = tuple(dataclass_types)
    parser = _Parser(dataclass_types, allow_abbrev=False, add_help=False)
    actions = {action.dest: action for action in parser._actions if not action.option_strings[0].startswith("--no")}
    for action in actions.values():
        if action.type is dict:
            # A mapping, or a list of them: as JSON on the command line.
            action.type, action.nargs = _json_value, None
    if {"-h", "--help", "--help_all"} & set(argv):
        print_help(actions, dataclass_types, description, everything="--help_all" in argv)
        sys.exit(0)
    values: dict[str, Any] = {}
    if argv and not argv[0].startswith("--"):
        values = read_yaml(Path(argv.pop(0)))
        _check(values, actions, dataclass_types)
    if defaults is not None:
        values = defaults(values | _options(argv)) | values
    for key in values:
        actions[key].required = False
    parser.set_defaults(**values)
    try:
        *settings, rest = parser.parse_args_into_dataclasses(
            argv, look_for_args_file=False, return_remaining_strings=True
        )
    except ParavoxError:
        raise
    # Values that fit alone may not fit together, or be too odd to be converted.
    except Exception as error:
        raise ConfigError(f"the settings cannot be used ({reason_of(error)}): correct them") from error
    if rest:
        option = rest[0].split("=")[0].lstrip("-")
        raise ConfigError(f"unknown option {rest[0]!r}: {_advice(option.replace('-', '_'), actions, prefix='--')}")
    return tuple(settings)


def _options(argv: Sequence[str]) -> dict[str, str]:
    """The options of a command line by name, each with its first value as text; empty where it has none."""
    found: dict[str, str] = {}
    for position, part in enumerate(argv):
        if part.startswith("--"):
            name, _, value = part.removeprefix("--").partition("=")
            following = argv[position + 1] if position + 1 < len(argv) else ""
            found[name.replace("-", "_")] = value or ("" if following.startswith("--") else following)
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file, given by its path or by the name of one that comes with paravox."""
    path = find_settings(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"settings file {path} cannot be read ({error.strerror}): check its permissions") from None
    # Odd tags, dates and nesting make PyYAML raise errors of many classes.
    except Exception as error:
        raise ConfigError(f"settings file {path} is not YAML ({reason_of(error)}): correct it") from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"settings file {path} holds a {type(values).__name__}, expected keys with values: correct it"
        )
    return values


def _check(values: dict[str, Any], actions: dict[str, argparse.Action], dataclass_types: tuple[Any, ...]) -> None:
    hints: dict[str, Any] = {}
    for dataclass_type in dataclass_types:
        hints |= typing.get_type_hints(dataclass_type)
    for key, value in values.items():
        if key not in actions:
            raise ConfigError(f"unknown key {key!r}: {_advice(str(key), actions)}")
        if not _fits(value, hints[key]):
            raise ConfigError(f"{key} is {value!r}, expected {_type_name(hints[key])}: correct it")
        choices = actions[key].choices
        if choices and isinstance(value, str) and value not in choices:
            raise ConfigError(f"{key} is {value!r}, expected one of {', '.join(map(str, choices))}: correct it")


def _advice(key: str, actions: dict[str, Any], prefix: str = "") -> str:
    if key in OTHER_NAMES:
        known = OTHER_NAMES[key]
        return f"use {prefix if known in actions else ''}{known}"
    return did_you_mean(key, actions, prefix, otherwise="see --help_all for all of them")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value from a YAML file may be of a type; text is left to the conversion of the command line."""
    if hint is Any or isinstance(value, str) and hint not in (dict, list):
        return not isinstance(value, str) or typing.get_origin(hint) not in (dict, list)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return value in arguments
    if origin in (list, tuple):
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value if arguments)
    if origin is dict:
        return isinstance(value, dict)
    if arguments:
        return any(_fits(value, argument) for argument in arguments)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return False
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _type_name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a mapping"}
    arguments = [argument for argument in typing.get_args(hint) if argument is not type(None)]
    if typing.get_origin(hint) in (list, tuple):
        return f"a list, each {_type_name(arguments[0])}"
    if arguments and typing.get_origin(hint) is not dict:
        return " or ".join(_type_name(argument) for argument in arguments)
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _json_value(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text
