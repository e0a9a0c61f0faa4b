"""Predicts emotion, age and origin of recordings.

    paravox predict laugh.wav --model runs/real_bursts/model
    paravox predict folder/ more/*.ogg --model runs/real_bursts/model --json > predictions.jsonl

Prints a table with one row per recording, or with --json one JSON object per line, in the order of the files. A folder
stands for every audio file in it and its sub-folders.
"""

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from paravox.inference.audio_files import find_audio_files, readable_files
from paravox.inference.opening import open_model
from paravox.inference.prediction import DEFAULT_BATCH_SECONDS, as_records, predict_files
from paravox.modeling.tasks import Task, parse_tasks
from paravox.runs.program import run

SHOWN_LABELS = 3
SHOWN_MESSAGES = 3


def main(argv: list[str] | None = None) -> list[dict[str, Any]]:
    """Predicts the recordings, prints the predictions, and returns one record per recording, as `--json` prints it."""
    arguments = parse_arguments(argv)
    model, extractor = open_model(arguments.model, arguments.revision)
    paths = [str(path) for path in find_audio_files(arguments.clips)]
    messages: list[str] = []
    if arguments.skip_bad:
        paths, messages = readable_files(paths, extractor.sampling_rate)
    predictions = predict_files(model, extractor, paths, arguments.batch_seconds) if paths else {}
    tasks = parse_tasks(model.config.tasks)
    records = as_records(tasks, predictions, paths)
    if arguments.json:
        print("".join(json.dumps(record) + "\n" for record in records), end="")
    else:
        print_table(tasks, records)
    if arguments.skip_bad:
        print(f"{len(messages)} clips skipped", *messages[:SHOWN_MESSAGES], sep="\n", file=sys.stderr)
    return records


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("clips", metavar="CLIP", nargs="+", help="Audio file, or folder with audio files.")
    parser.add_argument(
        "--model", required=True, help="Folder of a model that train or ensemble wrote, or its name on the Hub."
    )
    parser.add_argument("--revision", help="Branch, tag or commit of a model on the Hub (default: main).")
    parser.add_argument("--json", action="store_true", help="Print JSON lines instead of a table.")
    parser.add_argument(
        "--skip_bad",
        action="store_true",
        help="Leave out recordings that cannot be read, and print how many there were.",
    )
    parser.add_argument(
        "--batch_seconds",
        type=float,
        default=DEFAULT_BATCH_SECONDS,
        help="Seconds of audio per batch (default: %(default)s).",
    )
    return parser.parse_args(argv)


def print_table(tasks: list[Task], records: list[dict[str, Any]]) -> None:
    """Prints one row per recording: for each task its strongest labels with their values, or its value."""
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
    run(main)
