"""A small seeded part of `make robustness`, and the page that it writes."""

import json
import multiprocessing
import os
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import mutants  # noqa: E402
import mutated_audio  # noqa: E402
import mutated_model_folders  # noqa: E402
import mutated_settings  # noqa: E402
import robustness  # noqa: E402


@pytest.fixture(scope="module")
def seeds():
    return mutated_audio.make_seeds()


def test_no_mutated_recording_is_lost_silently_or_ends_in_a_foreign_error(seeds):
    assert len(seeds) > 90 and {"WAV", "FLAC", "OGG", "MP3", "AU"} <= {seed.name.split()[0] for seed in seeds}
    found = {}
    for number, (seed, mutation) in enumerate(mutated_audio.mutations(400, 5, seeds)):
        found[number] = f"{mutation.kind} of {seed.name}: {mutated_audio.outcome(seed, mutation)}"
    allowed = ("right", "changed", "our error")
    assert not [text for text in found.values() if text.partition(": ")[2] not in allowed]
    assert {text.partition(" of ")[0] for text in found.values()} > {"cut", "lying header", "concatenation", "empty"}


def test_an_input_depends_on_the_seed_and_its_number_alone(seeds):
    contents = [mutation.content for _, mutation in mutated_audio.mutations(30, 1, seeds)]
    assert [mutation.content for _, mutation in mutated_audio.mutations(30, 1, seeds, first=20)] == contents[20:]
    assert [mutation.content for _, mutation in mutated_audio.mutations(30, 2, seeds)] != contents


@pytest.mark.parametrize(
    "reader, expected",
    [
        (lambda content: np.zeros(100, np.float32), "silent loss: 100 of 3200 samples"),
        (lambda content: {}["x"], "foreign error: KeyError: 'x'"),
    ],
)
def test_what_must_not_happen_is_noticed(seeds, reader, expected, monkeypatch):
    (seed,) = [seed for seed in seeds if seed.name == "WAV PCM_16"]
    whole = mutated_audio.leave(seed, seeds, np.random.default_rng(0))
    assert mutated_audio.outcome(seed, whole) == "right"
    monkeypatch.setattr(mutated_audio, "load_audio", reader)
    monkeypatch.setattr(mutated_audio, "duration_seconds", lambda content: 100 / 16_000)
    assert mutated_audio.outcome(seed, whole) == expected


def _end_at_the_third(first, last, seed, sender):
    for number in range(first, last):
        if number == 2:
            os._exit(1)
        sender.send(("cut", "WAV", "right"))


def test_a_crash_is_counted_and_the_rest_goes_on(monkeypatch):
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(mutated_audio.multiprocessing, "get_context", lambda method: context)
    monkeypatch.setattr(mutated_audio, "_read_inputs", _end_at_the_third)
    counts = mutated_audio.run(6, 0)
    assert counts["crash"] == 1 and counts["right"] == 5 and sum(counts.values()) == 6


def test_the_page_has_the_table_of_the_results():
    results = json.loads(robustness.RESULTS.read_text())
    page = robustness.PAGE.read_text()
    assert robustness.with_table(page, results) == page
    for part, found in results.items():
        assert f"| {part} | {found['inputs']:,} |" in page and sum(found["outcomes"].values()) == found["inputs"]
    assert not robustness.forbidden(results)


def test_the_program_keeps_the_results_of_other_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(robustness, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(robustness, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text(f"before\n{robustness.START}{robustness.END}\nafter\n")
    outcomes = [{"right": 3, "crash": 0}, {"right": 2, "crash": 1}]

    class Part:
        run = staticmethod(lambda count, seed: outcomes.pop(0))

    monkeypatch.setattr(robustness, "load_part", lambda module: Part if module != "mutated_settings" else None)
    robustness.main(["--parts", "audio", "settings", "--count", "3"])
    assert "there is no benchmarks/mutated_settings.py" in capsys.readouterr().err
    with pytest.raises(SystemExit, match='must not happen: {"tables: crash": 1}'):
        robustness.main(["--parts", "tables", "--count", "3"])
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("before\n") and page.endswith("\nafter\n")
    assert "| audio | 3 | 3 | 0 |" in page and "| tables | 3 | 2 | 1 |" in page


@pytest.mark.parametrize(("part", "count"), [(mutated_settings, 10), (mutated_model_folders, 12)])
def test_no_mutated_settings_or_model_folder_ends_in_a_foreign_error(part, count, monkeypatch):
    # Other programs run beside the tests, and memory that was taken before does not count.
    monkeypatch.setattr(mutants, "MOST_SECONDS", 20)
    outcomes, faults = part.run_chunk(count, 1, 0)
    total = sum(outcomes.values(), Counter())
    assert not faults and sum(total.values()) == count and total["our error"] and total["right"]


def test_settings_and_folders_depend_on_the_seed_and_their_number_alone():
    base = mutated_settings.Base("burst2vec.train", {"tasks": [{"name": "age"}], "seed": 3, "output_dir": "x"}, [])
    first, again = (
        [mutated_settings.mutate(base, random.Random(f"{seed} {number}")) for number in range(30)] for seed in (0, 0)
    )
    assert first == again and len({content for content, _ in first}) > 20


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, ("right", "")),
        (mutants.Started(), ("right", "")),
        (mutants.ParavoxError("x"), ("our error", "x")),
        (KeyError("x"), ("foreign error", "KeyError: 'x'")),
        (SystemExit(2), ("foreign error", "SystemExit: 2")),
    ],
)
def test_outcomes_of_settings_and_folders(error, expected):
    def attempt():
        if error is not None:
            raise error

    assert mutants.outcome_of(attempt) == expected


def test_what_takes_too_long_or_too_much_is_noticed(monkeypatch):
    monkeypatch.setattr(mutants, "MOST_SECONDS", 0.01)
    assert mutants.outcome_of(lambda: sum(range(2_000_000)))[0] == "over 2 s"
    monkeypatch.setattr(mutants, "MOST_SECONDS", 60)
    peaks = iter((0, 65 * 2**20))
    monkeypatch.setattr(mutants, "peak_bytes", lambda: next(peaks))
    assert mutants.outcome_of(lambda: None)[0] == "over 64 MB"


def _die(count, seed, first):
    if first == 2:
        os._exit(1)
    return {"x": Counter(right=count)}, []


def test_a_process_that_dies_is_a_crash_and_the_rest_goes_on(monkeypatch):
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(mutants.multiprocessing, "get_context", lambda method: context)
    found = mutants.run_in_processes(_die, 6, 0, chunk=2)
    assert found["counts"]["right"] == 4 and found["counts"]["crash"] == 1 and found["faults"] == ["crash among 2 to 3"]


def test_a_part_may_give_more_than_its_counts(capsys):
    found = robustness.run_part(lambda count, seed: {"counts": {"right": count}, "faults": ["3 x: y"]}, 5, 0)
    assert found["outcomes"] == {"right": 5} and capsys.readouterr().out == "3 x: y\n"
