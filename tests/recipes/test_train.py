"""The training recipe: every YAML runs, a run leaves what it says, and wrong settings are refused in one sentence."""

import copy
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from little_corpora import CLIPS, write_metadata_corpus, write_noise
from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from paravox.corpora.exvo import EMOTIONS
from paravox.modeling.errors import AudioError, CheckpointError, ConfigError
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.recipes.burst2vec import predict, score, train
from paravox.runs.output_folder import claim_output_folder
from paravox.trainers import lower_states

RECIPES = Path(train.__file__).parent.parent
TRAINING_CONFIGS = sorted((RECIPES / "burst2vec" / "configs").glob("*.yaml"))
LAUNCH_CONFIGS = sorted((RECIPES / "accelerate_configs").glob("*.yaml"))
COUNTRIES = ("China", "South Africa", "USA", "Venezuela")


@pytest.fixture(scope="module")
def exvo_folder(tmp_path_factory):
    """ExVo's tree with a few bursts, in both kinds of audio."""
    folder = tmp_path_factory.mktemp("exvo")
    rows, number = [], 0
    for split, title in (("train", "Train"), ("validation", "Val"), ("test", "Test")):
        for clip in range(CLIPS[split]):
            emotions = np.eye(10)[clip % 10] * 1.0 + 0.1 * (clip % 3 > 0) * (1 - np.eye(10)[clip % 10])
            labels = [clip % 4, COUNTRIES[clip % 4], 20 + 2 * clip, *emotions] if split != "test" else [""] * 13
            speaker = f"Speaker_{number}" if split != "test" else ""
            rows.append([f"[{number:05d}]", title, speaker, *labels])
            for kind in ("wav", "raw"):
                write_noise(folder / kind / f"{number:05d}.wav", number, 0.2 + 0.02 * clip)
            number += 1
    with open(folder / "data_info.csv", "w", newline="") as file:
        header = ["File_ID", "Split", "Subject_ID", "Country", "Country_string", "Age", *EMOTIONS]
        csv.writer(file).writerows([header, *rows])
    return folder


@pytest.fixture(scope="module")
def tiny_encoder_folders(tmp_path_factory, tiny_encoder_configs):
    """A saved encoder of each architecture that the YAML files name, with random weights."""
    from transformers import AutoModel

    folders = {}
    for name in ("wav2vec2", "hubert", "whisper"):
        folder = tmp_path_factory.mktemp(name)
        config = copy.deepcopy(
            tiny_encoder_configs[{"wav2vec2": "wav2vec2_layer", "hubert": "hubert_layer"}.get(name, name)]
        )
        AutoModel.from_config(config).save_pretrained(folder)
        if name == "whisper":
            WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(folder)
        else:
            Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
        folders[name] = folder
    return folders


def encoder_options(settings: dict, folders: dict[str, Path]) -> list[str]:
    if "encoder_config" in settings:
        return []
    published = settings.get("encoder", "whisper")
    return ["--encoder", str(folders[next(name for name in folders if name in published)])]


QUICK = [
    "--max_steps",
    "2",
    "--eval_strategy",
    "steps",
    "--eval_steps",
    "1",
    "--save_strategy",
    "steps",
    "--save_steps",
    "1",
]
QUICK += ["--use_cpu", "true", "--per_device_train_batch_size", "4", "--logging_steps", "1"]


@pytest.mark.parametrize("config", TRAINING_CONFIGS, ids=lambda path: path.stem)
def test_every_training_yaml_runs(config, exvo_folder, tiny_encoder_folders, tmp_path, capsys):
    settings = yaml.safe_load(config.read_text())
    data = exvo_folder if settings["corpus"] == "exvo" else write_metadata_corpus(tmp_path / "data", settings["tasks"])
    options = [*encoder_options(settings, tiny_encoder_folders), *QUICK, "--output_dir", str(tmp_path / "run")]
    if "heads_first_epochs" in settings:
        options += ["--heads_first_epochs", "1", "--trainable_encoder_layers", "1"]
    results = train.main([str(config), "--data_dir", str(data), *options])
    assert set(results["val"]) >= {
        f"{task['name']}_{'mae' if task['kind'] == 'scalar' else 'uar'}" for task in settings["tasks"]
    }
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results
    model = Burst2VecForMultiTask.from_pretrained(tmp_path / "run" / "model")
    assert model.config.adversarial == settings.get("adversarial", True)
    assert "Scores" in capsys.readouterr().out


