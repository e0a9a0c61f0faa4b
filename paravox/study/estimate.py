"""How long a study will take, estimated from a small part of it."""

import dataclasses
import time
from typing import NamedTuple

import numpy as np
import torch

from paravox.inference.adapted_heads import adapt_head
from paravox.modeling.modeling_prefinetuning import PreFinetuningModel
from paravox.study.clips import StudyClips
from paravox.study.device_clips import DeviceClips
from paravox.study.draws import TrialClips
from paravox.study.encoding import LayerStates
from paravox.study.grid import StudySettings, Trial
from paravox.study.trials import run_trained_trial
from paravox.trainers.clip_pass import PassSettings

# Three full batches.
TIMED_CLIPS = 96
# The first epochs of a process are slower.
TIMED_EPOCHS = 3

DrawnTrials = list[tuple[Trial, TrialClips]]


class EpochSeconds(NamedTuple):
    """What an epoch of a trial takes, in seconds: a part that all trials have, and a part for each training step."""

    always: float
    per_step: float


def epochs_of(study: StudySettings) -> tuple[int, int]:
    """The least and the largest number of epochs of a trial."""
    if study.selection == "last":
        return study.max_epochs, study.max_epochs
    return min(study.max_epochs, study.patience + 1), study.max_epochs


def trial_seconds(study: StudySettings, measured: list[EpochSeconds], drawn: DrawnTrials, epochs: int) -> float:
    """The time that trials take one after the other, in seconds.

    Args:
        study ([`StudySettings`]).
        measured (list of [`EpochSeconds`]): by the processes that share the devices, each while the others ran.
        drawn: the trials with their clips.
        epochs (`int`): how many each trial has.
    """
    always, per_step = np.mean(measured, axis=0)
    steps = sum(_steps(study, chosen) for _, chosen in drawn)
    return float(epochs * (always * len(drawn) + per_step * steps))


def measure_epochs(
    study: StudySettings, checkpoint: PreFinetuningModel, clips: DeviceClips, drawn: DrawnTrials
) -> EpochSeconds:
    """Times some epochs of a trial with few and of one with many shots. Arguments as in [`run_trained_trial`]."""
    by_shots = sorted(drawn, key=lambda pair: len(pair[1].train))
    seconds = [_epoch_seconds(study, checkpoint, clips, *pair) for pair in (by_shots[0], by_shots[-1])]
    few, many = (_steps(study, chosen) for _, chosen in (by_shots[0], by_shots[-1]))
    per_step = max(0.0, seconds[1] - seconds[0]) / (many - few) if many > few else seconds[0] / (few + 1)
    return EpochSeconds(max(0.0, seconds[0] - few * per_step), per_step)


def encoding_seconds(model: PreFinetuningModel, clips: StudyClips, settings: PassSettings) -> float:
    """The time that the encoding of all clips under one checkpoint takes, in seconds: nearly all that mode head does.

    Args:
        model ([`PreFinetuningModel`]): a checkpoint of the study.
        clips ([`StudyClips`]): of the study, of which some are encoded.
        settings ([`PassSettings`]): of the pass over them.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(clips))[:TIMED_CLIPS])
    started = time.perf_counter()
    LayerStates(clips.select(rows), settings=settings).encode(model.encoder, "estimating the time")
    return (time.perf_counter() - started) * len(clips) / len(rows)


def adapting_seconds(model: PreFinetuningModel, study: StudySettings, device: str | torch.device) -> float:
    """The mean time of the heads of a trial in mode adapt, in seconds, tried once for each k on random states."""
    generator = np.random.default_rng(0)
    layers, hidden = len(model.encoder.layers) + 1, model.encoder.hidden_size
    started = time.perf_counter()
    for k in study.shots:
        clips = 2 * -(-k // 2)
        moments = generator.uniform(size=(clips, layers, 2, hidden)).astype(np.float32)
        adapt_head(moments, np.arange(clips) % 2, 2, device=device)
    return (time.perf_counter() - started) / len(study.shots)


def _steps(study: StudySettings, chosen: TrialClips) -> int:
    return -(-len(chosen.train) // study.batch_size)


def _epoch_seconds(
    study: StudySettings, checkpoint: PreFinetuningModel, clips: DeviceClips, trial: Trial, chosen: TrialClips
) -> float:
    # The shorter run is taken away, with what a trial does once: copying the checkpoint and predicting the test part.
    seconds = [
        run_trained_trial(
            checkpoint, clips, trial, chosen, dataclasses.replace(study, max_epochs=epochs, patience=epochs)
        )["seconds"]
        for epochs in (1, 1, 1 + TIMED_EPOCHS)
    ]
    return max(0.0, seconds[2] - seconds[1]) / TIMED_EPOCHS
