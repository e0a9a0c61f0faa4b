"""The results file of a few-shot study: SQLite with one row per trial. A trial that has a row is done."""

import gzip
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from paravox.modeling.errors import ConfigError
from paravox.study.grid import Trial
from paravox.trainers.files import written_aside

FINISHED, LACKING_SHOTS, FAILED = "finished", "lacking_shots", "failed"
KEY = Trial._fields
COLUMNS = {
    "checkpoint": "TEXT",
    "speaker": "TEXT",
    "emotion": "TEXT",
    "k": "INTEGER",
    "repetition": "INTEGER",
    "status": "TEXT NOT NULL",
    "macro_f1": "REAL",
    "accuracy": "REAL",
    "positive_f1": "REAL",
    "evaluation_macro_f1": "REAL",
    "best_epoch": "INTEGER",
    "epochs": "INTEGER",
    "test_positives": "INTEGER",
    "test_clips": "INTEGER",
    "predictions": "TEXT",  # on the test part: one 0 or 1 per clip, in the order of the clips' names
    "seconds": "REAL",
    "message": "TEXT",
    "device": "TEXT",  # the sort of device and the precision, such as "cuda bfloat16"
}
# What SQLite says where a file is right but the disk or its permissions are not.
_NOT_WRITABLE = ("full", "disk I/O", "readonly", "read-only", "unable to open")
# What may differ when a trial is run again, and is therefore left out of exports.
_NOT_EXPORTED = ("seconds", "device")


