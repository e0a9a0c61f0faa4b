"""A few labelled clips: a folder with one sub-folder per label, or a table with the columns file_name and label."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from paravox.corpora.faults import Faults, check_files, plain
from paravox.corpora.reading import list_audio, list_files, nothing_found
from paravox.corpora.tables import read_table
from paravox.modeling.errors import CorpusError

TABLE = "metadata.csv"
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")


class LabelledClips(NamedTuple):
    """Clips and what is known of each.

    Args:
        paths (list of `str`).
        labels (list of `str`): one per clip.
        speakers (list of `str`, *optional*): one per clip.
        source (`str`): where the labels come from, for people to read.
    """

    paths: list[str]
    labels: list[str]
    speakers: list[str] | None
    source: str


def read_labelled_clips(place: str | Path) -> LabelledClips:
    """Reads a folder with one sub-folder per label, or a table.

    A folder that holds a `metadata.csv` is read by this table, and any other table may be named itself. Its columns are
    `file_name`, relative to the folder of the table, `label`, and `speaker` if there is one. Clips of unknown speakers
    count as those of one more speaker.

    Raises:
        CorpusError: if there is no clip, or something is wrong with the table or the folders.
    """
    place = Path(place)
    if place.is_file():
        if place.suffix.lower() not in TABLE_SUFFIXES:
            raise CorpusError(
                f"{place} is neither a folder nor a table ({', '.join(TABLE_SUFFIXES)}): give a folder with one "
                f"sub-folder per label, or a table with the columns file_name and label"
            )
        clips = _read_labels(place)
    elif (place / TABLE).is_file():
        clips = _read_labels(place / TABLE)
    else:
        clips = _read_class_folders(place)
    _refuse_labels_that_look_alike(place, clips.labels)
    return clips


def _read_labels(table: Path) -> LabelledClips:
    clips = read_table(table, ["file_name", "label"], ["speaker"], "add it")
    if clips.empty:
        raise CorpusError(f"{table} lists no clip: add rows")
    faults = Faults(table)
    check_files(faults, table.parent, clips["file_name"])
    faults.add("row without a label", [f"line {line}" for line in clips.index[clips["label"].isna()]])
    faults.raise_if_any()
    speakers = clips["speaker"].fillna("").tolist() if "speaker" in clips else None
    paths = [str(table.parent / name) for name in clips["file_name"]]
    return LabelledClips(paths, clips["label"].tolist(), speakers, f"the table {table}")


def _read_class_folders(folder: Path) -> LabelledClips:
    advice = f"give a folder with one sub-folder per label, or with a table {TABLE}"
    files = [path for path in list_audio(list_files(folder)) if not _is_hidden(path.relative_to(folder))]
    if not files:
        raise nothing_found(folder, "recording in a sub-folder per label", advice)
    beside = [path for path in files if path.parent == folder]
    if beside:
        raise CorpusError(
            f"{folder}: {beside[0].name} lies beside the folders of the labels, and so do {len(beside) - 1} more "
            f"recordings: move each into the folder of its label, or {advice}"
        )
    labels = [path.relative_to(folder).parts[0] for path in files]
    return LabelledClips([str(path) for path in files], labels, None, f"the sub-folders of {folder}")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _refuse_labels_that_look_alike(place: Path, labels: list[str]) -> None:
    names = pd.Series(sorted(set(labels)))
    alike = names[names.map(plain).duplicated(keep=False)].tolist()
    if alike:
        shown = " and ".join(map(repr, alike[:2]))
        raise CorpusError(f"{place} has the labels {shown}, which look like one: write them in the same way")
