"""Timelines: planted sounds get what the model says of exactly these samples, and events follow stated rules."""

import json

import numpy as np
import pytest
import soundfile
import torch

import paravox
from paravox.inference.prediction import UNUSUAL
from paravox.inference.sounds import Span
from paravox.inference.timeline import as_events, choose_task, default_certainty, envelope_of
from paravox.modeling.errors import AudioError, ConfigError
from paravox.modeling.familiarity import Familiarity
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.tasks import Task

RATE = 16_000
PLACES = [(1.0, 1.5), (2.5, 4.0), (6.0, 6.3)]
EMOTION = Task("emotion", "intensities", labels=("awe", "fear", "joy"))


@pytest.fixture
def talk(tmp_path):
    """Ten seconds of quiet noise with three tones."""
    samples = np.random.default_rng(0).normal(scale=1e-4, size=10 * RATE)
    for pitch, (start, end) in zip((300, 500, 800), PLACES, strict=True):
        at = np.arange(round(start * RATE), round(end * RATE))
        samples[at] += 0.3 * np.sin(2 * np.pi * pitch * at / RATE)
    soundfile.write(tmp_path / "talk.wav", samples, RATE, subtype="FLOAT")
    return tmp_path / "talk.wav"


@pytest.fixture
def model(make_model):
    model = make_model("wav2vec2_layer")
    for head in model.heads.values():
        torch.nn.init.normal_(head.weight, std=3.0, generator=torch.Generator().manual_seed(1))
        torch.nn.init.constant_(head.bias, 0.5)
    return model


@pytest.fixture
def extractor(model):
    return Burst2VecFeatureExtractor.for_config(model.config.encoder)


@pytest.mark.parametrize(("task", "batch_seconds"), [(None, None), ("country", 1.0)])
def test_events_have_the_scores_of_the_samples_around_their_place(talk, model, extractor, task, batch_seconds):
    made = paravox.timeline(
        talk, model, feature_extractor=extractor, task=task, least_certainty=0.0, batch_seconds=batch_seconds
    )
    np.testing.assert_allclose([(event.start, event.end) for event in made.events], PLACES, atol=0.06)
    assert (made.task, made.seconds, made.recording) == (task or "emotion", 10.0, str(talk))
    samples = soundfile.read(talk, dtype="float32")[0]
    for event in made.events:
        part = samples[round((event.start - 0.1) * RATE) : round((event.end + 0.1) * RATE)]
        with torch.no_grad():
            predictions = model(**extractor([(part, RATE)], return_tensors="pt")).predictions[made.task][0]
        np.testing.assert_allclose(list(event.scores.values()), predictions.numpy(), atol=1e-4)
        assert list(event.scores) == list(made.labels)
        assert event.label == made.labels[int(predictions.argmax())]
        assert event.certainty == pytest.approx(float(predictions.max()), abs=1e-4)
        assert (event.state, event.unusual) == ("certain", None)
    assert json.loads(json.dumps(made.to_dict()))["events"][0]["label"] == made.events[0].label


def test_a_saved_model_is_opened_and_sounds_are_shared_out_by_certainty(talk, model, extractor, tmp_path):
    model.save_pretrained(tmp_path / "model")
    extractor.save_pretrained(tmp_path / "model")
    every = paravox.timeline(talk, tmp_path / "model", least_certainty=1.0, keep_uncertain=True)
    assert len(every.events) == 3
    sure = [event.certainty for event in every.events]
    middle = float(np.median(sure))
    made = paravox.timeline(talk, str(tmp_path / "model"), least_certainty=middle)
    assert [event.certainty for event in made.events] == [value for value in sure if value >= middle]
    assert made.settings["least_certainty"] == middle and made.settings["max_gap"] == 0.3


def test_calibrated_scores_are_used_and_unlike_sounds_get_no_label(talk, make_model, extractor):
    model = make_model(
        "wav2vec2_layer",
        calibration={"emotion": {"temperature": 0.5, "offset": 0.2}},
        familiarity={"directions": 2, "false_alarm_rate": 0.05},
    )
    assert isinstance(model.familiarity, Familiarity)
    made = paravox.timeline(talk, model, feature_extractor=extractor, least_certainty=0.0)
    samples = soundfile.read(talk, dtype="float32")[0]
    part = samples[round((made.events[1].start - 0.1) * RATE) : round((made.events[1].end + 0.1) * RATE)]
    with torch.no_grad():
        output = model(**extractor([(part, RATE)], return_tensors="pt"))
    np.testing.assert_allclose(list(made.events[1].scores.values()), output.calibrated["emotion"][0], atol=1e-4)
    assert made.events[1].unusual == pytest.approx(float(output.unusual[0]), rel=1e-3)
    # With a small threshold everything is unusual, with a large one nothing is.
    for threshold, states in ((1e-6, {"unusual"}), (1e6, {"certain"})):
        model.familiarity.threshold.fill_(threshold)
        made = paravox.timeline(talk, model, feature_extractor=extractor, least_certainty=0.0)
        assert {event.state for event in made.events} == states
        assert {event.label is None for event in made.events} == {states == {"unusual"}}


def test_a_recording_without_a_sound_has_no_event(model, extractor):
    silence = (np.zeros(RATE), RATE)
    made = paravox.timeline(silence, model, feature_extractor=extractor)
    assert made.events == [] and made.recording is None and made.seconds == 1.0


