"""Faults of a corpus, gathered while it is read, so that one message names everything that is wrong."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from paravox.modeling.errors import CorpusError
from paravox.modeling.tasks import Task

SHOWN_OFFENDERS = 3


class Faults:
    """Everything that is wrong with a corpus: for each sort of fault, what has it.

    Args:
        place (`Path`): the file or folder that the message names.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.offenders: dict[str, list[str]] = {}

    def add(self, sort: str, offenders: list) -> None:
        """Adds offenders, such as paths or values, to one sort of fault; without any, there is no fault."""
        if len(offenders):
            self.offenders.setdefault(sort, []).extend(str(offender) for offender in offenders)

    def raise_if_any(self) -> None:
        """Raises one [`CorpusError`] with the count and the first three offenders of each sort."""
        if self.offenders:
            sorts = "; ".join(
                f"{sort}: {len(found)} ({', '.join(found[:SHOWN_OFFENDERS])})" for sort, found in self.offenders.items()
            )
            raise CorpusError(f"{self.place} cannot be used: {sorts}. Correct this and start again")


def check_files(faults: Faults, folder: Path, file_names: pd.Series) -> None:
    """Finds files that are listed twice, whose paths lead out of the folder, or that are missing.

    A link inside the folder may point to anywhere: the caches of the Hub, git-annex and DVC are made of such links.
    """
    faults.add("file listed twice", file_names[file_names.duplicated()].unique().tolist())
    absolute = os.path.abspath(folder)
    outside = [name for name in file_names if not Path(os.path.abspath(folder / name)).is_relative_to(absolute)]
    faults.add("path that leaves the folder", outside)
    faults.add("missing file", [name for name in file_names if not (folder / name).is_file()])


def check_splits(faults: Faults, clips: pd.DataFrame) -> None:
    """Finds that Train has no clips, and speakers in more than one split, whom a model would know when it is tested."""
    found = Counter(clips["split"])
    faults.add("split without clips", [split for split in ("train",) if not found[split]])
    known = clips[clips["speaker"].notna()]
    splits_of_speaker = known.groupby("speaker")["split"].nunique()
    faults.add("speaker in more than one split", splits_of_speaker[splits_of_speaker > 1].index.tolist())


def check_labels(faults: Faults, clips: pd.DataFrame, tasks: list[Task]) -> None:
    """Finds missing columns, unknown labels, values out of range, and tasks and classes without labels in Train.

    The columns of intensities and scalars become numbers, in place. An empty cell is an unknown label.
    """
    for task in tasks:
        columns = list(task.labels) if task.kind == "intensities" else [task.name]
        missing = [column for column in columns if column not in clips]
        faults.add(f"missing column of task {task.name!r}", missing)
        if missing:
            continue
        if task.kind == "classes":
            _check_classes(faults, clips, task)
        else:
            low, high = task.range if task.kind == "scalar" else (0.0, 1.0)
            for column in columns:
                _check_numbers(faults, clips, column, low, high)
        if "train" in set(clips["split"]) and clips.loc[clips["split"] == "train", columns].isna().all(axis=None):
            faults.add("task without labels in Train", [task.name])


def _check_classes(faults: Faults, clips: pd.DataFrame, task: Task) -> None:
    labels = clips[task.name]
    unknown = labels.notna() & ~labels.isin(task.labels)
    faults.add(f"label of {task.name!r} that is none of {', '.join(task.labels)}", labels[unknown].unique().tolist())
    in_train = set(labels[clips["split"] == "train"].dropna())
    if in_train:
        faults.add(f"class of {task.name!r} that never occurs in Train", [c for c in task.labels if c not in in_train])


def _check_numbers(faults: Faults, clips: pd.DataFrame, column: str, low: float, high: float) -> None:
    numbers = pd.to_numeric(clips[column], errors="coerce")
    no_number = clips[column].notna() & (numbers.isna() | ~np.isfinite(numbers.fillna(0)))
    faults.add(f"value of {column!r} that is not a number", clips.loc[no_number, column].tolist())
    outside = (numbers < low) | (numbers > high)
    faults.add(f"value of {column!r} outside {low:g} to {high:g}", numbers[outside].tolist())
    clips[column] = numbers
