"""How clips are dealt out to Train, Val and Test."""

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict

from paravox.corpora.faults import plain
from paravox.modeling.errors import ConfigError, CorpusError

SPLITS = ("train", "validation", "test")
# What people call the three splits, in lower case.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "development": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
}
SPLIT_SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
SPLIT_BY = ("speaker", "random")


def datasets_by_split(clips: pd.DataFrame) -> DatasetDict:
    """Turns a table with a column `split` into one dataset per split. Splits without clips are left out."""
    parts = {split: clips[clips["split"] == split] for split in SPLITS}
    return DatasetDict(
        {split: Dataset.from_pandas(part, preserve_index=False) for split, part in parts.items() if len(part)}
    )


def split_by_speaker(speakers: pd.Series, seed: int) -> pd.Series:
    """Deals speakers out, so that 70, 15 and 15 % of them (not of their clips) are in Train, Val and Test.

    Args:
        speakers (`pd.Series` of shape `(clips,)`): the speaker of each clip. Two spellings of a name that differ in
            case, blanks or Unicode form are one speaker. Clips of unknown speakers are in Train.
        seed (`int`): of the order in which speakers are dealt out.

    Returns:
        `pd.Series` of shape `(clips,)`: `train`, `validation` or `test`.
    """
    speakers = one_spelling(speakers)
    names = np.array(sorted(speakers.dropna().unique()))
    order = np.random.default_rng(seed).permutation(names)
    bounds = np.round(np.cumsum(list(SPLIT_SHARES.values()))[:-1] * len(names)).astype(int)
    parts = np.split(order, bounds)
    split_of = {name: split for split, part in zip(SPLIT_SHARES, parts, strict=True) for name in part}
    return speakers.map(split_of).fillna("train")


def one_spelling(names: pd.Series) -> pd.Series:
    """The same names, with those that differ in case, blanks or Unicode form alone in one spelling, their first one."""
    first: dict[str, str] = {}
    for name in sorted(names.dropna().unique()):
        first.setdefault(plain(name), name)
    return names.map({name: first[plain(name)] for name in names.dropna().unique()})


def split_clips(
    clips: Dataset, split_by: str = "speaker", folds: int = 10, fold: int = 0, seed: int = 0
) -> DatasetDict:
    """Deals the clips of an emotion corpus out to Train, Val and Test.

    Args:
        clips (`datasets.Dataset`): what the reader of the corpus returns.
        split_by (`str`, *optional*, defaults to `"speaker"`): `speaker` keeps the corpus's own split where it has one.
            Otherwise, no speaker is in two splits; in a corpus of sessions, in which speakers talk to each other, no
            session is. Clips of unknown speakers are in Train. `random` deals out 80, 10 and 10 % of the clips, so that
            speakers are in several splits, as in the released program of Chen and Yu.
        folds (`int`, *optional*, defaults to 10): the number of parts into which speakers are dealt. One part is Test,
            the next one is Val. There are never more parts than speakers.
        fold (`int`, *optional*, defaults to 0): the part that is Test.
        seed (`int`, *optional*, defaults to 0): of the order in which speakers or clips are dealt out.

    Returns:
        `datasets.DatasetDict` of `train`, `validation` and `test`.

    Raises:
        ConfigError: if a setting is impossible.
        CorpusError: if there are fewer than three speakers or sessions.
    """
    if split_by not in SPLIT_BY:
        raise ConfigError(f"split_by {split_by!r}: use {' or '.join(SPLIT_BY)}")
    table = clips.to_pandas()
    generator = np.random.default_rng(seed)
    if split_by == "random":
        bounds = np.round(np.array([0.8, 0.9]) * len(table)).astype(int)
        parts = np.split(generator.permutation(len(table)), bounds)
        for split, rows in zip(SPLITS, parts, strict=True):
            table.loc[rows, "split"] = split
    elif "split" not in table:
        unit = "session" if "session" in table else "speaker"
        table["split"] = _split_into_folds(one_spelling(table[unit]), unit, folds, fold, generator)
    return datasets_by_split(table)


def _split_into_folds(groups: pd.Series, unit: str, folds: int, fold: int, generator: np.random.Generator) -> pd.Series:
    names = np.array(sorted(groups.dropna().unique()))
    if len(names) < 3:
        raise CorpusError(
            f"{len(names)} {unit}s cannot be dealt out to Train, Val and Test without sharing one: use split_by: random"
        )
    parts = min(folds, len(names))
    if parts < 3 or not 0 <= fold < parts:
        raise ConfigError(
            f"fold {fold} of {folds} with {len(names)} {unit}s: give at least 3 folds, and a fold from 0 to {parts - 1}"
        )
    part_of = {name: position % parts for position, name in enumerate(generator.permutation(names))}
    roles = {fold: "test", (fold + 1) % parts: "validation"}
    return groups.map(lambda name: roles.get(part_of.get(name), "train"))
