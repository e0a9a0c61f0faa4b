"""The short YAML file with which somebody begins to train on clips of their own."""

import textwrap
from pathlib import Path
from typing import Any

import yaml

from paravox.corpora.guessing import GuessedCorpus

WIDTH = 100


def starter_settings(guess: GuessedCorpus, folder: str | Path, encoder: str, name: str) -> str:
    """The text of a YAML file that trains on a corpus, with comments on what was guessed and what may be changed.

    Args:
        guess ([`GuessedCorpus`]): what was found in the folder, with at least one task.
        folder (`str` or `Path`): as the file names it.
        encoder (`str`): the encoder to begin with, a folder or a name on the Hub.
        name (`str`): of the file without its ending.
    """
    clips = ", ".join(f"{count} in {split}" for split, count in guess.splits.items())
    corpus: dict[str, Any] = {"data_dir": str(folder), "corpus": guess.corpus}
    corpus |= {"corpus_options": guess.options} if guess.options else {}
    parts = [
        _comment(f"A first model for {folder}. Train it: paravox train {name}.yaml"),
        _comment(f"paravox init guessed these tasks from {guess.source}, so read them first. Clips: {clips}."),
        *map(_comment, guess.notes),
        "",
        _dump(corpus),
        f"{_dump({'encoder': encoder})}  # pre-trained, a name on the Hub or a folder",
        "tasks:",
    ]
    for task in guess.tasks:
        parts.append(_comment(guess.remarks[task.name], "  "))
        parts.append(textwrap.indent(_dump(_plain(task.to_dict())), "    ").replace("    ", "  - ", 1))
    if guess.unused:
        parts += ["", "# Not used:"]
        parts += [_comment(f"{column}: {reason}", hanging=True) for column, reason in guess.unused.items()]
    parts += [
        "",
        _dump({"output_dir": f"runs/{name}"}),
        "num_train_epochs: 10",
        _comment("Without a GPU, train only the new layers at first, which is faster:"),
        "# trainable_encoder_layers: 0",
        _comment("All keys: paravox train --help"),
    ]
    return "\n".join(parts) + "\n"


def _plain(task: dict[str, Any]) -> dict[str, Any]:
    """A task without what is the default anyway, and with whole numbers where they are."""
    numbers = [int(number) if number == int(number) else number for number in task.get("range", [])]
    fields = {key: value for key, value in task.items() if key != "loss"}
    return fields | ({"range": numbers} if numbers else {})


def _dump(values: dict[str, Any]) -> str:
    """One line per key, with lists and mappings in brackets."""
    options: dict[str, Any] = {"width": WIDTH, "allow_unicode": True}
    lines = [
        yaml.safe_dump({key: value}, default_flow_style=None if isinstance(value, (list, dict)) else False, **options)
        for key, value in values.items()
    ]
    return "".join(lines).rstrip()


def _comment(text: str, indent: str = "", hanging: bool = False) -> str:
    first = f"{indent}#   " if hanging else f"{indent}# "
    later = f"{indent}#     " if hanging else first
    # A name of a column or folder may hold a line break, which would end the comment.
    text = " ".join(text.split())
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False)
