"""Folders whose sub-folders are labels, or splits with labels in them: a layout of the `audiofolder` of `datasets`."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from datasets import DatasetDict

from paravox.corpora.faults import Faults, check_labels, check_splits, plain
from paravox.corpora.reading import list_audio, list_files, nothing_found
from paravox.corpora.splitting import SPLIT_NAMES, datasets_by_split, split_by_speaker
from paravox.modeling.errors import CorpusError
from paravox.modeling.tasks import Task

logger = logging.getLogger(__name__)

ADVICE = "give a folder with one sub-folder per label, or with a table metadata.csv"
# The column of the labels where no task gives them a name.
LABEL = "label"


def find_class_folders(folder: Path) -> pd.DataFrame:
    """Finds the recordings of a folder by the sub-folders that they are in.

    These are `LABEL/clip.wav`, or `train/LABEL/clip.wav` with the names of splits that [`SPLIT_NAMES`] has. A label may
    have sub-folders. Hidden files and folders are passed over.

    Returns:
        `pd.DataFrame` with the columns `path`, relative to the folder, `label`, and `split`, which is missing where the
        folders are no splits.

    Raises:
        CorpusError: if there is no recording, one lies beside the folders, some folders are splits and some are not, or
            two labels look like one.
    """
    files = [path.relative_to(folder) for path in list_audio(list_files(folder))]
    files = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    if not files:
        raise nothing_found(folder, "recording in a sub-folder per label", ADVICE)
    splits = [SPLIT_NAMES.get(path.parts[0].strip().lower()) for path in files]
    # A folder `test` with recordings in it is a label; one with folders in it is a split.
    by_split = any(splits) and all(len(path.parts) > 2 for path, split in zip(files, splits, strict=True) if split)
    others = sorted({path.parts[0] for path, split in zip(files, splits, strict=True) if not split})
    if by_split and others:
        raise CorpusError(
            f"{folder} has folders of splits and beside them {others[0]!r}, which is none of train, validation, test: "
            "move it, or rename it"
        )
    depth = 1 if by_split else 0
    beside = [path for path in files if len(path.parts) <= depth + 1]
    if beside:
        raise CorpusError(
            f"{folder}: {beside[0]} lies beside the folders of the labels, and so do {len(beside) - 1} more "
            f"recordings: move each into the folder of its label, or {ADVICE}"
        )
    labels = [path.parts[depth] for path in files]
    refuse_labels_alike(folder, labels)
    return pd.DataFrame({"path": list(map(str, files)), "label": labels, "split": splits if by_split else None})


def read_class_folders(
    data_dir: str | Path, tasks: Sequence[Task] = (), seed: int = 0, to_train: bool = True
) -> DatasetDict:
    """Reads a folder with one sub-folder per label, or with sub-folders train, validation and test that have these.

    Nothing says who speaks, so every clip has a speaker of its own. Without folders of splits, the clips of each label
    are dealt out to Train, Val and Test, and a warning says so.

    Args:
        data_dir (`str` or `Path`): the folder.
        tasks (sequence of [`Task`], *optional*): none, or one of kind `classes`, whose labels are the names of folders.
        seed (`int`, *optional*, defaults to 0): of the order in which clips are dealt out.
        to_train (`bool`, *optional*, defaults to `True`): whether Train must have clips of every class.

    Returns:
        `datasets.DatasetDict` of `train`, `validation` and `test`, whichever there are, with the columns `path`,
        `speaker`, `split` and the labels, in a column with the name of the task, or `label` without one.

    Raises:
        CorpusError: if the folders cannot be read in this way, or do not fit the tasks.
    """
    folder = Path(data_dir)
    clips = find_class_folders(folder)
    found = ", ".join(sorted(set(clips["label"])))
    if tasks and (len(tasks) > 1 or tasks[0].kind != "classes"):
        raise CorpusError(
            f"{folder} has one label per clip, which is the name of its folder, but the tasks are "
            f"{', '.join(f'{task.name} ({task.kind})' for task in tasks)}: give the one task "
            f"{{name: {LABEL}, kind: classes, labels: [{found}]}}, or a table metadata.csv"
        )
    if tasks and tasks[0].name in ("path", "speaker", "split"):
        raise CorpusError(f"a task is named {tasks[0].name!r}, as a column that holds no label: rename the task")
    clips = clips.rename(columns={"label": tasks[0].name if tasks else LABEL})
    clips.insert(1, "speaker", clips["path"])
    if clips["split"].isna().all():
        labels = clips.columns[2]
        clips["split"] = clips.groupby(labels)["speaker"].transform(lambda names: split_by_speaker(names, seed))
        logger.warning(
            "%s: the clips of each label were dealt out to Train, Val and Test. Nothing says who speaks, so a voice "
            "may be in several of them, and scores may be too high for new voices",
            folder,
        )
    faults = Faults(folder)
    check_splits(faults, clips, to_train)
    check_labels(faults, clips, list(tasks), to_train)
    faults.raise_if_any()
    clips["path"] = [str(folder.absolute() / name) for name in clips["path"]]
    return datasets_by_split(clips)


def refuse_labels_alike(place: Path, labels: Sequence[str]) -> None:
    """Raises [`CorpusError`] if two labels differ in case, blanks or Unicode form alone."""
    names = pd.Series(sorted(set(labels)))
    alike = names[names.map(plain).duplicated(keep=False)].tolist()
    if alike:
        shown = " and ".join(map(repr, alike[:2]))
        raise CorpusError(f"{place} has the labels {shown}, which look like one: write them in the same way")
