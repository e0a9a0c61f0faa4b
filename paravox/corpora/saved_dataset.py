"""Any corpus as a saved `datasets.Dataset`, as Parquet, or under its name on the Hub."""

from pathlib import Path

from datasets import Audio, Dataset, DatasetDict, Value, load_dataset, load_from_disk

from paravox.corpora.splitting import SPLIT_NAMES
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
            opened = load_dataset("parquet", data_files=str(data_dir))
        else:
            opened = load_dataset(str(data_dir))
    except CorpusError:
        raise
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"{str(data_dir)!r} holds no dataset that can be opened ({' '.join(str(error).split())[:200]}): give a "
            "folder written by save_to_disk, Parquet files, or a name on the Hub that can be reached from here"
        ) from error
    splits = {"train": opened} if isinstance(opened, Dataset) else dict(opened)
    unknown = [split for split in splits if split.lower() not in SPLIT_NAMES]
    if unknown:
        raise CorpusError(f"{str(data_dir)!r} has a split {unknown[0]!r}: name its splits train, validation and test")
    return DatasetDict({SPLIT_NAMES[split.lower()]: _undecoded(clips) for split, clips in splits.items()})


def _parquet_files(folder: Path) -> dict[str, list[str]]:
    """Finds the files of each split, which begin their name, or their folder's name, with it."""
    files: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        name = path.stem.split("-")[0].lower()
        split = name if name in SPLIT_NAMES else path.parent.name.lower()
        files.setdefault(SPLIT_NAMES.get(split, "train"), []).append(str(path))
    if not files:
        raise CorpusError(f"{folder} holds neither a saved dataset nor a Parquet file: give another folder")
    return files


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
