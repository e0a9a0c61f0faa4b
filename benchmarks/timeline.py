"""Measures how well `paravox timeline` finds and names bursts, on recordings that are spliced from a corpus.

    python benchmarks/timeline.py --model MODEL --data_dir BURSTS --split validation

Each recording holds bursts of one split at known places, with pauses of 0.5 to 3 s, and noise of -70 to -45 dB of full
scale, or none. Every other recording has speech between the bursts: parts of the clips that --speech names. The same
seed gives the same recordings.

An event finds a burst if their intersection is at least half of their union (--overlap). Each event counts for one
burst at most. The results file has precision and recall of finding, and of naming, which also asks for the right
label, with 95 % intervals over recordings; what the energy alone finds; the same for other values of least_certainty;
and how many of the bursts the model names rightly where it is told the places.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from paravox.corpora.metadata_csv import read_metadata_csv
from paravox.inference.opening import open_model
from paravox.inference.sound_settings import SoundSettings
from paravox.inference.sounds import Span, find_sounds
from paravox.inference.timeline import Event, as_events, choose_task, default_certainty, name_sounds
from paravox.modeling.audio import load_audio
from paravox.modeling.errors import CorpusError
from paravox.modeling.tasks import Task
from paravox.runs.machine import machine_name
from paravox.runs.program import run
from paravox.runs.training_runs import without_paths
from paravox.trainers.files import write_text

RESULTS = Path(__file__).parent / "timeline.json"
SWEEP = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
DRAWS = 1000
# A clip begins and ends where it exceeds this share of its peak (-34 dB).
AUDIBLE = 0.02
MARGIN_SECONDS = 0.05
PAUSES, SPEECH_SECONDS = (0.5, 3.0), (3.0, 6.0)
LEVELS_DB, NOISE_DB = (-30.0, -15.0), (-70.0, -45.0)


@dataclass
class Recording:
    """A recording with known places.

    Args:
        samples (`np.ndarray` of shape `(samples,)`): float32.
        bursts (list of [`Span`]): where a burst is heard.
        labels (list of `str`): of each burst.
        speech (list of [`Span`]): where somebody speaks.
    """

    samples: np.ndarray
    bursts: list[Span] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    speech: list[Span] = field(default_factory=list)


@dataclass
class Counts:
    """What was found in one recording.

    Args:
        events (`int`): how many events have a label.
        bursts (`int`): how many bursts there are.
        found (`int`): how many pairs of both there are.
        named (`int`, *optional*, defaults to 0): how many of these have the right label.
        unusual (`int`, *optional*, defaults to 0): how many events are unusual and therefore have no label.
        speech_seconds (`float`, *optional*, defaults to 0): how much speech is covered by events with a label.
    """

    events: int
    bursts: int
    found: int
    named: int = 0
    unusual: int = 0
    speech_seconds: float = 0.0


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Splices the recordings, makes their timelines, and writes and returns the results."""
    arguments = parse_arguments(argv)
    start = time.perf_counter()
    model, extractor = open_model(arguments.model)
    task, rate = choose_task(model, arguments.task), extractor.sampling_rate
    bursts, speech = read_clips(arguments, task)
    if arguments.least_certainty is None:
        arguments.least_certainty = round(default_certainty(task), 3)
    made, events, sounds, told = [], {least: [] for least in (*SWEEP, arguments.least_certainty)}, [], []
    for number in tqdm(range(arguments.recordings), desc="recordings", leave=False):
        generator = np.random.default_rng([arguments.seed, number])
        recording = splice(generator, bursts, speech if number % 2 else [], rate, arguments.seconds)
        made.append(recording)
        sounds.append(find_sounds(recording.samples, rate, SoundSettings()))
        results = name_sounds(model, extractor, recording.samples, sounds[-1], show_progress=False)
        for least, by_recording in events.items():
            by_recording.append(as_events(sounds[-1], task, results, least))
        where_told = name_sounds(model, extractor, recording.samples, recording.bursts, show_progress=False)
        told.append(as_events(recording.bursts, task, where_told, 0.0))
        if arguments.keep_dir:
            keep(arguments.keep_dir / f"{number:03}", recording, rate)
    results = {
        "model": arguments.model_name or Path(arguments.model).name,
        "split": arguments.split,
        "labels": list(task.labels),
        "recordings": len(made),
        "seconds_of_audio": round(sum(len(recording.samples) for recording in made) / rate),
        "bursts": sum(len(recording.bursts) for recording in made),
        "speech_seconds": round(sum(end - start for recording in made for start, end in recording.speech)),
        "overlap": arguments.overlap,
        "least_certainty": arguments.least_certainty,
        **measure(made, events, sounds, told, arguments),
        "seconds": round(time.perf_counter() - start),
        "machine": machine_name(),
        "command": shlex.join(
            ["python", "benchmarks/timeline.py", *without_paths(sys.argv[1:] if argv is None else argv)]
        ),
    }
    write_text(arguments.output, json.dumps(results, indent=1) + "\n")
    print_results(results)
    print(f"written: {arguments.output}")
    return results


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--model", required=True, help="Model, by its folder or its name on the Hub.")
    add("--model_name", help="What the results call it (default: the name of its folder).")
    add("--task", help="Task of the model (default: the first with labels).")
    add("--data_dir", type=Path, required=True, help="Folder of the corpus of bursts.")
    add("--metadata", default="metadata.csv", help="Its table with the bursts (default: %(default)s).")
    add("--split", default="validation", help="Split whose bursts and speech are used (default: %(default)s).")
    add("--speech_metadata", default="metadata.csv", help="Its table with the speech (default: %(default)s).")
    add(
        "--speech",
        default="source=accent_archive",
        help="Column and value of the clips that are speech, or none (default: %(default)s).",
    )
    add("--recordings", type=int, default=100, help="Number of recordings (default: %(default)s).")
    add("--seconds", type=float, default=30.0, help="Length of each in seconds (default: %(default)s).")
    add("--seed", type=int, default=0, help="The same seed gives the same recordings (default: %(default)s).")
    add("--overlap", type=float, default=0.5, help="Intersection over union that counts (default: %(default)s).")
    add("--least_certainty", type=float, help="As of the timeline (default: its own).")
    add("--keep_dir", type=Path, help="Folder for the recordings and their true places, to look at them.")
    add("--output", type=Path, default=RESULTS, help="JSON file for the results (default: benchmarks/timeline.json).")
    return parser.parse_args(argv)


