"""Files of a timeline: JSON, a table, subtitles, and labels for Audacity."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from paravox.inference.timeline import Event, Timeline
from paravox.modeling.errors import ConfigError
from paravox.trainers.files import written_aside

COLUMNS = ("start", "end", "label", "certainty", "state", "unusual")


def as_json(timeline: Timeline) -> str:
    """Everything that is known, with the scores of all labels."""
    return json.dumps(timeline.to_dict(), indent=1) + "\n"


def as_csv(timeline: Timeline) -> str:
    """One row per event, with the columns of [`COLUMNS`]; times are in seconds. What is not known is empty."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for event in timeline.events:
        unusual = "" if event.unusual is None else f"{event.unusual:.3f}"
        times = (f"{event.start:.3f}", f"{event.end:.3f}")
        table.writerow([*times, event.label or "", f"{event.certainty:.3f}", event.state, unusual])
    return text.getvalue()


def as_srt(timeline: Timeline) -> str:
    """Subtitles in the form of SubRip, one per event, such as `Amusement 71 %`."""
    return "".join(
        f"{number}\n{_clock(event.start)} --> {_clock(event.end)}\n{caption(event)}\n\n"
        for number, event in enumerate(timeline.events, 1)
    )


def as_audacity(timeline: Timeline) -> str:
    """A label track of Audacity, which File > Import > Labels reads: start, end and caption, separated by tabs."""
    return "".join(f"{event.start:.6f}\t{event.end:.6f}\t{caption(event)}\n" for event in timeline.events)


def caption(event: Event) -> str:
    """What stands beside an event on one line: its name, and how sure the model is if the event has a label."""
    return event.name if event.label is None else f"{event.name} {100 * event.certainty:.0f} %"


FORMATS: dict[str, Callable[[Timeline], str]] = {
    ".json": as_json,
    ".csv": as_csv,
    ".srt": as_srt,
    ".txt": as_audacity,
}


def write_timeline(timeline: Timeline, path: str | Path) -> None:
    """Writes a timeline as the ending of a file's name says: `.json`, `.csv`, `.srt`, or `.txt` for Audacity.

    Args:
        timeline ([`Timeline`]).
        path (`str` or `Path`): the file. It is replaced if it is there.

    Raises:
        ConfigError: if the name has another ending.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"output {str(path)!r} is of no known format: end its name in {', '.join(FORMATS)} (.txt is for Audacity)"
        )
    text = FORMATS[path.suffix.lower()](timeline)
    with written_aside(path) as part:
        part.write_bytes(text.encode())


def _clock(seconds: float) -> str:
    """A time as subtitles have it, such as 01:02:03,456."""
    milliseconds = round(1000 * seconds)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02},{rest % 1000:03}"
