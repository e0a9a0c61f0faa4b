"""What the Trainer offers beside training: a batch size that fits, models made on demand, a search of settings."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.tasks import parse_tasks
from paravox.trainers.burst2vec_trainer import Burst2VecTrainer
from paravox.trainers.clip_sources import PooledStates
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.multi_task_dataset import MultiTaskDataset

CLIPS = 16


@pytest.fixture
def dataset(tasks, make_model):
    """Sixteen clips with all labels, which a frozen encoder has read already."""
    generator = np.random.default_rng(0)
    emotion, age, country = parse_tasks(tasks)
    columns = {"path": [f"{clip}.wav" for clip in range(CLIPS)]}
    columns |= {label: generator.random(CLIPS).tolist() for label in emotion.labels}
    columns["age"] = generator.uniform(*age.range, size=CLIPS).tolist()
    columns["country"] = [country.labels[clip % country.outputs] for clip in range(CLIPS)]
    clips = MultiTaskDataset(Dataset.from_dict(columns), [emotion, age, country])
    hidden = make_model().encoder.hidden_size
    return clips.with_source(PooledStates(generator.normal(size=(CLIPS, 1, hidden)).astype(np.float32)))


@pytest.fixture
def make_trainer(make_model, dataset, tmp_path):
    def make(model=None, **others):
        names = set(MultiTaskTrainingArguments.__dataclass_fields__)
        settings = {name: others.pop(name) for name in list(others) if name in names}
        defaults = {"use_cpu": True, "save_strategy": "no", "disable_tqdm": True, "num_train_epochs": 1}
        args = MultiTaskTrainingArguments(output_dir=str(tmp_path / "run"), **defaults | settings)
        extractor = Burst2VecFeatureExtractor.for_config(make_model().config.encoder)
        return Burst2VecTrainer(model, args, extractor, dataset, dataset, **others)

    return make


@pytest.mark.parametrize("batching", ["proportional", pytest.param("all_tasks", marks=pytest.mark.slow)])
def test_auto_find_batch_size_lowers_the_batches_of_every_task(batching, make_trainer, make_model, monkeypatch):
    model = make_model()
    sizes = []
    forward = model.forward

    def with_little_memory(pooled_states=None, **inputs):
        if model.training:
            sizes.append(len(pooled_states))
            if len(pooled_states) > 5:
                raise RuntimeError("CUDA out of memory. Tried to allocate")
        return forward(pooled_states=pooled_states, **inputs)

    monkeypatch.setattr(model, "forward", with_little_memory)
    given = {} if batching == "all_tasks" else {"task_batch_sizes": {"age": 4}}
    trainer = make_trainer(
        model, auto_find_batch_size=True, per_device_train_batch_size=7, task_batching=batching, **given
    )
    trainer.train()
    size = trainer._train_batch_size
    assert size <= 5 < max(sizes)
    # The last attempt draws every clip once per task, in as few batches as fit; those of age are smaller.
    by_task = {"emotion": size, "age": 4 * size // 7, "country": size}
    drawn = [size] if batching == "all_tasks" else by_task.values()
    steps = sum(-(-CLIPS // of_task) for of_task in drawn)
    assert trainer.state.global_step == steps
    assert sum(sizes[-steps:]) == (CLIPS if batching == "all_tasks" else 3 * CLIPS) and max(sizes[-steps:]) <= size


def test_a_trainer_makes_its_model_anew_for_every_run(make_trainer, make_model):
    made = []

    def model_init():
        made.append(make_model())
        return made[-1]

    trainer = make_trainer(model_init=model_init, trainable_encoder_layers=0, seed=3)
    trainer.train()
    first = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    assert trainer.model.encoder_is_frozen
    trainer.train()
    assert trainer.model is made[-1] and len(made) > 2 and trainer.model.encoder_is_frozen
    for name, value in trainer.model.state_dict().items():
        torch.testing.assert_close(value, first[name])


def test_without_a_model_and_a_way_to_make_one(make_trainer):
    with pytest.raises(ConfigError, match="give model, or model_init"):
        make_trainer()


def test_a_search_tries_settings_and_returns_the_best_trial(make_trainer, make_model):
    optuna = pytest.importorskip("optuna", reason="optuna is not installed: pip install 'paravox[optuna]'")
    trainer = make_trainer(
        model_init=lambda: make_model(),
        eval_strategy="epoch",
        trainable_encoder_layers=0,
        num_train_epochs=4,
        per_device_train_batch_size=4,
    )
    best = trainer.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_categorical("learning_rate", [1e-9, 1e-2])},
        compute_objective=lambda scores: scores["eval_loss"],
        direction="minimize",
        n_trials=2,
        backend="optuna",
        sampler=optuna.samplers.GridSampler({"learning_rate": [1e-9, 1e-2]}),
    )
    # At the other rate, nothing is learned.
    assert best.hyperparameters == {"learning_rate": 1e-2}
    trainer.args.learning_rate = 1e-2
    trainer.train()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(best.objective, rel=1e-4)
