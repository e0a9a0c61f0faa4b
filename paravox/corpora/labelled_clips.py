"""A few labelled clips: a folder with one sub-folder per label, or a table with the columns file_name and label."""

from pathlib import Path
from typing import NamedTuple

from paravox.corpora.class_folders import find_class_folders, refuse_labels_alike
from paravox.corpora.faults import Faults, check_files
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
    refuse_labels_alike(place, clips.labels)
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
    clips = find_class_folders(folder)
    if clips["split"].notna().any():
        first = Path(clips["path"][clips["split"].eq("train").argmax()]).parts[0]
        raise CorpusError(
            f"{folder} has folders of splits, such as {first}, with the labels in them: give one of them, such as "
            f"{folder / first}"
        )
    paths = [str(folder / name) for name in clips["path"]]
    return LabelledClips(paths, clips["label"].tolist(), None, f"the sub-folders of {folder}")