class ResultsFile:
    """Writes and reads the rows of a study.

    Args:
        path (`Path`): made if it does not exist.
        description (`dict`): of the study, from `StudySettings.description`.

    Raises:
        ConfigError: if the file is no results file, holds another study, or cannot be written now.
    """

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the folder {path.parent} cannot be made ({error.strerror}): use another one") from None
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        try:
            with closing(self._connect()) as connection, connection:
                connection.execute("CREATE TABLE IF NOT EXISTS study (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
                connection.execute(f"CREATE TABLE IF NOT EXISTS trials ({columns}, PRIMARY KEY ({', '.join(KEY)}))")
                present = {row[1] for row in connection.execute("PRAGMA table_info(trials)")}
                for name in [name for name in COLUMNS if name not in present]:  # a file of an earlier version
                    connection.execute(f"ALTER TABLE trials ADD COLUMN {name} {COLUMNS[name]}")
                held = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM study")}
                connection.executemany(
                    "INSERT OR REPLACE INTO study VALUES (?, ?)",
                    [(key, json.dumps(value)) for key, value in description.items()],
                )
                # A study can be extended by more trials; only what a single trial depends on must stay the same.
                growing = ("corpora", "checkpoints", "speakers", "emotions", "shots", "repetitions", "languages")
                for key, value in held.items():
                    if key not in growing and key in description and description[key] != value:
                        raise ConfigError(
                            f"{path} holds a study with {key} {value!r}, this one has {description[key]!r}: use "
                            "another output_dir, or the settings of that study"
                        )
        except sqlite3.DatabaseError as error:
            raise fault_of_results_file(path, error) from error

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60)

    def done(self) -> set[Trial]:
        """The trials that are finished or known to lack shots. Failed ones are not among them and are run again."""
        query = f"SELECT {', '.join(KEY)} FROM trials WHERE status != ?"
        try:
            with closing(self._connect()) as connection:
                return {Trial(*row) for row in connection.execute(query, (FAILED,))}
        except sqlite3.DatabaseError as error:
            raise fault_of_results_file(self.path, error) from error

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Stores either all of the rows or none. A row replaces an earlier one of the same trial.

        Raises:
            ConfigError: if the file cannot be written, such as on a full disk.
        """
        names = ", ".join(f":{name}" for name in COLUMNS)
        filled = [dict.fromkeys(COLUMNS) | row for row in rows]
        try:
            with closing(self._connect()) as connection, connection:
                connection.executemany(f"INSERT OR REPLACE INTO trials ({', '.join(COLUMNS)}) VALUES ({names})", filled)
        except sqlite3.OperationalError as error:
            raise fault_of_results_file(self.path, error) from error

    def table(self) -> pd.DataFrame:
        """All rows, sorted by trial."""
        with closing(self._connect()) as connection:
            return pd.read_sql_query(f"SELECT * FROM trials ORDER BY {', '.join(KEY)}", connection)

    def export_trials(self, path: Path) -> None:
        """Writes all rows without their timings to a compressed csv. The same rows give the same bytes."""
        table = self.table().drop(columns=list(_NOT_EXPORTED))
        with written_aside(path) as part, open(part, "wb") as file:
            # Without the name and the time that a gzip header has by default.
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed:
                compressed.write(table.to_csv(index=False).encode())

    def import_trials(self, path: Path) -> int:
        """Adds those rows of an exported csv whose trials are not done yet, and returns how many these are.

        Raises:
            ConfigError: if there is no such file, or it is not an exported csv.
        """
        if not path.is_file():
            raise ConfigError(f"resume_from {path} does not exist: give a csv.gz that few_shot.py wrote with --output")
        try:
            # A speaker may be called NA.
            names = dict.fromkeys(("checkpoint", "speaker", "emotion", "predictions", "message"), str)
            how = {"dtype": names, "keep_default_na": False, "na_values": [""]}
            if int(pd.__version__.partition(".")[0]) < 3:
                how["float_precision"] = "round_trip"  # what later versions do, where asking for it is deprecated
            table = pd.read_csv(path, **how)
        # A damaged file makes pandas and gzip raise errors of many classes.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(
                f"resume_from {path} cannot be read ({reason}): give a csv.gz that few_shot.py wrote"
            ) from None
        lacking = [name for name in COLUMNS if name not in {*table.columns, *_NOT_EXPORTED}]
        if lacking:
            raise ConfigError(
                f"resume_from {path} has no column {', '.join(lacking)}: give a csv.gz that few_shot.py wrote with "
                "--output"
            )
        _check_values(path, table)
        table = table.astype(object).where(table.notna(), None)
        done = self.done()
        rows = [row for row in table.to_dict("records") if Trial(*(row[name] for name in KEY)) not in done]
        self.add(rows)
        return len(rows)


def _check_values(path: Path, table: pd.DataFrame) -> None:
    """Raises [`ConfigError`] if a row is no trial, or has a value that no trial can have."""
    wrong = pd.Series(False, index=table.index)
    for name in ("k", "repetition"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong |= ~(numbers.between(0, 2**31) & (numbers % 1 == 0))
    for name in ("macro_f1", "accuracy"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong |= table[name].notna() & ~numbers.between(0, 1)
    wrong |= ~table["status"].isin([FINISHED, LACKING_SHOTS, FAILED])
    wrong |= table[["checkpoint", "speaker", "emotion"]].isna().any(axis=1) | table.duplicated(list(KEY))
    if wrong.any():
        # The names of the columns are in line 1.
        raise ConfigError(
            f"resume_from {path} has {wrong.sum():,} rows that are no trials, the first in line {wrong.argmax() + 2}: "
            "give a csv.gz that few_shot.py wrote with --output, unchanged"
        )


def fault_of_results_file(path: Path, error: sqlite3.DatabaseError) -> ConfigError:
    """The error of a results file that SQLite cannot use: in use by another program, not writable, or no such file."""
    if "locked" in str(error) or "busy" in str(error):
        return ConfigError(
            f"{path} is in use by another program ({error}): wait until that one has finished, then start the same "
            "command again, which keeps what is stored"
        )
    if any(reason in str(error) for reason in _NOT_WRITABLE):
        return ConfigError(
            f"{path} cannot be written ({error}): free some space or fix the folder's permissions, then start the same "
            "command again, which keeps what is stored"
        )
    return ConfigError(f"{path} is no results file ({error}): use another output_dir")
