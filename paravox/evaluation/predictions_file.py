"""The predictions that a run leaves for each split, with what is needed to score them again."""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from paravox.modeling.errors import CheckpointError
from paravox.trainers.files import written_aside

# The names of tasks that are plain words stand as they are. The others are quoted, and have a word before them.
_PREDICTIONS = "predictions/"
_LABELS = "labels/"
_SPEAKERS = "clip/speaker"
_FILES = "clip/file"
# The last bytes of an .npz, which is a zip without a comment: of their fields, only the number of arrays.
_END_OF_ZIP = struct.Struct("<10xH10x")


@dataclass(frozen=True)
class SavedPredictions:
    """The predictions of one split.

    Args:
        predictions (`dict` of `np.ndarray`): per task, `(clips, ...)`, as the model gives them.
        labels (`dict` of `np.ndarray`): per task, as a `MultiTaskDataset` has them. Empty for older files, which
            hold predictions alone.
        speakers (list of `str`, *optional*): of every clip.
        clips (list of `str`, *optional*): the file name of every clip, without folders.
    """

    predictions: dict[str, np.ndarray]
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    speakers: list[str] | None = None
    clips: list[str] | None = None


def write_predictions(
    file: Path,
    predictions: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    speakers: Sequence[str] | None,
    clips: Sequence[str] | None,
) -> None:
    """Writes the predictions of one split as a compressed `.npz`, whole or not at all.

    The file holds one array per task under the task's name, and beside them `labels/<task>`, `clip/speaker` and
    `clip/file`. A name that is no plain word is quoted as in a URL, and its array is called `predictions/<task>`. All
    arrays have one row per clip.

    Args:
        file (`Path`): its folder is made if it does not exist.
        predictions, labels, speakers, clips: as in [`SavedPredictions`]. Only the file names of `clips` are stored,
            because their folders belong to this machine.

    Raises:
        ValueError: if the arrays do not have the same number of rows.
    """
    arrays: dict[str, Any] = {_array_name(name): np.asarray(values) for name, values in predictions.items()}
    arrays |= {f"{_LABELS}{_quoted(name)}": np.asarray(values) for name, values in labels.items()}
    if speakers is not None:
        arrays[_SPEAKERS] = np.array([str(speaker) for speaker in speakers], dtype=np.str_)
    if clips is not None:
        arrays[_FILES] = np.array([Path(clip).name for clip in clips], dtype=np.str_)
    rows = {name: len(values) for name, values in arrays.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"the arrays for {file} do not have one row per clip each: {rows}")
    with written_aside(file) as part, open(part, "wb") as opened:
        np.savez_compressed(opened, **arrays)


def read_predictions(file: Path) -> SavedPredictions:
    """Reads what [`write_predictions`] wrote, or an older file that holds predictions alone.

    Raises:
        CheckpointError: if the file does not exist, is not an `.npz`, or its arrays do not belong together.
    """
    try:
        with np.load(file) as opened:
            arrays = dict(opened)
        if len(arrays) != _stated_arrays(file):
            raise ValueError("its list of arrays is damaged")
        for name, values in arrays.items():
            if not isinstance(values, np.ndarray):  # a part that NumPy does not know, which it gives as bytes
                raise ValueError(f"{name!r} is no array")
    # A damaged file makes NumPy raise errors of many classes.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(
            f"{file} holds no predictions ({reason}): give the output_dir of a finished run"
        ) from None
    if len({len(values) if values.ndim else 0 for values in arrays.values()}) > 1:
        raise CheckpointError(f"{file} is damaged, its arrays differ in length: run the model again")
    return SavedPredictions(
        predictions={
            unquote(name.removeprefix(_PREDICTIONS)): values
            for name, values in arrays.items()
            if "/" not in name or name.startswith(_PREDICTIONS)
        },
        labels={
            unquote(name.removeprefix(_LABELS)): values for name, values in arrays.items() if name.startswith(_LABELS)
        },
        speakers=arrays[_SPEAKERS].tolist() if _SPEAKERS in arrays else None,
        clips=arrays[_FILES].tolist() if _FILES in arrays else None,
    )


def _quoted(task: str) -> str:
    return task if task.isidentifier() else quote(task, safe="")


def _array_name(task: str) -> str:
    # NumPy's function has arguments of the names that it takes for arrays.
    is_free = task.isidentifier() and task not in signature(np.savez_compressed).parameters
    return task if is_free else _PREDICTIONS + _quoted(task)


def _stated_arrays(file: Path) -> int:
    """How many arrays an `.npz` should hold, as its end says. Python believes a damaged list of them without a word."""
    with open(file, "rb") as opened:
        opened.seek(-_END_OF_ZIP.size, os.SEEK_END)
        return _END_OF_ZIP.unpack(opened.read())[0]
