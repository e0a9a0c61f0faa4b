"""Show what a corpus holds: clips, hours, speakers, lengths and labels of each split.

    paravox describe recipes/burst2vec/configs/real_bursts.yaml --data_dir FOLDER
    paravox describe recipes/burst2vec/configs/hl.yaml --data_dir EXVO --output_dir runs/describe
    paravox describe --corpus emodb --data_dir EMODB
    paravox describe FOLDER

The labels are those of the tasks in the YAML file. For a folder alone, with a table or with one sub-folder per label,
they are guessed as paravox init guesses them. Without one, a corpus with one emotion per clip is described by its
emotions, and any other corpus without labels. The last table is table 1 of the Burst2Vec paper: duration, clips,
speakers, their sex where the corpus has a column sex (female or male, f or m), and the speakers by label for each task
of classes whose label belongs to a speaker, such as a country. A speaker whose clips differ counts as unknown.

With --output_dir, the description is also written there: describe.json; table_1.md, table_1.tex and table_1.csv; the
lengths of the clips as lengths.png; and, for each scalar and each task of classes that some clips have both labels of,
<scalar>_by_<classes>.png, which is figure 1 of the paper.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from paravox.corpora.class_weights import without_balanced_weights
from paravox.corpora.description import describe_split, description_tables
from paravox.corpora.guessing import guess_corpus
from paravox.corpora.names import CORPUS_NAMES
from paravox.corpora.registry import emotion_tasks, load_corpus
from paravox.corpora.table_1 import (
    PaperTable,
    describe_speakers,
    paper_table,
    tasks_of_speakers,
    warn_of_disagreement,
)
from paravox.evaluation.corpus_figures import plot_lengths, plot_scalar_by_class
from paravox.evaluation.figure_style import figure_may_fail, file_stem, save_figure
from paravox.modeling.errors import ConfigError
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task, parse_tasks
from paravox.runs.program import run
from paravox.runs.settings import read_yaml
from paravox.runs.training_corpus import check_clips
from paravox.trainers.files import write_text
from paravox.trainers.multi_task_dataset import MultiTaskDataset


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Prints what a corpus holds, writes it if an output folder is given, and returns what describe.json holds."""
    parser = argparse.ArgumentParser(
        prog="paravox describe",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "settings",
        metavar="YAML",
        type=Path,
        nargs="?",
        help="a YAML file with tasks, such as one that trains a model; its keys data_dir, corpus and audio are used "
        "where the options below are not given, and corpus_options go to the reader of the corpus; or the folder of a "
        "corpus",
    )
    parser.add_argument("--data_dir", metavar="FOLDER", help="the folder of the corpus")
    parser.add_argument("--corpus", metavar="NAME", help=f"one of {', '.join(CORPUS_NAMES)} (default: metadata_csv)")
    parser.add_argument("--audio", help="which recordings of ExVo: provided or raw (default: provided)")
    parser.add_argument(
        "--output_dir", metavar="FOLDER", type=Path, help="write describe.json, table 1 and the figures here"
    )
    arguments = parser.parse_args(argv)
    settings = read_settings(arguments)
    if "tasks" in settings:
        tasks = parse_tasks(without_balanced_weights(settings["tasks"]))
    else:
        tasks = emotion_tasks(settings["corpus"])
    options = settings.get("corpus_options") or {}
    corpus = load_corpus(settings["corpus"], settings["data_dir"], tasks, settings["audio"], to_train=False, **options)
    splits = {split: MultiTaskDataset(clips, tasks) for split, clips in corpus.items()}
    check_clips(splits, longest_seconds=None)
    description = {split: describe_split(corpus[split], dataset) for split, dataset in splits.items()}
    speakers = {split: describe_speakers(corpus[split], dataset) for split, dataset in splits.items()}
    by_speaker = tasks_of_speakers(speakers, tasks)
    for split, described in speakers.items():
        description[split]["speakers_by"] = described.as_data(by_speaker)
    table_1 = paper_table(speakers, by_speaker)
    console = Console(width=None if sys.stdout.isatty() else 120)
    for table in [*description_tables(description, tasks), table_1.as_rich()]:
        console.print(table)
    warn_of_disagreement(speakers, by_speaker)
    if arguments.output_dir:
        file = arguments.output_dir / "describe.json"
        write_text(file, json.dumps(description, indent=2) + "\n")
        written = [file, *write_table_1(table_1, arguments.output_dir)]
        print("written:", ", ".join(map(str, written + write_figures(splits, tasks, arguments.output_dir))))
    return description


