"""The trainer: what it logs and scores, how losses accumulate, what the paper's settings become, what it refuses."""

import copy
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import yaml
from datasets import Audio, Dataset

from paravox.modeling.errors import ConfigError, TrainingError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.tasks import parse_tasks
from paravox.recipes.burst2vec import train
from paravox.trainers.burst2vec_trainer import Burst2VecTrainer
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.data_collator import MultiTaskCollator
from paravox.trainers.lower_states import encode_lower_layers
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.multi_task_trainer import check_metric_name
from paravox.trainers.sampler import ClipDraw, GlobalBatch, OneTaskBatchSampler

KINDS = ("emotion", "age", "country")
CLIPS = 12


def encode(trainer, dataset, folder):
    """The dataset after one pass of the trainer's frozen layers, in the precision of its run."""
    settings = PassSettings.from_arguments(trainer.args)
    return encode_lower_layers(trainer.model, dataset, trainer.processing_class, folder, settings=settings)


@pytest.fixture
def dataset(tasks, tmp_path):
    """Twelve bursts of noise in a `datasets.Dataset` with an `Audio(decode=False)` column; some labels are unknown."""
    generator = np.random.default_rng(0)
    emotion, age, country = parse_tasks(tasks)
    columns = {"audio": []}
    for clip in range(CLIPS):
        path = tmp_path / f"{clip}.wav"
        soundfile.write(path, generator.normal(scale=0.1, size=3200 + 400 * clip), 16_000)
        columns["audio"].append(str(path))
    columns |= {label: generator.random(CLIPS).round(2).tolist() for label in emotion.labels}
    columns["age"] = [None, None, *generator.uniform(*age.range, size=CLIPS - 2).tolist()]
    columns["country"] = [*(country.labels[clip % country.outputs] for clip in range(CLIPS - 3)), None, "", None]
    corpus = Dataset.from_dict(columns).cast_column("audio", Audio(decode=False))
    return MultiTaskDataset(corpus, [emotion, age, country])


@pytest.fixture
def make_trainer(make_model, dataset, tmp_path):
    def make(model=None, train_dataset=dataset, **settings):
        model = make_model() if model is None else model
        settings = {
            "per_device_train_batch_size": 4,
            "use_cpu": True,
            "logging_steps": 1,
            "save_strategy": "no",
        } | settings
        args = MultiTaskTrainingArguments(output_dir=str(tmp_path / "run"), disable_tqdm=True, **settings)
        extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
        return Burst2VecTrainer(model, args, extractor, train_dataset, dataset)

    return make


def test_the_terms_of_every_task_are_logged(make_trainer):
    trainer = make_trainer(num_train_epochs=1)
    trainer.train()
    logged = {name for entry in trainer.state.log_history for name in entry if name.startswith("loss/")}
    terms = ("shared", "specific", "joint", "discriminator", "adversarial")
    assert logged == {f"loss/{task}/{term}" for task in KINDS for term in terms}
    accuracies = [
        entry[name] for entry in trainer.state.log_history for name in entry if name.startswith("discriminator_")
    ]
    assert len(accuracies) >= 3 and all(0 <= accuracy <= 1 for accuracy in accuracies)


def test_batches_of_all_tasks_log_every_task_s_terms(make_trainer):
    trainer = make_trainer(num_train_epochs=1, task_batching="all_tasks")
    trainer.train()
    logged = {name for entry in trainer.state.log_history for name in entry if "/" in name}
    terms = ("shared", "specific", "joint", "discriminator", "adversarial")
    losses = {f"loss/{task}/{term}" for task in KINDS for term in terms}
    assert logged == losses | {f"discriminator_accuracy/{task}" for task in KINDS}
    assert trainer.state.global_step == CLIPS / 4


