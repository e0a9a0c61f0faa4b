"""The program that makes timelines: a recording becomes files in every format."""

import json

import numpy as np
import pytest
import soundfile

from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.recipes import timeline

RATE = 16_000


@pytest.fixture
def places(make_model, tmp_path):
    """A recording of three seconds with two tones, and a model."""
    samples = np.random.default_rng(0).normal(scale=1e-4, size=3 * RATE)
    for start, end in ((0.5, 1.0), (2.0, 2.4)):
        at = np.arange(round(start * RATE), round(end * RATE))
        samples[at] += 0.3 * np.sin(2 * np.pi * 400 * at / RATE)
    soundfile.write(tmp_path / "talk.wav", samples, RATE)
    model = make_model("wav2vec2_layer")
    model.save_pretrained(tmp_path / "model")
    Burst2VecFeatureExtractor.for_config(model.config.encoder).save_pretrained(tmp_path / "model")
    return [str(tmp_path / "talk.wav"), "--model", str(tmp_path / "model"), "--device", "cpu"]


def test_a_recording_becomes_files(places, tmp_path, capsys):
    names = [tmp_path / f"talk.{suffix}" for suffix in ("json", "csv", "srt", "txt", "png", "SVG")]
    outputs = ["--output", *map(str, names[:4]), "--output", *map(str, names[4:])]
    made = timeline.main([*places, *outputs, "--task", "country", "--least_certainty", "0"])
    assert [event.start for event in made.events] == pytest.approx([0.5, 2.0], abs=0.05)
    assert made.task == "country" and made.events[0].label in made.labels
    assert all(name.stat().st_size > 50 for name in names)
    assert [event["start"] for event in json.loads(names[0].read_text())["events"]] == [
        event.start for event in made.events
    ]
    printed = capsys.readouterr()
    assert "talk.wav: 2 events in 3.0 s" in printed.out and printed.out.count("written: ") == 6
    assert "running on cpu in float32" in printed.err
    with pytest.raises(
        ConfigError, match="talk.json' is already there: choose another, or replace it with --overwrite"
    ):
        timeline.main([*places, *outputs])
    timeline.main([*places, "--output", str(names[1]), "--overwrite", "--threshold_db", "90"])
    assert names[1].read_text() == "start,end,label,certainty,state,unusual\n"


def test_without_an_output_the_events_are_printed(places, capsys):
    made = timeline.main([*places, "--least_certainty", "1", "--all"])
    assert [event.state for event in made.events] == ["uncertain", "uncertain"]
    printed = capsys.readouterr().out
    for event in made.events:
        assert f"{event.start:.2f}" in printed and f"{event.label}? {100 * event.certainty:.0f} %" in printed


def test_settings_reach_the_timeline(places):
    options = ["--min_seconds", "0.5", "--max_gap", "0.2", "--longest_seconds", "4", "--threshold_db", "12"]
    made = timeline.main([*places, *options, "--least_certainty", "0", "--batch_seconds", "1"])
    assert [event.start for event in made.events] == pytest.approx([0.5], abs=0.05)
    assert made.settings == {
        **{"least_certainty": 0.0, "keep_uncertain": False, "threshold_db": 12.0, "min_seconds": 0.5},
        **{"max_gap": 0.2, "longest_seconds": 4.0},
    }


def test_an_unknown_format_is_refused_before_anything_is_opened(tmp_path):
    with pytest.raises(ConfigError, match=r"talk.vtt' is of no known format: end its name in one of \.json, .*\.svg"):
        timeline.main(["missing.wav", "--model", "missing", "--output", str(tmp_path / "talk.vtt")])


def test_a_model_must_be_named_where_none_comes_with_paravox(places, monkeypatch):
    with pytest.raises(ConfigError, match="no model is named, and none comes with paravox"):
        timeline.main(places[:1])
    monkeypatch.setattr(timeline, "DEFAULT_MODEL", places[2])
    assert timeline.main([*places[:1], "--all"]).task == "emotion"