@pytest.mark.parametrize("config", LAUNCH_CONFIGS, ids=lambda path: path.stem)
def test_every_launch_yaml_starts_the_recipe(config, tmp_path):
    demo = RECIPES / "burst2vec" / "configs" / "tiny_demo.yaml"
    data = write_metadata_corpus(tmp_path / "data", yaml.safe_load(demo.read_text())["tasks"])
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    command += [str(RECIPES / "burst2vec" / "train.py"), str(demo), "--data_dir", str(data)]
    command += [*QUICK, "--output_dir", str(tmp_path / "run")]
    environment = os.environ | {
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    plan = "batches per epoch over 2 processes;" if config.stem == "ddp" else "batches per epoch;"
    assert done.stdout.count(plan) == 1
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


@pytest.fixture
def demo_data(tmp_path):
    config = RECIPES / "burst2vec" / "configs" / "tiny_demo.yaml"
    data = write_metadata_corpus(tmp_path / "data", yaml.safe_load(config.read_text())["tasks"])
    return [str(config), "--data_dir", str(data), *QUICK, "--output_dir", str(tmp_path / "run")]


def test_a_run_goes_on_from_its_last_checkpoint(demo_data, tmp_path):
    unbroken = train.main([*demo_data[:-1], str(tmp_path / "unbroken")])
    train.main([*demo_data, "--max_steps", "1", "--lr_scheduler_type", "constant"])
    with pytest.raises(ConfigError, match="holds checkpoint-1 of an earlier run.*--resume_from_checkpoint last"):
        train.main(demo_data)
    resumed = train.main([*demo_data, "--resume_from_checkpoint", "last"])
    assert set(resumed["val"]) == set(unbroken["val"])
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    assert state["global_step"] == 2


def test_frozen_layers_run_once(demo_data, tmp_path, monkeypatch):
    """Two runs over stored states give what a run over the recordings gives; the second finds the first one's."""
    encoded = []
    write_states = lower_states.write_states
    monkeypatch.setattr(
        lower_states,
        "write_states",
        lambda folder, clips, count, layers: encoded.append(count) or write_states(folder, clips, count, layers),
    )
    options = ["--trainable_encoder_layers", "1", "--heads_first_epochs", "1", "--overwrite", "true"]
    recordings = train.main([*demo_data, *options])
    assert not encoded
    options += ["--cache_lower_layers", "true", "--cache_dir", str(tmp_path / "cache")]
    stored = [train.main([*demo_data, *options]) for _ in range(2)]
    assert sorted(encoded) == sorted(CLIPS.values())
    for results in stored:
        for part in ("frozen_head", "val", "test"):
            assert_scores_equal(results[part], recordings[part])
    with pytest.raises(ConfigError, match="cache_lower_layers needs trainable_encoder_layers between 1 and 2"):
        train.main([*demo_data, *options, "--trainable_encoder_layers", "0"])
    with pytest.raises(ConfigError, match="more than cache_gigabytes of 1e-09: raise it"):
        train.main([*demo_data, *options, "--cache_gigabytes", "1e-9", "--cache_dir", str(tmp_path / "other")])
    with pytest.raises(ConfigError, match="augmentation does not go together with stored outputs"):
        train.main([*demo_data, *options, "--augmentation", '[{"transform": "Gain"}]'])


def assert_scores_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, dict):
            assert_scores_equal(found[name], value)
        else:
            assert found[name] == pytest.approx(value, abs=1e-3), name


def test_rare_labels_count_more(demo_data, tmp_path):
    config = tmp_path / "weighted.yaml"
    config.write_text(
        Path(demo_data[0]).read_text().replace("kind: classes", "kind: classes\n    class_weights: balanced")
    )
    metadata = tmp_path / "data" / "metadata.csv"
    lines = metadata.read_text().splitlines()
    # Of eight Train clips two are of each country; make it three and one.
    lines[1] = lines[1].replace("China", "USA")
    metadata.write_text("\n".join(lines) + "\n")
    options = ["--task_batching", "all_tasks", "--uncertainty_weighting", "true", "--load_best_model_at_end", "false"]
    train.main([str(config), *demo_data[1:], *options])
    model = Burst2VecForMultiTask.from_pretrained(tmp_path / "run" / "model")
    # Clips over classes times clips of the class: 8 / (4 * 1), 8 / (4 * 2), 8 / (4 * 3).
    assert model.tasks["country"].class_weights == pytest.approx((2.0, 1.0, 2 / 3, 1.0), abs=1e-4)
    start = torch.full((3,), -0.33)
    assert not torch.equal(model.task_weights.log_variances.detach(), start)


