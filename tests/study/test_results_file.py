"""The results file: rows that are whole, keyed by their trial, and an export that is the same for the same rows."""

import sqlite3
from pathlib import Path

import pytest

from paravox.modeling.errors import ConfigError
from paravox.study.grid import Trial
from paravox.study.results_file import ResultsFile

DESCRIPTION = {"mode": "head", "shots": [2], "seed": 0}


def row(k, status="finished", **values):
    return Trial("none", "0001", "angry", k, 0)._asdict() | {"status": status, "macro_f1": 0.5} | values


@pytest.fixture
def results():
    return ResultsFile(Path("results.sqlite"), DESCRIPTION)


def test_a_trial_has_one_row(results):
    results.add([row(2, macro_f1=0.1), row(4)])
    results.add([row(2, macro_f1=0.7)])
    table = results.table()
    assert table["k"].tolist() == [2, 4] and table["macro_f1"].tolist() == [0.7, 0.5]


def test_failed_trials_are_not_done(results):
    results.add([row(2), row(4, "failed"), row(8, "lacking_shots")])
    assert {trial.k for trial in results.done()} == {2, 8}


def test_rows_are_stored_all_or_none(results):
    with pytest.raises((ConfigError, sqlite3.IntegrityError)):
        results.add([row(2), row(4, status=None)])
    assert results.table().empty


def test_equal_rows_export_equal_bytes(results):
    results.add([row(2, seconds=1.0), row(4, predictions="0011")])
    results.export(Path("a.csv.gz"))
    other = ResultsFile(Path("other.sqlite"), DESCRIPTION)
    other.add([row(4, predictions="0011", seconds=3.0), row(2)])
    other.export(Path("b.csv.gz"))
    assert Path("a.csv.gz").read_bytes() == Path("b.csv.gz").read_bytes()
    third = ResultsFile(Path("third.sqlite"), DESCRIPTION)
    third.add([row(2, macro_f1=0.9)])
    assert third.take_back(Path("a.csv.gz")) == 1  # what is there stays
    assert third.table()["macro_f1"].tolist() == [0.9, 0.5] and third.table()["predictions"].fillna("").tolist() == [
        "",
        "0011",
    ]


def test_more_of_a_study_may_come_but_not_another_one(results):
    ResultsFile(results.path, DESCRIPTION | {"shots": [2, 4]})
    with pytest.raises(ConfigError, match="holds a study with seed 0, this one has 1: give another output_dir"):
        ResultsFile(results.path, DESCRIPTION | {"seed": 1})


def test_another_csv_is_refused(results):
    Path("other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="is no export of a results file: it lacks columns"):
        results.take_back(Path("other.csv"))


def test_a_file_that_cannot_be_written(results, monkeypatch):
    def refuse():
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(results, "_connect", refuse)
    with pytest.raises(ConfigError, match="disk is full.*start it again: what is stored stays"):
        results.add([row(2)])
