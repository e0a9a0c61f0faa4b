"""A disk that is full or read-only is told from a defect of the program, whoever raised the error."""

import errno
import io
import os
import re
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from transformers import WhisperConfig

from paravox.evaluation.predictions_file import write_predictions
from paravox.inference.records_file import RecordsFile
from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.runs.disk_faults import fault_of_disk
from paravox.runs.model_card import CardFacts, write_model_card
from paravox.runs.program import run
from paravox.runs.results import write_results
from paravox.trainers.files import keep_array, model_written_aside
from paravox.trainers.lower_states import EncodedClip, write_states


def raised(function):
    with pytest.raises(Exception) as caught:
        function()
    return caught.value


def write_to_full_disk():
    with open("/dev/full", "w") as file:
        file.write("x" * 10_000)


def fill_a_database():
    connection = sqlite3.connect("study.sqlite")
    connection.execute("CREATE TABLE rows (value TEXT)")
    connection.execute("PRAGMA max_page_count = 3")
    connection.execute("INSERT INTO rows VALUES (?)", ["x" * 100_000])


def write_an_array_to_full_disk():
    with open("/dev/full", "wb") as file:
        np.save(file, np.zeros(100_000))


def raise_from(error):
    try:
        raise error
    except OSError as cause:
        raise RuntimeError("PytorchStreamWriter failed writing file data/0") from cause


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (write_to_full_disk, "no disk space is left.*free some space"),
        (write_an_array_to_full_disk, "no disk space is left"),
        (fill_a_database, "no disk space is left"),
        (lambda: raise_from(OSError(errno.ENOSPC, "No space left on device", "out/x.pt")), "out/x.pt.*no disk space"),
        (lambda: open(".", "w"), "it is a folder"),
    ],
    ids=["a full device", "NumPy", "SQLite", "what it was raised from", "a folder"],
)
def test_real_errors_of_a_disk(function, message):
    fault = fault_of_disk(raised(function))
    assert fault is not None and re.search(message, str(fault))


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "no disk space is left): free some space"),
        (errno.EDQUOT, "no disk space is left): free some space"),
        (errno.EROFS, "the disk can only be read): choose another place"),
        (errno.EACCES, "permission is denied"),
        (errno.EIO, "the disk has an error"),
    ],
)
def test_a_program_ends_with_one_sentence(number, message, capsys):
    def main(argv):
        raise OSError(number, "whatever the system says", "results.json")

    with pytest.raises(SystemExit) as ended:
        run(main, [])
    text = str(ended.value.code)
    assert text.startswith("ConfigError: results.json cannot be used (") and message in text and "\n" not in text


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "No such file", "x"), KeyError("x"), RuntimeError("x")]
)
def test_a_defect_stays_what_it_is(error):
    def main(argv):
        raise error

    assert fault_of_disk(error) is None
    with pytest.raises(type(error)):
        run(main, [])


def plant(monkeypatch, number, place):
    """Has every file be opened in vain that is to be written below a folder, as on a full or read-only disk."""
    opened = io.open

    def fail(file, mode="r", *arguments, **options):
        below = isinstance(file, (str, os.PathLike)) and Path(file).absolute().is_relative_to(place)
        if below and set(mode) & set("wax+"):
            raise OSError(number, os.strerror(number), str(file))
        return opened(file, mode, *arguments, **options)

    monkeypatch.setattr(io, "open", fail)
    monkeypatch.setattr("builtins.open", fail)


def results_file(folder):
    write_results({"val": {"age_mae": 1.0}}, folder / "results.json")


def card(folder):
    write_model_card(folder, "burst2vec.md", SimpleNamespace(tasks=TASKS), CardFacts("me/bursts"))


def states(folder):
    write_states(folder / "states", iter([EncodedClip(0, np.zeros((3, 4)), np.zeros(4))]), 1, 2)


def model(folder):
    config = Burst2VecConfig(
        encoder=WhisperConfig(d_model=16, encoder_layers=1, encoder_attention_heads=2), tasks=TASKS
    )
    with model_written_aside(folder / "model") as part:
        config.save_pretrained(part)


def predictions(folder):
    records = RecordsFile(folder / "predictions.jsonl", [], ["a.wav"], {})
    with records.open():
        records.write({"file": "a.wav"})


def an_array(folder):
    keep_array(folder / "states.npy", np.zeros(3))


def scores(folder):
    write_predictions(folder / "test.npz", {"age": np.zeros(2)}, {"age": np.zeros(2)}, ["s"] * 2, ["a", "b"])


TASKS = [{"name": "age", "kind": "scalar", "range": [20, 39]}]
PLACES = [results_file, card, states, model, predictions, an_array, scores]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.parametrize("write", PLACES, ids=lambda function: function.__name__)
def test_each_place_is_said_in_one_sentence_and_nothing_half_written_stays(write, number, tmp_path, monkeypatch):
    with monkeypatch.context() as planted:
        plant(planted, number, tmp_path)
        with pytest.raises(SystemExit) as ended:
            run(lambda argv: write(tmp_path), [])
    text = str(ended.value.code)
    assert text.startswith(f"ConfigError: {tmp_path}") and ".part" not in text and "\n" not in text
    assert {errno.ENOSPC: "no disk space is left", errno.EROFS: "the disk can only be read"}[number] in text
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    write(tmp_path)  # with room, it works, whatever the failure has left
    assert [path for path in tmp_path.rglob("*") if path.is_file()] and not list(tmp_path.rglob("*.part*"))
