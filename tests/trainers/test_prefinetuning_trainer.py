"""The trainer of pre-finetuning: which heads move, what is validated, and frozen layers that run once."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from little_corpora import write_clip

from paravox.modeling.configuration_prefinetuning import EncoderPreFinetuningConfig
from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning
from paravox.modeling.tasks import parse_tasks
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.lower_states import encode_lower_layers
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.prefinetuning_arguments import PreFinetuningTrainingArguments
from paravox.trainers.prefinetuning_trainer import PreFinetuningTrainer
from paravox.trainers.sampler import ClipDraw

TASKS = parse_tasks(
    [
        {"name": "a", "kind": "classes", "labels": ["x", "y"]},
        {"name": "b", "kind": "classes", "labels": ["x", "y", "z"]},
        {"name": "c", "kind": "classes", "labels": ["x", "y", "z", "w"]},
    ]
)
CLIPS = 24


def encode(trainer, dataset, folder):
    """The dataset after one pass of the trainer's frozen layers, in the precision of its run."""
    settings = PassSettings.from_arguments(trainer.args)
    return encode_lower_layers(trainer.model, dataset, trainer.processing_class, folder, settings=settings)


@pytest.fixture
def corpus(tmp_path):
    """Eight clips of each corpus, of different lengths."""
    paths = [tmp_path / f"{number}.wav" for number in range(CLIPS)]
    for number, path in enumerate(paths):
        write_clip(path, number, seconds=0.2 + 0.01 * number)
    columns = {"path": [str(path) for path in paths]}
    for position, task in enumerate(TASKS):
        labels = [task.labels[n % len(task.labels)] if n % 3 == position else None for n in range(CLIPS)]
        columns[task.name] = labels
    return Dataset.from_dict(columns)


@pytest.fixture
def dataset(corpus):
    return MultiTaskDataset(corpus, TASKS)


@pytest.fixture
def make_trainer(encoder_configs, dataset, tmp_path):
    def make(encoder="whisper", **settings):
        torch.manual_seed(0)
        config = EncoderPreFinetuningConfig(encoder=encoder_configs[encoder], tasks=TASKS, projection_size=8)
        settings = {"max_steps": 1, "per_device_train_batch_size": 2, "save_strategy": "no", "use_cpu": True} | settings
        args = PreFinetuningTrainingArguments(output_dir=str(tmp_path / "run"), disable_tqdm=True, **settings)
        extractor = Burst2VecFeatureExtractor.for_config(config.encoder)
        return PreFinetuningTrainer(EncoderForPreFinetuning(config), args, extractor, dataset, dataset)

    return make


def moved_heads(trainer, drawn):
    before = {name: value.clone() for name, value in trainer.model.heads.state_dict().items()}
    compute_loss = trainer.compute_loss
    trainer.compute_loss = lambda model, inputs, **options: (
        drawn.append(inputs["task"]) or compute_loss(model, inputs, **options)
    )
    trainer.train()
    after = trainer.model.heads.state_dict()
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("seed", range(4))
def test_only_the_drawn_corpora_s_heads_move_in_an_accumulation_window(make_trainer, seed):
    drawn = []
    trainer = make_trainer(gradient_accumulation_steps=2, weight_decay=0.1, learning_rate=0.01, seed=seed)
    assert moved_heads(trainer, drawn) == set(drawn) and len(drawn) == 2


def test_all_heads_move_over_an_epoch(make_trainer):
    drawn = []
    trainer = make_trainer(max_steps=-1, num_train_epochs=1, learning_rate=0.01)
    assert moved_heads(trainer, drawn) == {"a", "b", "c"} == set(drawn)


def test_corpora_are_drawn_evenly_by_default(make_trainer):
    trainer = make_trainer()
    sampler = trainer.train_batch_sampler()
    tasks = []
    for epoch in range(100):
        sampler.set_epoch(epoch)
        tasks += [batch[0].task for batch in sampler]
    counts = np.array([tasks.count(name) for name in "abc"])
    third = counts.sum() / 3
    # Five standard deviations of a multinomial draw; and not by turns, which would make them equal.
    assert (np.abs(counts - third) < 5 * np.sqrt(third * 2 / 3)).all() and len(set(counts)) > 1


def test_validation_is_the_mean_of_the_scaled_losses(make_trainer, dataset):
    trainer = make_trainer()
    metrics = trainer.evaluate()
    model, extractor = trainer.model.eval(), trainer.processing_class
    expected = []
    for position, task in enumerate(TASKS):
        rows = range(position, CLIPS, 3)
        with torch.no_grad():
            clips = [(dataset[ClipDraw(row)]["clip"], 16_000) for row in rows]
            logits = model(**extractor(clips, return_tensors="pt")).logits[task.name]
        labels = torch.tensor([row % len(task.labels) for row in rows])
        loss = torch.nn.functional.cross_entropy(logits, labels).item() / np.log(len(task.labels))
        assert metrics[f"eval_{task.name}_loss"] == pytest.approx(loss, abs=1e-4)
        expected.append(loss)
    assert metrics["eval_loss"] == pytest.approx(np.mean(expected), abs=1e-4)


# With all of the two layers learning, the front end alone is frozen.
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("encoder", ["whisper", "hubert_layer"])
def test_layers_that_run_once_train_as_those_that_run_each_time(make_trainer, encoder, layers, tmp_path):
    settings = {"trainable_encoder_layers": layers, "max_steps": 6, "learning_rate": 0.01}
    each_time = make_trainer(encoder, **settings)
    once = make_trainer(encoder, **settings)
    once.train_dataset = encode(once, once.train_dataset, tmp_path / "states")
    once.eval_dataset = once.train_dataset
    each_time.train()
    once.train()
    for name, value in each_time.model.state_dict().items():
        torch.testing.assert_close(once.model.state_dict()[name], value, atol=1e-4, rtol=1e-3, msg=name)
    expected, found = each_time.evaluate(), once.evaluate()
    assert found["eval_loss"] == pytest.approx(expected["eval_loss"], abs=1e-3)


def test_runs_of_all_seeds_share_what_is_stored(make_trainer, corpus, tmp_path):
    trainer = make_trainer(trainable_encoder_layers=1)
    stored = []
    for seed in (1, 2):
        cropped = MultiTaskDataset(corpus, TASKS, max_seconds=0.3, seed=seed)
        stored.append(encode(trainer, cropped, tmp_path / "states"))
    assert len(list((tmp_path / "states").iterdir())) == 1
    assert len(stored[1].source[CLIPS - 1]) == 15  # frames of 0.3 s


@pytest.mark.parametrize("layers", [None, 0])
def test_nothing_to_run_once(make_trainer, layers, tmp_path):
    trainer = make_trainer(trainable_encoder_layers=layers)
    with pytest.raises(ConfigError, match="cache_lower_layers needs trainable_encoder_layers between 1 and 2"):
        encode(trainer, trainer.train_dataset, tmp_path)