@pytest.mark.parametrize(
    ("kind", "weights", "message"),
    [
        ("scalar", "balanced", "'age': kind 'scalar' has no classes to weigh"),
        (
            "classes",
            "[1, 2]",
            r"'country': class_weights are \[1, 2\], expected a number above 0 for each of its 4 labels",
        ),
    ],
)
def test_class_weights_that_cannot_be_are_refused(demo_data, tmp_path, kind, weights, message):
    config = tmp_path / "weighted.yaml"
    config.write_text(
        Path(demo_data[0]).read_text().replace(f"kind: {kind}", f"kind: {kind}\n    class_weights: {weights}")
    )
    with pytest.raises(ConfigError, match=message):
        train.main([str(config), *demo_data[1:]])


@pytest.fixture
def augmented_data(demo_data, tmp_path):
    """The demo's options, with augmentation in the YAML."""
    config = tmp_path / "augmented.yaml"
    lines = ["augmentation:", "  - {transform: AddGaussianNoise, p: 0.9, max_amplitude: 1e-1}", "  - {transform: Gain}"]
    config.write_text(Path(demo_data[0]).read_text() + "\n".join(lines) + "\n")
    return [str(config), *demo_data[1:-2], "--lr_scheduler_type", "constant", "--output_dir"]


def test_an_augmented_run_repeats_itself_in_workers_and_after_a_resume(augmented_data, demo_data, tmp_path):
    def weights(folder):
        return (tmp_path / folder / "model" / "model.safetensors").read_bytes()

    # Into a second epoch, and the last weights, not the best.
    options = ["--max_steps", "8", "--eval_strategy", "no", "--load_best_model_at_end", "false"]
    run = [*augmented_data, str(tmp_path / "run"), *options]
    train.main([*augmented_data, str(tmp_path / "unbroken"), *options])
    train.main([*run, "--max_steps", "3"])
    train.main([*run, "--resume_from_checkpoint", "last", "--dataloader_num_workers", "2"])
    assert weights("run") == weights("unbroken")
    train.main([*augmented_data, str(tmp_path / "plain"), *options, "--augmentation", "[]"])
    assert weights("plain") != weights("unbroken")


def test_only_drawn_train_clips_are_augmented(augmented_data, tmp_path, monkeypatch):
    clips = []

    class Recorded(train.ClipAugmentation):
        def __call__(self, samples, sampling_rate, seed_numbers):
            clips.append(tuple(seed_numbers))
            return super().__call__(samples, sampling_rate, seed_numbers)

    monkeypatch.setattr(train, "ClipAugmentation", Recorded)
    heads = [*augmented_data, str(tmp_path / "run"), "--heads_first_epochs", "1"]
    with pytest.raises(ConfigError, match="augmentation changes nothing if num_train_epochs is 0.*leave augmentation"):
        train.main([*heads, "--num_train_epochs", "0"])
    assert not clips
    results = train.main([*heads, "--max_steps", "-1", "--num_train_epochs", "1"])
    # Eight clips, each once for each of three tasks; neither what the heads learned on, nor the other splits.
    assert sorted(clips) == sorted([(42, 0, row) for row in range(CLIPS["train"])] * 3)
    assert set(results) >= {"frozen_head", "val", "test"}


def test_a_wrong_augmentation_is_refused(augmented_data, tmp_path):
    for given, message in (
        ('[{"transform": "Gian"}]', "augmentation 1: transform 'Gian'.*did you mean 'Gain'"),
        ('{"transform": "Gain"}', "augmentation is .*, expected a list"),
    ):
        with pytest.raises(ConfigError, match=message):
            train.main([*augmented_data, str(tmp_path / "run"), "--augmentation", given])


def test_resuming_where_nothing_was_saved_is_an_error(demo_data):
    with pytest.raises(CheckpointError, match="resume_from_checkpoint 'last': there is no checkpoint"):
        train.main([*demo_data, "--resume_from_checkpoint", "last"])


def test_an_output_folder_serves_one_run_at_a_time(demo_data, tmp_path):
    with claim_output_folder(tmp_path / "run", empty=True):
        with pytest.raises(ConfigError, match="in use by another run"):
            train.main(demo_data)


def test_an_encoder_is_named_or_described_not_both(demo_data, tiny_encoder_folders):
    with pytest.raises(ConfigError, match="give one of encoder .*, encoder_config .* and start_from"):
        train.main([*demo_data, "--encoder", str(tiny_encoder_folders["whisper"])])
    with pytest.raises(ConfigError, match="encoder_settings changes a pre-trained encoder: give encoder"):
        train.main([*demo_data, "--encoder_settings", '{"dropout": 0.1}'])


