"""A file of predictions that grows while they are made, and that the same command goes on with after it was stopped."""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar

import torch
from torch import nn

from paravox.modeling.errors import ConfigError
from paravox.modeling.records import RecordNames
from paravox.modeling.tasks import Task
from paravox.trainers.files import write_text, written_aside

# Names of files that are not UTF-8 are written as the bytes that they are.
_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
SUFFIXES = (".jsonl", ".csv")


def fingerprint(model: nn.Module) -> str:
    """A short name for what a model is: its class, its weights and their type."""
    digest = hashlib.blake2b(type(model).__name__.encode(), digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass
class BadRecordings:
    """The recordings that cannot be used, as far as they were met.

    Args:
        count (`int`, *optional*, defaults to 0): how many there are.
        messages (list of `str`, *optional*): what is wrong with the first of them.
        name (`str`, *optional*, defaults to `"error"`): under which a record has the reason.
    """

    SHOWN: ClassVar[int] = 3
    count: int = 0
    messages: list[str] = field(default_factory=list)
    name: str = "error"

    def add(self, record: dict[str, Any]) -> None:
        """Takes note of a record if it has an error."""
        if record.get(self.name):
            self.count += 1
            self.messages += [record[self.name]] if len(self.messages) < self.SHOWN else []


@dataclass
class RecordsFile:
    """Predictions of many recordings in a file: JSON lines, or a table with one row per recording and one column per
    output, such as `emotion/Amusement`, and `unusual`, `warning` and `error`.

    Where recordings are cut, the table has one row per window instead, with the columns `window` (1 for the first one
    of a recording), `windows` (how many it has), `start` and `end` in seconds.

    What the predictions depend on lies beside it in `NAME.run.json`. A file that was begun with the same content there
    is continued: its complete records stay, and a last one that is only half there is dropped.

    Args:
        path (`Path`): ends in `.jsonl` or `.csv`.
        tasks (list of [`Task`]): what the model predicts.
        paths (sequence of `str`): the recordings.
        about (`dict`): what else the predictions depend on, such as the [`fingerprint`] of the model, as plain data.
        with_errors (`bool`, *optional*, defaults to `True`): write a record for a recording that cannot be used, too.
        windowed (`bool`, *optional*, defaults to `False`): whether recordings are cut into windows.

    Raises:
        ConfigError: if the name has another ending.
    """

    path: Path
    tasks: Sequence[Task]
    paths: Sequence[str]
    about: dict[str, Any]
    with_errors: bool = True
    windowed: bool = False
    done: int = field(init=False, default=0)
    """How many of the recordings need not be read again."""
    bad: BadRecordings = field(init=False)
    """Those of them that cannot be used."""

    def __post_init__(self) -> None:
        if self.path.suffix not in SUFFIXES:
            raise ConfigError(
                f"output {str(self.path)!r} is of no known format: end its name in {' or '.join(SUFFIXES)}"
            )
        self._names = RecordNames.beside(self.tasks)
        self.bad = BadRecordings(name=self._names.error)
        self._format = _JsonLines() if self.path.suffix == ".jsonl" else _Table(self.tasks, self.windowed)

    def open(self, overwrite: bool = False) -> "RecordsFile":
        """Begins the file, or goes on with it: `done` says how many recordings need not be read again.

        Args:
            overwrite (`bool`, *optional*, defaults to `False`): begin anew, whatever is there.

        Raises:
            ConfigError: if there is a file from another model, of other recordings or with other options.
        """
        kept = self.kept_records() if self.is_begun(overwrite) else iter(())
        write_text(self._about_path, json.dumps(self._about, indent=1) + "\n")
        with written_aside(self.path) as part:
            with open(part, "w", **_TEXT) as file:
                file.write(self._format.head)
                for record in kept:
                    file.write(self._format.line(record))
        # Buffered by the line, so that a run that is killed leaves what it has computed.
        self._file: IO[str] = open(self.path, "a", buffering=1, **_TEXT)
        return self

    def is_begun(self, overwrite: bool = False) -> bool:
        """Whether there is a file to go on with. The argument and the errors are as in [`RecordsFile.open`]."""
        if overwrite or not self.path.exists():
            return False
        if not self._about_path.is_file() or self._read_about() != self._about:
            raise ConfigError(
                f"output {str(self.path)!r} holds predictions of another model, of other recordings or with other "
                "options: choose another file, or replace it with --overwrite"
            )
        return True

    def kept_records(self) -> Iterator[dict[str, Any]]:
        """The complete records of a file that was begun, which it counts in `done` and `bad`.

        Raises:
            ConfigError: if one of them is not of the recording that should come next.
        """
        with open(self.path, **_TEXT) as file:
            for record in self._format.records(file):
                found = record.get(self._names.file) if isinstance(record, dict) else record
                while not self.with_errors and self.done < len(self.paths) and self.paths[self.done] != found:
                    self.done += 1
                    self.bad.count += 1  # a recording without a record
                if self.done == len(self.paths) or self.paths[self.done] != found:
                    raise ConfigError(
                        f"output {str(self.path)!r} has a record of {found!r} where another recording was expected: it "
                        "was changed; replace it with --overwrite"
                    )
                self.done += 1
                self.bad.add(record)
                yield record

    def write(self, record: dict[str, Any]) -> None:
        """Adds the record of the next recording, from [`predict_records`]."""
        self.done += 1
        self.bad.add(record)
        if self.with_errors or self._names.error not in record:
            try:
                self._file.write(self._format.line(record))
            except OSError as error:
                error.filename = str(self.path)  # which a write does not know
                raise

    def join(self, parts: Sequence["RecordsFile"]) -> None:
        """Makes this file, completely or not at all, from finished parts that hold its records in order.

        Args:
            parts (sequence of [`RecordsFile`]): they need not be open. They are removed.
        """
        write_text(self._about_path, json.dumps(self._about, indent=1) + "\n")
        with written_aside(self.path) as joined:
            with open(joined, "wb") as file:
                file.write(self._format.head.encode())
                for part in parts:
                    with open(part.path, "rb") as source:
                        source.seek(len(self._format.head.encode()))
                        shutil.copyfileobj(source, file)
        for part in parts:
            part.path.unlink()
            part._about_path.unlink()

    def __enter__(self) -> "RecordsFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def _about_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.run.json")

    def _read_about(self) -> Any:
        try:
            return json.loads(self._about_path.read_bytes())
        except (ValueError, RecursionError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"{str(self._about_path)!r}, which says how {self.path.name!r} was made, is damaged ({reason}), so "
                "its predictions cannot be continued: choose another file, or replace it with --overwrite"
            ) from None

    @property
    def _about(self) -> dict[str, Any]:
        return self.about | {"recordings": len(self.paths), "list": _digest(self.paths), "errors": self.with_errors}