def test_every_parameter_moves_in_batches_of_all_tasks(make_trainer, make_model):
    trainer = make_trainer(
        make_model(task_weighting="variances"), max_steps=3, task_batching="all_tasks", learning_rate=0.01
    )
    before = {name: parameter.clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    still = {name for name, value in trainer.model.named_parameters() if torch.equal(value, before[name])}
    assert still <= {"encoder.model.masked_spec_embed"}


def test_a_run_on_stored_states_ends_with_the_same_weights(make_trainer, make_model, tmp_path):
    settings = {"trainable_encoder_layers": 1, "max_steps": 6, "learning_rate": 0.01}
    each_time = make_trainer(make_model(layer_weights=True), **settings)
    once = make_trainer(make_model(layer_weights=True), **settings)
    once.train_dataset = encode(once, once.train_dataset, tmp_path / "states")
    assert encode(once, each_time.train_dataset, tmp_path / "states").source is not None
    assert len(list((tmp_path / "states").iterdir())) == 1  # found again
    each_time.train()
    once.train()
    for name, value in each_time.model.state_dict().items():
        torch.testing.assert_close(once.model.state_dict()[name], value, atol=1e-5, rtol=1e-3, msg=name)


def test_a_frozen_encoder_runs_in_the_precision_of_the_run(make_trainer, make_model, dataset, tmp_path):
    pooled = {}
    for bf16 in (False, True):
        trainer = make_trainer(make_model(layer_weights=True), trainable_encoder_layers=1, bf16=bf16)
        stored = encode(trainer, dataset, tmp_path / "states").source
        pooled[bf16] = trainer.pool_clips(dataset).source.states, stored.pooled
    for exact, half in zip(pooled[False], pooled[True], strict=True):
        # bfloat16 keeps 8 bits of a number.
        assert 1e-4 < np.abs(half - exact).max() < 0.1


def test_states_are_another_s_where_weights_clips_or_crop_differ(make_trainer, make_model, dataset, tmp_path):
    def folders(model, dataset):
        encode(make_trainer(model, trainable_encoder_layers=1), dataset, tmp_path / "states")
        return len(list((tmp_path / "states").iterdir()))

    model = make_model()
    assert folders(model, dataset) == folders(make_model(), dataset) == 1
    cropped = dataset.with_source(dataclasses.replace(dataset.source, max_seconds=0.3))
    assert folders(model, cropped) == 2
    with torch.no_grad():
        model.encoder.model.encoder.layers[0].final_layer_norm.bias.add_(1e-3)
    assert folders(model, dataset) == 3


def test_evaluation_equals_predicting_each_clip_alone(make_trainer, dataset, tasks):
    trainer = make_trainer()
    passes = []
    last_state = trainer.model.encoder.last_state
    trainer.model.encoder.last_state = lambda *inputs: passes.append(len(inputs[0])) or last_state(*inputs)
    metrics = trainer.evaluate()
    assert sum(passes) == CLIPS  # each clip is encoded once for all its tasks
    extractor, model = trainer.processing_class, trainer.model.eval()
    with torch.no_grad():
        alone = [
            model(**extractor([(dataset[ClipDraw(clip)]["clip"], 16_000)], return_tensors="pt")).predictions
            for clip in range(CLIPS)
        ]
    ages = torch.cat([prediction["age"] for prediction in alone]).numpy()
    known = ~np.isnan(dataset.labels["age"])
    assert metrics["eval_age_mae"] == pytest.approx(np.abs(ages - dataset.labels["age"])[known].mean(), abs=1e-3)
    countries = torch.cat([prediction["country"] for prediction in alone]).argmax(dim=1).numpy()
    truth = dataset.labels["country"]
    recalls = [(countries[truth == label] == label).mean() for label in np.unique(truth[truth >= 0])]
    assert metrics["eval_country_uar"] == pytest.approx(np.mean(recalls))
    losses = [metrics[f"eval_{task}_loss"] for task in KINDS]
    assert metrics["eval_loss"] == pytest.approx(np.mean(losses)) and "eval_s_mtl" in metrics


@pytest.mark.parametrize("task", KINDS)
def test_accumulation_averages_the_micro_batches(make_trainer, make_model, dataset, task, monkeypatch):
    """One SGD step over two micro-batches against their gradients, worked out one by one and averaged."""
    rate = 0.1
    monkeypatch.setattr(
        OneTaskBatchSampler, "_plan", lambda self: iter([GlobalBatch(task, [3, 4, 5]), GlobalBatch(task, [6, 7, 8])])
    )
    monkeypatch.setattr(OneTaskBatchSampler, "_global_batches", lambda self: 2)
    settings = {"optim": "sgd", "learning_rate": rate, "lr_scheduler_type": "constant", "max_grad_norm": 0.0}
    trainer = make_trainer(gradient_accumulation_steps=2, max_steps=1, **settings)
    by_hand = make_model().train()
    by_hand.load_state_dict(trainer.model.state_dict())
    for batch in trainer.get_train_dataloader():
        (by_hand(**{name: value for name, value in batch.items() if name != "index"}).loss / 2).backward()
    trainer.train()
    expected = {
        name: parameter if parameter.grad is None else parameter - rate * parameter.grad
        for name, parameter in by_hand.named_parameters()
    }
    for name, parameter in trainer.model.named_parameters():
        torch.testing.assert_close(parameter, expected[name], atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize("encoder", ["wav2vec2_layer", "hubert_layer", "wavlm_layer", "whisper"])
@pytest.mark.parametrize("task", KINDS)
def test_padding_to_buckets_changes_no_loss(make_model, dataset, encoder, task):
    model = make_model(encoder)
    collate = MultiTaskCollator(dataset.source, Burst2VecFeatureExtractor.for_config(model.config.encoder))
    draws = [ClipDraw(row, task) for row in (3, 5, 4, 7)]
    filled = [draw._replace(padded_seconds=0.75) for draw in (*draws, draws[0]._replace(counted=False))]
    batches = [collate([dataset[draw] for draw in drawn]) for drawn in (draws, filled)]
    assert batches[1]["attention_mask"].shape[1] > 1.5 * batches[0]["attention_mask"].shape[1]
    losses = [model(**{name: batch[name] for name in batch if name != "index"}).loss for batch in batches]
    torch.testing.assert_close(losses[1], losses[0], atol=1e-5, rtol=1e-5)


def test_shapes_repeat_by_default_with_cuda_alone(make_trainer, monkeypatch):
    assert not make_trainer().train_batch_sampler().pad_to_buckets
    assert make_trainer(pad_to_buckets=True).train_batch_sampler().pad_to_buckets
    trainer, off = make_trainer(), make_trainer(pad_to_buckets=False)
    monkeypatch.setattr(MultiTaskTrainingArguments, "device", torch.device("cuda"))
    assert trainer.train_batch_sampler().pad_to_buckets and not off.train_batch_sampler().pad_to_buckets


def test_a_loss_that_is_not_finite_stops_the_run(make_trainer):
    trainer = make_trainer(num_train_epochs=1)
    with torch.no_grad():
        trainer.model.projection[0].weight.fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"loss of task '\w+' is nan at step 1, clips \[.*lower the learning rate"):
        trainer.train()
    assert not any("loss" in entry for entry in trainer.state.log_history)


CONFIGS = Path(train.__file__).parent / "configs"
PAPER_CONFIGS = ("wl", "wl_no_adv", "hb", "hb_no_adv", "hl", "hl_no_adv", "hl_oversampling")
TABLE_3 = {
    "per_device_train_batch_size": 32,
    "num_train_epochs": 100,
    "eval_steps": 800,
    "early_stopping_patience": 20,
    "metric_for_best_model": "emotion_ccc",
    "discriminator_weight": 0.5,
    "adversarial_weight": 0.25,
}


@pytest.mark.parametrize("name", PAPER_CONFIGS)
def test_table_3_is_what_runs(name, make_trainer):
    settings = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    assert {key: settings[key] for key in TABLE_3} == TABLE_3
    names = ("optim", "lr_scheduler_type", "weight_decay", "max_grad_norm")
    options = {key: settings[key] for key in names} | {"learning_rate": float(settings["learning_rate"])}
    trainer = make_trainer(max_steps=3, **options)
    clipped = []
    trainer._clip_grad_norm = lambda model: clipped.append(1)
    trainer.train()
    optimizer = trainer.optimizer.optimizer
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {(group["lr"], group["weight_decay"]) for group in optimizer.param_groups} == {(1e-5, 0.0)}
    assert [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry] == [1e-5] * 3
    assert not clipped


def test_the_encoder_has_its_own_learning_rate(make_trainer):
    trainer = make_trainer(encoder_learning_rate=1e-6, learning_rate=1e-3)
    groups = trainer.create_optimizer().param_groups
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    rates = [(names[id(parameter)], group["lr"]) for group in groups for parameter in group["params"]]
    assert sorted(name for name, _ in rates) == sorted(names.values())
    assert all(rate == (1e-6 if name.startswith("encoder.") else 1e-3) for name, rate in rates)


def test_only_the_top_layers_learn(make_trainer):
    trainer = make_trainer(trainable_encoder_layers=1, max_steps=3)
    before = {name: parameter.clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}
    assert not any("layers.0." in name or "feature_extractor" in name for name in moved)
    assert any("encoder.layers.1." in name for name in moved)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric_for_best_model": "emotion_cc"}, "'emotion_cc' is never measured: use .*emotion_ccc"),
        ({"task_batch_sizes": {"mood": 3}}, "task_batch_sizes names 'mood'"),
        ({"trainable_encoder_layers": 9}, "trainable_layers is 9, the encoder has 2"),
        ({"early_stopping_patience": 2}, "early_stopping_patience needs metric_for_best_model"),
        ({"hub_strategy": "checkpoint"}, "hub_strategy 'checkpoint' would push optimizer states, which are pickles"),
        (
            {"task_batching": "all_tasks", "task_batch_sizes": {"age": 3}},
            "task_batch_sizes cannot be used with all_tasks",
        ),
        ({"train_sampling_strategy": "group_by_length"}, "train_sampling_strategy would have no effect"),
        ({"pad_to_buckets": True, "length_buckets": False}, "pad_to_buckets needs length_buckets"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_start(make_trainer, settings, message):
    with pytest.raises(ConfigError, match=message):
        make_trainer(**settings)


@pytest.mark.parametrize("name", ["compute_loss_func", "compute_metrics", "data_collator", "processing_class"])
def test_an_argument_of_the_stock_trainer_without_effect_is_refused(make_model, tmp_path, name):
    with pytest.raises(ConfigError, match=f"{name} would have no effect, because .*: leave it out"):
        Burst2VecTrainer(make_model(), MultiTaskTrainingArguments(str(tmp_path), use_cpu=True), **{name: print})


@pytest.mark.parametrize("place", ["train_dataset", "eval_dataset"])
def test_a_dataset_without_lengths_and_labels_is_refused(make_model, dataset, tmp_path, place):
    part = torch.utils.data.Subset(dataset, [0, 1])
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True)
    with pytest.raises(ConfigError, match=f"{place} is a Subset: give a MultiTaskDataset"):
        Burst2VecTrainer(make_model(), args, **{place: {"val": part} if place == "eval_dataset" else part})


def test_one_process_does_not_split_its_batches_over_gpus(make_trainer, monkeypatch):
    monkeypatch.setattr(MultiTaskTrainingArguments, "n_gpu", 2)
    with pytest.raises(
        ConfigError, match="this process sees 2 GPUs: start one process for each with accelerate launch"
    ):
        make_trainer()


def test_early_stopping_stops(make_trainer):
    settings = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    # Nothing learns, so no evaluation is better than the first.
    frozen = {"learning_rate": 0.0, "metric_for_best_model": "age_mae", "greater_is_better": False}
    trainer = make_trainer(max_steps=20, early_stopping_patience=2, load_best_model_at_end=True, **settings, **frozen)
    trainer.train()
    assert trainer.state.global_step == 3


def test_the_patience_that_is_left_survives_a_resume(make_trainer, tmp_path):
    settings = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    settings |= {"learning_rate": 0.0, "metric_for_best_model": "age_mae", "greater_is_better": False}
    settings |= {"load_best_model_at_end": True, "early_stopping_patience": 3}
    make_trainer(max_steps=3, **settings).train()  # two of three evaluations without a better one are spent
    resumed = make_trainer(max_steps=20, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    assert resumed.state.global_step == 4


@pytest.mark.parametrize("workers", [0, 1])
def test_reading_clips_draws_none_of_the_numbers_that_training_draws(make_trainer, dataset, tmp_path, workers):
    """Otherwise a run that finds a cache, or starts its workers anew, would drop out other values."""
    trainer = make_trainer(trainable_encoder_layers=1, dataloader_num_workers=workers)
    before = torch.get_rng_state()
    trainer.evaluate()
    list(trainer.get_train_dataloader())
    encode(trainer, dataset, tmp_path / "states")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("task_batching", ["proportional", "all_tasks"])
def test_a_run_resumed_in_mid_epoch_sees_the_same_batches_and_ends_with_the_same_weights(
    make_trainer, make_model, tmp_path, task_batching
):
    settings = {"max_steps": 6, "save_strategy": "steps", "save_steps": 2, "task_batching": task_batching}
    settings |= {"per_device_train_batch_size": 2, "dataloader_num_workers": 2}
    batches = {"unbroken": [], "resumed": []}

    def watched(name, model):
        trainer = make_trainer(model, **settings)
        compute_loss = trainer.compute_loss

        def spy(model, inputs, **options):
            batches[name].append((inputs.get("task"), inputs["index"].tolist()))
            return compute_loss(model, inputs, **options)

        trainer.compute_loss = spy
        return trainer

    unbroken = watched("unbroken", make_model(dropout=0.2))
    unbroken.train()
    resumed = watched("resumed", make_model(seed=1, dropout=0.2))
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-4"))
    assert batches["resumed"] == batches["unbroken"][4:] and len(batches["resumed"]) == 2
    for (name, ours), theirs in zip(resumed.model.named_parameters(), unbroken.model.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def drawn(trainer):
    return [(draws[0].task, [draw.index for draw in draws]) for draws in trainer.train_batch_sampler()]


def test_batches_follow_the_arguments(make_trainer, dataset):
    largest = {task: max(len(rows) for name, rows in drawn(make_trainer()) if name == task) for task in KINDS}
    assert largest == {"emotion": 4, "age": 4, "country": 4}
    batches = drawn(make_trainer(task_batch_sizes={"age": 2}))
    largest = {task: max(len(rows) for name, rows in batches if name == task) for task in KINDS}
    assert largest == {"emotion": 4, "age": 2, "country": 4}
    turns = [task for task, _ in drawn(make_trainer(task_batching="round_robin"))]
    assert turns == (list(KINDS) * 4)[: len(turns)]
    budget = max(dataset.seconds) * 1.5
    batches = drawn(make_trainer(max_batch_seconds=budget))
    assert all(len(rows) * dataset.seconds[rows].max() <= budget for _, rows in batches) and len(batches) > 15
    spread = {
        buckets: np.mean([np.ptp(dataset.seconds[rows]) for _, rows in drawn(make_trainer(**settings))])
        for buckets, settings in {
            True: {"per_device_train_batch_size": 2},
            False: {"per_device_train_batch_size": 2, "length_buckets": False},
        }.items()
    }
    assert spread[True] < 0.75 * spread[False]


def test_the_seed_of_the_batches_is_the_data_seed_or_that_of_the_run(make_trainer):
    assert drawn(make_trainer(seed=1)) == drawn(make_trainer(seed=1)) != drawn(make_trainer(seed=2))
    assert drawn(make_trainer(seed=1, data_seed=5)) == drawn(make_trainer(seed=2, data_seed=5))
    assert drawn(make_trainer(seed=5)) == drawn(make_trainer(seed=1, data_seed=5))


def test_each_epoch_has_its_own_batches(make_trainer):
    trainer = make_trainer(num_train_epochs=2)
    seen = []
    compute_loss = trainer.compute_loss
    trainer.compute_loss = lambda model, inputs, **options: (
        seen.append((inputs["task"], inputs["index"].tolist())) or compute_loss(model, inputs, **options)
    )
    trainer.train()
    half = len(seen) // 2
    assert sorted(seen[:half]) != sorted(seen[half:])
    for epoch in (seen[:half], seen[half:]):
        rows = [row for task, rows in epoch if task == "age" for row in rows]
        assert sorted(rows) == list(range(2, CLIPS))


def test_a_resume_can_have_more_patience(make_trainer, tmp_path):
    settings = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    settings |= {"learning_rate": 0.0, "metric_for_best_model": "age_mae", "greater_is_better": False}
    settings |= {"load_best_model_at_end": True}
    make_trainer(max_steps=2, early_stopping_patience=3, **settings).train()  # one of three is spent
    resumed = make_trainer(max_steps=20, early_stopping_patience=5, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert resumed.state.global_step == 6


@pytest.mark.parametrize("metric", ["age_mae", "eval_age_mae", "s_mtl", "age_loss"])
def test_a_metric_that_cannot_be_measured_on_this_val_is_refused_before_the_first_step(dataset, metric):
    labels = dataset.labels | {"age": np.full(CLIPS, np.nan, dtype=np.float32)}
    without_ages = copy.copy(dataset)
    without_ages.labels = labels
    args = SimpleNamespace(metric_for_best_model=metric, eval_strategy="epoch")
    check_metric_name(dataset.tasks, args, dataset)
    with pytest.raises(ConfigError, match=f"'{metric}' cannot be measured, .* use emotion_ccc, .* or add labels"):
        check_metric_name(dataset.tasks, args, without_ages)
    by_split = SimpleNamespace(**vars(args) | {"metric_for_best_model": "b_age_mae"})
    with pytest.raises(ConfigError, match="cannot be measured, .* use a_emotion_ccc"):
        check_metric_name(dataset.tasks, by_split, {"a": dataset, "b": without_ages})
    # The mean of the losses that there are can be measured.
    check_metric_name(dataset.tasks, SimpleNamespace(**vars(args) | {"metric_for_best_model": "loss"}), without_ages)
    # Nothing chooses where nothing is evaluated.
    check_metric_name(dataset.tasks, SimpleNamespace(**vars(args) | {"eval_strategy": "no"}), without_ages)
