"""How long a study will take, from a taste of it."""

import dataclasses
import time

import numpy as np
import torch

from paravox.modeling.modeling_prefinetuning import PreFinetuningModel
from paravox.study.encoding import Clips
from paravox.study.grid import StudySettings, Trial, TrialClips
from paravox.study.trials import run_trained_trial

TASTED_BATCHES = 3


def estimate_seconds(
    study: StudySettings, model: PreFinetuningModel, clips: Clips, trials: list[tuple[Trial, TrialClips]]
) -> float:
    """About how long trials will take in one process: at most, because most trials stop before `max_epochs`.

    In mode head it is the encoding that counts: some batches are encoded, and the rest is taken to be alike.

    Args:
        study ([`StudySettings`]).
        model ([`PreFinetuningModel`]): a checkpoint of the study.
        clips ([`Clips`]): of the study.
        trials: with their clips.
    """
    if not trials:
        return 0.0
    if study.mode == "head":
        checkpoints = len({trial.checkpoint for trial, _ in trials})
        return checkpoints * _encoding_seconds(model, clips)
    trial, chosen = max(trials, key=lambda pair: pair[0].k)
    one_epoch = dataclasses.replace(study, max_epochs=1)
    run_trained_trial(model, clips, trial, chosen, one_epoch)  # decodes its clips
    seconds = run_trained_trial(model, clips, trial, chosen, one_epoch)["seconds"]
    return seconds * study.max_epochs * len(trials)


@torch.inference_mode()
def _encoding_seconds(model: PreFinetuningModel, clips: Clips) -> float:
    rows = np.random.default_rng(0).permutation(len(clips.paths))[: 32 * TASTED_BATCHES]
    started = time.perf_counter()
    for batch in clips.batches(np.sort(rows)):
        model.encoder.last_state(*clips.batch(batch))
    return (time.perf_counter() - started) * len(clips.paths) / len(rows)
