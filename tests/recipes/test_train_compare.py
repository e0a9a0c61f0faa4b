"""Training the challenge's baseline: every YAML runs, what a run leaves, how it goes on, and what it refuses."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from little_corpora import CLIPS, write_exvo_corpus, write_metadata_corpus

from paravox.evaluation.finished_run import FinishedRun
from paravox.evaluation.predictions_file import read_predictions
from paravox.modeling.errors import ConfigError, CorpusError
from paravox.modeling.feature_extraction_compare import open_smile
from paravox.modeling.modeling_compare import ComParEForMultiTask
from paravox.modeling.tasks import parse_tasks
from paravox.recipes.burst2vec import ensemble, predict, score, train_compare
from paravox.runs.program_settings import SETTINGS
from paravox.runs.settings import parse_settings
from paravox.runs.training_checkpoints import last_whole_checkpoint
from paravox.trainers.publishing import check_publishable
from paravox.trainers.scoring import score_split

CONFIGS = Path(train_compare.__file__).parent / "configs"
BASELINE_CONFIGS = sorted(CONFIGS.glob("compare_*.yaml"))
BURSTS = CONFIGS / "compare_bursts.yaml"
QUICK = ["--use_cpu", "true", "--dataloader_num_workers", "0", "--per_device_train_batch_size", "4"]
QUICK += ["--logging_steps", "1", "--num_train_epochs", "2", "--disable_tqdm", "true"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_metadata_corpus(tmp_path_factory.mktemp("data"), yaml.safe_load(BURSTS.read_text())["tasks"])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("functionals")


@pytest.fixture
def run(data, cache, tmp_path):
    """Trains on the little corpus, whose functionals are computed once for all tests."""

    def run_it(*options, folder="run", config=BURSTS):
        folder = tmp_path / folder
        argv = [str(config), "--data_dir", str(data), "--cache_dir", str(cache), "--output_dir", str(folder), *QUICK]
        return train_compare.main([*argv, *options]), folder

    return run_it


@pytest.mark.parametrize("config", BASELINE_CONFIGS, ids=lambda path: path.stem)
def test_every_yaml_of_the_baseline_runs(config, tmp_path, data, capsys):
    settings = yaml.safe_load(config.read_text())
    folder = write_exvo_corpus(tmp_path / "exvo") if settings["corpus"] == "exvo" else data
    options = ["--data_dir", str(folder), "--output_dir", str(tmp_path / "run"), *QUICK]
    results = train_compare.main([str(config), *options])
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results
    assert {"constant", "val", "seed", "seconds"} <= set(results) and results["seed"] == 101
    assert "emotion_ccc" in results["val"] and ("emotion_ccc" in results["test"]) == (settings["corpus"] != "exvo")
    config = ComParEForMultiTask.from_pretrained(tmp_path / "run" / "model").config
    assert (config.functionals, config.shared_sizes, config.head_sizes) == (6373, [128, 64], [32])
    assert "8 Train clips in 2 batches per epoch; 831,2" in capsys.readouterr().out


@pytest.mark.parametrize("config", BASELINE_CONFIGS, ids=lambda path: path.stem)
def test_every_yaml_has_the_settings_of_the_organisers(config):
    asked = {
        "per_device_train_batch_size": 8,
        "num_train_epochs": 20,
        "learning_rate": 1e-3,
        "weight_decay": 1e-4,
        "max_grad_norm": 0.0,
        "early_stopping_patience": 5,
        "early_stopping_threshold": 0.1,
        "metric_for_best_model": "loss",
        "greater_is_better": False,
        "task_batching": "all_tasks",
        "seed": 101,
    }
    settings = [str(config), "--data_dir", "nowhere", "--use_cpu", "true"]
    *_, args = parse_settings(SETTINGS["burst2vec.train_compare"], settings, "", train_compare.baseline_defaults)
    assert {name: getattr(args, name) for name in asked} == asked and args.lr_scheduler_type == "constant"
    tasks = config.with_name("real_bursts.yaml" if config == BURSTS else "wl.yaml")
    assert yaml.safe_load(config.read_text())["tasks"] == yaml.safe_load(tasks.read_text())["tasks"]


def test_a_short_yaml_trains_as_the_organisers_did(tmp_path, data):
    (tmp_path / "short.yaml").write_text("tasks: [{name: age, kind: scalar, range: [0, 90]}]")
    settings = [str(tmp_path / "short.yaml"), "--data_dir", str(data), "--use_cpu", "true"]
    *_, args = parse_settings(SETTINGS["burst2vec.train_compare"], settings, "", train_compare.baseline_defaults)
    found = (args.learning_rate, args.weight_decay, args.per_device_train_batch_size, args.num_train_epochs)
    assert found == (1e-3, 1e-4, 8, 20) and (args.task_batching, args.max_grad_norm) == ("all_tasks", 0)
    assert (args.encoder_learning_rate, args.warmup_steps, args.lr_scheduler_type) == (None, 0, "constant")


def test_what_a_run_leaves(run, data, tmp_path, capsys):
    results, folder = run("--seed", "1", "--output", "", "--overwrite", "true")
    assert results["seed"] == 1 and FinishedRun(folder).results == results
    names = [task["name"] for task in yaml.safe_load(BURSTS.read_text())["tasks"]]
    assert [task.name for task in FinishedRun(folder).tasks] == names
    model = ComParEForMultiTask.from_pretrained(folder / "model")
    tasks = parse_tasks(model.config.tasks)
    for title, split in (("val", "validation"), ("test", "test")):
        saved = read_predictions(folder / "predictions" / f"{title}.npz")
        assert len(saved.clips) == len(set(saved.speakers)) == CLIPS[split]
        assert score_split(tasks, saved.predictions, saved.labels) == pytest.approx(results[title])
    # What score and predict make of the recordings themselves.
    rows = score.main([str(folder / "model"), "--data_dir", str(data), "--split", "test"])
    assert rows[str(folder / "model")] == pytest.approx(results["test"], rel=1e-4)
    record = predict.main([str(data / "audio" / f"{CLIPS['train']}.wav"), "--model", str(folder / "model"), "--json"])[
        0
    ]
    predicted = read_predictions(folder / "predictions" / "val.npz").predictions
    assert list(record["emotion"].values()) == pytest.approx(predicted["emotion"][0].tolist(), rel=1e-4)
    assert record["age"] == pytest.approx(predicted["age"][0], rel=1e-4)

    card = ModelCard.load(folder / "model" / "README.md")
    assert "audEERING Research License Agreement" in card.text and "must not be used for commercial" in card.text
    assert "`weight_decay`: 0.0001" in card.text and "ComParE baseline" in card.text
    check_publishable(folder / "model")
    assert "Scores (Val chose the epoch)" in capsys.readouterr().out

    # Two seeds as an ensemble.
    _, second = run("--seed", "2", folder="second")
    ensemble.main([str(folder / "model"), str(second / "model"), "--output_dir", str(tmp_path / "joined")])
    assert f"{folder / 'model'}: compare_baseline, " in capsys.readouterr().out
    assert "must not be used for commercial" in (tmp_path / "joined" / "README.md").read_text()
    joined = score.main([str(tmp_path / "joined"), "--data_dir", str(data), "--split", "test"])
    files = [read_predictions(one / "predictions" / "test.npz") for one in (folder, second)]
    means = {name: np.mean([file.predictions[name] for file in files], axis=0) for name in names}
    assert joined[str(tmp_path / "joined")] == pytest.approx(score_split(tasks, means, files[0].labels), rel=1e-4)


def test_every_parameter_learns(run, monkeypatch):
    started = {}
    trainer_class = train_compare.ComParETrainer

    class Recorded(trainer_class):
        def __init__(self, model, *args, **kwargs):
            started.update({name: value.clone() for name, value in model.state_dict().items()})
            super().__init__(model, *args, **kwargs)

    monkeypatch.setattr(train_compare, "ComParETrainer", Recorded)
    _, folder = run("--load_best_model_at_end", "false")
    found = ComParEForMultiTask.from_pretrained(folder / "model").state_dict()
    learned = {name for name, value in found.items() if not torch.equal(value, started[name])}
    assert learned == {name for name in found if not name.startswith("standardisation")} and len(learned) == 21
    assert started["standardisation.mean"].any()


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_as_one_that_was_not(run):
    settings = ["--seed", "5", "--save_total_limit", "5"]
    _, whole = run(*settings, "--num_train_epochs", "3")
    _, stopped = run(*settings, "--num_train_epochs", "1", folder="stopped")
    assert last_whole_checkpoint(stopped)
    run(*settings, "--num_train_epochs", "3", "--resume_from_checkpoint", "last", folder="stopped")
    first, second = (read_predictions(folder / "predictions" / "test.npz").predictions for folder in (whole, stopped))
    for name, values in first.items():
        np.testing.assert_array_equal(second[name], values)


def test_functionals_lie_in_the_output_folder_by_default(data, tmp_path):
    (tmp_path / "short.yaml").write_text("tasks: [{name: age, kind: scalar, range: [0, 90]}]\noversample: true")
    argv = [str(tmp_path / "short.yaml"), "--data_dir", str(data), "--output_dir", str(tmp_path / "run"), *QUICK]
    train_compare.main(argv)
    files = list((tmp_path / "run" / "functionals").iterdir())
    assert sorted(len(np.load(file)) for file in files) == sorted(CLIPS.values())
    assert "emotion" not in json.loads((tmp_path / "run" / "model" / "config.json").read_text())["tasks"]


def test_wrong_settings_are_refused(run, tmp_path, monkeypatch):
    for options, message in (
        (["--encoder_learning_rate", "1e-4"], "encoder_learning_rate is 0.0001, but this model has no encoder"),
        (["--encoder", "hubert"], "unknown option '--encoder'"),
        (["--metric_for_best_model", "mood_ccc"], "metric_for_best_model 'mood_ccc' is never measured"),
        (["--shared_sizes", "0"], "shared_sizes holds 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(*options, folder=options[0])
    settings = yaml.safe_load(BURSTS.read_text())
    settings["tasks"][1]["loss"] = "ccc"
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match="task 'age': loss 'ccc' is not that of the challenge's baseline"):
        run(config=tmp_path / "other.yaml")
    with pytest.raises(CorpusError, match="nowhere"):
        run("--data_dir", str(tmp_path / "nowhere"), folder="nowhere")
    monkeypatch.setitem(sys.modules, "opensmile", None)
    open_smile.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'paravox\[compare\]'"):
        run(folder="without")
