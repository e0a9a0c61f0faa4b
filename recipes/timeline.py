"""Finds the bursts of a long recording and names them: where they are, what they are, and how sure the model is.

    paravox timeline talk.wav --model runs/mine/model
    paravox timeline talk.wav --model runs/mine/model --output talk.json talk.csv talk.srt talk.txt talk.png

A sound is what is louder than the background around it, whose level follows the recording. Sounds with a short pause
between them are one sound, and a long sound is cut where it is quietest. The model names each of them. What it is not
sure of is left out, or kept with a question mark by --all. Where the model knows how unlike the training recordings a
sound is, an unlike one gets no label and is called unusual.

Without --output, the events are printed. Otherwise the ending of each name says what is written: .json with the scores
of all labels, .csv, .srt (subtitles), .txt (labels for Audacity), or .png or .svg (the waveform with the events).
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from paravox.evaluation.timeline_figure import FIGURES, plot_timeline
from paravox.inference.defaults import DEFAULT_MODEL
from paravox.inference.sound_settings import SoundSettings
from paravox.inference.timeline import Timeline, timeline
from paravox.inference.timeline_files import FORMATS, caption, write_timeline
from paravox.modeling.errors import ConfigError
from paravox.runs.device_options import add_device_options, chosen_device
from paravox.runs.program import run

DEFAULTS = SoundSettings()


def main(argv: list[str] | None = None) -> Timeline:
    """Makes the timeline, prints it or writes its files, and returns it."""
    arguments = parse_arguments(argv)
    check_outputs(arguments.output, arguments.overwrite)
    device, dtype = chosen_device(arguments.device, arguments.dtype)
    made = timeline(
        arguments.recording,
        DEFAULT_MODEL if arguments.model is None else arguments.model,
        task=arguments.task,
        least_certainty=arguments.least_certainty,
        keep_uncertain=arguments.all,
        threshold_db=arguments.threshold_db,
        min_seconds=arguments.min_seconds,
        max_gap=arguments.max_gap,
        longest_seconds=arguments.longest_seconds,
        batch_seconds=arguments.batch_seconds,
        revision=arguments.revision,
        device=device,
        dtype=dtype,
    )
    if not arguments.output:
        print_events(made)
    print(f"{arguments.recording}: {len(made.events)} events in {made.seconds:.1f} s")
    for path in arguments.output:
        if path.suffix.lower() in FORMATS:
            write_timeline(made, path)
        else:
            plot_timeline(made, path)
        print(f"written: {path}")
    return made


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("recording", metavar="RECORDING", type=Path, help="Audio file of at most four hours.")
    add("--model", help="Folder of a model, or its name on the Hub (default: the model that comes with paravox).")
    add("--revision", help="Branch, tag or commit of a model on the Hub (default: main).")
    add("--task", help="Task of the model whose labels the events get (default: the first that has labels).")
    add(
        "--output",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="Files to write: .json, .csv, .srt, .txt, .png or .svg. The option may be given several times.",
    )
    add("--overwrite", action="store_true", help="Replace files that are there.")
    add(
        "--least_certainty",
        type=float,
        help="Leave out events with a lower score, 0 to 1 (default: 0.71 with two labels, 0.32 with ten, 0.18 with "
        "thirty: the root of what guessing gives).",
    )
    add("--all", action="store_true", help="Keep events below --least_certainty, with a question mark.")
    add(
        "--threshold_db",
        type=float,
        default=DEFAULTS.threshold_db,
        help="How far above the background a sound is, in decibels (default: %(default)g).",
    )
    add(
        "--min_seconds",
        type=float,
        default=DEFAULTS.min_seconds,
        help="Leave out shorter sounds (default: %(default)g).",
    )
    add(
        "--max_gap",
        type=float,
        default=DEFAULTS.max_gap,
        help="Longest pause, in seconds, within one sound, such as a laugh (default: %(default)g).",
    )
    add(
        "--longest_seconds",
        type=float,
        default=DEFAULTS.longest_seconds,
        help="Cut longer sounds where they are quietest. Parts with the same label become one event again (default: "
        "%(default)g).",
    )
    add(
        "--batch_seconds",
        type=float,
        help="Seconds of audio per batch (default: 30; on a GPU up to 1000, as its memory allows).",
    )
    add_device_options(parser)
    return parser.parse_args(argv)


def check_outputs(outputs: list[Path], overwrite: bool) -> None:
    """Raises [`ConfigError`] before anything is computed if a file cannot be written, or would be replaced."""
    known = [*FORMATS, *FIGURES]
    for path in outputs:
        if path.suffix.lower() not in known:
            raise ConfigError(f"output {str(path)!r} is of no known format: end its name in one of {', '.join(known)}")
        if path.exists() and not overwrite:
            raise ConfigError(f"output {str(path)!r} is already there: choose another, or replace it with --overwrite")


def print_events(made: Timeline) -> None:
    """Prints one row per event."""
    table = Table()
    for column in ("start", "end", "event", "unusual"):
        table.add_column(column, justify="left" if column == "event" else "right")
    for event in made.events:
        unusual = "" if event.unusual is None else f"{event.unusual:.2f}"
        # As Text, because Rich would take brackets in a label for its markup.
        table.add_row(f"{event.start:.2f}", f"{event.end:.2f}", Text(caption(event)), unusual)
    Console().print(table)


if __name__ == "__main__":
    run(main)
