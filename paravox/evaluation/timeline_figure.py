"""The figure of a timeline: the waveform of a recording with its events, in rows that follow each other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from paravox.evaluation.figure_style import BLACK, COLOURS, GREY, as_written, figure_bytes
from paravox.inference.timeline import UNCERTAIN, UNUSUAL, Event, Timeline
from paravox.trainers.files import written_aside

FIGURES = (".png", ".svg")
# A recording longer than one row is shown in several, up to this many, which then are longer.
ROW_SECONDS, MOST_ROWS = 60.0, 6
# Labels with the most time get a lane of their own; the others share one.
MOST_LANES = 10
OTHERS = "other labels"
# An event is at least this share of a row wide, so that it can be seen.
LEAST_WIDTH = 0.002
# Seconds between the ticks of a row: the first of these that needs at most this many ticks.
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
MOST_TICKS = 15


def plot_timeline(timeline: Timeline, path: Path) -> None:
    """Writes the figure: the waveform, and below it a lane per label with a bar per event, as high as it is certain.

    Args:
        timeline ([`Timeline`]).
        path (`Path`): ends in `.png` or `.svg`.
    """
    with written_aside(path) as part:
        part.write_bytes(figure_bytes(timeline_figure(timeline), path.suffix.lower()))


def timeline_figure(timeline: Timeline) -> Figure:
    """The figure, before it is saved."""
    rows = int(np.clip(np.ceil(timeline.seconds / ROW_SECONDS), 1, MOST_ROWS))
    lanes = lanes_of(timeline.events)
    lane_height = 0.26 * max(1, len(lanes))
    figure = Figure(figsize=(11, 0.9 + rows * (1.35 + lane_height)), layout="constrained")
    heights = [1.0, lane_height] * rows
    grid = figure.subplots(2 * rows, 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    colours = {name: GREY if name in (UNUSUAL, OTHERS) else COLOURS[n % len(COLOURS)] for n, name in enumerate(lanes)}
    ends = np.linspace(0, timeline.seconds, rows + 1)
    for row, (start, end) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        waveform, below = grid[2 * row], grid[2 * row + 1]
        _plot_waveform(waveform, timeline, start, end)
        _plot_lanes(below, lanes, timeline.seconds / rows)
        for event in timeline.events:
            if event.end > start and event.start < end:
                _plot_event(waveform, below, event, lanes, colours, LEAST_WIDTH * (end - start))
        for axes in (waveform, below):
            axes.set_xlim(start, end)
    name = f"{as_written(Path(timeline.recording).name, 60)}: " if timeline.recording else ""
    grid[0].set_title(f"{name}{timeline.task}, {len(timeline.events)} events", fontsize=11)
    grid[-1].set_xlabel("time; the higher a bar, the surer the model; pale with a dashed edge: uncertain")
    return figure


def lanes_of(events: Sequence[Event]) -> list[str]:
    """The names of the lanes, the one with the most time first; then the other labels, and what is unusual, if any."""
    seconds: dict[str, float] = {}
    for event in events:
        if event.label is not None:
            seconds[event.label] = seconds.get(event.label, 0.0) + event.end - event.start
    ordered = sorted(seconds, key=lambda label: (-seconds[label], label))
    lanes = ordered if len(ordered) <= MOST_LANES else [*ordered[: MOST_LANES - 1], OTHERS]
    return lanes + [UNUSUAL] * any(event.label is None for event in events)


def _lane_of(event: Event, lanes: Sequence[str]) -> str:
    if event.label is None:
        return UNUSUAL
    return event.label if event.label in lanes else OTHERS


def _plot_waveform(axes: Axes, timeline: Timeline, start: float, end: float) -> None:
    envelope = timeline.envelope
    first, last = (int(len(envelope) * at / timeline.seconds) for at in (start, end))
    times = (np.arange(first, last) + 0.5) * timeline.seconds / max(1, len(envelope))
    axes.fill_between(times, *envelope[first:last].T, color=BLACK, linewidth=0.3, zorder=2)
    highest = max(float(np.abs(envelope).max()), 1e-4)
    axes.set_ylim(-1.05 * highest, 1.05 * highest)
    axes.set_yticks([])
    axes.tick_params(labelbottom=False, bottom=False)
    axes.spines[:].set_visible(False)


def _plot_lanes(axes: Axes, lanes: Sequence[str], seconds: float) -> None:
    axes.set_ylim(max(1, len(lanes)), 0)
    axes.set_yticks(np.arange(len(lanes)) + 0.5, [as_written(name) for name in lanes], fontsize=9)
    axes.tick_params(left=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    for lane in range(len(lanes) + 1):
        axes.axhline(lane, color=GREY, alpha=0.2, linewidth=0.6)
    step = next((step for step in TICKS if MOST_TICKS * step >= seconds), TICKS[-1])
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: _clock(at, seconds)))


def _plot_event(
    waveform: Axes, lanes_axes: Axes, event: Event, lanes: Sequence[str], colours: dict[str, str], least: float
) -> None:
    lane = _lane_of(event, lanes)
    width = max(event.end - event.start, least)
    waveform.axvspan(event.start, event.start + width, color=colours[lane], alpha=0.25, linewidth=0, zorder=1)
    height = 0.9 * max(0.1, min(1.0, event.certainty))
    is_sure = event.state != UNCERTAIN
    lanes_axes.bar(
        event.start,
        -height,
        width,
        bottom=lanes.index(lane) + 1,
        align="edge",
        color=colours[lane],
        alpha=1.0 if is_sure else 0.4,
        edgecolor=colours[lane],
        linestyle="solid" if is_sure else "dashed",
        linewidth=0.6,
    )


def _clock(at: float, row_seconds: float) -> str:
    """A time for an axis: 4.5, 1:05 or 1:02:05, as the length of a row asks for."""
    if row_seconds < 20:
        return f"{at:g}"
    minutes, seconds = divmod(round(at), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
