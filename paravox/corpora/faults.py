"""Faults of a corpus, gathered while it is read, so that one message names everything that is wrong."""

import os
import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from paravox.modeling.errors import CorpusError
from paravox.modeling.tasks import Task

SHOWN_OFFENDERS = 3
_LONGEST_SHOWN = 200


class Faults:
    """Everything that is wrong with a corpus: for each sort of fault, what has it.

    Args:
        place (`Path`): the file or folder that the message names.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.offenders: dict[str, list[str]] = {}

    def add(self, sort: str, offenders: list) -> None:
        """Adds offenders, such as paths or values, to one sort of fault; without any, there is no fault.

        Blanks and signs in them that nobody would see are written out.
        """
        if len(offenders):
            self.offenders.setdefault(sort, []).extend(visible(offender) for offender in offenders)

    def raise_if_any(self) -> None:
        """Raises one [`CorpusError`] with the count and the first three offenders of each sort."""
        if self.offenders:
            sorts = "; ".join(
                f"{sort}: {len(found)} ({', '.join(found[:SHOWN_OFFENDERS])})" for sort, found in self.offenders.items()
            )
            raise CorpusError(f"{self.place} cannot be used: {sorts}. Correct this and start again")


def plain(text: str) -> str:
    """A name or value as people mean it: whatever its case, outer and doubled blanks, invisible signs and Unicode form.

    Two values are compared in this form to find what was probably meant. Nothing is stored in it.
    """
    seen = "".join(sign for sign in unicodedata.normalize("NFKC", str(text)) if unicodedata.category(sign) != "Cf")
    return " ".join(seen.split()).casefold()


def visible(value: object) -> str:
    """A value as a message shows it, so that two values that differ also look different.

    A plain value is shown as it is. One with outer or doubled blanks, invisible signs or letters that are made of two
    signs is shown in quotes, with these written out, and a remark says what is unusual about it.
    """
    if value is None or value != value:
        return "an empty cell"
    text = str(value)
    text = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
    composed = text == unicodedata.normalize("NFC", text)
    hidden = ["Cf", "Cc", "Zl", "Zp", *([] if composed else ["Mn"])]
    shown = [ascii(sign)[1:-1] if _is_hidden(sign, hidden) else sign for sign in text]
    remarks = []
    if text != text.lstrip():
        remarks.append("a blank at its beginning")
    if text != text.rstrip():
        remarks.append("a blank at its end")
    if "  " in text.strip():
        remarks.append("several blanks in a row")
    if not composed:
        remarks.append("a letter that is made of two signs")
    if "".join(shown) == text and not remarks:
        return text
    return f"'{''.join(shown)}'" + (f" with {' and '.join(remarks)}" if remarks else "")


def _is_hidden(sign: str, categories: list[str]) -> bool:
    return unicodedata.category(sign) in categories or (sign != " " and sign.isspace())


def with_label_meant(value: object, labels: Iterable[str]) -> str:
    """A value that is no label, with the label that was probably meant: the same one but for its case or blanks."""
    meant = [label for label in labels if plain(label) == plain(str(value))]
    return visible(value) + (f", where the label is {visible(meant[0])}" if meant else "")


def check_files(faults: Faults, folder: Path, file_names: pd.Series) -> None:
    """Finds rows without a file, files that are listed twice, whose paths lead out of the folder, or that are missing.

    A link inside the folder may point to anywhere: the caches of the Hub, git-annex and DVC are made of such links.
    """
    unnamed = file_names.index[file_names.isna()]
    faults.add("row without a file name", [f"line {line}" for line in unnamed])
    names = file_names.dropna()
    faults.add("file listed twice", names[names.duplicated()].unique().tolist())
    absolute = os.path.abspath(folder)
    outside = [name for name in names if not Path(os.path.abspath(folder / name)).is_relative_to(absolute)]
    faults.add("path that leaves the folder", outside)
    missing = [name for name in names if not _is_file(folder / name)]
    # Looking for what was meant takes a list of the folder, so it is done only for those that are shown.
    shown = [_with_file_meant(folder, name) for name in missing[:SHOWN_OFFENDERS]]
    faults.add("missing file", [*shown, *missing[SHOWN_OFFENDERS:]])


def _is_file(path: Path) -> bool:
    # Before Python 3.14, a name that is too long for the system is an error.
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _with_file_meant(folder: Path, name: str) -> str:
    """A missing file with the one that was probably meant: with other slashes, case, blanks or Unicode form."""
    meant = folder / name.replace("\\", "/").strip()
    try:
        alike = [entry for entry in os.listdir(meant.parent) if plain(entry) == plain(meant.name)]
        alike = [entry for entry in alike if _is_file(meant.parent / entry)]
    except (OSError, ValueError):
        alike = []
    return visible(name) + (f", but there is {visible(meant.parent.relative_to(folder) / alike[0])}" if alike else "")


def check_splits(faults: Faults, clips: pd.DataFrame, to_train: bool = True) -> None:
    """Finds that Train has no clips, and speakers in more than one split, whom a model would know when it is tested.

    Two spellings of a name that differ in case, blanks or Unicode form are one speaker.

    Args:
        faults ([`Faults`]): gets what is found.
        clips (`pd.DataFrame`): with the columns `speaker` and `split`.
        to_train (`bool`, *optional*, defaults to `True`): whether a model will be trained, which needs Train.
    """
    if to_train and "train" not in set(clips["split"]):
        faults.add("split without clips", ["train"])
    splits, spellings = speakers_and_splits(clips["speaker"], clips["split"])
    shared = [spellings[speaker] for speaker, found in splits.items() if len(found) > 1]
    faults.add("speaker in more than one split", [" and ".join(map(visible, names)) for names in shared])


def speakers_and_splits(
    speakers: Iterable[str | None], splits: Iterable[str]
) -> tuple[dict[str, set[str]], dict[str, list[str]]]:
    """In which splits each known speaker is, and in which spellings, sorted; by the plain form of the name."""
    splits_of: dict[str, set[str]] = {}
    spellings: dict[str, set[str]] = {}
    plain_forms: dict[str, str] = {}
    for speaker, split in zip(speakers, splits, strict=True):
        if speaker is None or speaker != speaker:
            continue
        key = plain_forms.get(speaker) or plain_forms.setdefault(speaker, plain(speaker))
        splits_of.setdefault(key, set()).add(split)
        spellings.setdefault(key, set()).add(speaker)
    return splits_of, {key: sorted(found) for key, found in spellings.items()}


def check_labels(faults: Faults, clips: pd.DataFrame, tasks: list[Task], to_train: bool = True) -> None:
    """Finds missing columns, unknown labels, values out of range, and tasks and classes without labels in Train.

    The last two are sought only where a model will be trained.

    The columns of intensities and scalars become numbers, in place. An empty cell is an unknown label.
    """
    for task in tasks:
        columns = list(task.labels) if task.kind == "intensities" else [task.name]
        missing = [column for column in columns if column not in clips]
        faults.add(f"missing column of task {task.name!r}", [_with_column_meant(name, clips) for name in missing])
        if missing:
            continue
        if task.kind == "classes":
            _check_classes(faults, clips, task, to_train)
        else:
            low, high = task.range if task.kind == "scalar" else (0.0, 1.0)
            for column in columns:
                _check_numbers(faults, clips, column, low, high)
        if (
            to_train
            and "train" in set(clips["split"])
            and clips.loc[clips["split"] == "train", columns].isna().all(axis=None)
        ):
            faults.add("task without labels in Train", [task.name])


def _with_column_meant(name: str, clips: pd.DataFrame) -> str:
    near = get_close_matches(name, map(str, clips.columns), n=1)
    return f"{name}, but there is {near[0]}" if near else name


def _check_classes(faults: Faults, clips: pd.DataFrame, task: Task, to_train: bool) -> None:
    labels = clips[task.name]
    unknown = labels[labels.notna() & ~labels.isin(task.labels)].unique().tolist()
    faults.add(
        f"label of {task.name!r} that is none of {', '.join(map(visible, task.labels))}",
        [with_label_meant(label, task.labels) for label in unknown],
    )
    in_train = set(labels[clips["split"] == "train"].dropna())
    if in_train and to_train:
        faults.add(f"class of {task.name!r} that never occurs in Train", [c for c in task.labels if c not in in_train])


def _check_numbers(faults: Faults, clips: pd.DataFrame, column: str, low: float, high: float) -> None:
    numbers = pd.to_numeric(clips[column], errors="coerce")
    no_number = clips[column].notna() & (numbers.isna() | ~np.isfinite(numbers.fillna(0)))
    faults.add(f"value of {column!r} that is not a number", with_comma_named(clips.loc[no_number, column]))
    outside = (numbers < low) | (numbers > high)
    faults.add(f"value of {column!r} outside {low:g} to {high:g}", numbers[outside].tolist())
    clips[column] = numbers


def with_comma_named(values: Iterable[str]) -> list[str]:
    """Values that are no numbers, with a remark on those that only have a comma in the place of the point."""
    remark = ", which needs a point in the place of its comma"
    return [visible(value) + (remark if re.fullmatch(r"\s*[+-]?\d*,\d+\s*", value) else "") for value in values]
