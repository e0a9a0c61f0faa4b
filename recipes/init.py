"""Writes a YAML file that trains on your clips, for you to read and change.

    paravox init my_clips
    paravox train my_clips.yaml

FOLDER holds recordings and a table metadata.csv with the column file_name and, if they are known, speaker, split
(train, validation, test) and the labels; or one sub-folder per label, such as my_clips/happy/1.wav, perhaps within
sub-folders train, validation and test. The columns of the table are looked at: several columns with values from 0 to 1
become a task of kind intensities, other numbers a scalar with the range that they have, and names that repeat become
classes. Each guess is written down with its reason, and so is every column that is not used.
"""

import argparse
import re
from pathlib import Path

from paravox.corpora.guessing import GuessedCorpus, guess_corpus
from paravox.modeling.errors import ConfigError, CorpusError
from paravox.modeling.tasks import Task
from paravox.runs.program import run
from paravox.runs.starter_settings import starter_settings
from paravox.trainers.files import write_text


def main(argv: list[str] | None = None) -> Path:
    """Writes the file, prints what was guessed and what to do next, and returns the file."""
    arguments = parse_arguments(argv)
    file = arguments.output or Path(f"{name_of(arguments.folder)}.yaml")
    if file.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"output {str(file)!r} is no YAML file: end its name in .yaml")
    if file.exists() and not arguments.overwrite:
        raise ConfigError(f"{file} exists: give another file by --output, or replace it with --overwrite")
    guess = guess_corpus(arguments.folder, arguments.metadata)
    if not guess.tasks:
        reasons = "; ".join(f"{column}: {reason}" for column, reason in guess.unused.items())
        raise CorpusError(
            f"{arguments.folder} has no labels to learn in {guess.source}{f' ({reasons})' if reasons else ''}: add a "
            "column, such as emotion or age"
        )
    write_text(file, starter_settings(guess, arguments.folder, arguments.encoder, file.stem))
    print_guess(guess)
    print(f"\nwritten: {file}. Read it, and then:\n\n  paravox describe {file}\n  paravox train {file}")
    return file


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="paravox init",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="Folder with the recordings and their labels.")
    parser.add_argument(
        "--metadata",
        metavar="NAME",
        help="Name of the table in FOLDER (default: metadata.csv, or the only table that is there).",
    )
    parser.add_argument(
        "--encoder",
        default="openai/whisper-base",
        help="Pre-trained encoder to begin with, a folder or a name on the Hub (default: %(default)s).",
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="File to write (default: the name of FOLDER with .yaml)."
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace the file.")
    return parser.parse_args(argv)


def name_of(folder: Path) -> str:
    """A name for files, made of the name of a folder."""
    return re.sub(r"\W+", "_", folder.resolve().name).strip("_") or "clips"


def print_guess(guess: GuessedCorpus) -> None:
    """Prints the clips, the tasks and what is not used."""
    total = sum(guess.splits.values())
    counts = ", ".join(f"{split} {count}" for split, count in guess.splits.items())
    print(f"{total} clip{'' if total == 1 else 's'} ({counts}), labelled by {guess.source}")
    for task in guess.tasks:
        print(f"  {task.name}: {task.kind}, {contents(task)}")
    for column, reason in guess.unused.items():
        print(f"  {column}: not used, because {reason}")


def contents(task: Task) -> str:
    """The labels or the range of a task."""
    if task.range is None:
        return ", ".join(task.labels)
    low, high = task.range
    return f"{low:g} to {high:g}{f' {task.unit}' if task.unit else ''}"


if __name__ == "__main__":
    run(main)
