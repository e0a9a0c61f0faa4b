"""Any corpus as a folder with a table `metadata.csv`, the layout of the `audiofolder` builder of `datasets`."""

import logging
import os
from pathlib import Path

import pandas as pd
from datasets import DatasetDict

from paravox.corpora.faults import Faults, check_files, check_labels, check_splits
from paravox.corpora.splitting import SPLIT_NAMES, datasets_by_split, split_by_speaker
from paravox.corpora.tables import read_table
from paravox.modeling.errors import CorpusError
from paravox.modeling.tasks import Task

logger = logging.getLogger(__name__)

# The columns that mean something whatever the tasks are.
NAMED_COLUMNS = ("file_name", "speaker", "split", "path")


def read_metadata_csv(
    data_dir: str | Path, tasks: list[Task], seed: int = 0, to_train: bool = True, metadata: str = "metadata.csv"
) -> DatasetDict:
    """Reads `metadata.csv`, with the columns `file_name`, `speaker`, `split` and one per label.

    The names of the columns are matched whatever their case and outer blanks, and cells are taken as they are. An empty
    cell is an unknown label. Without a column `split`, speakers are dealt out to Train, Val and Test, and clips of
    unknown speakers go to Train. Without a column `speaker`, every clip has a speaker of its own. The columns may also
    be separated by semicolons or tabs, and the file may be in UTF-16, as spreadsheets write it.

    Args:
        data_dir (`str` or `Path`): the folder that holds `metadata.csv`. File names are relative to it.
        tasks (list of [`Task`]): these decide which columns are needed and what these may hold.
        seed (`int`, *optional*, defaults to 0): of the order in which speakers are dealt out.
        to_train (`bool`, *optional*, defaults to `True`): whether Train must have clips with labels of every task and
            of every class, as a model that learns from them needs.
        metadata (`str`, *optional*, defaults to `"metadata.csv"`): the name of the table, where a folder has more than
            one.

    Returns:
        `datasets.DatasetDict` of `train`, `validation` and `test`, whichever there are, with the columns `path`,
        `speaker`, `split` and all others of the file: those of the tasks, and any more, such as `sex`, as text. A
        column `path` of the file is replaced.

    Raises:
        CorpusError: one message with everything that is wrong.
    """
    folder = Path(data_dir)
    table = folder / metadata
    if not table.is_file():
        raise CorpusError(f"{folder} has no {metadata}: give the folder that holds it, with a column file_name")
    labels = [name for task in tasks for name in (task.labels if task.kind == "intensities" else [task.name])]
    reserved = [name for name in labels if name in NAMED_COLUMNS]
    if reserved:
        raise CorpusError(
            f"{table}: a task has the label {reserved[0]!r}, but the column of that name holds no label: rename both"
        )
    clips = read_table(table, ["file_name"], ["speaker", "split", *labels], "add it")
    if clips.empty:
        raise CorpusError(f"{table} lists no clip: add rows")
    faults = Faults(table)
    has_speakers = "speaker" in clips
    if not has_speakers:
        clips["speaker"] = clips["file_name"]
    if "split" in clips:
        splits = clips["split"].str.strip().str.lower().map(SPLIT_NAMES)
        faults.add("split that is none of train, validation, test", clips.loc[splits.isna(), "split"].unique().tolist())
        clips["split"] = splits
    else:
        _refuse_split_of_other_name(table, clips)
        clips["split"] = split_by_speaker(clips["speaker"], seed)
        logger.warning(
            "%s has no column split: %s were dealt out to Train, Val and Test",
            table,
            "its speakers"
            if has_speakers
            else "its clips, each of which counts as a speaker because there is no column speaker either,",
        )
    check_files(faults, folder, clips["file_name"])
    check_splits(faults, clips, to_train)
    check_labels(faults, clips, tasks, to_train)
    faults.raise_if_any()
    # Links are kept: the files of a cache behind them have other names.
    paths = [os.path.abspath(folder / name) for name in clips["file_name"]]
    # The file may have a column path of its own, which means something else.
    clips = clips.drop(columns=["file_name", "path"], errors="ignore")
    clips.insert(0, "path", paths)
    return datasets_by_split(clips)


def _refuse_split_of_other_name(table: Path, clips: pd.DataFrame) -> None:
    """Raises [`CorpusError`] if a column holds nothing but names of splits, which would be ignored otherwise."""
    for name in clips.columns.difference(NAMED_COLUMNS):
        values = clips[name].dropna()
        if len(values) and values.str.strip().str.lower().isin(SPLIT_NAMES).all():
            raise CorpusError(
                f"{table} has no column 'split', but its column {name!r} holds names of splits: rename it to 'split' "
                "if it means that, or remove it"
            )
