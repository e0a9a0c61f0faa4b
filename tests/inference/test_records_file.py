"""A file of predictions: its form, and that a run which was stopped at any byte goes on to the same file."""

import csv
import json

import pytest
import torch
from torch import nn

from paravox.inference.records_file import BadRecordings, RecordsFile, fingerprint
from paravox.modeling.errors import ConfigError
from paravox.modeling.tasks import Task

TASKS = [Task("emotion", "intensities", labels=("awe", "fear")), Task("age", "scalar", range=(0, 100))]
PATHS = ["a.wav", 'b, "c"\n.wav', "empty.wav", "a.wav", "caf\udce9.wav", "gone.wav"]
RECORDS = [
    {"file": PATHS[0], "emotion": {"awe": 0.25, "fear": 1 / 3}, "age": 31.5},
    {"file": PATHS[1], "emotion": {"awe": 0.5, "fear": 0.0}, "age": 20.0},
    {"file": PATHS[2], "error": "empty.wav is empty, as\nit seems"},
    {"file": PATHS[3], "emotion": {"awe": 1.0, "fear": 1e-07}, "age": 99.0},
    {"file": PATHS[4], "emotion": {"awe": 0.0, "fear": 0.0}, "age": 1.0},
    {"file": PATHS[5], "error": "gone.wav does not exist"},
]
ABOUT = {"model": "x", "processes": 1}


def new(folder, suffix, about=None, paths=PATHS, with_errors=True):
    return RecordsFile(folder / f"predictions{suffix}", TASKS, paths, about or ABOUT, with_errors)


def fill(file, overwrite=False):
    with file.open(overwrite):
        for record in RECORDS[file.done :]:
            file.write(record)
    return file


def test_json_lines(tmp_path):
    file = fill(new(tmp_path, ".jsonl"))
    assert [json.loads(line) for line in file.path.read_text().splitlines()] == RECORDS
    assert file.done == 6 and file.bad == BadRecordings(2, [RECORDS[2]["error"], RECORDS[5]["error"]])


def test_a_table_has_one_column_per_output(tmp_path):
    path = fill(new(tmp_path, ".csv")).path
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as table:
        rows = list(csv.DictReader(table))
    assert list(rows[0]) == ["file", "emotion/awe", "emotion/fear", "age", "unusual", "warning", "error"]
    assert [row["file"] for row in rows] == PATHS
    assert rows[0]["emotion/fear"] == str(1 / 3) and rows[3]["age"] == "99.0" and rows[0]["error"] == ""
    assert rows[2]["error"] == RECORDS[2]["error"] and rows[2]["age"] == rows[2]["emotion/awe"] == ""


@pytest.mark.parametrize("with_errors", [True, False])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_run_that_was_stopped_at_any_byte_ends_with_the_same_file(tmp_path, suffix, with_errors):
    whole = fill(new(tmp_path, suffix, with_errors=with_errors)).path.read_bytes()
    kept = set()
    ends = [end + more for end, byte in enumerate(whole) if byte == ord("\n") for more in (0, 1)]
    for size in sorted({*range(0, len(whole), 9), *ends}):
        file = new(tmp_path, suffix, with_errors=with_errors)
        file.path.write_bytes(whole[:size])
        file.open()
        kept.add(file.done)
        for record in RECORDS[file.done :]:
            file.write(record)
        file.__exit__(None, None, None)
        assert file.path.read_bytes() == whole, size
        assert file.bad.count == 2, size
    # Without their records, the third recording is known to be dealt with by the fourth, and the last one by nothing.
    assert kept == ({0, 1, 2, 3, 4, 5, 6} if with_errors else {0, 1, 2, 4, 5})


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_another_model_list_or_option_is_refused(tmp_path, suffix):
    before = fill(new(tmp_path, suffix)).path.read_bytes()
    others = [
        new(tmp_path, suffix, about={**ABOUT, "model": "y"}),
        new(tmp_path, suffix, paths=[*PATHS[1:], PATHS[0]]),
        new(tmp_path, suffix, with_errors=False),
    ]
    for other in others:
        with pytest.raises(ConfigError, match="holds predictions of another model, .* --overwrite"):
            other.open()
    assert before == (tmp_path / f"predictions{suffix}").read_bytes()
    anew = others[0].open(overwrite=True)
    anew.__exit__(None, None, None)
    assert anew.done == 0 and len(anew.path.read_bytes()) < 60
    (tmp_path / f"predictions{suffix}.run.json").unlink()
    with pytest.raises(ConfigError, match="--overwrite"):
        others[0].open()


def test_a_file_that_was_changed_is_refused(tmp_path):
    path = fill(new(tmp_path, ".jsonl")).path
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[1], *lines[1:]]))
    with pytest.raises(ConfigError, match="has a record of .* where another recording was expected"):
        new(tmp_path, ".jsonl").open()
    assert path.read_text() == "".join([lines[1], *lines[1:]])


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_parts_are_joined_in_order_and_removed(tmp_path, suffix):
    whole = fill(new(tmp_path, suffix)).path.read_bytes()
    parts = []
    for number, rows in enumerate((slice(0, 2), slice(2, 2), slice(2, 6))):
        part = RecordsFile(tmp_path / f"{number}{suffix}", TASKS, PATHS[rows], ABOUT)
        with part.open():
            for record in RECORDS[rows]:
                part.write(record)
        parts.append(part)
    joined = RecordsFile(tmp_path / f"joined{suffix}", TASKS, PATHS, ABOUT)
    joined.join(parts)
    assert joined.path.read_bytes() == whole
    assert sorted(file.name for file in tmp_path.glob("*")) == sorted(
        f"{name}{suffix}{end}" for name in ("joined", "predictions") for end in ("", ".run.json")
    )


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"of no known format: end its name in .jsonl or .csv"):
        new(tmp_path, ".txt")


def test_the_fingerprint_of_a_model():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    first = fingerprint(model)
    assert fingerprint(nn.Linear(3, 2)) != first
    assert fingerprint(model) == first
    assert fingerprint(nn.Linear(3, 2).bfloat16()) != fingerprint(model.bfloat16()) != first


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"model": "x"'])
def test_a_damaged_file_about_the_predictions_is_one_sentence(tmp_path, content):
    file = fill(new(tmp_path, ".jsonl"))
    (tmp_path / "predictions.jsonl.run.json").write_bytes(content)
    with pytest.raises(ConfigError, match="run.json.* is damaged .*replace it with --overwrite"):
        new(tmp_path, ".jsonl").open()
    anew = fill(new(tmp_path, ".jsonl"), overwrite=True)
    assert anew.path.read_text() == file.path.read_text() and new(tmp_path, ".jsonl").is_begun()


@pytest.mark.parametrize("line", ["1", "[]", '{"age": 3}', "null"])
def test_a_record_that_is_none_is_one_sentence(tmp_path, line):
    path = fill(new(tmp_path, ".jsonl")).path
    path.write_text(line + "\n" + path.read_text())
    with pytest.raises(ConfigError, match="where another recording was expected"):
        new(tmp_path, ".jsonl").open()
