"""The corpus of the ExVo 2022 challenge (HUME-VB) as its owners distribute it."""

import logging
from pathlib import Path

import pandas as pd
from datasets import DatasetDict

from paravox.corpora.faults import SHOWN_OFFENDERS, Faults, check_splits, with_comma_named
from paravox.corpora.splitting import datasets_by_split
from paravox.corpora.tables import read_table
from paravox.modeling.errors import ConfigError, CorpusError

logger = logging.getLogger(__name__)

# In the order of the columns of data_info.csv and of the challenge's submissions. The paper sorts them by alphabet.
EMOTIONS = (
    "Awe",
    "Excitement",
    "Amusement",
    "Awkwardness",
    "Fear",
    "Horror",
    "Distress",
    "Triumph",
    "Sadness",
    "Surprise",
)
# In the order in which the challenge numbers them.
COUNTRIES = ("China", "South Africa", "USA", "Venezuela")
COUNTRY_NAMES = {name.lower(): name for name in COUNTRIES} | {"united states": "USA"}
AGES = (20.0, 40.0)
COLUMNS = ("File_ID", "Split", "Subject_ID", "Country", "Age", *EMOTIONS)
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
PAPER_COUNTS = {"train": 19_990, "validation": 19_396, "test": 19_815}  # Burst2Vec, table 1
AUDIO_FOLDERS = {"provided": ("wav", "wav_norm"), "raw": ("raw", "webm")}
AUDIO_SUFFIXES = {"provided": (".wav",), "raw": (".webm", ".wav")}


def read_exvo(data_dir: str | Path, audio: str = "provided", to_train: bool = True) -> DatasetDict:
    """Reads ExVo: `data_info.csv`, in the folder itself or in `baseline/`, and a folder of recordings.

    The table may have a column `Country_string` or not, intensities from 0 to 1 or from 1 to 100, and countries by
    number or by name. Test rows have no labels, except for a few in a later copy of the table, which are only
    for scoring.

    Args:
        data_dir (`str` or `Path`): the folder of the corpus.
        audio (`str`, *optional*, defaults to `"provided"`): `"provided"` reads the processed files in `wav/`, `"raw"`
            the unprocessed ones in `raw/` or `webm/`, which are WAV, or WebM, which needs the `[av]` extra.
        to_train (`bool`, *optional*, defaults to `True`): whether Train must have clips.

    Returns:
        `datasets.DatasetDict` of `train`, `validation` and `test`, with `file_id`, `path`, `speaker`, `split`, the ten
        emotions in 0..1, `age` in years and `country`.

    Raises:
        ConfigError: if `audio` has another value.
        CorpusError: one message with everything that is wrong.
    """
    if audio not in AUDIO_FOLDERS:
        raise ConfigError(f"audio {audio!r}: use provided or raw")
    root = Path(data_dir)
    tables = [path for path in (root / "data_info.csv", root / "baseline" / "data_info.csv") if path.is_file()]
    if not tables:
        raise CorpusError(f"{root} has no data_info.csv, nor has its folder baseline: give the folder of ExVo")
    table = tables[0]
    raw = read_table(table, COLUMNS, advice="use the challenge's file")
    # Copies of the table that pandas has written hold these words in their empty cells.
    raw = raw.mask(raw.isin(["NaN", "nan"]))
    faults = Faults(table)
    faults.add("row without File_ID", [f"line {line}" for line in raw.index[raw["File_ID"].isna()]])
    raw = raw[raw["File_ID"].notna()]
    clips = pd.DataFrame({"file_id": raw["File_ID"].str.strip().str.strip("[]")})
    clips["speaker"] = raw["Subject_ID"]
    clips["split"] = raw["Split"].str.strip().str.lower().map(SPLIT_NAMES)
    faults.add("split that is none of Train, Val, Test", raw.loc[clips["split"].isna(), "Split"].unique().tolist())
    faults.add("File_ID listed twice", clips.loc[clips["file_id"].duplicated(), "file_id"].tolist())
    for emotion, values in _intensities(faults, raw).items():
        clips[emotion] = values
    clips["age"] = _ages(faults, raw["Age"])
    clips["country"] = _countries(faults, raw["Country"])
    _check_complete(faults, clips)
    check_splits(faults, clips, to_train)
    clips.insert(1, "path", _find_audio(faults, root, clips["file_id"], audio))
    faults.raise_if_any()
    _warn_of_counts(clips)
    return datasets_by_split(clips)


