"""How long a study will take, estimated from a small part of it."""

import dataclasses
import time

import numpy as np

from paravox.modeling.modeling_prefinetuning import PreFinetuningModel
from paravox.study.clips import StudyClips
from paravox.study.draws import TrialClips
from paravox.study.encoding import LayerStates
from paravox.study.grid import StudySettings, Trial
from paravox.study.trials import run_trained_trial

# Three full batches.
TIMED_CLIPS = 96


def estimate_seconds(
    study: StudySettings, model: PreFinetuningModel, clips: StudyClips, trials: list[tuple[Trial, TrialClips]]
) -> float:
    """The time that trials take in one process, in seconds: an upper bound, as most trials stop before `max_epochs`.

    In mode head nearly all of it is the encoding of the clips, of which a part is timed.

    Args:
        study ([`StudySettings`]).
        model ([`PreFinetuningModel`]): a checkpoint of the study.
        clips ([`StudyClips`]): of the study.
        trials: with their clips.
    """
    if not trials:
        return 0.0
    if study.mode == "head":
        checkpoints = len({trial.checkpoint for trial, _ in trials})
        return checkpoints * _encoding_seconds(model, clips)
    trial, chosen = max(trials, key=lambda pair: pair[0].k)
    one_epoch = dataclasses.replace(study, max_epochs=1)
    run_trained_trial(model, clips, trial, chosen, one_epoch)  # decodes the clips, which happens only once
    seconds = run_trained_trial(model, clips, trial, chosen, one_epoch)["seconds"]
    return seconds * study.max_epochs * len(trials)


def _encoding_seconds(model: PreFinetuningModel, clips: StudyClips) -> float:
    rows = np.random.default_rng(0).permutation(len(clips))[:TIMED_CLIPS]
    started = time.perf_counter()
    LayerStates(clips.select(np.sort(rows))).encode(model.encoder, "estimating the time")
    return (time.perf_counter() - started) * len(clips) / len(rows)
