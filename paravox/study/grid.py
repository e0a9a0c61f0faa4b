"""The few-shot study as data: its settings, its grid of trials, and which clips a trial is given (section 3.3)."""

import itertools
import zlib
from dataclasses import dataclass, field
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from paravox.corpora.combinations import combination_name, power_set
from paravox.corpora.registry import read_corpus
from paravox.modeling.errors import ConfigError, CorpusError

MODES = ("full", "head", "top_layers")
SELECTIONS = ("evaluation", "last")
LAYER_CHOICES = ("last", "evaluation")
COMPARE_2016 = "compare_2016"
BASELINES = (COMPARE_2016,)
# Of the corpus with these speakers: the first ten speak Mandarin (Zhou et al. 2021).
ESD_LANGUAGES = {"Mandarin": [f"{n:04}" for n in range(1, 11)], "English": [f"{n:04}" for n in range(11, 21)]}


class Trial(NamedTuple):
    """One cell of the grid: is this clip that emotion, for this speaker, from k clips?"""

    checkpoint: str
    speaker: str
    emotion: str
    k: int
    repetition: int


class TrialClips(NamedTuple):
    """The rows that a trial trains on, picks its epoch on and is scored on; labels are true for its emotion."""

    train: np.ndarray
    train_labels: np.ndarray
    evaluation: np.ndarray
    evaluation_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


@dataclass
class StudySettings:
    """Which trials there are, and how each is run."""

    corpora: list[str] = field(
        metadata={"help": "The pre-finetuning corpora; every combination of them is a checkpoint."}
    )
    speakers: list[str] = field(metadata={"help": "Speakers of the few-shot corpus."})
    emotions: list[str] = field(metadata={"help": "Emotions of the few-shot corpus, each asked for alone."})
    shots: list[int] = field(metadata={"help": "k: how many clips a trial trains on."})
    repetitions: int = field(default=3, metadata={"help": "How often a trial is repeated with other clips."})
    combinations: list[str] | None = field(
        default=None, metadata={"help": "Only these checkpoints, such as none and emodb+ased; all by default."}
    )
    baselines: list[str] | None = field(
        default=None,
        metadata={"help": "Also run these beside the checkpoints: compare_2016, its features and a dense network."},
    )
    corpus: str = field(default="esd", metadata={"help": "The few-shot corpus."})
    languages: dict | None = field(
        default=None, metadata={"help": "Speakers by language, for figure 4; ESD's own by default."}
    )
    mode: str = field(
        default="full",
        metadata={
            "help": "full: everything learns; head: a logistic regression on frozen pooled states; top_layers.",
            "choices": list(MODES),
        },
    )
    top_layers: int | None = field(
        default=None, metadata={"help": "In mode top_layers: how many layers of the encoder learn."}
    )
    layer: str = field(
        default="last",
        metadata={
            "help": "In mode head: the hidden layer: last, a number from 0, or evaluation: the one with the best F1 on "
            "the evaluation parts."
        },
    )
    selection: str = field(
        default="evaluation",
        metadata={
            "help": "The epoch that is scored: the first with the best macro F1 on the evaluation part, or the last.",
            "choices": list(SELECTIONS),
        },
    )
    max_epochs: int = field(default=200, metadata={"help": "At most so many epochs a trial."})
    patience: int = field(default=30, metadata={"help": "A trial ends after so many epochs without a better one."})
    learning_rate: float = field(default=3e-5, metadata={"help": "Of AdamW, in modes full and top_layers."})
    batch_size: int = field(default=4, metadata={"help": "Clips a step, in modes full and top_layers."})
    warmup: float = field(default=0.1, metadata={"help": "Share of the steps in which the learning rate rises."})
    weight_decay: float = field(default=0.0, metadata={"help": "Of AdamW."})
    max_seconds: float | None = field(default=None, metadata={"help": "Clips are cut to this length."})
    seed: int = field(default=0, metadata={"help": "Of the clips drawn and of new layers."})

    def __post_init__(self) -> None:
        for name in ("corpora", "speakers", "emotions", "shots"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"{name} is {values!r}: give at least one, and none twice")
        for name in ("repetitions", "max_epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: give a whole number of at least 1")
        if min(self.shots) < 1:
            raise ConfigError(f"shots is {self.shots}: each k is at least 1")
        if self.mode not in MODES or self.selection not in SELECTIONS:
            raise ConfigError(
                f"mode {self.mode!r}, selection {self.selection!r}: use {', '.join(MODES)} and {', '.join(SELECTIONS)}"
            )
        if (self.mode == "top_layers") != (self.top_layers is not None):
            raise ConfigError("top_layers (how many layers learn) goes with mode: top_layers and with no other")
        if self.layer not in LAYER_CHOICES and not self.layer.isdigit():
            raise ConfigError(f"layer {self.layer!r}: use a number from 0, {' or '.join(LAYER_CHOICES)}")
        unknown = [name for name in self.baselines or () if name not in BASELINES]
        if unknown:
            raise ConfigError(f"baseline {unknown[0]!r} is not known: use {', '.join(BASELINES)}")
        strange = [name for name in self.combinations or () if name not in self._all_checkpoints()]
        if strange:
            raise ConfigError(f"combination {strange[0]!r} is none of {', '.join(self._all_checkpoints())}")

    def _all_checkpoints(self) -> list[str]:
        return [combination_name(combination) for combination in power_set(self.corpora)]

    @property
    def checkpoints(self) -> list[str]:
        """The checkpoints of the grid, the one without pre-finetuning first."""
        chosen = self.combinations or self._all_checkpoints()
        return [name for name in self._all_checkpoints() if name in chosen]

    @property
    def language_of(self) -> dict[str, str]:
        """Each speaker's language, where it is known."""
        languages = self.languages or (ESD_LANGUAGES if self.corpus == "esd" else {})
        known = {speaker: language for language, speakers in languages.items() for speaker in speakers}
        return {speaker: known[speaker] for speaker in self.speakers if speaker in known}

    def grid(self) -> list[Trial]:
        """All trials: checkpoints and baselines x speakers x emotions x shots x repetitions."""
        models = [*self.checkpoints, *(self.baselines or ())]
        return [
            Trial(*cell)
            for cell in itertools.product(models, self.speakers, self.emotions, self.shots, range(self.repetitions))
        ]

    def description(self) -> dict[str, Any]:
        """What the report needs to know of the study, as plain data."""
        names = ("corpora", "checkpoints", "speakers", "emotions", "shots", "repetitions", "mode", "top_layers")
        names += ("layer", "selection", "max_epochs", "patience", "learning_rate", "batch_size", "warmup")
        names += ("weight_decay", "max_seconds", "corpus", "seed")
        return {name: getattr(self, name) for name in names} | {"languages": self.language_of}


