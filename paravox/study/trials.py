"""Running trials: a logistic regression on frozen states (mode head), or training the encoder itself (full, top_layers)."""

import copy
import time
from typing import Any

import numpy as np
import torch
from transformers import get_linear_schedule_with_warmup

from paravox.corpora.combinations import NO_CORPUS
from paravox.modeling.modeling_prefinetuning import PreFinetuningModel
from paravox.study.encoding import TRIAL_TASK, Clips
from paravox.study.grid import StudySettings, Trial, TrialClips, trial_seed
from paravox.study.results_file import FINISHED
from paravox.study.scores import as_text, binary_scores
from paravox.trainers.logistic_regression import fit_heads


def standardise(states: np.ndarray, train_rows: np.ndarray) -> np.ndarray:
    """Features at zero mean and unit variance over the corpus's whole train part, in float64: `(clips, size)`.

    A feature that is constant there stays at zero.
    """
    train = states[train_rows].astype(np.float64)
    spread = train.std(axis=0)
    return (states.astype(np.float64) - train.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def run_head_trials(features: np.ndarray, trials: list[tuple[Trial, TrialClips]]) -> list[dict[str, Any]]:
    """All trials of one checkpoint in mode head: no epoch is picked and no label of the evaluation part is used.

    Args:
        features (`np.ndarray` of shape `(clips, size)`): from [`standardise`].
        trials: with their clips.

    Returns:
        list of `dict`: a row each, in the same order. `seconds` is an equal share of the whole.
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
    """The row of a trial that predicted its test part."""
    scores = {name: float(value) for name, value in binary_scores(tested, clips.test_labels).items()}
    counts = {"test_positives": int(clips.test_labels.sum()), "test_clips": len(clips.test)}
    return trial._asdict() | scores | counts | {"status": FINISHED, "predictions": as_text(tested)}


def run_trained_trial(
    checkpoint: PreFinetuningModel, clips: Clips, trial: Trial, chosen: TrialClips, settings: StudySettings
) -> dict[str, Any]:
    """One trial in mode full or top_layers (section 3.3): up to `max_epochs`, the epoch picked as `selection` says.

    Args:
        checkpoint ([`PreFinetuningModel`]): where it starts; it is copied, not changed.
        clips ([`Clips`]): the study's.
        trial ([`Trial`]): which one.
        chosen ([`TrialClips`]): the trial's rows among the clips.
        settings ([`StudySettings`]).

    Returns:
        `dict`: the trial's row.
    """
    started = time.perf_counter()
    seed = trial_seed(trial, settings.seed)
    model = trial_model(checkpoint, trial, seed)
    if settings.mode == "top_layers":
        model.freeze_encoder(settings.top_layers)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps_an_epoch = -(-len(chosen.train) // settings.batch_size)
    steps = settings.max_epochs * steps_an_epoch
    schedule = get_linear_schedule_with_warmup(optimizer, int(settings.warmup * steps), steps)
    best_score, best_epoch, best_weights = -1.0, None, None
    epoch = 0
    for epoch in range(1, settings.max_epochs + 1):
        order = np.random.default_rng([seed, epoch]).permutation(len(chosen.train))
        train_epoch(model, optimizer, schedule, clips, chosen, np.array_split(order, steps_an_epoch))
        if settings.selection == "last":
            continue
        predicted = predict_clips(model, clips, chosen.evaluation)
        score = float(binary_scores(predicted, chosen.evaluation_labels)["macro_f1"])
        if score > best_score:
            best_score, best_epoch = score, epoch
            best_weights = copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= settings.patience:
            break
    if best_weights is not None:
        model.load_state_dict(best_weights)
    row = finished_row(trial, chosen, predict_clips(model, clips, chosen.test))
    evaluated = {"evaluation_macro_f1": best_score, "best_epoch": best_epoch} if best_epoch else {"best_epoch": epoch}
    return row | evaluated | {"epochs": epoch, "seconds": time.perf_counter() - started}


def trial_model(checkpoint: PreFinetuningModel, trial: Trial, seed: int) -> PreFinetuningModel:
    """A copy of a checkpoint with a new head of two classes; without pre-finetuning the projector is new as well.

    The head is drawn first, so that a seed gives every checkpoint the same one.
    """
    config = copy.deepcopy(checkpoint.config)
    config.tasks = [TRIAL_TASK.to_dict()]
    model = copy.deepcopy(checkpoint)
    model.config, model.tasks = config, {TRIAL_TASK.name: TRIAL_TASK}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = torch.nn.Linear(config.projection_size, TRIAL_TASK.outputs)
        model.heads = torch.nn.ModuleDict({TRIAL_TASK.name: head})
        if trial.checkpoint == NO_CORPUS:
            model.projector.reset_parameters()
    return model


def train_epoch(model, optimizer, schedule, clips: Clips, chosen: TrialClips, batches: list[np.ndarray]) -> None:
    """One pass over the shots, in the given batches of positions among them."""
    model.train()
    for positions in batches:
        inputs, mask = clips.batch(chosen.train[positions])
        labels = torch.from_numpy(chosen.train_labels[positions].astype(np.int64))
        output = model(
            **{model.main_input_name: inputs, "attention_mask": mask},
            task=TRIAL_TASK.name,
            labels={TRIAL_TASK.name: labels},
        )
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        schedule.step()


@torch.inference_mode()
def predict_clips(model: PreFinetuningModel, clips: Clips, rows: np.ndarray) -> np.ndarray:
    """Whether each clip is the trial's emotion: `(rows,)` of bool, in their order."""
    model.eval()
    position_of = {int(row): position for position, row in enumerate(rows)}
    predicted = np.zeros(len(rows), bool)
    for batch in clips.batches(rows):
        inputs, mask = clips.batch(batch)
        logits = model(**{model.main_input_name: inputs, "attention_mask": mask}).logits[TRIAL_TASK.name]
        predicted[[position_of[int(row)] for row in batch]] = (logits[:, 1] > logits[:, 0]).numpy()
    return predicted
