"""An extension of Griffe: reads docstrings as Transformers writes them, which is nearly the style of Google.

The names of classes in brackets become links, and the types of arguments lose the marks of Markdown, which the page
would show as they are. The arguments of a trainer have no docstring but a help text, which takes its place.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

import griffe

REFERENCE = re.compile(r"\[`~?([\w.]+)`\]")
# An entry of a section of arguments: names, what is in parentheses, and a description, if there is one.
NAMES, KIND, TEXT = r"\*{0,2}\w+(?:, \*{0,2}\w+)*", r"(?:[^()]|\([^()]*\))+", r".*(?:\n {5,}.*)*"
ENTRY = re.compile(
    rf"^ {{4}}(?P<names>{NAMES})(?: \((?P<kind>{KIND})\))?(?::|\.$)(?P<text>{TEXT})",
    re.MULTILINE,
)
SECTION = re.compile(r"^Args:\n(?:(?: .*)?(?:\n|\Z))+", re.MULTILINE)
OPTIONAL = re.compile(r"(?:, |^)\*optional\*(?:, defaults to (?P<default>.*))?$", re.DOTALL)
RETURNS = re.compile(r"^(Returns|Yields):\n( +)", re.MULTILINE)


class TransformersStyle(griffe.Extension):
    """Rewrites each docstring of the package before it is parsed."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        objects = list(_objects(pkg))
        places = {
            thing.name: thing.path for thing in objects if thing.is_class or thing.is_function and thing.is_public
        }
        for thing in objects:
            if thing.is_attribute and not thing.docstring:
                _use_help(thing)
            if thing.docstring:
                thing.docstring.value = rewritten(thing.docstring.value, places, _with_defaults(thing))


def rewritten(text: str, places: dict[str, str], with_defaults: set[str]) -> str:
    """A docstring in the style of Google, whose references are links.

    Args:
        text (`str`): in the style of Transformers.
        places (`dict` of `str`): the whole name of each class and function by its own name.
        with_defaults (set of `str`): the arguments whose default Griffe shows, because it is in the signature.
    """

    def link(match: re.Match[str]) -> str:
        place = places.get(match[1].split(".")[0])
        if place is None:
            return f"`{match[1]}`"
        place += match[1].removeprefix(match[1].split(".")[0])
        return f'<autoref identifier="{place}" optional><code>{match[1]}</code></autoref>'

    def entry(match: re.Match[str]) -> str:
        return "\n".join(
            f"    {name}{kind(name, match['kind'])}:{match['text']}" for name in match["names"].split(", ")
        )

    def kind(name: str, given: str | None) -> str:
        text = " ".join(REFERENCE.sub(r"\1", given or "").replace("`", "").split())
        optional = OPTIONAL.search(text)
        text = OPTIONAL.sub("", text)
        if optional and name not in with_defaults:
            text = f"optional {text}".strip() + (f", {optional['default']} by default" if optional["default"] else "")
        return f" ({text})" if text else ""

    text = SECTION.sub(lambda section: ENTRY.sub(entry, section[0]), text)
    # All of the text is the description, whatever colons it has. The type is that of the signature.
    text = RETURNS.sub(r"\1:\n\2: ", text)
    return REFERENCE.sub(link, text)


def _objects(module: griffe.Module) -> Iterator[griffe.Object]:
    """All that a module defines, and what its classes and the modules below it define."""
    for member in module.members.values():
        if not member.is_alias:
            yield member
            if member.is_module or member.is_class:
                yield from _objects(member)


def _with_defaults(thing: griffe.Object) -> set[str]:
    """The arguments of a function or class whose default is in the signature."""
    if thing.is_class:
        fields = {name for name, member in thing.members.items() if member.is_attribute and member.value is not None}
        init = thing.members.get("__init__")
        return fields | (_with_defaults(init) if init is not None and init.is_function else set())
    parameters = thing.parameters if thing.is_function else ()
    return {parameter.name for parameter in parameters if parameter.default is not None}


def _use_help(field: griffe.Attribute) -> None:
    """Gives a field of a dataclass the help text of its metadata as docstring, and its default as value."""
    value = ast.parse(str(field.value), mode="eval").body
    if not isinstance(value, ast.Call):
        return
    arguments = {argument.arg: argument.value for argument in value.keywords}
    if ast.unparse(value.func) == "field" and {"default", "metadata"} <= set(arguments):
        for key, text in zip(arguments["metadata"].keys, arguments["metadata"].values, strict=True):
            if key.value == "help":
                field.docstring = griffe.Docstring(ast.literal_eval(text), parent=field)
                field.value = ast.unparse(arguments["default"])
                field.labels -= {"class-attribute", "instance-attribute"}
