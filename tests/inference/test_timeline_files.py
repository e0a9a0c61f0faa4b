"""The files of a timeline, against texts written by hand and readers of their own."""

import csv
import json
import re

import numpy as np
import pytest

from paravox.inference.timeline import Event, Timeline
from paravox.inference.timeline_files import write_timeline
from paravox.modeling.errors import ConfigError

EVENTS = [
    Event(0.5, 1.2345, "awe", 0.714, "certain", 0.8, {"awe": 0.714, 'Surprise, "big"\tone': 0.1}),
    Event(59.9996, 61.0, 'Surprise, "big"\tone', 0.25, "uncertain", None, {}),
    Event(3723.004, 3725.5, None, 0.9, "unusual", 1.75, {}),
]
MADE = Timeline(EVENTS, 4000.0, "emotion", ("awe",), {"max_gap": 0.3}, np.zeros((3, 2)), "talk é.wav")


def test_subtitles(tmp_path):
    write_timeline(MADE, tmp_path / "talk.srt")
    text = (tmp_path / "talk.srt").read_bytes().decode()
    assert text == (
        "1\n00:00:00,500 --> 00:00:01,234\nawe 71 %\n\n"
        '2\n00:01:00,000 --> 00:01:01,000\nSurprise, "big" one? 25 %\n\n'
        "3\n01:02:03,004 --> 01:02:05,500\nunusual\n\n"
    )
    # A reader of SubRip: blocks between empty lines, with a number, two times and a caption.
    for block, event in zip(text.strip().split("\n\n"), EVENTS, strict=True):
        times = re.fullmatch(r"\d+\n(\d\d):(\d\d):(\d\d),(\d{3}) --> (\d\d):(\d\d):(\d\d),(\d{3})\n.+", block).groups()
        start, end = (np.dot([3600, 60, 1, 0.001], [int(part) for part in times[at : at + 4]]) for at in (0, 4))
        np.testing.assert_allclose([start, end], [event.start, event.end], atol=0.0006)


def test_labels_for_audacity(tmp_path):
    write_timeline(MADE, tmp_path / "talk.txt")
    assert (tmp_path / "talk.txt").read_bytes().decode() == (
        "0.500000\t1.234500\tawe 71 %\n"
        '59.999600\t61.000000\tSurprise, "big" one? 25 %\n'
        "3723.004000\t3725.500000\tunusual\n"
    )


def test_a_table(tmp_path):
    write_timeline(MADE, tmp_path / "talk.CSV")
    with open(tmp_path / "talk.CSV", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        **{"start": "0.500", "end": "1.234", "label": "awe"},
        **{"certainty": "0.714", "state": "certain", "unusual": "0.800"},
    }
    assert rows[1]["label"] == 'Surprise, "big"\tone' and rows[1]["unusual"] == ""
    assert (rows[2]["label"], rows[2]["state"], rows[2]["unusual"]) == ("", "unusual", "1.750")


def test_json_has_everything(tmp_path):
    write_timeline(MADE, tmp_path / "new" / "talk.json")
    found = json.loads((tmp_path / "new" / "talk.json").read_text())
    assert (found["recording"], found["seconds"], found["task"], found["labels"]) == (
        "talk é.wav",
        4000.0,
        "emotion",
        ["awe"],
    )
    assert found["settings"] == {"max_gap": 0.3} and len(found["events"]) == 3
    assert found["events"][0]["scores"] == EVENTS[0].scores
    assert found["events"][2]["label"] is None and found["events"][2]["start"] == 3723.004


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="talk.vtt' is of no known format: end its name in .json, .csv, .srt, .txt"):
        write_timeline(MADE, tmp_path / "talk.vtt")
