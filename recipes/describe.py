"""Show what a corpus holds: counts, hours, labels and lengths, as tables, figures and JSON.

    paravox describe EXVO --corpus exvo --config recipes/burst2vec/configs/hl.yaml --output_dir runs/describe
    python recipes/corpora/describe.py FOLDER --config recipes/burst2vec/configs/real_bursts.yaml --output_dir OUT

The tasks are those of the YAML file. What lands in the output folder: describe.json, lengths.png and, where the corpus has a
scalar and a class for the same clips, <scalar>_by_<classes>.png: Figure 1 of the Burst2Vec paper.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import yaml
from datasets import DatasetDict
from rich.console import Console
from rich.table import Table

from paravox.corpora.registry import load_corpus
from paravox.modeling.errors import AudioError, ConfigError, CorpusError
from paravox.modeling.losses import UNKNOWN_CLASS
from paravox.modeling.tasks import Task, parse_tasks
from paravox.trainers.multi_task_dataset import MultiTaskDataset

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

BIN_WIDTH = 2.5  # units of a scalar, as in figure 1


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Describes and prints; gives what describe.json holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", help="folder of the corpus")
    parser.add_argument("--corpus", default="metadata_csv", help="exvo, metadata_csv or dataset (default %(default)s)")
    parser.add_argument("--audio", default="provided", help="ExVo's files: provided or raw (default %(default)s)")
    parser.add_argument("--config", required=True, help="a YAML file with tasks, such as a recipe's")
    parser.add_argument("--output_dir", required=True, help="where the figures and describe.json are written")
    arguments = parser.parse_args(argv)
    tasks = read_tasks(Path(arguments.config))
    corpus = load_corpus(arguments.corpus, arguments.data_dir, tasks, arguments.audio)
    splits = {split: MultiTaskDataset(clips, tasks) for split, clips in corpus.items()}
    description = describe(corpus, splits, tasks)
    print_description(description, tasks)
    folder = Path(arguments.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "describe.json").write_text(json.dumps(description, indent=2) + "\n")
    figures = draw_figures(splits, tasks, folder)
    print("written:", ", ".join(str(path) for path in [folder / "describe.json", *figures]))
    return description


def read_tasks(path: Path) -> list[Task]:
    """The tasks of a YAML file.

    Raises:
        ConfigError: if there is no such file or it has no tasks.
    """
    if not path.is_file():
        raise ConfigError(f"config {path} does not exist: give a YAML file with tasks")
    settings = yaml.safe_load(path.read_text())
    if not isinstance(settings, dict) or "tasks" not in settings:
        raise ConfigError(f"config {path} has no key tasks: give a recipe's YAML file")
    return parse_tasks(settings["tasks"])


def describe(corpus: DatasetDict, splits: dict[str, MultiTaskDataset], tasks: list[Task]) -> dict[str, Any]:
    """Counts, hours, speakers, lengths and labels of each split, as plain data."""
    description = {}
    for split, dataset in splits.items():
        seconds = dataset.seconds
        speakers = (
            {speaker for speaker in corpus[split]["speaker"] if speaker}
            if "speaker" in corpus[split].column_names
            else ()
        )
        description[split] = {
            "clips": len(dataset),
            "hours": round(float(seconds.sum()) / 3600, 3),
            "speakers": len(speakers),
            "seconds": _quantiles(seconds),
            "labels": {task.name: describe_labels(task, dataset.labels[task.name]) for task in tasks},
        }
    return description


def describe_labels(task: Task, labels: np.ndarray) -> dict[str, Any]:
    """How many clips have a task's label, and how it is distributed."""
    if task.kind == "classes":
        counts = {label: int((labels == position).sum()) for position, label in enumerate(task.labels)}
        return {"known": int((labels != UNKNOWN_CLASS).sum()), "counts": counts}
    if task.kind == "scalar":
        known = labels[~np.isnan(labels)]
        return {"known": len(known), **_quantiles(known)}
    known = labels[~np.isnan(labels).any(axis=1)]
    strongest = np.bincount(known.argmax(axis=1), minlength=task.outputs) if len(known) else np.zeros(task.outputs, int)
    means = known.mean(axis=0) if len(known) else np.full(task.outputs, np.nan)
    return {
        "known": len(known),
        "mean": {label: round(float(value), 4) for label, value in zip(task.labels, means, strict=True) if len(known)},
        "strongest": {label: int(count) for label, count in zip(task.labels, strongest, strict=True)},
    }


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    names = {"min": 0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "max": 1}
    return {name: round(float(np.quantile(values, share)), 3) for name, share in names.items()}


