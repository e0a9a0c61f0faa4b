"""Programs that are stopped at random moments: a small part of the benchmark, and what it must notice."""

import json
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import environments  # noqa: E402
import interruptions  # noqa: E402


def test_the_page_has_what_was_found():
    results = json.loads(interruptions.RESULTS.read_text())
    page = interruptions.PAGE.read_text()
    assert environments.with_table(page, "interruptions", interruptions.interruptions_table(results)) == page
    assert not interruptions.forbidden(results) and set(results) == set(interruptions.PARTS)
    for name in interruptions.SIGNALS:
        assert sum(row["outcomes"][name] for row in results.values()) == 40
    assert all(row["outcomes"]["same result"] > 0 for row in results.values())


def test_what_must_not_happen_is_noticed(tmp_path):
    stops = object.__new__(interruptions.Stops)
    stops.log, stops.counts = tmp_path / "log.txt", Counter()
    for text, expected in (
        ("12 recordings, 0 of them cannot be used", {}),
        ("a.wav is truncated", {"good clip called bad": 1}),
        ("Traceback (most recent call last)", {"traceback": 1}),
        ("Exception ignored in: <function EvaluationModule.__del__>", {"traceback": 1}),
    ):
        stops.counts.clear()
        stops.log.write_text(text)
        stops._read_log()
        assert stops.counts == expected, text
    outcomes = dict.fromkeys(interruptions.FAULTS, 0)
    found = {"predict": {"outcomes": outcomes | {"no line": 2}}, "study": {"outcomes": outcomes}}
    assert interruptions.forbidden(found) == {"predict: no line": 2}


def test_only_the_last_bits_may_differ():
    expected = {"a": [1.0, "x"], "b": b"1"}
    assert interruptions.equal({"a": [1.0 + 1e-7, "x"], "b": b"1"}, expected)
    for other in ({"a": [1.01, "x"], "b": b"1"}, {"a": [1.0, "x"], "b": b"2"}, {"a": [1.0], "b": b"1"}, {"a": []}):
        assert not interruptions.equal(other, expected)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["predict", "cache"])
def test_a_stopped_program_goes_on_to_the_same_result(part, tmp_path):
    interruptions.write_material(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    counts = interruptions.Stops(interruptions.PARTS[part], tmp_path).run(1, seed=1)
    assert counts["SIGKILL"] == counts["SIGINT"] == 1 and counts["same result"] >= 1
    assert not any(counts[fault] for fault in interruptions.FAULTS)
    assert signal.getsignal(signal.SIGINT) == before
