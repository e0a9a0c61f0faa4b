"""Guesses what a folder of clips can teach a model: which columns of its table are tasks, of which kind."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from datasets import DatasetDict

from paravox.corpora.class_folders import LABEL
from paravox.corpora.faults import Faults, check_labels, plain, visible, with_comma_named
from paravox.corpora.metadata_csv import NAMED_COLUMNS
from paravox.corpora.registry import load_corpus
from paravox.corpora.tables import read_table
from paravox.modeling.errors import ConfigError, CorpusError
from paravox.modeling.tasks import Task, free_name

TABLE = "metadata.csv"
TABLE_SUFFIXES = (".csv", ".tsv")
INTENSITIES = ("emotion", "emotions", "intensities")  # names of a task, of which the first that is free is taken
MOST_CLASSES = 60
MOST_CODES = 10  # whole numbers that stand for classes
MOST_WORDS = 6
# Words in the name of a column that say what it holds.
AMOUNTS = {"activation", "age", "arousal", "degree", "dominance", "intensity", "level", "rating", "score", "valence"}
IDENTIFIERS = {"hash", "id", "ids", "index", "key", "link", "nr", "number", "row", "url", "uuid"}
OF_RECORDINGS = {"channels", "date", "duration", "end", "frames", "length", "offset", "onset", "rate", "samples"}
OF_RECORDINGS |= {"seconds", "session", "size", "start", "take", "time", "timestamp"}
GROUPS = {"sex", "gender"}
SOURCES = {"corpus", "dataset", "source", "studio"}
UNKNOWN = {"-", "?", "missing", "n/a", "na", "nan", "none", "null", "unknown"}


@dataclass
class GuessedCorpus:
    """What was found in a folder.

    Args:
        corpus (`str`): its name in the registry.
        options (`dict`): of its reader.
        source (`str`): where the labels are, for people to read.
        splits (`dict`): the number of clips of each split.
        tasks (list of [`Task`]): those that its clips can teach.
        remarks (`dict`): what to know of each of them, by the name of the task.
        unused (`dict`): why a column is none of them, by its name.
        notes (list of `str`): what to know of the whole.
    """

    corpus: str
    options: dict[str, Any]
    source: str
    splits: dict[str, int]
    tasks: list[Task] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, task: Task, remark: str) -> None:
        """Adds a task and what to know of it."""
        self.tasks.append(task)
        self.remarks[task.name] = remark


class Column(NamedTuple):
    """What a column is taken for.

    Args:
        kind (`str`): `share` (numbers from 0 to 1), `flag` (0 or 1), `scalar`, `classes`, or empty if it is no task.
        remark (`str`): what speaks for it, or why it is no task.
    """

    kind: str
    remark: str


def guess_corpus(folder: str | Path, metadata: str | None = None, to_train: bool = True) -> GuessedCorpus:
    """Looks at a folder with a table, or with one sub-folder per label.

    Args:
        folder (`str` or `Path`): the folder.
        metadata (`str`, *optional*): the name of the table. By default `metadata.csv`, or the only table of the folder.
        to_train (`bool`, *optional*, defaults to `True`): whether it must have clips in Train.

    Raises:
        CorpusError: if it cannot be read, or has several tables of which none is `metadata.csv`.
    """
    folder = Path(folder)
    metadata = metadata or _name_of_table(folder)
    if metadata is None:
        clips = load_corpus("class_folders", folder, to_train=to_train)
        return _guess_class_folders(folder, clips)
    options: dict[str, Any] = {} if metadata == TABLE else {"metadata": metadata}
    clips = load_corpus("metadata_csv", folder, to_train=to_train, **options)
    table = pd.concat([split.to_pandas() for split in clips.values()], ignore_index=True)
    guess = GuessedCorpus("metadata_csv", options, metadata, _sizes(clips))
    _guess_columns(guess, table.drop(columns=list(NAMED_COLUMNS), errors="ignore"))
    _leave_out_what_cannot_be_read(guess, folder / metadata, table, to_train)
    header = read_table(folder / metadata, ["file_name"], ["speaker", "split"]).columns
    if "split" not in header:
        guess.notes.append("There is no column split, so speakers were dealt out to Train, Val and Test.")
    if "speaker" not in header:
        guess.notes.append("There is no column speaker, so each clip counts as a speaker of its own.")
    return guess


def _name_of_table(folder: Path) -> str | None:
    if not folder.is_dir():
        raise CorpusError(f"{folder} is no folder: give one with recordings and a table {TABLE}, or a folder per label")
    tables = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in TABLE_SUFFIXES)
    tables = [name for name in tables if not name.startswith(".")]
    if TABLE in tables or not tables:
        return TABLE if tables else None
    if len(tables) > 1:
        raise CorpusError(f"{folder} has several tables ({', '.join(tables[:3])}): name one by metadata")
    return tables[0]


def _sizes(clips: DatasetDict) -> dict[str, int]:
    return {split: len(rows) for split, rows in clips.items()}


def _guess_class_folders(folder: Path, clips: DatasetDict) -> GuessedCorpus:
    guess = GuessedCorpus("class_folders", {}, "the names of its sub-folders", _sizes(clips))
    counts = pd.concat([split.to_pandas() for split in clips.values()])[LABEL].value_counts()
    if len(counts) < 2:
        raise CorpusError(f"{folder} has the one label {counts.index[0]!r}, and a model needs two: add another folder")
    guess.add(
        Task(LABEL, "classes", labels=tuple(sorted(counts.index))),
        f"{_per_label(counts)}. The name of the task may be changed",
    )
    guess.notes.append("Nothing says who speaks, so each clip counts as a speaker of its own.")
    return guess


def _guess_columns(guess: GuessedCorpus, table: pd.DataFrame) -> None:
    columns = {name: judge_column(name, table[name]) for name in table.columns}
    shares = [name for name, column in columns.items() if column.kind in ("share", "flag")]
    if len(shares) > 1:
        name = next((name for name in INTENSITIES if name not in columns), free_name(INTENSITIES[-1], columns))
        known = int(table[shares].notna().all(axis=1).sum())
        guess.add(
            Task(name, "intensities", labels=tuple(shares)),
            f"Columns with values from 0 to 1, all of them known in {known} clips. The name of the task may be changed",
        )
    for name, (kind, remark) in columns.items():
        if not kind:
            guess.unused[name] = remark
        elif name in shares and len(shares) > 1:
            continue
        else:
            try:
                guess.add(_task_of(name, kind, table[name].dropna()), remark)
            except ConfigError as error:
                guess.unused[name] = str(error)


def _task_of(name: str, kind: str, cells: pd.Series) -> Task:
    if kind in ("classes", "flag"):
        codes = pd.to_numeric(cells, errors="coerce").notna().all()
        labels = sorted(cells.unique(), key=float if codes else str)
        return Task(name, "classes", labels=tuple(labels))
    numbers = cells.astype(float)
    low, high = (0, 1) if kind == "share" else (numbers.min() // 1, -(-numbers.max() // 1))
    return Task(name, "scalar", range=(low, high), unit="years" if "age" in _words(name) else None)


def judge_column(name: str, cells: pd.Series) -> Column:
    """What a column of a table is taken for, by its name and its cells as text; an empty cell is a missing value."""
    known = cells.dropna()
    if known.empty:
        return Column("", "it is empty")
    if known.nunique() == 1:
        return Column("", f"it says {visible(known.iloc[0])} everywhere")
    words = _words(name)
    if words & GROUPS:
        return Column("", "it describes the speakers, and reports compare the scores of such groups")
    if words & SOURCES:
        return Column("", "it says where the recordings come from, by its name")
    if words & IDENTIFIERS:
        return Column("", "it names things, by its name")
    numbers = pd.to_numeric(known, errors="coerce")
    numbers = numbers.where(numbers.abs() < float("inf"))
    if numbers.notna().all():
        return _judge_numbers(words, numbers)
    others = known[numbers.isna()]
    shown = with_comma_named(others.iloc[:1])[0]
    if numbers.notna().mean() >= 0.5 or shown != visible(others.iloc[0]):
        return Column("", f"not all of its cells are numbers, such as {shown}; where that is unknown, empty the cell")
    return _judge_text(known)


def _judge_numbers(words: set[str], numbers: pd.Series) -> Column:
    count, distinct = len(numbers), numbers.nunique()
    found = f"{numbers.min():g} to {numbers.max():g} in {count} clips"
    whole = (numbers % 1 == 0).all()
    if words & OF_RECORDINGS:
        return Column("", "it describes the recordings, by its name")
    if not words & AMOUNTS:
        if whole and set(numbers) == {0, 1}:
            return Column("flag", f"0 or 1 in {count} clips")
        if whole and distinct == count:
            return Column("", "its whole numbers all differ, as those of a list do")
        if whole and distinct <= min(MOST_CODES, count // 2):
            return Column(
                "classes",
                f"Whole numbers in {count} clips, taken for names. If they are amounts, use kind: scalar and "
                f"range: [{numbers.min():g}, {numbers.max():g}] instead of labels",
            )
    if numbers.min() >= 0 and numbers.max() <= 1:
        return Column("share", found)
    return Column("scalar", f"Found {found}. Predictions stay within the range: widen it if others are possible")


def _judge_text(known: pd.Series) -> Column:
    distinct = known.nunique()
    if distinct > max(2, len(known) // 2):
        return Column("", f"it has {distinct} values in {len(known)} clips, as names and free text have")
    if known.str.split().str.len().mean() > MOST_WORDS:
        return Column("", "it holds whole sentences")
    if distinct > MOST_CLASSES:
        return Column("", f"it has {distinct} values, more than {MOST_CLASSES}")
    counts = known.value_counts()
    remark = _per_label(counts)
    unknown = [label for label in counts.index if plain(label) in UNKNOWN]
    if unknown:
        remark += f". {visible(unknown[0])} counts as a label: where it means that nobody knows, empty the cells"
    return Column("classes", remark)


def _per_label(counts: pd.Series) -> str:
    low, high = counts.min(), counts.max()
    return f"{low if low == high else f'{low} to {high}'} clip{'' if high == 1 else 's'} per label"


def _words(name: str) -> set[str]:
    """The words of a name such as `speaker_id`, `Clip ID` or `clipId`, in lower case."""
    return set(re.findall(r"[a-z]+", plain(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).replace("_", " ")))


def _leave_out_what_cannot_be_read(guess: GuessedCorpus, place: Path, table: pd.DataFrame, to_train: bool) -> None:
    """Keeps the tasks that the reader takes: a class, for instance, must be in Train."""
    for task in list(guess.tasks):
        faults = Faults(place)
        check_labels(faults, table.copy(), [task], to_train)
        if faults.offenders:
            sort, found = next(iter(faults.offenders.items()))
            guess.tasks.remove(task)
            del guess.remarks[task.name]
            reason = f"{sort}: {', '.join(found[:3])}"
            guess.unused |= dict.fromkeys(task.labels if task.kind == "intensities" else [task.name], reason)
