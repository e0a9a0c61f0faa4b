"""Settings of a recipe: dataclasses, filled from one YAML file, any field overridden on the command line."""

import json
import sys
import typing
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from paravox.modeling.errors import ConfigError


class _Parser(HfArgumentParser):
    """Raises our error where argparse would print a page of usage and leave."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message[0].lower()}{message[1:]}: see --help")


def parse_settings(dataclass_types: Iterable[type], argv: Sequence[str] | None = None) -> tuple[Any, ...]:
    """Reads the settings of a run.

    Args:
        dataclass_types: their fields are the keys of the YAML file and the options of the command line.
        argv (list of `str`, *optional*): a YAML file first, or behind `--config`, and `--key value`; the command line
            by default. Lists of mappings and mappings are given as JSON.

    Returns:
        An instance of each dataclass.

    Raises:
        ConfigError: if the file cannot be read, a key is unknown (the message names the nearest), a value has the wrong
            type or a needed key is missing.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if "--config" in argv[:-1]:
        position = argv.index("--config")
        argv = [argv[position + 1], *argv[:position], *argv[position + 2 :]]
    dataclass_types = tuple(dataclass_types)
    parser = _Parser(dataclass_types, allow_abbrev=False)
    actions = {action.dest: action for action in parser._actions if not action.option_strings[0].startswith("--no")}
    for action in actions.values():
        if action.type is dict:
            # A structure, or a list of them: as JSON on the command line.
            action.type, action.nargs = _json_value, None
    if "-h" in argv or "--help" in argv:
        parser.print_help()
        sys.exit(0)
    if argv and not argv[0].startswith("--"):
        values = _read_yaml(Path(argv.pop(0)))
        _check(values, actions, dataclass_types)
        for key in values:
            actions[key].required = False
        parser.set_defaults(**values)
    *settings, rest = parser.parse_args_into_dataclasses(argv, look_for_args_file=False, return_remaining_strings=True)
    if rest:
        option = rest[0].split("=")[0].lstrip("-")
        raise ConfigError(f"unknown option {rest[0]!r}: {_nearest(option.replace('-', '_'), actions, prefix='--')}")
    return tuple(settings)


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"settings file {path} does not exist: give a YAML file first, such as tiny_demo.yaml")
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {path} is not YAML ({' '.join(str(error).split())}): correct it") from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"settings file {path} holds a {type(values).__name__}, expected keys with values: correct it"
        )
    return values


def _check(values: dict[str, Any], actions: dict[str, Any], dataclass_types: tuple[type, ...]) -> None:
    hints: dict[str, Any] = {}
    for dataclass_type in dataclass_types:
        hints |= typing.get_type_hints(dataclass_type)
    for key, value in values.items():
        if key not in actions:
            raise ConfigError(f"unknown key {key!r}: {_nearest(str(key), actions)}")
        if not _fits(value, hints[key]):
            raise ConfigError(f"{key} is {value!r}, expected {_type_name(hints[key])}: correct it")
        choices = actions[key].choices
        if choices and isinstance(value, str) and value not in choices:
            raise ConfigError(f"{key} is {value!r}, expected one of {', '.join(map(str, choices))}: correct it")


def _nearest(key: str, actions: dict[str, Any], prefix: str = "") -> str:
    found = get_close_matches(key, list(actions), n=1)
    return f"did you mean {prefix + found[0]!r}?" if found else "see --help for all of them"


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