class _JsonLines:
    head = ""

    def line(self, record: dict[str, Any]) -> str:
        return json.dumps(record) + "\n"

    def records(self, file: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The records of a file up to the first that is not complete."""
        for line in _whole_lines(file):
            try:
                yield json.loads(line)
            except ValueError:
                return


class _Table:
    def __init__(self, tasks: Sequence[Task], windowed: bool) -> None:
        outputs = [
            name for task in tasks for name in ([f"{task.name}/{label}" for label in task.labels] or [task.name])
        ]
        self.windowed = windowed
        self.names = names = RecordNames.beside(tasks)
        places = [names.window, names.windows, names.start, names.end] if windowed else []
        self.columns = [names.file, *places, *outputs, names.unusual, names.warning, names.error]
        repeated = sorted({column for column in self.columns if self.columns.count(column) > 1})
        if repeated:
            raise ConfigError(f"two columns of the table would be called {repeated[0]!r}: write a .jsonl file instead")
        self.head = self._row(self.columns)

    def line(self, record: dict[str, Any]) -> str:
        """The row of a recording, or those of its windows, which are written at once."""
        names = self.names
        windows = record.get(names.windows) if self.windowed else None
        if not windows:
            return self._line(record)
        whole = {names.file: record[names.file], names.windows: len(windows)}
        return "".join(self._line(whole | {names.window: row} | window) for row, window in enumerate(windows, start=1))

    def _line(self, record: dict[str, Any]) -> str:
        values: dict[str, Any] = {}
        for name, value in record.items():
            values |= (
                {f"{name}/{label}": one for label, one in value.items()} if isinstance(value, dict) else {name: value}
            )
        return self._row([values.get(column, "") for column in self.columns])

    def records(self, file: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The records of a file up to the first that is not complete."""
        names = self.names
        windows: list[dict[str, Any]] = []
        for row in self._rows(file):
            if not self.windowed or row[names.error]:
                yield row
                continue
            windows.append(row)
            if row[names.window] == row[names.windows]:
                yield {names.file: row[names.file], names.windows: windows}
                windows = []

    def _rows(self, file: Iterable[str]) -> Iterator[dict[str, Any]]:
        rows = csv.reader(_whole_lines(file), strict=True)
        try:
            if next(rows, None) != self.columns:
                return
            for row in rows:
                if len(row) != len(self.columns):
                    return
                yield dict(zip(self.columns, row, strict=True))
        except csv.Error:  # the file ends inside of quotes
            return

    @staticmethod
    def _row(values: Sequence[Any]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(values)
        return text.getvalue()


def _whole_lines(file: Iterable[str]) -> Iterator[str]:
    return (line for line in file if line.endswith("\n"))


def _digest(paths: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(path.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()