def test_what_a_run_starts_from_keeps_its_settings(demo_data, tmp_path):
    saved = tmp_path / "saved"
    train.main([*demo_data, "--dropout", "0.3", "--output_dir", str(saved)])
    config = yaml.safe_load(Path(demo_data[0]).read_text())
    del config["encoder_config"]
    (tmp_path / "on.yaml").write_text(yaml.safe_dump(config))
    options = [str(tmp_path / "on.yaml"), *demo_data[1:], "--start_from", str(saved / "model")]
    train.main(options)
    assert Burst2VecForMultiTask.from_pretrained(tmp_path / "run" / "model").config.dropout == 0.3
    assert "`dropout`: 0.3" in (tmp_path / "run" / "model" / "README.md").read_text()
    options += ["--overwrite", "true"]
    for option, message in (
        (["--dropout", "0.2"], "dropout is 0.2, but the model of start_from has 0.3, which is kept: leave dropout out"),
        (["--target_rms_db", "-3"], "target_rms_db is -3.0, but the model of start_from has None"),
    ):
        with pytest.raises(ConfigError, match=message):
            train.main([*options, *option])
    config["tasks"] = config["tasks"][:2]
    (tmp_path / "on.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(
        ConfigError, match="start_from .* has the tasks emotion, age, country, which are not those of the settings"
    ):
        train.main(options)


def test_an_unreadable_clip_stops_the_run_unless_skipped(demo_data, tmp_path, capsys):
    (tmp_path / "data" / "audio" / "0.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match="0.wav"):
        train.main(demo_data)
    train.main([*demo_data, "--skip_bad", "true", "--overwrite", "true"])
    assert "train: 1 clips skipped" in capsys.readouterr().out


def test_predict_and_score_use_the_saved_model(demo_data, tmp_path, capsys):
    train.main(demo_data)
    model, data = str(tmp_path / "run" / "model"), tmp_path / "data"
    capsys.readouterr()
    clips = sorted(str(path) for path in (data / "audio").glob("*.wav"))
    records = predict.main([str(data / "audio"), "--model", model, "--json"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == records
    assert [record["file"] for record in records] == clips
    assert sum(records[0]["country"].values()) == pytest.approx(1, abs=1e-5) and 20 <= records[0]["age"] <= 40
    alone = predict.main([clips[3], "--model", model])
    assert alone[0]["age"] == pytest.approx(records[3]["age"], abs=1e-3)
    assert "age (years)" in capsys.readouterr().out
    scores = score.main([model, model, "--data_dir", str(data), "--output", str(tmp_path / "scores.json")])
    assert scores["mean of 2 models"] == pytest.approx(scores[model])
    assert json.loads((tmp_path / "scores.json").read_text()) == scores


def test_one_bad_clip_among_many_is_reported_and_skipped_on_request(demo_data, tmp_path, capsys):
    train.main(demo_data)
    model = str(tmp_path / "run" / "model")
    (tmp_path / "data" / "audio" / "1.wav").write_bytes(b"")
    with pytest.raises(AudioError, match="1.wav"):
        predict.main([str(tmp_path / "data" / "audio"), "--model", model])
    records = predict.main([str(tmp_path / "data" / "audio"), "--model", model, "--skip_bad"])
    assert len(records) == sum(CLIPS.values()) - 1
    assert "1 clips skipped" in capsys.readouterr().err


def test_the_submission_has_the_challenges_columns(exvo_folder, tiny_encoder_folders, tmp_path):
    config = RECIPES / "burst2vec" / "configs" / "hl.yaml"
    options = ["--encoder", str(tiny_encoder_folders["hubert"]), *QUICK, "--output_dir", str(tmp_path / "run")]
    train.main([str(config), "--data_dir", str(exvo_folder), *options])
    file = tmp_path / "ExVo-Multi_team_1.csv"
    where = ["--data_dir", str(exvo_folder), "--corpus", "exvo", "--split", "test", "--submission", str(file)]
    score.main([str(tmp_path / "run" / "model"), *where])
    rows = list(csv.DictReader(file.open()))
    assert len(rows) == CLIPS["test"] and list(rows[0]) == ["File_ID", "Country", "Age", *EMOTIONS]
    assert rows[0]["File_ID"] == "[00014]" and {row["Country"] for row in rows} <= {"0", "1", "2", "3"}
    assert all(20 <= float(row["Age"]) <= 40 for row in rows)


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="checkpoint .*nowhere.* cannot be opened"):
        predict.main(["clip.wav", "--model", str(tmp_path / "nowhere")])
