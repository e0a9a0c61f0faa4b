"""Corpora with one emotion a clip, by name: opened, split by speaker, and merged into one with a task per corpus."""

from collections.abc import Callable
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict

from paravox.corpora import acted_corpora, esd, iemocap, masc, msp_improv, msp_podcast
from paravox.corpora.faults import SPLITS
from paravox.corpora.metadata_csv import as_dataset_dict
from paravox.modeling.errors import ConfigError, CorpusError, did_you_mean
from paravox.modeling.tasks import Task

READERS: dict[str, tuple[Callable[..., Dataset], tuple[str, ...]]] = {
    "iemocap": (iemocap.read_iemocap, iemocap.LABELS),
    "msp_improv": (msp_improv.read_msp_improv, msp_improv.LABELS),
    "msp_podcast": (msp_podcast.read_msp_podcast, msp_podcast.LABELS),
    "masc": (masc.read_masc, masc.LABELS),
    "esd": (esd.read_esd, esd.LABELS),
    "emodb": (acted_corpora.EMODB.read, acted_corpora.EMODB.labels),
    "ased": (acted_corpora.ASED.read, acted_corpora.ASED.labels),
    "turev": (acted_corpora.TUREV.read, acted_corpora.TUREV.labels),
    "ravdess": (acted_corpora.RAVDESS.read, acted_corpora.RAVDESS.labels),
}
SPLIT_BY = ("speaker", "random")
NO_CORPUS = "none"


def power_set(corpora: list[str]) -> list[tuple[str, ...]]:
    """Every combination of corpora, the empty one first, then by size (section 3.2); each in the order given."""
    return list(chain.from_iterable(combinations(corpora, size) for size in range(len(corpora) + 1)))


def combination_name(corpora: tuple[str, ...] | list[str]) -> str:
    """The name of a combination, whatever its order: its corpora, sorted and joined by +; `none` for the empty one."""
    return "+".join(sorted(corpora)) or NO_CORPUS


def read_corpus(name: str, data_dir: str | Path, **options: Any) -> tuple[Dataset, Task]:
    """Opens a corpus by its name.

    Args:
        name (`str`): a key of `READERS`.
        data_dir (`str` or `Path`): its folder.
        options: of its reader, such as `no_majority`.

    Returns:
        the clips with `path`, `speaker`, `emotion` and, where the corpus brings one, `split`; and the task that predicts
        its emotion, with the corpus's whole label set, whatever occurs.

    Raises:
        ConfigError: if there is no such reader or it has no such option.
        CorpusError: if the corpus cannot be read.
    """
    if name not in READERS:
        raise ConfigError(f"corpus {name!r} is not known: {did_you_mean(name, READERS)}")
    reader, labels = READERS[name]
    try:
        clips = reader(data_dir, **options)
    except TypeError as error:
        if "keyword argument" not in str(error):
            raise
        raise ConfigError(
            f"corpus {name!r}: its reader takes no such option ({error}): correct corpus_options"
        ) from None
    # An option of the reader may keep raw codes as labels of their own.
    labels = [*labels, *sorted(set(clips["emotion"]) - set(labels))]
    return clips, Task(name, kind="classes", labels=tuple(labels))


def split_clips(
    clips: Dataset, split_by: str = "speaker", folds: int = 10, fold: int = 0, seed: int = 0
) -> DatasetDict:
    """Deals the clips of a corpus out to Train, Val and Test.

    Args:
        clips (`datasets.Dataset`): as a reader gives them.
        split_by (`str`, *optional*, defaults to `"speaker"`): the corpus's own split where it brings one, otherwise no
            speaker in two parts (no session, where speakers talk to each other in sessions), clips of unknown speakers
            in Train; or `random`: 80, 10 and 10 % of the clips, speakers on both sides, as the released program does.
        folds (`int`, *optional*, defaults to 10): into how many parts speakers are dealt; one is Test, the next Val.
            No more than there are speakers.
        fold (`int`, *optional*, defaults to 0): which of them is Test.
        seed (`int`, *optional*, defaults to 0): of the dealing.

    Raises:
        ConfigError: if a setting is impossible.
        CorpusError: if there are fewer than three speakers.
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
        table["split"] = _split_by_group(table, folds, fold, generator)
    return as_dataset_dict(table)


def _split_by_group(table: pd.DataFrame, folds: int, fold: int, generator: np.random.Generator) -> pd.Series:
    groups = table["session" if "session" in table else "speaker"]
    names = np.array(sorted(groups.dropna().unique()))
    if len(names) < 3:
        raise CorpusError(
            f"{len(names)} speakers cannot be dealt out to Train, Val and Test without sharing one: use split_by: random"
        )
    parts = min(folds, len(names))
    if parts < 3 or not 0 <= fold < parts:
        raise ConfigError(f"fold {fold} of {folds}: give at least 3 folds, and a fold from 0 to {parts - 1}")
    part_of = {name: position % parts for position, name in enumerate(generator.permutation(names))}
    roles = {fold: "test", (fold + 1) % parts: "validation"}
    return groups.map(lambda name: roles.get(part_of.get(name), "train"))


def merge_corpora(corpora: dict[str, DatasetDict]) -> DatasetDict:
    """Several corpora as one: `path`, `speaker`, `split`, and a column per corpus with the emotions of its own clips."""
    tables = []
    for name, splits in corpora.items():
        for split, clips in splits.items():
            table = clips.to_pandas()
            tables.append(
                pd.DataFrame(
                    {"path": table["path"], "speaker": table["speaker"], "split": split, name: table["emotion"]}
                )
            )
    merged = pd.concat(tables, ignore_index=True).astype(object)
    return as_dataset_dict(merged.where(merged.notna(), None))
