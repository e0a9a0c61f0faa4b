"""Several emotion corpora as one, with a task per corpus."""

import pandas as pd
from datasets import DatasetDict

from paravox.corpora.splitting import datasets_by_split


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
