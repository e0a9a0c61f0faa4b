"""The results file: rows that are whole, keyed by their trial, and an export that is the same for the same rows."""

import sqlite3
from pathlib import Path

import pytest

from paravox.modeling.errors import ConfigError
from paravox.study.grid import Trial
from paravox.study.results_file import COLUMNS, KEY, ResultsFile

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
    results.export_trials(Path("a.csv.gz"))
    other = ResultsFile(Path("other.sqlite"), DESCRIPTION)
    other.add([row(4, predictions="0011", seconds=3.0), row(2)])
    other.export_trials(Path("b.csv.gz"))
    assert Path("a.csv.gz").read_bytes() == Path("b.csv.gz").read_bytes()
    third = ResultsFile(Path("third.sqlite"), DESCRIPTION)
    third.add([row(2, macro_f1=0.9)])
    assert third.import_trials(Path("a.csv.gz")) == 1  # what is there stays
    assert third.table()["macro_f1"].tolist() == [0.9, 0.5] and third.table()["predictions"].fillna("").tolist() == [
        "",
        "0011",
    ]


def test_more_of_a_study_may_come_but_not_another_one(results):
    ResultsFile(results.path, DESCRIPTION | {"shots": [2, 4]})
    with pytest.raises(ConfigError, match="holds a study with seed 0, this one has 1: use another output_dir"):
        ResultsFile(results.path, DESCRIPTION | {"seed": 1})


def test_another_csv_is_refused(results):
    Path("other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        ConfigError, match="other.csv has no column checkpoint, speaker, .*: give a csv.gz that few_shot.py wrote"
    ):
        results.import_trials(Path("other.csv"))


def test_a_file_that_cannot_be_written(results, monkeypatch):
    def refuse():
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(results, "_connect", refuse)
    with pytest.raises(ConfigError, match="disk is full.*start the same command again, which keeps what is stored"):
        results.add([row(2)])


def test_settings_that_change_a_trial_make_another_study(results):
    for name in ("mode", "layer", "selection", "learning_rate", "max_seconds"):
        path = Path(f"{name}.sqlite")
        ResultsFile(path, DESCRIPTION | {name: "a"})
        with pytest.raises(ConfigError, match=f"holds a study with {name} 'a', this one has 'b'"):
            ResultsFile(path, DESCRIPTION | {name: "b"})
    for name in ("corpora", "checkpoints", "speakers", "emotions", "repetitions", "languages"):
        path = Path(f"{name}.sqlite")
        ResultsFile(path, DESCRIPTION | {name: "a"})
        ResultsFile(path, DESCRIPTION | {name: "b"})
        with sqlite3.connect(path) as connection:
            (value,) = connection.execute("SELECT value FROM study WHERE key = ?", (name,)).fetchone()
        assert value == '"b"'


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b damaged", b"no,gzip\n"])
def test_a_damaged_export_is_refused(results, content):
    Path("damaged.csv.gz").write_bytes(content)
    with pytest.raises(ConfigError, match="resume_from damaged.csv.gz cannot be read"):
        results.import_trials(Path("damaged.csv.gz"))


def test_failed_trials_are_replaced_by_imported_ones(results):
    results.add([row(2, macro_f1=0.4), row(4, macro_f1=0.6)])
    results.export_trials(Path("a.csv.gz"))
    other = ResultsFile(Path("other.sqlite"), DESCRIPTION)
    other.add([row(2, "failed", macro_f1=None, message="no memory")])
    assert other.import_trials(Path("a.csv.gz")) == 2
    table = other.table()
    assert table["macro_f1"].tolist() == [0.4, 0.6] and table["status"].tolist() == ["finished"] * 2
    assert table["speaker"].tolist() == ["0001"] * 2  # not the number 1


def test_a_file_of_an_earlier_version_gets_the_columns_that_it_lacks(tmp_path):
    old = [name for name in COLUMNS if name != "device"]
    with sqlite3.connect(tmp_path / "results.sqlite") as connection:
        columns = ", ".join(f"{name} {COLUMNS[name]}" for name in old)
        connection.execute(f"CREATE TABLE trials ({columns}, PRIMARY KEY ({', '.join(KEY)}))")
        connection.execute(
            "INSERT INTO trials (checkpoint, speaker, emotion, k, repetition, status, message) "
            "VALUES ('none', '0001', 'sad', 2, 0, 'failed', 'why')"
        )
    results = ResultsFile(tmp_path / "results.sqlite", {})
    key = {"checkpoint": "none", "speaker": "0001", "emotion": "sad", "k": 2}
    results.add([key | {"repetition": 1, "status": "failed", "message": "else", "device": "cuda bfloat16"}])
    table = results.table()
    assert table["message"].tolist() == ["why", "else"] and table["device"].tolist()[1] == "cuda bfloat16"
    assert table["device"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("database is locked", "is in use by another program .database is locked.: wait until that one has finished"),
        ("database or disk is full", "cannot be written .* free some space"),
        ("attempt to write a readonly database", "cannot be written .* permissions"),
        ("disk I/O error", "cannot be written"),
        ("no such column: key", "is no results file"),
    ],
)
def test_a_file_that_is_locked_or_full_is_not_called_no_results_file(results, monkeypatch, reason, message):
    def refuse(self):
        raise sqlite3.OperationalError(reason)

    monkeypatch.setattr(ResultsFile, "_connect", refuse)
    for use in (lambda: ResultsFile(results.path, DESCRIPTION), results.done, lambda: results.add([row(2)])):
        with pytest.raises(ConfigError, match=message):
            use()


def test_a_file_that_another_program_holds_is_in_use(results, monkeypatch):
    monkeypatch.setattr(ResultsFile, "_connect", lambda self: sqlite3.connect(self.path, timeout=0))
    holder = sqlite3.connect(results.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ConfigError, match="is in use by another program"):
        results.add([row(2)])
    holder.close()


@pytest.mark.parametrize(
    "change", [{"status": "done"}, {"macro_f1": 1.5}, {"k": 2.5}, {"repetition": "x"}, {"speaker": None}]
)
def test_rows_that_are_no_trials_are_not_imported(results, change):
    results.add([row(2), row(4)])
    table = results.table().astype(object)
    for name, value in change.items():
        table.loc[1, name] = value
    table.to_csv("changed.csv", index=False)
    with pytest.raises(ConfigError, match="has 1 rows that are no trials, the first in line 3"):
        ResultsFile(Path("other.sqlite"), DESCRIPTION).import_trials(Path("changed.csv"))


def test_a_speaker_may_be_called_na(results):
    results.add([row(2, speaker="NA")])
    results.export_trials(Path("a.csv.gz"))
    other = ResultsFile(Path("other.sqlite"), DESCRIPTION)
    assert other.import_trials(Path("a.csv.gz")) == 1 and other.table()["speaker"].tolist() == ["NA"]
