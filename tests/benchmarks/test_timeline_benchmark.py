"""The benchmark of timelines: its places are true, its counts are those of a hand, and it runs at a tiny size."""

import importlib.util
import itertools
import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from documents import ROOT, tables_of

import paravox
from paravox.inference.sounds import Span
from paravox.inference.timeline import Event
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor

RATE = 16_000


@pytest.fixture(scope="module")
def benchmark():
    # By its file, because its name is that of other modules too.
    spec = importlib.util.spec_from_file_location("timeline_benchmark", ROOT / "benchmarks" / "timeline.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def corpus(tmp_path):
    """Tones with 0.2 s of silence around them: eight bursts of two emotions, and two clips of noise as speech."""
    rows = []
    for number in range(10):
        tone = 0.2 * np.sin(2 * np.pi * (300 + 100 * number) * np.arange(round(0.4 * RATE)) / RATE)
        if number >= 8:
            tone = np.random.default_rng(number).normal(scale=0.1, size=4 * RATE)
        soundfile.write(tmp_path / f"{number}.wav", np.pad(tone, round(0.2 * RATE)), RATE)
        labels = ["", "", ""] if number >= 8 else np.eye(3)[number % 2].tolist()
        rows.append([f"{number}.wav", f"s{number}", "validation", "speech" if number >= 8 else "bursts", *labels])
    table = pd.DataFrame(rows, columns=["file_name", "speaker", "split", "source", "amusement", "awe", "fear"])
    table.to_csv(tmp_path / "metadata.csv", index=False)
    return tmp_path


def test_it_runs_at_a_tiny_size(benchmark, corpus, make_model, tmp_path):
    model = make_model(
        "wav2vec2_layer", tasks=[{"name": "emotion", "kind": "intensities", "labels": ["amusement", "awe", "fear"]}]
    )
    torch.nn.init.constant_(model.heads["emotion"].bias, 0.5)
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    for part in (model, extractor):
        part.save_pretrained(tmp_path / "model")
    arguments = ["--model", str(tmp_path / "model"), "--data_dir", str(corpus), "--speech", "source=speech"]
    options = ["--recordings", "4", "--seconds", "14", "--keep_dir", str(tmp_path / "kept"), "--least_certainty", "0"]
    results = benchmark.main([*arguments, *options, "--output", str(tmp_path / "results.json")])
    assert results == json.loads((tmp_path / "results.json").read_text())
    assert results["recordings"] == 4 and results["seconds_of_audio"] == 56 and results["speech_seconds"] > 5
    energy, whole = results["energy_alone"], results["timeline"]
    # Tones over low noise are found; noise that stands for speech is found too, and is no burst.
    assert energy["without_speech"]["finding_precision"] == energy["without_speech"]["finding_recall"] == 1.0
    assert energy["with_speech"]["finding_precision"] < 1.0 == energy["with_speech"]["finding_recall"]
    assert whole["all"]["bursts"] == results["bursts"] == sum(whole[name]["bursts"] for name in list(whole)[1:])
    assert results["speech_with_a_label"] > 0.9
    # The kept files are the recordings, and the program counts what the function finds in them.
    found, right = 0, 0
    for number in range(4):
        made = paravox.timeline(
            tmp_path / f"kept/{number:03}.wav", model, feature_extractor=extractor, least_certainty=0.0
        )
        lines = [line.split("\t") for line in (tmp_path / f"kept/{number:03}.txt").read_text().splitlines()]
        truth = [(float(start), float(end), label) for start, end, label in lines if label != "speech"]
        for (start, end, label), event in itertools.product(truth, made.events):
            if abs(event.start - start) < 0.08 and abs(event.end - end) < 0.08:
                found, right = found + 1, right + (event.label == label)
    assert (found, round(right / found, 3)) == (results["bursts"], whole["all"]["naming_recall"])
    assert results["command"].startswith("python benchmarks/timeline.py --model model --data_dir")


def test_recordings_depend_on_the_seed_and_their_places_are_where_sound_is(benchmark, corpus):
    bursts = [(str(corpus / f"{number}.wav"), "awe") for number in range(8)]
    made = [benchmark.splice(np.random.default_rng(seed), bursts, [], RATE, 20.0) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(made[0].samples, made[1].samples)
    assert not np.array_equal(made[0].samples, made[2].samples)
    for recording in made:
        assert (
            len(recording.samples) == 20 * RATE and len(recording.bursts) >= 5 and np.abs(recording.samples).max() <= 1
        )
        for start, end in recording.bursts:
            # Each tone lasts 0.4 s; the second before it begins has nothing louder than the noise.
            assert end - start == pytest.approx(0.4, abs=0.01)
            inside = recording.samples[round(start * RATE) : round(end * RATE)]
            before = recording.samples[max(0, round((start - 0.3) * RATE)) : round((start - 0.01) * RATE)]
            assert np.sqrt(np.mean(inside**2)) > 3 * np.sqrt(np.mean(before**2))


def test_a_burst_is_found_by_one_event_that_overlaps_it_enough(benchmark):
    bursts = [Span(0, 2), Span(3, 4), Span(10, 12)]
    # The first half of a burst counts, a little less does not; a second event for one burst is one too many.
    places = [Span(0, 0.99), Span(0, 1.0), Span(0.5, 2), Span(2, 4), Span(10, 14.01)]
    pairs = benchmark.matches(places, bursts, 0.5)
    assert sorted(pairs) == [(2, 0), (3, 1)]
    assert benchmark.matches([], bursts, 0.5) == benchmark.matches(places, [], 0.5) == []
    # Two pairs are better than the one with the largest overlap.
    assert len(benchmark.matches([Span(0, 10), Span(0, 6)], [Span(0, 9), Span(1, 12)], 0.5)) == 2


def test_counts_and_scores_by_hand(benchmark):
    def event(start, end, label):
        return Event(start, end, label, 0.9, "certain" if label else "unusual", None, {})

    recording = benchmark.Recording(np.zeros(1), [Span(0, 1), Span(2, 3)], ["awe", "fear"], [Span(5, 9)])
    events = [event(0, 1, "awe"), event(2, 3, "joy"), event(4, 6, "awe"), event(7, 8, None)]
    counts = benchmark.count(events, recording, 0.5)
    assert counts == benchmark.Counts(events=3, bursts=2, found=2, named=1, unusual=1, speech_seconds=1.0)
    assert benchmark.share_of_speech([counts], [recording]) == 0.25
    found = benchmark.scores([counts] * 3 + [benchmark.Counts(1, 2, 0)])
    assert (found["finding_precision"], found["finding_recall"]) == (0.6, 0.75)
    assert (found["naming_precision"], found["naming_recall"]) == (0.3, 0.375)
    low, high = found["finding_recall_interval"]
    assert low < 0.75 < high == 1.0


def test_the_document_has_the_numbers_of_the_results():
    results = json.loads((ROOT / "benchmarks" / "timeline.json").read_text())
    (table,) = [table for table in tables_of("docs/timeline.md") if "finding: precision" in table[0]]
    rows = {"all": "all", "without speech": "without_speech", "with speech": "with_speech"}
    columns = {
        "finding: precision": "finding_precision",
        "finding: recall": "finding_recall",
        "naming: precision": "naming_precision",
        "naming: recall": "naming_recall",
    }
    assert len(table) == 7
    for what, where, *cells in table[1:]:
        row = results["timeline" if what.startswith("timeline") else "energy_alone"][rows[where]]
        for name, cell in zip(table[0][2:], cells, strict=True):
            key = columns[name]
            if key not in row:
                assert cell == ""
                continue
            low, high = row[f"{key}_interval"]
            assert cell == f"{row[key]:.2f} ({low:.2f} to {high:.2f})", (what, where, name)
    text = " ".join((ROOT / "docs" / "timeline.md").read_text().split())
    assert f"{results['recordings']} recordings" in text and f"{results['bursts']} bursts" in text
    for number in (results["named_where_told"], results["speech_with_a_label"]):
        assert f"{100 * number:.0f} %" in text
