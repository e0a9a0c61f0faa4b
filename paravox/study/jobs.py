"""The work that is handed to processes: jobs of trials, and what each process opens once to run them."""

import dataclasses
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from paravox.corpora.combinations import NO_CORPUS
from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_prefinetuning import PreFinetuningModel
from paravox.study.checkpoints import checkpoint_exists, open_checkpoint_model
from paravox.study.clips import STUDY_PASS, StudyClips
from paravox.study.device_clips import DeviceClips
from paravox.study.draws import TrialClips, draw_clips, read_speakers
from paravox.study.encoding import LayerStates
from paravox.study.estimate import adapting_seconds, encoding_seconds, measure_epochs
from paravox.study.grid import BASELINES, COMPARE_2016, StudySettings, Trial
from paravox.study.lower_state_clips import LowerStateClips
from paravox.study.opensmile_baseline import opensmile_features, run_baseline_trial
from paravox.study.repeatable import give_way
from paravox.study.results_file import FAILED
from paravox.study.trials import run_adapt_trials, run_head_trials, run_trained_trial, standardise
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.devices import DTYPES


@dataclass(frozen=True)
class StudyContext:
    """Where a study finds its settings, clips and models. It can be pickled and hashed.

    Args:
        settings (`str`): a [`StudySettings`] as JSON.
        data_dir (`str`): folder of the few-shot corpus.
        encoder (`str`): folder or Hub name of the encoder.
        checkpoints_dir (`str`, *optional*): folder of the pre-finetuned checkpoints.
        output_dir (`str`): states are kept in its folder `states`.
        device (`str`, *optional*, defaults to `"cpu"`): where models run.
        dtype (`str`, *optional*, defaults to `"float32"`): what encoders compute in.
    """

    settings: str
    data_dir: str
    encoder: str
    checkpoints_dir: str | None
    output_dir: str
    device: str = "cpu"
    dtype: str = "float32"

    @classmethod
    def of(
        cls,
        study: StudySettings,
        data_dir: str,
        encoder: str,
        checkpoints_dir: str | None,
        output_dir: str,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> "StudyContext":
        """The context of a study; arguments as above."""
        return cls(json.dumps(vars(study)), data_dir, encoder, checkpoints_dir, output_dir, device, dtype)

    @property
    def pass_settings(self) -> PassSettings:
        """How encoders run over clips."""
        return dataclasses.replace(STUDY_PASS, device=self.device, dtype=DTYPES[self.dtype])

    @property
    def device_name(self) -> str:
        """The sort of device and the precision, as a row of the results file names them."""
        return f"{torch.device(self.device).type} {self.dtype}"

    @property
    def study(self) -> StudySettings:
        return StudySettings(**json.loads(self.settings))

    @property
    def states_dir(self) -> Path:
        return Path(self.output_dir) / "states"


def group_into_jobs(study: StudySettings, trials: list[Trial]) -> list[list[Trial]]:
    """Trials in jobs that share what is computed: in mode head one job per checkpoint, in mode adapt one per checkpoint
    and speaker, otherwise one per trial."""
    jobs: dict[tuple, list[Trial]] = {}
    for trial in trials:
        shared: tuple = trial
        if study.encoder_is_frozen and trial.checkpoint not in BASELINES:
            shared = (trial.checkpoint,) if study.mode == "head" else (trial.checkpoint, trial.speaker)
        jobs.setdefault(shared, []).append(trial)
    return list(jobs.values())


def run_job(context: StudyContext, trials: list[Trial]) -> list[dict]:
    """Runs trials of one checkpoint and returns one row per trial. A trial that fails has a row that says so."""
    study = context.study
    chosen = draw_possible(context, trials)
    if trials[0].checkpoint == COMPARE_2016:
        features = baseline_features(context)
        rows = [run_baseline_trial(features, trial, shots, study) for trial, shots in chosen]
        return [row | {"device": "cpu float32"} for row in rows]
    if study.mode == "head":
        features = head_features(context, trials[0].checkpoint, study.layer)
        rows = run_head_trials(features, chosen, context.device)
    elif study.mode == "adapt":
        rows = run_adapt_trials(
            speaker_moments(context, trials[0].checkpoint, trials[0].speaker), chosen, context.device
        )
    else:
        rows = [train_on(context, trial, shots, study) for trial, shots in chosen]
    return [row | {"device": context.device_name} for row in rows]


def train_on(context: StudyContext, trial: Trial, shots: TrialClips, study: StudySettings) -> dict:
    """The row of one trial in mode full or top_layers, which says so if the trial fails."""
    clips, checkpoint = clips_for(context, trial), open_model(context, trial.checkpoint)
    while True:
        try:
            return run_trained_trial(checkpoint, clips, trial, shots, study)
        except RuntimeError as error:
            if not give_way(error):
                return trial._asdict() | {"status": FAILED, "message": f"{type(error).__name__}: {error}"}


def clips_for(context: StudyContext, trial: Trial) -> DeviceClips:
    """The clips of a trial's speaker on the device, in mode top_layers as the frozen layers leave them."""
    frozen = context.study.top_layers and open_model(context, trial.checkpoint).encoder.layers_run_alone
    if frozen:
        return open_lower_states(context, trial.checkpoint, trial.speaker)
    return open_device_clips(context, trial.speaker)


def time_job(context: StudyContext, trials: list[Trial]) -> list[dict]:
    """Measures what [`run_job`] will take for trials like these, and returns it as one row.

    Where the encoder is frozen, these are `encoding`, the seconds per checkpoint, and `heads`, those per trial.
    Otherwise they are the fields of [`EpochSeconds`].
    """
    study, model = context.study, open_model(context, NO_CORPUS)
    if study.encoder_is_frozen:
        encoding = encoding_seconds(model, open_clips(context), context.pass_settings)
        # All heads of a checkpoint in mode head take less than a second.
        heads = adapting_seconds(model, study, context.device) if study.mode == "adapt" else 0.0
        return [{"encoding": encoding, "heads": heads}]
    return [
        measure_epochs(
            study, model, clips_for(context, trials[0]._replace(checkpoint=NO_CORPUS)), draw_possible(context, trials)
        )._asdict()
    ]


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
def open_device_clips(context: StudyContext, speaker: str) -> DeviceClips:
    """The clips that the trials of a speaker learn from and predict, on the device."""
    return DeviceClips(open_clips(context), context.device, DTYPES[context.dtype])


@lru_cache(maxsize=1)
def open_lower_states(context: StudyContext, checkpoint: str, speaker: str) -> LowerStateClips:
    """The same clips as the frozen layers of a checkpoint leave them, for mode top_layers."""
    rows = np.flatnonzero(open_table(context)["speaker"] == speaker)
    model, study = open_model(context, checkpoint), context.study
    return LowerStateClips(open_clips(context), rows, model, study.top_layers, DTYPES[context.dtype])


@lru_cache(maxsize=1)
def open_model(context: StudyContext, checkpoint: str) -> PreFinetuningModel:
    """The model of a checkpoint, in evaluation mode and on the device."""
    model: Any = open_checkpoint_model(checkpoint, context.checkpoints_dir, context.encoder)
    return model.to(context.device)


@lru_cache(maxsize=1)
def open_states(context: StudyContext) -> LayerStates:
    """The encoding of the clips under one checkpoint after another.

    The clips of a speaker are a group, so that they are encoded once, whichever other speakers a study has.
    """
    speakers = open_table(context)["speaker"].to_numpy()
    groups = [np.flatnonzero(speakers == speaker) for speaker in dict.fromkeys(speakers)]
    return LayerStates(open_clips(context), context.states_dir, settings=context.pass_settings, groups=groups)


@lru_cache(maxsize=1)
def layer_states(context: StudyContext, checkpoint: str) -> np.ndarray:
    """Every layer of every clip under a checkpoint: `(clips, layers + 1, hidden)`."""
    return open_states(context).states_of(open_model(context, checkpoint), f"encoding with {checkpoint}")


@lru_cache(maxsize=1)
def speaker_moments(context: StudyContext, checkpoint: str, speaker: str) -> np.ndarray:
    """Mean and variance over time of every layer, for the clips of a speaker: `(clips, layers + 1, 2, hidden)`.

    The rows are those of the table. Those of other speakers are zeros.
    """
    rows = np.flatnonzero(open_table(context)["speaker"] == speaker)
    clips = open_clips(context)
    states = LayerStates(
        clips.select(rows), context.states_dir, settings=context.pass_settings, with_variances=True
    ).states_of(open_model(context, checkpoint), f"encoding {speaker} with {checkpoint}")
    moments = np.zeros((len(clips), *states.shape[1:]), states.dtype)
    moments[rows] = states
    return moments


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
            rows = run_head_trials(head_features(context, checkpoint, str(layer)), chosen, context.device)
            scores.setdefault(layer, []).extend(row["evaluation_macro_f1"] for row in rows)
    return {layer: float(np.mean(values)) for layer, values in scores.items()}
