"""An extension of Griffe: reads docstrings as Transformers writes them, which is nearly the style of Google.

The names of classes in brackets become links, and the types of arguments lose the marks of Markdown, which the page
would show as they are.
"""

import re
from collections.abc import Iterator
from typing import Any

import griffe

REFERENCE = re.compile(r"\[`~?([\w.]+)`\]")
# An entry of a section of arguments: names, what is in parentheses, and a description, if there is one.
ENTRY = re.compile(
    r"^ {4}(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \((?P<kind>(?:[^()]|\([^()]*\))+)\))?(?::|\.$)(?P<text>.*(?:\n {5,}.*)*)",
    re.MULTILINE,
)
SECTION = re.compile(r"^Args:\n(?:(?: .*)?(?:\n|\Z))+", re.MULTILINE)
OPTIONAL = re.compile(r"(?:, |^)\*optional\*(?:, defaults to .*)?$", re.DOTALL)
RETURNS = re.compile(r"^(Returns|Yields):\n( +)", re.MULTILINE)


class TransformersStyle(griffe.Extension):
    """Rewrites each docstring of the package before it is parsed."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        objects = list(_objects(pkg))
        places = {thing.name: thing.path for thing in objects if thing.is_class or thing.is_function and thing.is_public}
        for thing in objects:
            if thing.docstring:
                thing.docstring.value = rewritten(thing.docstring.value, places)


def rewritten(text: str, places: dict[str, str]) -> str:
    """A docstring in the style of Google, whose references are links.

    Args:
        text (`str`): in the style of Transformers.
        places (`dict` of `str`): the whole name of each class and function by its own name.
    """

    def link(match: re.Match[str]) -> str:
        place = places.get(match[1].split(".")[0])
        if place is None:
            return f"`{match[1]}`"
        place += match[1].removeprefix(match[1].split(".")[0])
        return f'<autoref identifier="{place}" optional><code>{match[1]}</code></autoref>'

    def entry(match: re.Match[str]) -> str:
        # Whether it is optional is seen from its default, which Griffe takes from the signature.
        kind = OPTIONAL.sub("", REFERENCE.sub(r"\1", match["kind"] or "")).replace("`", "")
        kind = f" ({' '.join(kind.split())})" if kind else ""
        return "\n".join(f"    {name}{kind}:{match['text']}" for name in match["names"].split(", "))

    text = SECTION.sub(lambda section: ENTRY.sub(entry, section[0]), text)
    # All of the text is the description, whatever colons it has. The type is that of the signature.
    text = RETURNS.sub(r"\1:\n\2: ", text)
    return REFERENCE.sub(link, text)


def _objects(module: griffe.Module) -> Iterator[griffe.Object]:
    for member in module.members.values():
        if not member.is_alias:
            yield member
            if member.is_module or member.is_class:
                yield from _objects(member)
