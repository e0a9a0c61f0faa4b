"""Predicts emotion, age and origin of recordings.

    paravox predict laugh.wav --model runs/real_bursts/model
    paravox predict folder/ more/*.ogg --model runs/real_bursts/model --output predictions.csv
    accelerate launch recipes/burst2vec/predict.py folder/ --model runs/real_bursts/model --output predictions.jsonl

Prints a table with one row per recording, as they are predicted, or with --json one JSON object per line, in the order
of the files. A folder stands for every audio file in it and its sub-folders.

    paravox predict talk.wav --model runs/real_bursts/model --window_seconds 2 --stride_seconds 1
    paravox predict folder/ --model runs/real_bursts/model --embeddings --output embedded.jsonl

With --window_seconds, each recording is cut into windows: the table has one row per window, and JSON the means over the
windows and each window. With --embeddings, JSON also holds the representations.

With --output, the predictions are written to a file as they are made, and the memory does not grow with their number.
If the run is stopped, the same command goes on with the file. Several processes share the recordings, each writes a
part, and the first one joins the parts.

Where the model was calibrated, so are intensities and probabilities, and `unusual` says how unlike the training
recordings a recording is. A recording that is silent, too short or unusual gets a warning.

A recording that cannot be used gets a record with its error, and the exit code is then 1.
"""

import argparse
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from paravox.inference.audio_files import find_audio_files
from paravox.inference.opening import open_model
from paravox.inference.prediction import pass_settings, predict_records
from paravox.inference.printed_records import SHOWN_LABELS, RecordPrinter
from paravox.inference.records_file import BadRecordings, RecordsFile, fingerprint
from paravox.modeling.errors import AudioError, ConfigError
from paravox.modeling.records import RecordNames, parse_windows
from paravox.modeling.tasks import parse_tasks
from paravox.runs.device_options import add_device_options, chosen_device
from paravox.runs.processes import Processes
from paravox.runs.program import run
from paravox.runs.wording import many

Predict = Callable[[list[str]], Iterator[dict[str, Any]]]