def read_speakers(settings: StudySettings, data_dir: str) -> pd.DataFrame:
    """The clips of the study's speakers, in an order that does not depend on where the corpus lies.

    Returns:
        `pandas.DataFrame`: columns `path`, `speaker`, `emotion` and `split` (`train`, `validation` for the evaluation
        part, `test`), sorted by file name.

    Raises:
        CorpusError: if a speaker or an emotion has no clip at all, or the corpus has no split within its speakers.
    """
    clips = read_corpus(settings.corpus, data_dir)[0].to_pandas()
    if "split" not in clips:
        raise CorpusError(f"corpus {settings.corpus!r} has no train, evaluation and test part of each speaker: use esd")
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
    """The clips of a trial, a pure function of corpus, speaker, emotion, k, repetition and seed; nested in k.

    ceil(k/2) positive and as many negative clips of the speaker's train part, the negatives from all other emotions.

    Args:
        clips (`pandas.DataFrame`): from [`read_speakers`].
        trial ([`Trial`]): its checkpoint plays no part.
        corpus (`str`): the corpus's name.
        seed (`int`): of the study.

    Returns:
        [`TrialClips`], or a sentence that says which clips are lacking.
    """
    own = clips[clips["speaker"] == trial.speaker]
    positive = own["emotion"] == trial.emotion
    in_train = own["split"] == "train"
    key = f"{corpus}/{trial.speaker}/{trial.emotion}/{trial.repetition}"
    generator = np.random.default_rng([seed, zlib.crc32(key.encode())])
    # Whole permutations, whatever k is: more shots are the fewer ones and others.
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
    """The seed of a trial's new layers and batches: it does not depend on the checkpoint."""
    return zlib.crc32(f"{seed}/{trial.speaker}/{trial.emotion}/{trial.k}/{trial.repetition}".encode())
