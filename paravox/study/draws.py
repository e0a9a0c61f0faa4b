"""Which clips each trial of the few-shot study is given (section 3.3)."""

import zlib
from math import ceil
from typing import NamedTuple

import numpy as np
import pandas as pd

from paravox.corpora.registry import read_corpus
from paravox.modeling.errors import CorpusError
from paravox.study.grid import StudySettings, Trial


class TrialClips(NamedTuple):
    """The clips of a trial as rows of the study's table, and whether each has the trial's emotion.

    A trial trains on `train`, picks its epoch on `evaluation` and is scored on `test`. Rows are `(clips,)` of int,
    labels `(clips,)` of bool.
    """

    train: np.ndarray
    train_labels: np.ndarray
    evaluation: np.ndarray
    evaluation_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def read_speakers(settings: StudySettings, data_dir: str) -> pd.DataFrame:
    """Reads the clips of the study's speakers, in an order that does not depend on where the corpus is stored.

    Returns:
        `pandas.DataFrame`: columns `path`, `speaker`, `emotion`, `name` (of the file, without its suffix) and `split`
        (`train`, `validation` for the evaluation part, `test`), sorted by speaker and name.

    Raises:
        CorpusError: if a speaker or an emotion has no clip at all, or the corpus does not split the clips of each
            speaker.
    """
    clips = read_corpus(settings.corpus, data_dir)[0].to_pandas()
    if "split" not in clips:
        raise CorpusError(
            f"corpus {settings.corpus!r} has no train, evaluation and test part for each speaker: use esd"
        )
    for column, wanted in (("speaker", settings.speakers), ("emotion", settings.emotions)):
        absent = [value for value in wanted if value not in set(clips[column])]
        if absent:
            raise CorpusError(
                f"{data_dir}: no clip of {column} {absent[0]!r}, found {', '.join(sorted(set(clips[column]))[:30])}: "
                f"correct {column}s"
            )
    clips = clips[clips["speaker"].isin(settings.speakers)]
    names = clips["path"].str.rsplit("/", n=1).str[-1].str.rsplit(".", n=1).str[0]
    return clips.assign(name=names).sort_values(["speaker", "name"]).reset_index(drop=True)


def draw_clips(clips: pd.DataFrame, trial: Trial, corpus: str, seed: int) -> TrialClips | str:
    """Draws the clips of a trial, which depend on nothing but corpus, speaker, emotion, k, repetition and seed.

    ceil(k/2) positive and as many negative clips are drawn from the speaker's train part, the negatives from all other
    emotions. The clips of a smaller k are among those of a larger one.

    Args:
        clips (`pandas.DataFrame`): from [`read_speakers`].
        trial ([`Trial`]): its checkpoint plays no part.
        corpus (`str`): the name of the corpus.
        seed (`int`): of the study.

    Returns:
        [`TrialClips`], or a sentence that says which clips are missing.
    """
    own = clips[clips["speaker"] == trial.speaker]
    positive = own["emotion"] == trial.emotion
    in_train = own["split"] == "train"
    key = f"{corpus}/{trial.speaker}/{trial.emotion}/{trial.repetition}"
    generator = np.random.default_rng([seed, zlib.crc32(key.encode())])
    # The whole train part is permuted whatever k is, so that a larger k only adds clips.
    positives = generator.permutation(np.array(own.index[in_train & positive]))
    negatives = generator.permutation(np.array(own.index[in_train & ~positive]))
    needed = ceil(trial.k / 2)
    if min(len(positives), len(negatives)) < needed:
        return (
            f"{needed} clips of each needed, {len(positives)} positive and {len(negatives)} negative in the train part"
        )
    parts = []
    for split in ("validation", "test"):
        rows = own["split"] == split
        if not (rows & positive).any():
            return f"no clip of {trial.emotion} in the {split} part"
        parts += [np.array(own.index[rows]), np.array(positive[rows])]
    train = np.concatenate([positives[:needed], negatives[:needed]])
    return TrialClips(train, np.repeat([True, False], needed), *parts)


def trial_seed(trial: Trial, seed: int) -> int:
    """The seed of a trial's new layers and batches, which does not depend on the checkpoint."""
    return zlib.crc32(f"{seed}/{trial.speaker}/{trial.emotion}/{trial.k}/{trial.repetition}".encode())