def read_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Combines the YAML file, if there is one, with the options of the command line, which take precedence.

    Returns:
        `dict` with `data_dir`, `corpus`, `audio` and, if the file has them, `tasks` and `corpus_options`.

    Raises:
        ConfigError: if the file cannot be read, or nothing says where the corpus is.
    """
    settings = {"corpus": "metadata_csv", "audio": "provided"}
    if arguments.settings is not None:
        settings |= guessed(arguments) if arguments.settings.is_dir() else read_yaml(arguments.settings)
    given = {name: getattr(arguments, name) for name in ("data_dir", "corpus", "audio")}
    settings |= {name: value for name, value in given.items() if value is not None}
    if settings.get("data_dir") is None:
        raise ConfigError("no data_dir is given: add --data_dir with the folder of the corpus")
    return settings


def guessed(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of a folder that stands in the place of a YAML file."""
    if arguments.corpus is not None or arguments.data_dir is not None:
        raise ConfigError(
            f"{arguments.settings} is a folder, expected a YAML file beside --corpus and --data_dir: give the folder "
            "of the corpus by --data_dir"
        )
    guess = guess_corpus(arguments.settings, to_train=False)
    tasks = [task.to_dict() for task in guess.tasks]
    names = ", ".join(f"{task.name} ({task.kind})" for task in guess.tasks) or "none"
    print(
        f"tasks, guessed from {guess.source}: {names}. paravox init {arguments.settings} writes a YAML file with them"
    )
    settings = {"data_dir": str(arguments.settings), "corpus": guess.corpus, "corpus_options": guess.options}
    return settings | ({"tasks": tasks} if tasks else {})


def write_table_1(table: PaperTable, folder: Path) -> list[Path]:
    """Writes table 1 in three formats; returns the files."""
    texts = {"md": table.as_markdown(), "tex": table.as_latex(), "csv": table.as_csv()}
    files = [folder / f"table_1.{suffix}" for suffix in texts]
    for file, text in zip(files, texts.values(), strict=True):
        write_text(file, text)
    return files


def write_figures(splits: dict[str, MultiTaskDataset], tasks: list[Task], folder: Path) -> list[Path]:
    """Writes the lengths, and each scalar by each task of classes for Train and Val together; returns the files."""
    files = []
    with figure_may_fail("the figure of the lengths"):
        lengths = plot_lengths({split: dataset.seconds for split, dataset in splits.items()})
        files += save_figure(lengths, folder / "lengths.png", (".png",))
    # A corpus may be a test set alone.
    seen = [splits[split] for split in ("train", "validation") if split in splits] or list(splits.values())
    for scalar in (task for task in tasks if task.kind == "scalar"):
        for classes in (task for task in tasks if task.kind == "classes"):
            values = np.concatenate([dataset.labels[scalar.name] for dataset in seen])
            positions = np.concatenate([dataset.labels[classes.name] for dataset in seen])
            name = f"{file_stem(scalar.name)}_by_{file_stem(classes.name)}.png"
            if (fully_known(values) & fully_known(positions)).any():
                with figure_may_fail(f"the figure {name}"):
                    figure = plot_scalar_by_class(scalar, classes, values, positions)
                    files += save_figure(figure, folder / name, (".png",))
    return files


if __name__ == "__main__":
    run(main)
