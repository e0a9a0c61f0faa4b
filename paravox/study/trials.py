"""Running trials: heads on frozen states (modes head and adapt), or training the encoder (full and top_layers)."""

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from paravox.corpora.combinations import NO_CORPUS
from paravox.inference.adapted_heads import adapt_head
from paravox.modeling.modeling_prefinetuning import PreFinetuningModel
from paravox.study.best_epoch import BestEpoch
from paravox.study.checkpoints import TRIAL_TASK
from paravox.study.device_clips import DeviceClips, Part
from paravox.study.draws import TrialClips, trial_seed
from paravox.study.grid import StudySettings, Trial
from paravox.study.repeatable import repeatable
from paravox.study.results_file import FINISHED
from paravox.study.scores import as_text, binary_scores
from paravox.study.trial_optimizer import TrialOptimizer
from paravox.trainers.logistic_regression import fit_heads


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


def run_head_trials(
    features: np.ndarray, trials: list[tuple[Trial, TrialClips]], device: str | torch.device = "cpu"
) -> list[dict[str, Any]]:
    """Runs all trials of one checkpoint in mode head, which picks no epoch and learns from no evaluation label.

    Args:
        features (`np.ndarray` of shape `(clips, size)`): from [`standardise`].
        trials: each with its clips.
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): where the heads are solved.

    Returns:
        list of `dict`: one row per trial, in the same order. `seconds` is an equal share of the time of all.
    """
    started = time.perf_counter()
    rows: dict[Trial, dict[str, Any]] = {}
    for shots in sorted({len(clips.train) for _, clips in trials}):
        group = [(trial, clips) for trial, clips in trials if len(clips.train) == shots]
        samples = features[np.stack([clips.train for _, clips in group])]  # (trials, shots, size)
        weights, biases = fit_heads(samples, np.stack([clips.train_labels for _, clips in group]), device=device)
        for (trial, clips), weight, bias in zip(group, weights, biases, strict=True):
            evaluated = features[clips.evaluation] @ weight + bias > 0
            tested = features[clips.test] @ weight + bias > 0
            evaluation = binary_scores(evaluated, clips.evaluation_labels)["macro_f1"]
            rows[trial] = finished_row(trial, clips, tested) | {"evaluation_macro_f1": float(evaluation)}
    share = (time.perf_counter() - started) / max(len(trials), 1)
    return [rows[trial] | {"seconds": share} for trial, _ in trials]


def run_adapt_trials(
    moments: np.ndarray, trials: list[tuple[Trial, TrialClips]], device: str | torch.device = "cpu"
) -> list[dict[str, Any]]:
    """Runs trials in mode adapt, with the function that `paravox adapt` fits its heads with.

    Args:
        moments (`np.ndarray` of shape `(clips, layers + 1, 2, hidden)`): of the clips of the table.
        trials: each with its clips.
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): where the heads are solved.

    Returns:
        list of `dict`: one row per trial, in the same order. Its `message` names the layer that was chosen.
    """
    rows = []
    for trial, clips in trials:
        started = time.perf_counter()
        head = adapt_head(moments[clips.train], clips.train_labels.astype(int), 2, device=device)
        evaluated, tested = (
            np.diff(head.logits(moments[part]), axis=1)[:, 0] > 0 for part in (clips.evaluation, clips.test)
        )
        evaluation = binary_scores(evaluated, clips.evaluation_labels)["macro_f1"]
        row = finished_row(trial, clips, tested) | {"evaluation_macro_f1": float(evaluation)}
        chosen = f"layer {head.layer}, C {head.inverse_penalty:g}"
        rows.append(row | {"message": chosen, "seconds": time.perf_counter() - started})
    return rows


def finished_row(trial: Trial, clips: TrialClips, tested: np.ndarray) -> dict[str, Any]:
    """The row of a trial that has predicted its test part, `(clips,)` of bool."""
    scores = {name: float(value) for name, value in binary_scores(tested, clips.test_labels).items()}
    counts = {"test_positives": int(clips.test_labels.sum()), "test_clips": len(clips.test)}
    return trial._asdict() | scores | counts | {"status": FINISHED, "predictions": as_text(tested)}


