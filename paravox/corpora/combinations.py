"""Combinations of emotion corpora for pre-finetuning, and several corpora as one with a task per corpus."""

from collections.abc import Sequence
from itertools import chain, combinations

import pandas as pd
from datasets import DatasetDict

from paravox.corpora.splitting import datasets_by_split

NO_CORPUS = "none"


def power_set(corpora: Sequence[str]) -> list[tuple[str, ...]]:
    """Lists all combinations of corpora: the empty one first, then by size (Chen and Yu, section 3.2).

    Within a combination, the corpora are in the given order.
    """
    return list(chain.from_iterable(combinations(corpora, size) for size in range(len(corpora) + 1)))


def combination_name(corpora: Sequence[str]) -> str:
    """Names a combination, whatever its order: its corpora sorted and joined by `+`, or `none` for the empty one."""
    return "+".join(sorted(corpora)) or NO_CORPUS


def merge_corpora(corpora: dict[str, DatasetDict]) -> DatasetDict:
    """Puts several corpora into one.

    Args:
        corpora (`dict` of `datasets.DatasetDict`): from the name of a corpus to its splits, whose clips have the
            columns `path`, `speaker` and `emotion`.

    Returns:
        `datasets.DatasetDict`: in each split, the clips of the first corpus in their order, then those of the next one.
        Columns are `path`, `speaker`, `split` and one per corpus, which has the emotions of that corpus's clips and
        `None` for all others.
    """
    tables = []
    for name, splits in corpora.items():
        for split, clips in splits.items():
            table = clips.to_pandas()
            columns = {"path": table["path"], "speaker": table["speaker"], "split": split, name: table["emotion"]}
            tables.append(pd.DataFrame(columns))
    merged = pd.concat(tables, ignore_index=True).astype(object)
    return datasets_by_split(merged.where(merged.notna(), None))
