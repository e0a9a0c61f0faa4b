"""The trainer of Burst2Vec: its logs, and clips pooled by a frozen encoder."""

import numpy as np
import pytest
import soundfile
import torch
from datasets import Dataset
from little_corpora import write_clip

from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.tasks import parse_tasks
from paravox.trainers.burst2vec_trainer import Burst2VecTrainer
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.sampler import ClipDraw

SECONDS = (0.3, 0.6, 0.2, 0.5, 0.4)


@pytest.fixture
def dataset(tasks, tmp_path):
    paths = [tmp_path / "clips" / f"{clip}.wav" for clip in range(len(SECONDS))]
    for clip, path in enumerate(paths):
        write_clip(path, clip, SECONDS[clip])
    labels = {"age": [20.0, 25.0, 30.0, 35.0, 39.0], "country": ["USA", "China", "USA", "Venezuela", "China"]}
    corpus = Dataset.from_dict({"path": [str(path) for path in paths]} | labels)
    return MultiTaskDataset(corpus, parse_tasks(tasks)[1:])


@pytest.fixture
def make_trainer(make_model, dataset, tasks, tmp_path):
    def make(layer_weights=False, **settings):
        model = make_model(tasks=tasks[1:], layer_weights=layer_weights)
        settings = {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 2, "save_strategy": "no"} | settings
        args = MultiTaskTrainingArguments(
            output_dir=str(tmp_path / "run"), use_cpu=True, disable_tqdm=True, report_to=[], **settings
        )
        extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
        return Burst2VecTrainer(model, args, extractor, dataset, dataset)

    return make


@pytest.mark.parametrize("layer_weights", [False, True])
def test_pooled_clips_are_the_means_of_the_stock_encoder(make_trainer, dataset, tmp_path, layer_weights):
    trainer = make_trainer(layer_weights)
    pooled = trainer.pool_clips(dataset)
    assert pooled.labels is dataset.labels and len(pooled) == len(SECONDS)
    for row in range(len(SECONDS)):
        samples = soundfile.read(tmp_path / "clips" / f"{row}.wav", dtype="float32")[0]
        normalised = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        with torch.no_grad():
            stock = trainer.model.encoder.model(torch.from_numpy(normalised)[None], output_hidden_states=True)
        layers = [*stock.hidden_states[:-1], stock.last_hidden_state]
        expected = np.stack([layer[0].mean(dim=0).numpy() for layer in (layers if layer_weights else layers[-1:])])
        np.testing.assert_allclose(pooled[ClipDraw(row)]["clip"], expected, atol=1e-4)


def test_augmented_clips_are_not_pooled(make_trainer, dataset):
    source = dataset.source
    augmented = type(source)(source.clips, augmentation=lambda samples, rate, numbers: samples)
    with pytest.raises(ConfigError, match="augmentation does not go together with stored outputs"):
        make_trainer().pool_clips(dataset.with_source(augmented))


def terms_by_hand(trainer):
    """The loss terms and the accuracy of each batch of the first epoch, from the model alone."""
    for batch in trainer.get_train_dataloader():
        output = trainer.model(**{name: value for name, value in batch.items() if name != "index"})
        values = {f"loss/{batch['task']}/{term}": value.item() for term, value in output.loss_terms.items()}
        (accuracy,) = output.discriminator_accuracy.values()
        yield values | {f"discriminator_accuracy/{batch['task']}": accuracy.item()}


def test_logs_are_means_since_the_last_log(make_trainer):
    # Nothing learns and nothing is dropped out, so that every batch can be computed again.
    settings = {"learning_rate": 0.0, "seed": 3, "per_device_train_batch_size": 1}
    batches = list(terms_by_hand(make_trainer(**settings)))
    assert len(batches) == 2 * len(SECONDS)
    trainer = make_trainer(logging_steps=5, num_train_epochs=1, **settings)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    for log, window in zip(logs, (batches[:5], batches[5:]), strict=True):
        names = {name for values in window for name in values}
        assert {name for name in log if "/" in name} == names
        for name in names:
            expected = [values[name] for values in window if name in values]
            assert log[name] == pytest.approx(np.mean(expected), abs=1e-5), name
    # A mean that carried the first window on would be another.
    carried = np.mean([values["loss/age/joint"] for values in batches if "loss/age/joint" in values])
    assert abs(logs[1]["loss/age/joint"] - carried) > 1e-3