def _numbers(faults: Faults, values: pd.Series, what: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    faults.add(f"{what} that is not a number", with_comma_named(values[values.notna() & numbers.isna()]))
    return numbers


def _intensities(faults: Faults, raw: pd.DataFrame) -> pd.DataFrame:
    values = pd.DataFrame({emotion: _numbers(faults, raw[emotion], emotion) for emotion in EMOTIONS})
    if values.max(axis=None) > 1.5:
        values /= 100
    for emotion in EMOTIONS:
        outside = (values[emotion] < 0) | (values[emotion] > 1)
        faults.add(f"intensity of {emotion} outside 0 to 1 (or 1 to 100)", values.loc[outside, emotion].tolist())
    return values


def _ages(faults: Faults, raw: pd.Series) -> pd.Series:
    ages = _numbers(faults, raw, "age")
    faults.add(f"age outside {AGES[0]:g} to {AGES[1]:g} years", ages[(ages < AGES[0]) | (ages > AGES[1])].tolist())
    return ages


def _countries(faults: Faults, raw: pd.Series) -> pd.Series:
    text = raw.str.strip()
    numbers = pd.to_numeric(text, errors="coerce")
    by_number = numbers.map(dict(enumerate(COUNTRIES)))
    countries = by_number.where(numbers.notna(), text.str.lower().map(COUNTRY_NAMES))
    unknown = text.notna() & countries.isna()
    faults.add(f"country that is none of 0 to 3 or {', '.join(COUNTRIES)}", text[unknown].unique().tolist())
    return countries.astype(object).where(countries.notna(), None)


def _check_complete(faults: Faults, clips: pd.DataFrame) -> None:
    labelled = clips[clips["split"] != "test"]
    incomplete = labelled[[*EMOTIONS, "age", "country"]].isna().any(axis=1)
    faults.add("Train or Val row without all its labels", labelled.loc[incomplete, "file_id"].tolist())


def _find_audio(faults: Faults, root: Path, file_ids: pd.Series, audio: str) -> list[str | None]:
    folders = [root / name for name in AUDIO_FOLDERS[audio] if (root / name).is_dir()]
    if not folders:
        names = " or ".join(f"{name}/" for name in AUDIO_FOLDERS[audio])
        other = "provided" if audio == "raw" else "raw"
        raise CorpusError(
            f"{root} has no folder {names} for audio: {audio}: add it, or read the other files by audio: {other}"
        )
    # Each folder is listed once: looking up 59,201 files one by one takes minutes on a network disk.
    found = {
        path.stem: path
        for folder in reversed(folders)
        for suffix in reversed(AUDIO_SUFFIXES[audio])
        for path in folder.iterdir()
        if path.suffix.lower() == suffix
    }
    faults.add("missing recording", [file_id for file_id in file_ids if file_id not in found])
    return [str(found[file_id].resolve()) if file_id in found else None for file_id in file_ids]


def _warn_of_counts(clips: pd.DataFrame) -> None:
    counts = clips["split"].value_counts().to_dict()
    differing = [f"{split} {counts.get(split, 0):,} instead of {count:,}" for split, count in PAPER_COUNTS.items()]
    if counts != PAPER_COUNTS:
        logger.warning("the counts differ from the paper's: %s", "; ".join(differing[:SHOWN_OFFENDERS]))
