"""Predict emotion, age and origin of recordings.

    paravox predict runs/demo/model laugh.wav
    paravox predict runs/demo/model folder/ more/*.ogg --json > predictions.jsonl

Prints a table, or with --json one JSON object a line, in the order of the files. A folder stands for every audio file
below it.
"""

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from paravox.inference.prediction import (
    DEFAULT_BATCH_SECONDS,
    SkippingLoader,
    as_records,
    find_audio_files,
    open_model,
    predict_files,
)
from paravox.modeling.audio import load_audio
from paravox.modeling.errors import AudioError, CheckpointError, ConfigError
from paravox.modeling.tasks import Task, parse_tasks

SHOWN_LABELS = 3


def main(argv: list[str] | None = None) -> list[dict[str, Any]]:
    """Predicts and prints; gives one record a clip, as `--json` prints it."""
    arguments = parse_arguments(argv)
    model, extractor = open_model(arguments.model, arguments.revision)
    paths = find_audio_files(arguments.clips)
    load = SkippingLoader() if arguments.skip_bad else load_audio
    if arguments.skip_bad:
        paths = load.readable(paths)
    predictions = predict_files(model, extractor, paths, load, arguments.batch_seconds) if paths else {}
    tasks = parse_tasks(model.config.tasks)
    records = as_records(tasks, predictions, paths)
    if arguments.skip_bad:
        records = [record for record in records if record["file"] not in load.faults]
    if arguments.json:
        print("".join(json.dumps(record) + "\n" for record in records), end="")
    else:
        print_table(tasks, records)
    if arguments.skip_bad:
        print(f"{len(load.faults)} clips skipped", *list(load.faults.values())[:3], sep="\n", file=sys.stderr)
    return records


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder that train.py or ensemble.py wrote, or a name on the Hub")
    parser.add_argument("clips", nargs="+", help="audio files, or folders of them")
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub (default main)")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
    parser.add_argument("--skip_bad", action="store_true", help="leave out clips that cannot be read, and count them")
    parser.add_argument(
        "--batch_seconds",
        type=float,
        default=DEFAULT_BATCH_SECONDS,
        help="seconds of audio a batch (default %(default)s)",
    )
    return parser.parse_args(argv)


def print_table(tasks: list[Task], records: list[dict[str, Any]]) -> None:
    """One row a clip: the strongest labels of each task with their values, or the value in its unit."""
    table = Table()
    table.add_column("clip")
    for task in tasks:
        table.add_column(f"{task.name} ({task.unit})" if task.unit else task.name)
    for record in records:
        table.add_row(record["file"], *(_cell(task, record[task.name]) for task in tasks))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _cell(task: Task, value: Any) -> str:
    if task.kind == "scalar":
        return f"{value:.1f}"
    strongest = sorted(value.items(), key=lambda pair: -pair[1])[:SHOWN_LABELS]
    return ", ".join(f"{label} {number:.2f}" for label, number in strongest)


if __name__ == "__main__":
    try:
        main()
    except (AudioError, CheckpointError, ConfigError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
