"""Any corpus as a saved `datasets.Dataset`, as Parquet, or under its name on the Hub."""

import re
from pathlib import Path

from datasets import Audio, Dataset, DatasetDict, Value, load_dataset, load_from_disk

from paravox.corpora.faults import SHOWN_OFFENDERS, speakers_and_splits
from paravox.corpora.reading import list_files, warn_with_examples
from paravox.corpora.splitting import SPLIT_NAMES, SPLITS
from paravox.corpora.tables import LFS_POINTER
from paravox.modeling.errors import CorpusError


def read_dataset(data_dir: str | Path) -> DatasetDict:
    """Opens a dataset with an audio column, which stays undecoded.

    Args:
        data_dir (`str` or `Path`): a folder written by `save_to_disk`, a Parquet file, a folder of Parquet files whose
            names (or whose folders' names) begin with their split, or a name on the Hub.

    Returns:
        `datasets.DatasetDict` of `train`, `validation` and `test`, whichever there are. A dataset without splits is
        `train`.

    Raises:
        CorpusError: if there is no such dataset, or it has another split.
    """
    place = Path(data_dir)
    try:
        if place.is_dir() and any((place / name).is_file() for name in ("dataset_dict.json", "state.json")):
            opened = load_from_disk(str(data_dir))
        elif place.is_dir():
            opened = load_dataset("parquet", data_files=_parquet_files(place))
        elif place.is_file():
            _refuse_pointers([place])
            opened = load_dataset("parquet", data_files=str(data_dir))
        else:
            opened = load_dataset(str(data_dir))
    except CorpusError:
        raise
    # A damaged file makes the libraries behind these functions raise errors of any class.
    except Exception as error:
        raise CorpusError(
            f"{str(data_dir)!r} holds no dataset that can be opened ({_first_reason(error)}): give a folder written by "
            "save_to_disk, Parquet files, or a name on the Hub that can be reached from here"
        ) from error
    splits = {"train": opened} if isinstance(opened, Dataset) else dict(opened)
    unknown = [split for split in splits if split.lower() not in SPLIT_NAMES]
    if unknown:
        raise CorpusError(f"{str(data_dir)!r} has a split {unknown[0]!r}: name its splits train, validation and test")
    repeated = [split for split in SPLITS if sum(SPLIT_NAMES[found.lower()] == split for found in splits) > 1]
    if repeated:
        raise CorpusError(f"{str(data_dir)!r} has two splits that mean {repeated[0]}: join or rename one")
    named = DatasetDict({SPLIT_NAMES[split.lower()]: _undecoded(clips) for split, clips in splits.items()})
    _warn_of_shared_speakers(str(data_dir), named)
    return named


def _first_reason(error: BaseException) -> str:
    """What went wrong at first, because the last error may only say that something did."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:200] or type(error).__name__


def _parquet_files(folder: Path) -> dict[str, list[str]]:
    """Finds the files of each split, which begin their name, or their folder's name, with it.

    Files that name no split are Train.

    Raises:
        CorpusError: if there is no Parquet file, or some files name Train and others no split.
    """
    files: dict[str, list[str]] = {}
    unnamed: list[str] = []
    paths = [path for path in list_files(folder) if path.suffix.lower() == ".parquet"]
    _refuse_pointers(paths)
    for path in paths:
        names = (re.split(r"[\W_\d]", name.lower())[0] for name in (path.stem, path.parent.name))
        split = next((SPLIT_NAMES[name] for name in names if name in SPLIT_NAMES), None)
        (unnamed if split is None else files.setdefault(split, [])).append(str(path))
    if "train" in files and unnamed:
        raise CorpusError(
            f"{folder} has Parquet files of {', '.join(files)} and others whose names begin with no split "
            f"({', '.join(unnamed[:SHOWN_OFFENDERS])}): begin their names with train, validation or test"
        )
    if files:
        warn_with_examples(str(folder), "Parquet files that name no split, which are Train", unnamed)
    if not paths:
        raise CorpusError(f"{folder} holds neither a saved dataset nor a Parquet file: give another folder")
    return files | ({"train": unnamed} if unnamed else {})


def _refuse_pointers(files: list[Path]) -> None:
    for path in files:
        with open(path, "rb") as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                raise CorpusError(f"{path} is a pointer of Git LFS and not the file itself: fetch it with git lfs pull")


def _warn_of_shared_speakers(place: str, splits: DatasetDict) -> None:
    names = [name for clips in splits.values() if "speaker" in clips.column_names for name in clips["speaker"][:]]
    of_split = [split for split, clips in splits.items() if "speaker" in clips.column_names for _ in range(len(clips))]
    shared = [str(name) for name, found in speakers_and_splits(names, of_split)[0].items() if len(found) > 1]
    warn_with_examples(place, "speakers in more than one split, whom a model would know when it is tested", shared)


def _undecoded(clips: Dataset) -> Dataset:
    """Gives the same clips, with paths or bytes in their audio column."""
    for name, feature in clips.features.items():
        if isinstance(feature, Audio):
            return clips.cast_column(name, Audio(decode=False))
    if "audio" not in clips.column_names:
        return clips
    if getattr(clips.features["audio"], "dtype", None) == "large_string":
        clips = clips.cast_column("audio", Value("string"))
    return clips.cast_column("audio", Audio(decode=False))