def main(argv: list[str] | None = None) -> list[dict[str, Any]]:
    """Predicts the recordings and prints or writes the predictions.

    Returns:
        One record per recording, as `--json` prints it; with `--output`, which keeps nothing in memory, an empty list.

    Raises:
        AudioError: at the end, if a recording cannot be used and `--skip_bad` is not given.
    """
    arguments = parse_arguments(argv)
    processes = Processes.from_environment()
    if processes.count > 1 and arguments.output is None:
        raise ConfigError(f"prediction by {processes.count} processes needs a file: give --output FILE.jsonl")
    cut = parse_windows(arguments.window_seconds, arguments.stride_seconds)
    check_printed(arguments)
    device, dtype = chosen_device(processes.device(arguments.device), arguments.dtype)
    model, extractor = open_model(arguments.model, arguments.revision, device, dtype)
    paths = [str(path) for path in find_audio_files(arguments.clips)]
    tasks = parse_tasks(model.config.tasks)

    def predict(files: list[str]) -> Iterator[dict[str, Any]]:
        seconds, workers = arguments.batch_seconds, arguments.num_workers
        settings = pass_settings(model, len(files), seconds, workers, processes.local_count)
        # A line of progress would stand between the rows of the table.
        shown = processes.rank == 0 and (arguments.output is not None or not sys.stdout.isatty())
        settings = replace(settings, show_progress=shown)
        return predict_records(model, extractor, files, settings, cut, arguments.embeddings)

    if arguments.output is None:
        printer = (
            None if arguments.json else RecordPrinter(tasks, paths, arguments.top or SHOWN_LABELS, cut is not None)
        )
        records, bad = print_records(RecordNames.beside(tasks), predict(paths), printer, arguments.skip_bad)
    else:
        about = {"model": fingerprint(model), "processes": processes.count}
        # Only what is asked for, so that files of earlier versions can be continued.
        about |= {"windows": list(cut)} if cut else {}
        about |= {"embeddings": True} if arguments.embeddings else {}
        whole = RecordsFile(arguments.output, tasks, paths, about, not arguments.skip_bad, cut is not None)
        records, bad = [], write_records(whole, processes, predict, arguments.overwrite)
    if arguments.skip_bad:
        print(f"{many(bad.count, 'clip')} skipped", *bad.messages, sep="\n", file=sys.stderr)
    elif bad.count:
        raise AudioError(f"{bad.count} of {many(len(paths), 'recording')} cannot be used: {'; '.join(bad.messages)}")
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
        "--top",
        type=int,
        metavar="N",
        help="How many labels of a task the table shows, the strongest first (default: 3).",
    )
    parser.add_argument(
        "--window_seconds",
        type=float,
        metavar="SECONDS",
        help="Cut longer recordings into windows of this length (default: they are not cut).",
    )
    parser.add_argument(
        "--stride_seconds",
        type=float,
        metavar="SECONDS",
        help="From the start of one window to the start of the next (default: the length of a window).",
    )
    parser.add_argument(
        "--embeddings",
        action="store_true",
        help="Add the representations of each recording to --json or to a .jsonl file.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="File to write the predictions to, instead of printing them: .jsonl, or .csv with one column per output "
        "and one row per recording, or per window.",
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace --output instead of going on with it.")
    parser.add_argument(
        "--skip_bad",
        action="store_true",
        help="Leave out recordings that cannot be used, print how many there were, and end with exit code 0.",
    )
    parser.add_argument(
        "--batch_seconds",
        type=float,
        help="Seconds of audio per batch (default: 30; on a GPU up to 1000, as its memory allows).",
    )
    parser.add_argument(
        "--num_workers",
        type=int,
        help="Processes that decode; with 0 it is a thread (default: the cores but one beside a GPU, an eighth of the "
        "cores beside a CPU, 0 for few recordings or cores).",
    )
    add_device_options(parser)
    return parser.parse_args(argv)


def check_printed(arguments: argparse.Namespace) -> None:
    """Raises [`ConfigError`] if an option says something of a form that the predictions are not in."""
    in_table = arguments.output is None and not arguments.json
    if arguments.top is not None and not in_table:
        raise ConfigError("top is for the table, but --json and --output have all labels: leave --top out")
    if arguments.top is not None and arguments.top < 1:
        raise ConfigError(f"top is {arguments.top}: give the number of labels to show, at least 1")
    if arguments.embeddings and (in_table or arguments.output is not None and arguments.output.suffix != ".jsonl"):
        raise ConfigError("embeddings are too long for a table: give --json, or an --output that ends in .jsonl")


def write_records(whole: RecordsFile, processes: Processes, predict: Predict, overwrite: bool) -> BadRecordings:
    """Writes the predictions into a file, or goes on with it; several processes write parts, which are then joined.

    Returns:
        [`BadRecordings`]: of all processes in the first one, otherwise none.
    """
    if processes.count == 1:
        fill(whole, predict, overwrite)
    else:
        # A file of several processes is there only when it is complete.
        if not whole.is_begun(overwrite):
            parts = [part_of(whole, replace(processes, rank=rank)) for rank in range(processes.count)]
            fill(parts[processes.rank], predict, overwrite)
            processes.wait()
            if processes.rank == 0:
                whole.join(parts)
        if processes.rank > 0:
            return BadRecordings()
        deque(whole.kept_records(), maxlen=0)  # which counts them
    print(f"{whole.path}: {many(len(whole.paths), 'recording')}, {whole.bad.count} of them cannot be used")
    return whole.bad


def part_of(whole: RecordsFile, processes: Processes) -> RecordsFile:
    """The file for the share of one process."""
    name = f"{whole.path.stem}.part-{processes.rank}-of-{processes.count}{whole.path.suffix}"
    share = whole.paths[processes.share(len(whole.paths))]
    return RecordsFile(whole.path.with_name(name), whole.tasks, share, whole.about, whole.with_errors, whole.windowed)


def fill(file: RecordsFile, predict: Predict, overwrite: bool) -> None:
    """Writes what a file lacks."""
    with file.open(overwrite):
        for record in predict(list(file.paths[file.done :])):
            file.write(record)


def print_records(
    names: RecordNames, predicted: Iterable[dict[str, Any]], printer: RecordPrinter | None, skip_bad: bool
) -> tuple[list[dict[str, Any]], BadRecordings]:
    """Prints the predictions as they come, as JSON lines or by a printer; returns them with those that are bad."""
    bad = BadRecordings(name=names.error)
    records = []
    for record in predicted:
        bad.add(record)
        if skip_bad and names.error in record:
            continue
        records.append(record)
        if printer is None:
            print(json.dumps(record), flush=True)
        else:
            printer.print(record)
    return records, bad


if __name__ == "__main__":
    run(main)
