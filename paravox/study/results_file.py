"""The results file of a few-shot study: SQLite, one row a trial; what stands in it is done, whatever was killed."""

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
    "predictions": "TEXT",  # on the test part, a 0 or 1 a clip, in the order of the clips' names
    "seconds": "REAL",
    "message": "TEXT",
}
# What a trial's row may differ in when it is run again: not its result.
_NOT_COMPARED = ("seconds",)


class ResultsFile:
    """Writes and reads the rows of a study.

    Args:
        path (`Path`): made if it is not there.
        description (`dict`): of the study, as `StudySettings.description` gives it.

    Raises:
        ConfigError: if the file is no results file or holds another study.
    """

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        try:
            with closing(self._connect()) as connection, connection:
                connection.execute("CREATE TABLE IF NOT EXISTS study (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
                connection.execute(f"CREATE TABLE IF NOT EXISTS trials ({columns}, PRIMARY KEY ({', '.join(KEY)}))")
                held = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM study")}
                connection.executemany(
                    "INSERT OR REPLACE INTO study VALUES (?, ?)",
                    [(key, json.dumps(value)) for key, value in description.items()],
                )
                # Trials can be added to a study: only what a single trial depends on must stay.
                growing = ("corpora", "checkpoints", "speakers", "emotions", "shots", "repetitions", "languages")
                for key, value in held.items():
                    if key not in growing and key in description and description[key] != value:
                        raise ConfigError(
                            f"{path} holds a study with {key} {value!r}, this one has {description[key]!r}: give "
                            "another output_dir, or the settings of that study"
                        )
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{path} is no results file ({error}): give another output_dir") from None

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60)

    def done(self) -> set[Trial]:
        """The trials that need not be run: finished, or known to lack shots. Failed ones are tried again."""
        with closing(self._connect()) as connection:
            query = f"SELECT {', '.join(KEY)} FROM trials WHERE status != ?"
            return {Trial(*row) for row in connection.execute(query, (FAILED,))}

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Stores rows, all or none; a row whose trial is there takes its place.

        Raises:
            ConfigError: if the file cannot be written, such as on a full disk.
        """
        names = ", ".join(f":{name}" for name in COLUMNS)
        filled = [dict.fromkeys(COLUMNS) | row for row in rows]
        try:
            with closing(self._connect()) as connection, connection:
                connection.executemany(f"INSERT OR REPLACE INTO trials VALUES ({names})", filled)
        except sqlite3.OperationalError as error:
            raise ConfigError(
                f"{self.path} cannot be written ({error}): free some disk or mend the folder, and start it again: what "
                "is stored stays"
            ) from error

    def table(self) -> pd.DataFrame:
        """All rows, in the order of their keys."""
        with closing(self._connect()) as connection:
            return pd.read_sql_query(f"SELECT * FROM trials ORDER BY {', '.join(KEY)}", connection)

    def export(self, path: Path) -> None:
        """Writes the rows without their timings as a compressed csv, the same bytes for the same rows."""
        table = self.table().drop(columns=list(_NOT_COMPARED))
        # Without the name and the time that a gzip header holds by default.
        with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed:
            compressed.write(table.to_csv(index=False).encode())

    def take_back(self, path: Path) -> int:
        """Adds the rows of an exported csv whose trials are not there yet; gives their number.

        Raises:
            ConfigError: if the csv is none of these.
        """
        if not path.is_file():
            raise ConfigError(f"resume_from {path}: no such file: give a csv that an earlier run exported")
        table = pd.read_csv(path, dtype={"speaker": str, "predictions": str})
        if not set(COLUMNS) - set(_NOT_COMPARED) <= set(table.columns):
            raise ConfigError(f"resume_from {path} is no export of a results file: it lacks columns")
        table = table.astype(object).where(table.notna(), None)
        done = self.done()
        rows = [row for row in table.to_dict("records") if Trial(*(row[name] for name in KEY)) not in done]
        self.add(rows)
        return len(rows)