def read_clips(arguments: argparse.Namespace, task: Task) -> tuple[list[tuple[str, str]], list[str]]:
    """The bursts of a split, each a path and its one label, and the paths of its speech.

    Raises:
        CorpusError: if there is none.
    """
    rows = read_metadata_csv(arguments.data_dir, [task], to_train=False, metadata=arguments.metadata)[arguments.split]
    bursts = [(row["path"], label) for row in rows if (label := label_of(row, task)) is not None]
    if not bursts:
        raise CorpusError(f"{arguments.data_dir} has no clip with a label of {task.name!r} in {arguments.split}")
    if arguments.speech == "none":
        return bursts, []
    column, _, value = arguments.speech.partition("=")
    rows = read_metadata_csv(arguments.data_dir, [], to_train=False, metadata=arguments.speech_metadata)
    speech = [row["path"] for row in rows[arguments.split] if row.get(column) == value]
    if not speech:
        raise CorpusError(f"no clip of {arguments.split} has {column} {value!r}: name the speech with --speech")
    return bursts, speech


def label_of(row: dict[str, Any], task: Task) -> str | None:
    """The label of a clip that has exactly one."""
    if task.kind == "classes":
        return row[task.name] or None
    present = [label for label in task.labels if row[label] is not None and float(row[label]) == 1]
    return present[0] if len(present) == 1 else None


def splice(
    generator: np.random.Generator,
    bursts: Sequence[tuple[str, str]],
    speech: Sequence[str],
    rate: int,
    seconds: float,
) -> Recording:
    """One recording: bursts, and speech if it is given as every third clip, until its length is reached."""
    recording = Recording(np.zeros(round(seconds * rate), np.float32))
    if generator.random() < 0.75:
        recording.samples += pink_noise(generator, len(recording.samples)) * 10 ** (generator.uniform(*NOISE_DB) / 20)
    at = round(generator.uniform(*PAUSES) * rate)
    for position in range(1_000):
        is_speech = bool(speech) and position % 3 == 1
        if is_speech:
            path, label = speech[generator.integers(len(speech))], ""
        else:
            path, label = bursts[generator.integers(len(bursts))]
        clip = audible_part(load_audio(path, rate), rate)
        if is_speech:
            clip = clip[: round(generator.uniform(*SPEECH_SECONDS) * rate)]
        if at + len(clip) > len(recording.samples):
            break
        recording.samples[at : at + len(clip)] += levelled(clip, generator.uniform(*LEVELS_DB), rate)
        place = Span(at / rate + MARGIN_SECONDS, (at + len(clip)) / rate - MARGIN_SECONDS)
        if is_speech:
            recording.speech.append(place)
        else:
            recording.bursts.append(place)
            recording.labels.append(label)
        at += len(clip) + round(generator.uniform(*PAUSES) * rate)
    return recording


