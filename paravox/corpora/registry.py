"""A corpus by name: which reader opens it."""

from pathlib import Path

from datasets import Audio, Dataset, DatasetDict, Value, load_dataset, load_from_disk

from paravox.modeling.errors import ConfigError, CorpusError, did_you_mean
from paravox.modeling.tasks import Task

from .exvo import read_exvo
from .metadata_csv import SPLIT_NAMES, read_metadata_csv

CORPORA = ("exvo", "metadata_csv", "dataset")


def load_corpus(corpus: str, data_dir: str, tasks: list[Task], audio: str = "provided") -> DatasetDict:
    """Opens a corpus.

    Args:
        corpus (`str`): `exvo`; `metadata_csv`, a folder with that file; or `dataset`: what `save_to_disk` wrote, a file or
            folder of Parquet, or a name on the Hub, with one column of audio.
        data_dir (`str`): where it is.
        tasks (list of [`Task`]): which labels it must have.
        audio (`str`, *optional*, defaults to `"provided"`): ExVo's processed files, or `raw`.

    Returns:
        `datasets.DatasetDict` with `train`, `validation` and `test`, whichever there are.

    Raises:
        ConfigError: if there is no such reader.
        CorpusError: if the corpus cannot be read.
    """
    if corpus not in CORPORA:
        raise ConfigError(f"corpus {corpus!r} is not known: {did_you_mean(corpus, CORPORA)}")
    if corpus == "exvo":
        return read_exvo(data_dir, audio)
    if corpus == "metadata_csv":
        return read_metadata_csv(data_dir, tasks)
    return read_dataset(data_dir)


def read_dataset(data_dir: str) -> DatasetDict:
    """Opens a `datasets.Dataset` with an audio column, which stays undecoded.

    Raises:
        CorpusError: if there is none at that place.
    """
    place = Path(data_dir)
    try:
        if place.is_dir() and any((place / name).is_file() for name in ("dataset_dict.json", "state.json")):
            opened = load_from_disk(data_dir)
        elif place.is_dir():
            opened = load_dataset("parquet", data_files=_parquet_files(place))
        elif place.is_file():
            opened = load_dataset("parquet", data_files=data_dir)
        else:
            opened = load_dataset(data_dir)
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"{data_dir!r} holds no dataset that can be opened ({' '.join(str(error).split())[:200]}): give a folder written "
            "by save_to_disk, Parquet files, or a name on the Hub that can be reached from here"
        ) from error
    splits = {"train": opened} if isinstance(opened, Dataset) else dict(opened)
    unknown = [split for split in splits if split.lower() not in SPLIT_NAMES]
    if unknown:
        raise CorpusError(f"{data_dir!r} has a split {unknown[0]!r}: name its splits train, validation and test")
    return DatasetDict({SPLIT_NAMES[split.lower()]: _undecoded(clips) for split, clips in splits.items()})


def _parquet_files(folder: Path) -> dict[str, list[str]]:
    """Per split, the files whose name, or whose folder's name, begins with it."""
    files: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        name = path.stem.split("-")[0].lower()
        split = name if name in SPLIT_NAMES else path.parent.name.lower()
        files.setdefault(SPLIT_NAMES.get(split, "train"), []).append(str(path))
    if not files:
        raise CorpusError(f"{folder} holds neither a saved dataset nor a Parquet file: give another folder")
    return files


def _undecoded(clips: Dataset) -> Dataset:
    """The same clips with their audio column as paths or bytes."""
    for name, feature in clips.features.items():
        if isinstance(feature, Audio):
            return clips.cast_column(name, Audio(decode=False))
    if "audio" not in clips.column_names:
        return clips
    if getattr(clips.features["audio"], "dtype", None) == "large_string":
        clips = clips.cast_column("audio", Value("string"))
    return clips.cast_column("audio", Audio(decode=False))