def print_description(description: dict[str, Any], tasks: list[Task]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120)
    overview = Table(title="Clips", title_justify="left")
    for column in ("split", "clips", "hours", "speakers", "seconds: min", "median", "max"):
        overview.add_column(column, justify="left" if column == "split" else "right")
    for split, values in description.items():
        seconds = values["seconds"]
        numbers = [f"{values['clips']:,}", f"{values['hours']:.2f}", f"{values['speakers']:,}"]
        overview.add_row(split, *numbers, *(f"{seconds[name]:.2f}" for name in ("min", "median", "max")))
    console.print(overview)
    for task in tasks:
        console.print(_label_table(task, {split: values["labels"][task.name] for split, values in description.items()}))


def _label_table(task: Task, labels: dict[str, dict[str, Any]]) -> Table:
    titles = {"classes": "clips", "scalar": task.unit or "value", "intensities": "clips in which it is strongest"}
    table = Table(title=f"{task.name} ({titles[task.kind]})", title_justify="left")
    table.add_column("")
    for split in labels:
        table.add_column(split, justify="right")
    table.add_row("known", *(f"{values['known']:,}" for values in labels.values()))
    key = {"classes": "counts", "intensities": "strongest"}.get(task.kind)
    rows = task.labels if key else ("min", "quarter", "median", "three_quarters", "max")
    for row in rows:
        cells = (values[key].get(row, 0) if key else values.get(row) for values in labels.values())
        table.add_row(row.replace("_", " "), *("" if cell is None else f"{cell:,g}" for cell in cells))
    return table


def draw_figures(splits: dict[str, MultiTaskDataset], tasks: list[Task], folder: Path) -> list[Path]:
    """Draws the lengths, and each scalar against each task of classes for Train and Val together; gives the files."""
    figures = [draw_lengths(splits, folder / "lengths.png")]
    seen = [splits[split] for split in ("train", "validation") if split in splits]
    for scalar in (task for task in tasks if task.kind == "scalar"):
        for classes in (task for task in tasks if task.kind == "classes"):
            values = np.concatenate([dataset.labels[scalar.name] for dataset in seen])
            positions = np.concatenate([dataset.labels[classes.name] for dataset in seen])
            if (~np.isnan(values) & (positions != UNKNOWN_CLASS)).any():
                path = folder / f"{scalar.name}_by_{classes.name}.png"
                figures.append(draw_scalar_by_class(scalar, classes, values, positions, path))
    return figures


def draw_lengths(splits: dict[str, MultiTaskDataset], path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    longest = max(dataset.seconds.max() for dataset in splits.values())
    for split, dataset in splits.items():
        axes.hist(
            dataset.seconds, bins=np.linspace(0, longest, 60), histtype="step", linewidth=1.5, label=split, density=True
        )
    axes.set_xlabel("length of a clip (seconds)")
    axes.set_ylabel("density")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path


def draw_scalar_by_class(scalar: Task, classes: Task, values: np.ndarray, positions: np.ndarray, path: Path) -> Path:
    """Figure 1: how a scalar is distributed in each class, Train and Val together."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    known = values[~np.isnan(values)]
    first, last = np.floor(known.min() / BIN_WIDTH) * BIN_WIDTH, np.ceil(known.max() / BIN_WIDTH) * BIN_WIDTH
    bins = np.arange(first, max(last, first + BIN_WIDTH) + BIN_WIDTH / 2, BIN_WIDTH)
    parts = [values[(positions == number) & ~np.isnan(values)] for number in range(classes.outputs)]
    labels = [f"{label} ({len(part):,})" for label, part in zip(classes.labels, parts, strict=True)]
    axes.hist(parts, bins=bins, stacked=True, label=labels)
    axes.set_xlabel(f"{scalar.name} ({scalar.unit})" if scalar.unit else scalar.name)
    axes.set_ylabel("clips, Train and Val")
    axes.legend(title=classes.name, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path


if __name__ == "__main__":
    try:
        main()
    except (AudioError, ConfigError, CorpusError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
