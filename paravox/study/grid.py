"""The few-shot study as data: its settings and the grid of its trials (sections 3.2 and 3.3)."""

import itertools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from paravox.corpora.combinations import combination_name, power_set
from paravox.modeling.errors import ConfigError, did_you_mean

MODES = ("full", "head", "adapt", "top_layers")
SELECTIONS = ("evaluation", "last")
LAYER_CHOICES = ("last", "evaluation")
COMPARE_2016 = "compare_2016"
BASELINES = (COMPARE_2016,)
# The first ten speakers of ESD speak Mandarin, the others English (Zhou et al. 2021).
ESD_LANGUAGES = {"Mandarin": [f"{n:04}" for n in range(1, 11)], "English": [f"{n:04}" for n in range(11, 21)]}


class Trial(NamedTuple):
    """One cell of the grid: starting from a checkpoint, tell an emotion of a speaker from all others after k clips."""

    checkpoint: str
    speaker: str
    emotion: str
    k: int
    repetition: int


@dataclass
class StudySettings:
    """Which trials there are, and how each of them is run."""

    corpora: list[str] = field(
        metadata={"help": "The pre-finetuning corpora. Every combination of them is a checkpoint."}
    )
    speakers: list[str] = field(metadata={"help": "The speakers of the few-shot corpus."})
    emotions: list[str] = field(
        metadata={"help": "The emotions of the few-shot corpus. Each trial tells one of them from the others."}
    )
    shots: list[int] = field(metadata={"help": "The values of k: how many clips a trial trains on."})
    repetitions: int = field(
        default=3, metadata={"help": "How many times a trial is repeated, each time with other clips."}
    )
    combinations: list[str] | None = field(
        default=None,
        metadata={"help": "Run only these checkpoints, such as none and ased+emodb. By default all of them are run."},
    )
    baselines: list[str] | None = field(
        default=None,
        metadata={
            "help": "Baselines to run beside the checkpoints: compare_2016 is a dense network on ComParE 2016 features."
        },
    )
    corpus: str = field(default="esd", metadata={"help": "The few-shot corpus."})
    languages: dict | None = field(
        default=None, metadata={"help": "The speakers of each language, for figure 4. By default those of ESD."}
    )
    mode: str = field(
        default="full",
        metadata={
            "help": "full: all weights learn. head: a logistic regression on the hidden states of the frozen encoder, "
            "averaged over time. adapt: what `paravox adapt` does, which chooses the layer on the shots alone. "
            "top_layers: the upper layers of the encoder learn.",
            "choices": list(MODES),
        },
    )
    top_layers: int | None = field(
        default=None, metadata={"help": "How many layers of the encoder learn in mode top_layers."}
    )
    layer: str = field(
        default="last",
        metadata={
            "help": "The hidden layer that mode head uses: last, a number from 0, or evaluation, which takes the layer "
            "with the best macro F1 on the evaluation parts."
        },
    )
    selection: str = field(
        default="evaluation",
        metadata={
            "help": "The epoch that is scored: evaluation takes the first one with the best macro F1 on the evaluation "
            "part, last takes the last one.",
            "choices": list(SELECTIONS),
        },
    )
    max_epochs: int = field(default=200, metadata={"help": "The largest number of epochs per trial."})
    patience: int = field(default=30, metadata={"help": "A trial ends after this many epochs without a better score."})
    learning_rate: float = field(
        default=3e-5, metadata={"help": "The learning rate of AdamW in the modes full and top_layers."}
    )
    batch_size: int = field(
        default=4, metadata={"help": "The number of clips per step in the modes full and top_layers."}
    )
    warmup: float = field(
        default=0.1, metadata={"help": "The share of all steps during which the learning rate rises."}
    )
    weight_decay: float = field(default=0.0, metadata={"help": "The weight decay of AdamW."})
    max_seconds: float | None = field(default=None, metadata={"help": "Clips are cut to this length."})
    seed: int = field(default=0, metadata={"help": "The seed of the drawn clips and of new layers."})

    def __post_init__(self) -> None:
        for name in ("corpora", "speakers", "emotions", "shots"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"{name} is {values!r}: give at least one value, and each only once")
        for name, most in (("repetitions", 1_000), ("max_epochs", 10**6), ("patience", 10**6), ("batch_size", 10**6)):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} is {getattr(self, name)}: give a whole number from 1 to {most:,}")
        wrong = [
            language
            for language, speakers in (self.languages or {}).items()
            if not isinstance(speakers, (list, tuple)) or not all(isinstance(one, str) for one in speakers)
        ]
        if wrong:
            raise ConfigError(f"languages: {wrong[0]!r} has {self.languages[wrong[0]]!r}, expected a list of speakers")
        if min(self.shots) < 1:
            raise ConfigError(f"shots is {self.shots}: each k is at least 1")
        if self.mode not in MODES or self.selection not in SELECTIONS:
            raise ConfigError(
                f"mode {self.mode!r}, selection {self.selection!r}: use {', '.join(MODES)} and {', '.join(SELECTIONS)}"
            )
        if (self.mode == "top_layers") != (self.top_layers is not None):
            raise ConfigError("top_layers (how many layers learn) is needed in mode top_layers and allowed in no other")
        if self.layer not in LAYER_CHOICES and not self.layer.isdigit():
            raise ConfigError(f"layer {self.layer!r}: use a number from 0, {' or '.join(LAYER_CHOICES)}")
        if self.mode == "adapt" and self.layer != "last":
            raise ConfigError(
                f"layer {self.layer!r} is for mode head: mode adapt chooses the layer itself, so leave it out"
            )
        unknown = [name for name in self.baselines or () if name not in BASELINES]
        if unknown:
            raise ConfigError(f"baseline {unknown[0]!r} is unknown: {did_you_mean(unknown[0], BASELINES)}")
        possible = self._all_checkpoints()
        unknown = [name for name in self.combinations or () if name not in possible]
        if unknown:
            raise ConfigError(f"combination {unknown[0]!r} is unknown: {did_you_mean(unknown[0], possible)}")

    def _all_checkpoints(self) -> list[str]:
        return [combination_name(combination) for combination in power_set(self.corpora)]

    @property
    def encoder_is_frozen(self) -> bool:
        """Whether trials learn nothing but heads on states that are computed once."""
        return self.mode in ("head", "adapt")

    @property
    def checkpoints(self) -> list[str]:
        """The names of the checkpoints, starting with the one without pre-finetuning."""
        chosen = self.combinations or self._all_checkpoints()
        return [name for name in self._all_checkpoints() if name in chosen]

    @property
    def language_of(self) -> dict[str, str]:
        """The language of each speaker whose language is known."""
        languages = self.languages or (ESD_LANGUAGES if self.corpus == "esd" else {})
        known = {speaker: language for language, speakers in languages.items() for speaker in speakers}
        return {speaker: known[speaker] for speaker in self.speakers if speaker in known}

    def grid(self) -> list[Trial]:
        """All trials: the product of checkpoints (with baselines), speakers, emotions, values of k and repetitions."""
        models = [*self.checkpoints, *(self.baselines or ())]
        return [
            Trial(*cell)
            for cell in itertools.product(models, self.speakers, self.emotions, self.shots, range(self.repetitions))
        ]

    def description(self) -> dict[str, Any]:
        """What the results file stores about the study, as plain data."""
        names = ["corpora", "checkpoints", "speakers", "emotions", "shots", "repetitions", "mode", "top_layers"]
        names += ["layer", "selection", "max_epochs", "patience", "learning_rate", "batch_size", "warmup"]
        names += ["weight_decay", "max_seconds", "corpus", "seed"]
        return {name: getattr(self, name) for name in names} | {"languages": self.language_of}
