"""Any corpus as a folder with a table `metadata.csv`, the layout of the `audiofolder` builder of `datasets`."""

from pathlib import Path

import pandas as pd
from datasets import DatasetDict

from paravox.corpora.faults import Faults, check_files, check_labels, check_splits
from paravox.corpora.splitting import SPLIT_NAMES, datasets_by_split, split_by_speaker
from paravox.modeling.errors import CorpusError
from paravox.modeling.tasks import Task


def read_metadata_csv(data_dir: str | Path, tasks: list[Task], seed: int = 0) -> DatasetDict:
    """Reads `metadata.csv`, with the columns `file_name`, `speaker`, `split` and one per label.

    An empty cell is an unknown label. Without a column `split`, speakers are dealt out to Train, Val and Test. Without
    a column `speaker`, every clip has a speaker of its own.

    Args:
        data_dir (`str` or `Path`): the folder that holds `metadata.csv`. File names are relative to it.
        tasks (list of [`Task`]): these decide which columns are needed and what these may hold.
        seed (`int`, *optional*, defaults to 0): of the order in which speakers are dealt out.

    Returns:
        `datasets.DatasetDict` of `train`, `validation` and `test`, whichever there are, with the columns `path`,
        `speaker`, `split` and all others of the file: those of the tasks, and any more, such as `sex`, as text. A
        column `path` of the file is replaced.

    Raises:
        CorpusError: one message with everything that is wrong.
    """
    folder = Path(data_dir)
    table = folder / "metadata.csv"
    if not table.is_file():
        raise CorpusError(f"{folder} has no metadata.csv: give the folder that holds it, with a column file_name")
    try:
        clips = pd.read_csv(table, dtype=str, keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise CorpusError(
            f"{table} is not a csv file that can be read ({error}): save it with commas in UTF-8"
        ) from None
    if "file_name" not in clips:
        raise CorpusError(f"{table} has no column file_name (found {', '.join(clips)}): add it")
    if clips.empty:
        raise CorpusError(f"{table} lists no clip: add rows")
    faults = Faults(table)
    if "speaker" not in clips:
        clips["speaker"] = clips["file_name"]
    if "split" in clips:
        splits = clips["split"].str.strip().str.lower().map(SPLIT_NAMES)
        faults.add("split that is none of train, validation, test", clips.loc[splits.isna(), "split"].unique().tolist())
        clips["split"] = splits
    else:
        clips["split"] = split_by_speaker(clips["speaker"], seed)
    check_files(faults, folder, clips["file_name"])
    check_splits(faults, clips)
    check_labels(faults, clips, tasks)
    faults.raise_if_any()
    paths = [str((folder / name).resolve()) for name in clips["file_name"]]
    # The file may have a column path of its own, which means something else.
    clips = clips.drop(columns=["file_name", "path"], errors="ignore")
    clips.insert(0, "path", paths)
    return datasets_by_split(clips)