def run_trained_trial(
    checkpoint: PreFinetuningModel, clips: DeviceClips, trial: Trial, chosen: TrialClips, settings: StudySettings
) -> dict[str, Any]:
    """Runs one trial in mode full or top_layers (section 3.3). No file is written, and per epoch one small result
    leaves the device.

    Args:
        checkpoint ([`PreFinetuningModel`]): where the trial starts, in float32 on the device of the clips. It is
            copied, not changed.
        clips ([`DeviceClips`]): of the whole study. Their type is what the encoder computes in; weights that learn,
            all that is behind the encoder, and the loss stay float32.
        trial ([`Trial`]): which trial.
        chosen ([`TrialClips`]): the trial's rows among the clips.
        settings ([`StudySettings`]).

    Returns:
        `dict`: the trial's row. Its seconds do not contain the reading of clips.
    """
    clips.hold(np.concatenate([chosen.train, chosen.evaluation, chosen.test]))
    started = time.perf_counter()
    seed = trial_seed(trial, settings.seed)
    with repeatable(seed, clips.device):
        model = trial_model(checkpoint, trial, seed)
        if settings.mode == "top_layers":
            model.freeze_encoder(settings.top_layers)
        steps_per_epoch = -(-len(chosen.train) // settings.batch_size)
        optimizer = TrialOptimizer(model, settings, settings.max_epochs * steps_per_epoch, clips.dtype)
        batches = TrainingBatches(clips, chosen, seed, settings.max_epochs, steps_per_epoch)

        def train_epoch(epoch: int) -> None:
            model.train()
            for inputs, labels in batches.of_epoch(epoch):
                output = model(**inputs, task=TRIAL_TASK.name, labels={TRIAL_TASK.name: labels})
                output.loss.backward()
                optimizer.step()

        row = train_and_score(
            model, train_epoch, lambda rows: predict_clips(model, clips.part(rows)), trial, chosen, settings
        )
    return row | {"seconds": time.perf_counter() - started}


class TrainingBatches:
    """The training batches of a trial, in an order that depends on its seed and the epoch.

    The order of all epochs is moved to the device at once.

    Args:
        clips ([`DeviceClips`]): hold the training clips.
        chosen ([`TrialClips`]): the trial's rows among the clips.
        seed (`int`): of the trial.
        epochs (`int`): how many there are at most.
        steps (`int`): the number of batches per epoch.
    """

    def __init__(self, clips: DeviceClips, chosen: TrialClips, seed: int, epochs: int, steps: int) -> None:
        shots = len(chosen.train)
        # (epochs, shots): positions among the training clips
        self._orders = np.stack(
            [np.random.default_rng([seed, epoch]).permutation(shots) for epoch in range(1, epochs + 1)]
        )
        self._cuts = [(int(few[0]), int(few[-1]) + 1) for few in np.array_split(np.arange(shots), steps)]
        self._clips, self._rows = clips, chosen.train
        positions = torch.from_numpy(self._orders).to(clips.device)
        lengths = torch.from_numpy(clips.lengths(chosen.train)).to(clips.device)
        labels = torch.from_numpy(chosen.train_labels.astype(np.int64)).to(clips.device)
        self._places, self._lengths, self._labels = (
            values[positions] for values in (clips.places(chosen.train), lengths, labels)
        )

    def of_epoch(self, epoch: int) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        """The inputs and the labels `(batch,)` of each batch of an epoch, which is counted from 1."""
        for start, stop in self._cuts:
            length = self._clips.training_length(self._rows[self._orders[epoch - 1, start:stop]])
            places, lengths, labels = (
                values[epoch - 1, start:stop] for values in (self._places, self._lengths, self._labels)
            )
            yield self._clips.batch(places, lengths, length), labels


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
    row |= {"epochs": epoch, "best_epoch": best.epoch or epoch}
    return row if best.score is None else row | {"evaluation_macro_f1": best.score}


def trial_model(checkpoint: PreFinetuningModel, trial: Trial, seed: int) -> PreFinetuningModel:
    """A copy of a checkpoint with a new head of two classes. Without pre-finetuning, the projector is new as well.

    The head is drawn first, so that with one seed every checkpoint gets the same head. Both are drawn on the CPU, so
    that they are the same on every device.
    """
    config = copy.deepcopy(checkpoint.config)
    config.tasks = [TRIAL_TASK.to_dict()]
    model = copy.deepcopy(checkpoint)
    model.config, model.tasks = config, {TRIAL_TASK.name: TRIAL_TASK}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(config.projection_size, TRIAL_TASK.outputs)
        if trial.checkpoint == NO_CORPUS:
            model.projector = nn.Linear(model.projector.in_features, config.projection_size)
    model.heads = nn.ModuleDict({TRIAL_TASK.name: head})
    return model.to(checkpoint.device)


@torch.no_grad()
def predict_clips(model: PreFinetuningModel, part: Part) -> np.ndarray:
    """Whether each clip of a part is the trial's emotion: `(clips,)` of bool, in the order of the part."""
    model.eval()
    # In older Transformers, some encoders draw which layers to skip even where they skip none.
    with torch.random.fork_rng(devices=[]):
        logits = torch.cat([model(**inputs).logits[TRIAL_TASK.name] for inputs in part.batches])
    return (logits[:, 1] > logits[:, 0])[part.order].cpu().numpy()