def scores(*rows, unusual=None):
    found = {"emotion": np.array(rows)}
    return found if unusual is None else found | {UNUSUAL: np.array(unusual)}


def test_parts_that_touch_and_are_alike_become_one_event():
    sounds = [Span(0, 1), Span(1, 4), Span(4, 5), Span(5, 6), Span(7, 8)]
    rows = scores([0.5, 0.1, 0], [0.9, 0.3, 0], [0.2, 0.6, 0], [0.8, 0.1, 0], [0.6, 0, 0])
    found = as_events(sounds, EMOTION, rows, 0.4)
    assert [(event.start, event.end, event.label) for event in found] == [
        (0, 4, "awe"),
        (4, 5, "fear"),
        (5, 6, "awe"),
        (7, 8, "awe"),
    ]
    # Means over time: (0.5 + 3 * 0.9) / 4 and (0.1 + 3 * 0.3) / 4.
    assert found[0].certainty == pytest.approx(0.8) and found[0].scores["fear"] == pytest.approx(0.25)


def test_what_is_uncertain_is_left_out_or_marked():
    sounds = [Span(0, 1), Span(1, 2), Span(2, 3), Span(5, 6)]
    rows = scores([0.5, 0.1, 0], [0.3, 0.2, 0], [0.4, 0.1, 0], [np.nan] * 3)
    assert [(event.start, event.name) for event in as_events(sounds, EMOTION, rows, 0.4)] == [(0, "awe"), (2, "awe")]
    every = as_events(sounds[:3], EMOTION, rows, 0.4, keep_uncertain=True)
    assert [(event.state, event.name) for event in every] == [
        ("certain", "awe"),
        ("uncertain", "awe?"),
        ("certain", "awe"),
    ]


def test_what_is_unusual_has_no_label():
    sounds = [Span(0, 1), Span(1, 2), Span(2, 3), Span(3, 4), Span(4, 5)]
    rows = scores(*[[0.9, 0, 0], [0, 0.9, 0], [0.9, 0, 0], [0.1, 0, 0], [0, 0, 0.9]], unusual=[1.2, 2, 1, 3, np.nan])
    found = as_events(sounds, EMOTION, rows, 0.4)
    assert [(event.start, event.end, event.name, event.label) for event in found] == [
        (0, 2, "unusual", None),
        (2, 3, "awe", "awe"),
        (4, 5, "unusual", None),
    ]
    assert found[0].unusual == pytest.approx(1.6)
    # What is unusual and uncertain is left out like anything else that is uncertain.
    assert [event.state for event in as_events(sounds, EMOTION, rows, 0.4, keep_uncertain=True)] == [
        "unusual",
        "certain",
        "unusual",
    ]


def test_the_task_is_the_first_with_labels_or_the_named_one(make_model):
    model = make_model(tasks=[{"name": "age", "kind": "scalar", "range": [0, 9]}, EMOTION.to_dict()])
    assert choose_task(model).name == "emotion" and choose_task(model, "emotion").name == "emotion"
    with pytest.raises(ConfigError, match="no task 'emotoin' with labels: did you mean 'emotion'"):
        choose_task(model, "emotoin")
    with pytest.raises(ConfigError, match="only predicts scalars"):
        choose_task(make_model(tasks=[{"name": "age", "kind": "scalar", "range": [0, 9]}]))


@pytest.mark.parametrize(("labels", "least"), [(1, 0.7071), (2, 0.7071), (4, 0.5), (10, 0.3162), (30, 0.1826)])
def test_the_least_certainty_falls_with_the_number_of_labels(labels, least):
    task = Task("x", "intensities", labels=[f"label {number}" for number in range(labels)])
    assert default_certainty(task) == pytest.approx(least, abs=1e-4)


def test_the_envelope_has_the_extremes_of_equal_parts():
    samples = np.random.default_rng(0).normal(size=120_000).astype(np.float32)
    expected = samples.reshape(12_000, 10)
    np.testing.assert_array_equal(envelope_of(samples), np.stack([expected.min(axis=1), expected.max(axis=1)], axis=1))
    np.testing.assert_array_equal(envelope_of(samples[:3]), samples[:3, None].repeat(2, axis=1))


def test_what_does_not_fit_is_refused(talk, model, extractor, tmp_path):
    for options, message in (
        ({"least_certainty": 1.5}, "least_certainty is 1.5: give a number from 0 to 1"),
        ({"min_seconds": -1.0}, "min_seconds is -1.0"),
        ({"feature_extractor": None}, "needs its feature_extractor"),
    ):
        with pytest.raises(ConfigError, match=message):
            paravox.timeline(talk, model, **{"feature_extractor": extractor, **options})
    with pytest.raises(ConfigError, match="no model is named"):
        paravox.timeline(talk, None)
    extractor.max_seconds = 5.0
    with pytest.raises(ConfigError, match=r"longest_seconds is 5, and the model takes 5 s: give at most 4\.8"):
        paravox.timeline(talk, model, feature_extractor=extractor)
    with pytest.raises(AudioError, match="missing.wav does not exist"):
        paravox.timeline(tmp_path / "missing.wav", model, feature_extractor=extractor, longest_seconds=2.0)
