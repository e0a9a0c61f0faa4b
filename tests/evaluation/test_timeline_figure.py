"""The figure of a timeline shows each event in its lane, at its time, as high as it is certain."""

import numpy as np
import pytest

from paravox.evaluation.figure_style import GREY
from paravox.evaluation.timeline_figure import lanes_of, plot_timeline, timeline_figure
from paravox.inference.timeline import Event, Timeline


def event(start, end, label="awe", certainty=0.5, state="certain"):
    return Event(start, end, label, certainty, state, None, {})


def made(events, seconds=30.0):
    envelope = np.stack([-np.ones(1_000), np.linspace(0, 1, 1_000)], axis=1)
    return Timeline(events, seconds, "emotion", ("awe", "fear"), {}, envelope, "some/talk_$1.wav")


def bars(axes):
    return [(bar.get_x(), bar.get_width(), -bar.get_height(), bar.get_y()) for bar in axes.patches]


def test_an_event_has_a_bar_in_its_lane():
    events = [
        event(1, 2),
        event(3, 8, "fear", 1.0),
        event(9, 10, None, 0.8, "unusual"),
        event(11, 12, state="uncertain"),
    ]
    figure = timeline_figure(made(events))
    waveform, lanes = figure.axes
    assert waveform.get_title() == r"talk_\$1.wav: emotion, 4 events"
    assert [label.get_text() for label in lanes.get_yticklabels()] == ["fear", "awe", "unusual"]
    np.testing.assert_allclose(bars(lanes), [(1, 1, 0.45, 2), (3, 5, 0.9, 1), (9, 1, 0.72, 3), (11, 1, 0.45, 2)])
    assert [bar.get_alpha() for bar in lanes.patches] == [1.0, 1.0, 1.0, 0.4]
    assert lanes.patches[2].get_facecolor()[:3] == pytest.approx([0x33 / 255] * 3) and GREY == "#333333"
    spans = [(span.get_x(), span.get_x() + span.get_width()) for span in waveform.patches]
    np.testing.assert_allclose(spans, [(1, 2), (3, 8), (9, 10), (11, 12)])
    assert waveform.get_xlim() == lanes.get_xlim() == (0, 30)


def test_a_long_recording_has_several_rows_and_short_events_can_be_seen():
    figure = timeline_figure(made([event(1000, 1000.1), event(1195, 1205, "fear")], 2400.0))
    lanes = figure.axes[1::2]
    assert [axes.get_xlim() for axes in lanes] == [(400 * row, 400 * (row + 1)) for row in range(6)]
    # The second event lies across the end of a row, so it is in both.
    assert [len(axes.patches) for axes in lanes] == [0, 0, 2, 1, 0, 0]
    assert bars(lanes[2])[0][:2] == pytest.approx((1000, 0.8))
    # The waveform of a row is its own part of the envelope.
    shown = [axes.collections[0].get_paths()[0].vertices for axes in figure.axes[::2]]
    assert [float(part[:, 1].max()) for part in shown] == pytest.approx([(row + 1) / 6 for row in range(6)], abs=0.01)
    assert [float(part[:, 0].min()) for part in shown] == pytest.approx([400 * row for row in range(6)], abs=4)


def test_labels_with_little_time_share_a_lane():
    events = [event(number, number + 1 - number / 100, f"label {number}") for number in range(12)]
    lanes = lanes_of(events)
    assert lanes == [*(f"label {number}" for number in range(9)), "other labels"]
    assert lanes_of(events[:10]) == [f"label {number}" for number in range(10)]
    assert lanes_of([*events, event(30, 31, None, state="unusual")]) == [*lanes, "unusual"]
    figure = timeline_figure(made(events))
    assert [round(bar[3]) for bar in bars(figure.axes[1])] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]


@pytest.mark.parametrize(("events", "name", "start"), [([], "a.SVG", b"<?xml"), ([event(0, 1)], "a.png", b"\x89PNG")])
def test_files_are_written_and_equal_each_time(events, name, start, tmp_path):
    plot_timeline(made(events, 0.5), tmp_path / name)
    once = (tmp_path / name).read_bytes()
    plot_timeline(made(events, 0.5), tmp_path / name)
    assert once.startswith(start) and once == (tmp_path / name).read_bytes()