def audible_part(clip: np.ndarray, rate: int) -> np.ndarray:
    """A clip without what is inaudible at both ends, but for a margin, which is of zeros where the clip has none."""
    clip = clip - clip.mean()
    audible = np.flatnonzero(np.abs(clip) > AUDIBLE * np.abs(clip).max())
    if not len(audible):
        return np.zeros(2 * round(MARGIN_SECONDS * rate), np.float32)
    margin = round(MARGIN_SECONDS * rate)
    padded = np.pad(clip, margin)
    return padded[audible[0] : audible[-1] + 1 + 2 * margin]


def levelled(clip: np.ndarray, level_db: float, rate: int) -> np.ndarray:
    """A clip at a root mean square level, faded in and out over its margins, and not beyond full scale."""
    clip = clip * (10 ** (level_db / 20) / max(float(np.sqrt(np.mean(clip**2))), 1e-9))
    clip = clip / max(1.0, float(np.abs(clip).max()))
    fade = np.linspace(0, 1, round(MARGIN_SECONDS * rate))
    clip[: len(fade)] *= fade
    clip[-len(fade) :] *= fade[::-1]
    return clip


def pink_noise(generator: np.random.Generator, count: int) -> np.ndarray:
    """Noise whose power falls with the frequency, with a root mean square of 1."""
    spectrum = np.fft.rfft(generator.normal(size=count)) / np.sqrt(np.maximum(np.arange(count // 2 + 1), 20.0))
    noise = np.fft.irfft(spectrum, count)
    return (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


def matches(places: Sequence[Span], bursts: Sequence[Span], overlap: float) -> list[tuple[int, int]]:
    """Which place finds which burst: as many pairs as possible whose intersection over union is large enough."""
    if not places or not bursts:
        return []
    starts, ends = np.array([place[:2] for place in places]).T[:, :, None]
    true_starts, true_ends = np.array(bursts).T[:, None, :]
    shared = (np.minimum(ends, true_ends) - np.maximum(starts, true_starts)).clip(min=0)
    ratio = shared / (np.maximum(ends, true_ends) - np.minimum(starts, true_starts))
    enough = ratio >= overlap
    rows, columns = linear_sum_assignment(enough + ratio / (1 + ratio.size), maximize=True)
    return [(row, column) for row, column in zip(rows.tolist(), columns.tolist(), strict=True) if enough[row, column]]


def count(events: Sequence[Event], recording: Recording, overlap: float) -> Counts:
    """What the events of a recording find. Only those with a label count: an unusual one is not said to be a burst."""
    named = [event for event in events if event.label is not None]
    places = [Span(event.start, event.end) for event in named]
    pairs = matches(places, recording.bursts, overlap)
    right = sum(named[row].label == recording.labels[column] for row, column in pairs)
    covered = sum(max(0.0, min(a.end, b.end) - max(a.start, b.start)) for a in places for b in recording.speech)
    return Counts(len(named), len(recording.bursts), len(pairs), right, len(events) - len(named), covered)


def scores(counts: Sequence[Counts], naming: bool = True) -> dict[str, Any]:
    """Precision and recall over recordings, each with its 95 % interval by a bootstrap over recordings."""
    table = np.array([[one.events, one.bursts, one.found, one.named] for one in counts], float).reshape(-1, 4)
    drawn = np.random.default_rng(0).multinomial(len(table), np.full(len(table), 1 / max(1, len(table))), size=DRAWS)
    sums = np.concatenate([table.sum(axis=0, keepdims=True), drawn @ table])
    ratios = {"finding_precision": (2, 0), "finding_recall": (2, 1)}
    ratios |= {"naming_precision": (3, 0), "naming_recall": (3, 1)} if naming else {}
    found: dict[str, Any] = {"events": int(sums[0, 0]), "bursts": int(sums[0, 1])}
    for name, (above, below) in ratios.items():
        values = sums[:, above] / np.maximum(sums[:, below], 1)
        ends = np.percentile(values[1:], [2.5, 97.5])
        found |= {name: round(float(values[0]), 3), f"{name}_interval": [round(float(end), 3) for end in ends]}
    return found


def measure(
    made: Sequence[Recording],
    events: dict[float, list[list[Event]]],
    sounds: Sequence[Sequence[Span]],
    told: Sequence[Sequence[Event]],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """The scores of all recordings, of those with and without speech, and of what could be compared with them."""
    least, overlap = arguments.least_certainty, arguments.overlap
    by_least = {
        value: [count(found, recording, overlap) for found, recording in zip(by_recording, made, strict=True)]
        for value, by_recording in events.items()
    }
    energy = [
        Counts(len(places), len(one.bursts), len(matches(places, one.bursts, overlap)))
        for places, one in zip(sounds, made, strict=True)
    ]
    with_speech = [bool(recording.speech) for recording in made]
    parts = {"all": [True] * len(made), "without_speech": [not one for one in with_speech], "with_speech": with_speech}
    labels = [label for recording in made for label in recording.labels]
    names = [event.label for by_recording in told for event in by_recording]
    # Two bursts may touch only if a pause between them were none, so no two of these events were joined.
    assert len(names) == len(labels)
    right = sum(name == label for name, label in zip(names, labels, strict=True))
    return {
        "unusual_events": sum(one.unusual for one in by_least[least]),
        "speech_with_a_label": share_of_speech(by_least[least], made),
        "timeline": {name: scores(_those(by_least[least], kept)) for name, kept in parts.items()},
        "energy_alone": {name: scores(_those(energy, kept), naming=False) for name, kept in parts.items()},
        "named_where_told": round(right / max(1, len(labels)), 3),
        "most_frequent_label": round(max(map(labels.count, set(labels))) / len(labels), 3) if labels else None,
        "by_least_certainty": {
            f"{value:g}": {
                name: number for name, number in scores(by_least[value]).items() if not name.endswith("interval")
            }
            for value in SWEEP
        },
    }


def share_of_speech(counts: Sequence[Counts], made: Sequence[Recording]) -> float | None:
    """How much of the speech is covered by events with a label, 0 to 1; None if there is none."""
    seconds = sum(end - start for recording in made for start, end in recording.speech)
    return round(sum(one.speech_seconds for one in counts) / seconds, 3) if seconds else None


def _those(counts: Sequence[Counts], kept: Sequence[bool]) -> list[Counts]:
    return [one for one, keep in zip(counts, kept, strict=True) if keep]


def keep(path: Path, recording: Recording, rate: int) -> None:
    """Writes a recording, and its true places as labels for Audacity."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path.with_suffix(".wav"), recording.samples, rate)
    places = [*zip(recording.bursts, recording.labels, strict=True), *((span, "speech") for span in recording.speech)]
    lines = [f"{span.start:.6f}\t{span.end:.6f}\t{label}\n" for span, label in sorted(places)]
    write_text(path.with_suffix(".txt"), "".join(lines))


def print_results(results: dict[str, Any]) -> None:
    """Prints precision and recall, one row per kind of recordings."""
    columns = ("finding_precision", "finding_recall", "naming_precision", "naming_recall")
    table = Table(title=f"{results['recordings']} recordings, {results['bursts']} bursts")
    for column in ("recordings", *columns):
        table.add_column(column.replace("_", " "))
    for what in ("timeline", "energy_alone"):
        for name, row in results[what].items():
            cells = [f"{row[column]:.3f}" if column in row else "" for column in columns]
            table.add_row(f"{what}, {name}".replace("_", " "), *cells)
    for least, row in results["by_least_certainty"].items():
        table.add_row(f"least certainty {least}", *(f"{row[column]:.3f}" for column in columns))
    Console(width=110).print(table)
    print(
        f"named where told: {results['named_where_told']}; unusual events: {results['unusual_events']}; speech with a "
        f"label: {results['speech_with_a_label']}"
    )


if __name__ == "__main__":
    run(main)
