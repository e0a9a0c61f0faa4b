"""Running trials: a logistic regression on frozen states (mode head), or training the encoder (full and top_layers)."""

import copy
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import get_linear_schedule_with_warmup

from paravox.corpora.combinations import NO_CORPUS
from paravox.modeling.modeling_prefinetuning import PreFinetuningModel
from paravox.study.best_epoch import BestEpoch
from paravox.study.checkpoints import TRIAL_TASK
from paravox.study.clips import STUDY_PASS, ClipsWithoutLabels, StudyClips
from paravox.study.draws import TrialClips, trial_seed
from paravox.study.grid import StudySettings, Trial
from paravox.study.results_file import FINISHED
from paravox.study.scores import as_text, binary_scores
from paravox.trainers.clip_pass import in_row_order, pass_over_clips
from paravox.trainers.data_collator import MultiTaskCollator
from paravox.trainers.logistic_regression import fit_heads

# A trial predicts its parts after every epoch: too short for a line of progress.
_SILENT_PASS = dataclasses.replace(STUDY_PASS, show_progress=False)


def standardise(states: np.ndarray, train_rows: np.ndarray) -> np.ndarray:
    """Features with zero mean and unit variance over the whole train part of the corpus, in float64.

    A feature that is constant there becomes zero.

    Args:
        states (`np.ndarray` of shape `(clips, size)`).
        train_rows (`np.ndarray` of int, shape `(rows,)`): the clips of the train part.

    Returns:
        `np.ndarray` of shape `(clips, size)`.
    """
    train = states[train_rows].astype(np.float64)
    spread = train.std(axis=0)
    return (states.astype(np.float64) - train.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def run_head_trials(features: np.ndarray, trials: list[tuple[Trial, TrialClips]]) -> list[dict[str, Any]]:
    """Runs all trials of one checkpoint in mode head, which picks no epoch and learns from no evaluation label.

    Args:
        features (`np.ndarray` of shape `(clips, size)`): from [`standardise`].
        trials: each with its clips.

    Returns:
        list of `dict`: one row per trial, in the same order. `seconds` is an equal share of the time of all.
    """
    started = time.perf_counter()
    rows: dict[Trial, dict[str, Any]] = {}
    for shots in sorted({len(clips.train) for _, clips in trials}):
        group = [(trial, clips) for trial, clips in trials if len(clips.train) == shots]
        samples = features[np.stack([clips.train for _, clips in group])]  # (trials, shots, size)
        weights, biases = fit_heads(samples, np.stack([clips.train_labels for _, clips in group]))
        for (trial, clips), weight, bias in zip(group, weights, biases, strict=True):
            evaluated = features[clips.evaluation] @ weight + bias > 0
            tested = features[clips.test] @ weight + bias > 0
            evaluation = binary_scores(evaluated, clips.evaluation_labels)["macro_f1"]
            rows[trial] = finished_row(trial, clips, tested) | {"evaluation_macro_f1": float(evaluation)}
    share = (time.perf_counter() - started) / max(len(trials), 1)
    return [rows[trial] | {"seconds": share} for trial, _ in trials]


def finished_row(trial: Trial, clips: TrialClips, tested: np.ndarray) -> dict[str, Any]:
    """The row of a trial that has predicted its test part, `(clips,)` of bool."""
    scores = {name: float(value) for name, value in binary_scores(tested, clips.test_labels).items()}
    counts = {"test_positives": int(clips.test_labels.sum()), "test_clips": len(clips.test)}
    return trial._asdict() | scores | counts | {"status": FINISHED, "predictions": as_text(tested)}


def run_trained_trial(
    checkpoint: PreFinetuningModel, clips: StudyClips, trial: Trial, chosen: TrialClips, settings: StudySettings
) -> dict[str, Any]:
    """Runs one trial in mode full or top_layers (section 3.3).

    Args:
        checkpoint ([`PreFinetuningModel`]): where the trial starts. It is copied, not changed.
        clips ([`StudyClips`]): of the whole study.
        trial ([`Trial`]): which trial.
        chosen ([`TrialClips`]): the trial's rows among the clips.
        settings ([`StudySettings`]).

    Returns:
        `dict`: the trial's row.
    """
    seed = trial_seed(trial, settings.seed)
    model = trial_model(checkpoint, trial, seed)
    if settings.mode == "top_layers":
        model.freeze_encoder(settings.top_layers)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps_per_epoch = -(-len(chosen.train) // settings.batch_size)
    steps = settings.max_epochs * steps_per_epoch
    schedule = get_linear_schedule_with_warmup(optimizer, int(settings.warmup * steps), steps)

    def train_epoch(epoch: int) -> None:
        order = np.random.default_rng([seed, epoch]).permutation(len(chosen.train))
        train_batches(model, optimizer, schedule, clips, chosen, np.array_split(order, steps_per_epoch))

    return train_and_score(model, train_epoch, lambda rows: predict_clips(model, clips, rows), trial, chosen, settings)


def train_and_score(
    model: nn.Module,
    train_epoch: Callable[[int], None],
    predict: Callable[[np.ndarray], np.ndarray],
    trial: Trial,
    chosen: TrialClips,
    settings: StudySettings,
) -> dict[str, Any]:
    """Trains for up to `max_epochs`, then scores the test part with the weights of the epoch that `selection` names.

    Args:
        model (`nn.Module`): learns.
        train_epoch (`Callable`): trains the model for one epoch, whose number from 1 it is given.
        predict (`Callable`): takes rows `(clips,)` and returns whether each is the trial's emotion, `(clips,)` of bool.
        trial, chosen, settings: as in [`run_trained_trial`].

    Returns:
        `dict`: the trial's row.
    """
    started = time.perf_counter()
    best = BestEpoch(model, settings.patience)
    epoch = 0
    while epoch < settings.max_epochs and not best.is_over:
        epoch += 1
        train_epoch(epoch)
        if settings.selection == "evaluation":
            scores = binary_scores(predict(chosen.evaluation), chosen.evaluation_labels)
            best.update(epoch, float(scores["macro_f1"]))
    best.restore()
    row = finished_row(trial, chosen, predict(chosen.test))
    row |= {"epochs": epoch, "best_epoch": best.epoch or epoch, "seconds": time.perf_counter() - started}
    return row if best.score is None else row | {"evaluation_macro_f1": best.score}


def trial_model(checkpoint: PreFinetuningModel, trial: Trial, seed: int) -> PreFinetuningModel:
    """A copy of a checkpoint with a new head of two classes. Without pre-finetuning, the projector is new as well.

    The head is drawn first, so that with one seed every checkpoint gets the same head.
    """
    config = copy.deepcopy(checkpoint.config)
    config.tasks = [TRIAL_TASK.to_dict()]
    model = copy.deepcopy(checkpoint)
    model.config, model.tasks = config, {TRIAL_TASK.name: TRIAL_TASK}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = nn.Linear(config.projection_size, TRIAL_TASK.outputs)
        model.heads = nn.ModuleDict({TRIAL_TASK.name: head})
        if trial.checkpoint == NO_CORPUS:
            model.projector.reset_parameters()
    return model


def train_batches(
    model: PreFinetuningModel,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    clips: StudyClips,
    chosen: TrialClips,
    batches: list[np.ndarray],
) -> None:
    """Takes one step per batch; a batch is `(clips,)` of positions among the trial's training clips."""
    model.train()
    for positions in batches:
        inputs = clips.collate([clips.read(int(row)) for row in chosen.train[positions]])
        labels = torch.from_numpy(chosen.train_labels[positions].astype(np.int64))
        output = model(**inputs, task=TRIAL_TASK.name, labels={TRIAL_TASK.name: labels})
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        schedule.step()


def predict_clips(model: PreFinetuningModel, clips: StudyClips, rows: np.ndarray) -> np.ndarray:
    """Whether each clip is the trial's emotion: `(rows,)` of bool, in their order."""

    def is_target(model: PreFinetuningModel, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        logits = model(**inputs).logits[TRIAL_TASK.name]
        return {"is_target": logits[:, 1] > logits[:, 0]}

    source = clips.select(rows)
    results = pass_over_clips(model, ClipsWithoutLabels(source), MultiTaskCollator(source), is_target, _SILENT_PASS)
    return in_row_order(results, len(rows))["is_target"]
