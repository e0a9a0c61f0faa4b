"""The work that is handed to processes: jobs of trials, and what each process opens once to run them."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_prefinetuning import PreFinetuningModel
from paravox.study.checkpoints import checkpoint_exists, open_checkpoint_model
from paravox.study.clips import StudyClips
from paravox.study.draws import TrialClips, draw_clips, read_speakers
from paravox.study.encoding import LayerStates
from paravox.study.grid import BASELINES, COMPARE_2016, StudySettings, Trial
from paravox.study.opensmile_baseline import opensmile_features, run_baseline_trial
from paravox.study.results_file import FAILED
from paravox.study.trials import run_head_trials, run_trained_trial, standardise


@dataclass(frozen=True)
class StudyContext:
    """Where a study finds its settings, clips and models. It can be pickled and hashed.

    Args:
        settings (`str`): a [`StudySettings`] as JSON.
        data_dir (`str`): folder of the few-shot corpus.
        encoder (`str`): folder or Hub name of the encoder.
        checkpoints_dir (`str`, *optional*): folder of the pre-finetuned checkpoints.
        output_dir (`str`): states are kept in its folder `states`.
    """

    settings: str
    data_dir: str
    encoder: str
    checkpoints_dir: str | None
    output_dir: str

    @classmethod
    def of(
        cls, study: StudySettings, data_dir: str, encoder: str, checkpoints_dir: str | None, output_dir: str
    ) -> "StudyContext":
        """The context of a study; arguments as above."""
        return cls(json.dumps(vars(study)), data_dir, encoder, checkpoints_dir, output_dir)

    @property
    def study(self) -> StudySettings:
        return StudySettings(**json.loads(self.settings))

    @property
    def states_dir(self) -> Path:
        return Path(self.output_dir) / "states"


def group_into_jobs(study: StudySettings, trials: list[Trial]) -> list[list[Trial]]:
    """Trials in jobs that share what is computed: in mode head one job per checkpoint, otherwise one per trial."""
    jobs: dict[str | Trial, list[Trial]] = {}
    for trial in trials:
        together = study.mode == "head" and trial.checkpoint not in BASELINES
        jobs.setdefault(trial.checkpoint if together else trial, []).append(trial)
    return list(jobs.values())


def run_job(context: StudyContext, trials: list[Trial]) -> list[dict]:
    """Runs trials of one checkpoint and returns one row per trial. A trial that fails has a row that says so."""
    study, clips = context.study, open_clips(context)
    chosen = draw_possible(context, trials)
    if trials[0].checkpoint == COMPARE_2016:
        features = baseline_features(context)
        return [run_baseline_trial(features, trial, shots, study) for trial, shots in chosen]
    if study.mode == "head":
        return run_head_trials(head_features(context, trials[0].checkpoint, study.layer), chosen)
    rows = []
    for trial, shots in chosen:
        try:
            rows.append(run_trained_trial(open_model(context, trial.checkpoint), clips, trial, shots, study))
        except RuntimeError as error:
            rows.append(trial._asdict() | {"status": FAILED, "message": f"{type(error).__name__}: {error}"})
    return rows


def draw_possible(context: StudyContext, trials: list[Trial]) -> list[tuple[Trial, TrialClips]]:
    """The trials that lack no clips, each with its clips, in the same order."""
    table, study = open_table(context), context.study
    drawn = [(trial, draw_clips(table, trial, study.corpus, study.seed)) for trial in trials]
    return [(trial, clips) for trial, clips in drawn if isinstance(clips, TrialClips)]


# What follows is opened once in each process. One study runs at a time, and the trials of a checkpoint come together.


@lru_cache(maxsize=1)
def open_table(context: StudyContext) -> pd.DataFrame:
    """The study's table of clips, from [`read_speakers`]."""
    return read_speakers(context.study, context.data_dir)


@lru_cache(maxsize=1)
def open_clips(context: StudyContext) -> StudyClips:
    """The clips of the table, which are decoded when they are needed."""
    extractor = Burst2VecFeatureExtractor.from_encoder(context.encoder)
    return StudyClips(open_table(context)["path"].tolist(), extractor, context.study.max_seconds)


@lru_cache(maxsize=1)
def open_model(context: StudyContext, checkpoint: str) -> PreFinetuningModel:
    """The model of a checkpoint, in evaluation mode."""
    return open_checkpoint_model(checkpoint, context.checkpoints_dir, context.encoder)


@lru_cache(maxsize=1)
def open_states(context: StudyContext) -> LayerStates:
    """The encoding of the clips under one checkpoint after another."""
    return LayerStates(open_clips(context), context.states_dir)


@lru_cache(maxsize=1)
def layer_states(context: StudyContext, checkpoint: str) -> np.ndarray:
    """Every layer of every clip under a checkpoint: `(clips, layers + 1, hidden)`."""
    return open_states(context).states_of(open_model(context, checkpoint), f"encoding with {checkpoint}")


@lru_cache(maxsize=1)
def baseline_features(context: StudyContext) -> np.ndarray:
    """The standardised ComParE 2016 features of every clip, `(clips, 6373)`, float32."""
    features = opensmile_features(open_clips(context), context.states_dir)
    return standardise(features, train_rows(context)).astype(np.float32)


def head_features(context: StudyContext, checkpoint: str, layer: str) -> np.ndarray:
    """The standardised states of one layer, `(clips, hidden)`.

    Args:
        layer (`str`): `last`, or a number from 0.

    Raises:
        ConfigError: if the encoder has no such layer.
    """
    states = layer_states(context, checkpoint)
    number = states.shape[1] - 1 if layer == "last" else int(layer)
    if number >= states.shape[1]:
        raise ConfigError(f"layer {layer}: the encoder has the layers 0 to {states.shape[1] - 1}: use one of these")
    return standardise(states[:, number], train_rows(context))


def train_rows(context: StudyContext) -> np.ndarray:
    """The rows of the table that belong to the train part of any speaker."""
    return np.flatnonzero(open_table(context)["split"] == "train")


def evaluation_scores_by_layer(context: StudyContext, trials: list[Trial]) -> dict[int, float]:
    """The mean macro F1 on the evaluation parts for each layer, over all trials whose checkpoint exists."""
    scores: dict[int, list[float]] = {}
    for job in group_into_jobs(context.study, trials):
        checkpoint = job[0].checkpoint
        if checkpoint in BASELINES or not checkpoint_exists(checkpoint, context.checkpoints_dir):
            continue
        chosen = draw_possible(context, job)
        for layer in range(layer_states(context, checkpoint).shape[1]):
            rows = run_head_trials(head_features(context, checkpoint, str(layer)), chosen)
            scores.setdefault(layer, []).extend(row["evaluation_macro_f1"] for row in rows)
    return {layer: float(np.mean(values)) for layer, values in scores.items()}
