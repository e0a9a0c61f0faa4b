"""The baseline's trainer: the organisers' optimiser, their validation loss and their early stopping."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn

from paravox.modeling.configuration_compare import ComParEConfig
from paravox.modeling.errors import ConfigError
from paravox.modeling.modeling_compare import ComParEForMultiTask
from paravox.modeling.tasks import parse_tasks
from paravox.trainers.compare_trainer import ComParETrainer
from paravox.trainers.functionals import Functionals
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.multi_task_trainer import EarlyStopping

SIZE, CLIPS = 6, 16


def make_dataset(tasks, seed):
    generator = np.random.default_rng(seed)
    columns = {"path": [f"{row}.wav" for row in range(CLIPS)]}
    columns |= {label: generator.random(CLIPS).tolist() for label in tasks[0]["labels"]}
    columns |= {"age": generator.uniform(20, 39, CLIPS).tolist()}
    columns |= {"country": generator.choice(tasks[2]["labels"], CLIPS).tolist()}
    dataset = MultiTaskDataset(Dataset.from_dict(columns), parse_tasks(tasks))
    return dataset.with_source(Functionals(generator.normal(size=(CLIPS, SIZE)).astype(np.float32)))


@pytest.fixture
def make_trainer(tasks, tmp_path):
    def make(**settings):
        torch.manual_seed(0)
        model = ComParEForMultiTask(ComParEConfig(tasks, functionals=SIZE, shared_sizes=[8, 4], head_sizes=[3]))
        defaults = {
            "output_dir": str(tmp_path / "run"),
            "use_cpu": True,
            "report_to": "none",
            "disable_tqdm": True,
            "save_strategy": "no",
            "task_batching": "all_tasks",
            "learning_rate": 0.01,
            "lr_scheduler_type": "constant",
            "weight_decay": 0.1,
            "max_grad_norm": 0.0,
            "per_device_train_batch_size": CLIPS,
        }
        args = MultiTaskTrainingArguments(**{**defaults, **settings})
        return ComParETrainer(model, args, None, make_dataset(tasks, 1), make_dataset(tasks, 2))

    return make


def test_its_steps_are_those_of_adam_with_an_l2_penalty(make_trainer):
    """By hand: the penalty joins the gradient before the moments, for every parameter. AdamW would differ."""
    trainer = make_trainer(max_steps=3)
    model, dataset = trainer.model, trainer.train_dataset
    weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    moments = {name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in weights.items()}
    labels = {name: torch.from_numpy(values) for name, values in dataset.labels.items()}
    other = ComParEForMultiTask(model.config)
    for step in (1, 2, 3):
        other.load_state_dict(model.state_dict() | weights)
        loss = other(functionals=torch.from_numpy(dataset.source.values), labels=labels).loss
        gradients = torch.autograd.grad(loss, list(other.parameters()))
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
            gradient, (first, second) = gradient + 0.1 * weight, moments[name]
            first.mul_(0.9).add_(0.1 * gradient)
            second.mul_(0.999).add_(0.001 * gradient**2)
            weights[name] = weight - 0.01 * first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
    trainer.train()
    for name, parameter in trainer.model.named_parameters():
        torch.testing.assert_close(parameter.detach(), weights[name], rtol=1e-3, atol=1e-5, msg=name)


def test_the_validation_loss_is_the_sum_that_training_minimises(make_trainer):
    trainer = make_trainer(max_steps=1, per_device_eval_batch_size=5)
    with torch.no_grad():
        trainer.model.task_weights.log_variances.copy_(torch.tensor([0.5, -1.0, 2.0]))
    metrics = trainer.evaluate()
    dataset = trainer.eval_dataset
    with torch.no_grad():
        logits = trainer.model(functionals=torch.from_numpy(dataset.source.values)).logits
    labels = {name: torch.from_numpy(values) for name, values in dataset.labels.items()}
    squares = (torch.sigmoid(logits["emotion"]) - labels["emotion"]).square().mean(dim=0).sum().item()
    years = (logits["age"][:, 0] - labels["age"]).square().mean().item()
    entropy = nn.functional.cross_entropy(logits["country"], labels["country"]).item()
    losses = {"emotion": (squares, 0.5), "age": (years, -1.0), "country": (entropy, 2.0)}
    expected = {name: loss / (2 * math.exp(s)) + s / 2 for name, (loss, s) in losses.items()}
    for name, loss in expected.items():
        assert metrics[f"eval_{name}_loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["eval_loss"] == pytest.approx(sum(expected.values()), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"encoder_learning_rate": 1e-5},
            "encoder_learning_rate is 1e-05, but this model has no encoder: leave it out",
        ),
        ({"trainable_encoder_layers": 0}, "trainable_encoder_layers is 0, but this model has no encoder"),
        ({"optim": "sgd"}, "optim is .*sgd.*, but this model is trained by torch.optim.Adam"),
    ],
)
def test_what_concerns_another_model_is_refused(make_trainer, settings, message):
    with pytest.raises(ConfigError, match=message):
        make_trainer(**settings)


def evaluations_until_it_stops(losses, patience, threshold, greater_is_better=False, resume_at=None):
    """How many scores the callback sees before it stops; at `resume_at` a new one takes over its state."""
    args = SimpleNamespace(metric_for_best_model="loss", greater_is_better=greater_is_better)
    callback, control = EarlyStopping(patience, threshold), SimpleNamespace(should_training_stop=False)
    best = None
    for number, loss in enumerate(losses, start=1):
        if number == resume_at:
            exported = callback.state()
            callback = EarlyStopping(**exported["args"])
            for name, value in exported["attributes"].items():
                setattr(callback, name, value)
        callback.on_evaluate(args, SimpleNamespace(best_metric=best), control, {"eval_loss": loss})
        if control.should_training_stop:
            return number
        best = loss if best is None else (max if greater_is_better else min)(best, loss)
    return None


def organisers_stop(losses, patience, gain):
    """Their rule: the counter starts anew where the loss lies by the gain below that at which it last did."""
    last, counter = losses[0], 0
    for number, loss in enumerate(losses[1:], start=2):
        counter = counter + 1 if loss > last - gain else 0
        last = loss if counter == 0 else last
        if counter == patience:
            return number
    return None


def test_it_stops_where_the_organisers_would():
    generator = np.random.default_rng(0)
    runs = [np.cumsum(generator.normal(-0.04, 0.1, 40)).tolist() for _ in range(50)]
    stops = [organisers_stop(losses, 5, 0.1) for losses in runs]
    assert len(set(stops)) > 10
    assert [evaluations_until_it_stops(losses, 5, 0.1) for losses in runs] == stops
    assert [evaluations_until_it_stops(losses, 5, 0.1, resume_at=6) for losses in runs] == stops
    assert [evaluations_until_it_stops(np.negative(losses).tolist(), 5, 0.1, True) for losses in runs] == stops


def test_small_gains_count_together():
    losses = [1 - 0.04 * step for step in range(20)]
    assert evaluations_until_it_stops(losses, patience=3, threshold=0.1) is None
    assert evaluations_until_it_stops(losses, patience=2, threshold=0.1) == 3
    # Without a threshold, any gain over the best score counts, as in the stock callback.
    assert evaluations_until_it_stops([1.0, 0.9, 0.95, 0.91, 0.89, 0.9, 0.9, 0.9], patience=3, threshold=0.0) == 8


def test_a_threshold_below_zero_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="early_stopping_threshold is -0.1: give a number of at least 0"):
        MultiTaskTrainingArguments(str(tmp_path), early_stopping_threshold=-0.1)
