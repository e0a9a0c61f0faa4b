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
import soundfile
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from little_corpora import CLIPS, write_exvo_corpus, write_metadata_corpus
from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from paravox.corpora.exvo import EMOTIONS
from paravox.evaluation.predictions_file import read_predictions
from paravox.modeling.errors import AudioError, CheckpointError, ConfigError
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.tasks import parse_tasks
from paravox.recipes.burst2vec import predict, score, train
from paravox.runs.output_folder import claim_output_folder
from paravox.runs.program_settings import SETTINGS
from paravox.runs.settings import parse_settings
from paravox.runs.training_defaults import training_defaults
from paravox.trainers import lower_states

RECIPES = Path(train.__file__).parent.parent
# compare_*.yaml are for train_compare.py, and table_2_*.yaml are suites, which name others.
TRAINING_CONFIGS = [
    path
    for path in sorted((RECIPES / "burst2vec" / "configs").glob("*.yaml"))
    if not path.stem.startswith(("compare_", "table_2_"))
]
LAUNCH_CONFIGS = sorted((RECIPES / "accelerate_configs").glob("*.yaml"))


@pytest.fixture(scope="module")
def exvo_folder(tmp_path_factory):
    return write_exvo_corpus(tmp_path_factory.mktemp("exvo"))


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
    if "metadata" in (settings.get("corpus_options") or {}):
        (data / "metadata.csv").rename(data / settings["corpus_options"]["metadata"])
    if "encoder_layers" in (settings.get("encoder_settings") or {}):
        options += ["--encoder_settings", '{"encoder_layers": 1}']  # of two
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


@pytest.mark.slow
@pytest.mark.parametrize("config", LAUNCH_CONFIGS, ids=lambda path: path.stem)
def test_accelerate_reads_every_launch_yaml(config):
    read = load_config_from_file(str(config))
    machines = {"two_nodes_of_8_gpus": 2}.get(config.stem, 1)
    processes = {"ddp": 2, "one_node_8_gpus": 8, "two_nodes_of_8_gpus": 16}.get(config.stem, 1)
    assert (read.num_machines, read.num_processes) == (machines, processes)
    assert read.mixed_precision == ("no" if config.stem == "cpu" else "bf16")
    assert (str(read.distributed_type).endswith("MULTI_GPU")) == (processes > 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [path for path in LAUNCH_CONFIGS if yaml.safe_load(path.read_text())["num_processes"] <= 2],
    ids=lambda path: path.stem,
)
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
    # A frozen layer that runs draws a number for layerdrop, which would change the masks of dropout after it.
    options += ["--dropout", "0"]
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
    options = ["--task_batching", "all_tasks", "--task_weighting", "variances", "--load_best_model_at_end", "false"]
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
    config["tasks"], config["metric_for_best_model"] = config["tasks"][:2], "emotion_ccc"
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
    assert "train: 1 clip skipped" in capsys.readouterr().out


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
    assert "1 clip skipped" in capsys.readouterr().err


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


def settings_of(argv):
    return parse_settings(SETTINGS["burst2vec.train"], argv, "", training_defaults)


def test_oversampling_changes_train_alone_and_to_one_size(demo_data, tmp_path):
    """Eight Train clips, of which every label differs; with five copies of one stratum, each other one is repeated."""
    metadata = tmp_path / "data" / "metadata.csv"
    header, *rows = metadata.read_text().splitlines()
    # Clips 1 to 4 get the labels of clip 0, so that their stratum has five clips and the three others one each.
    labels = rows[0].split(",")[3:]
    rows[1:5] = [",".join([*row.split(",")[:3], *labels]) for row in rows[1:5]]
    metadata.write_text("\n".join([header, *rows]) + "\n")
    model, data, *_ = settings_of([*demo_data, "--oversample", "true"])
    datasets = train.build_datasets(data, parse_tasks(model.tasks), train.build_extractor(model), seed=0)
    assert {split: len(dataset) for split, dataset in datasets.items()} == {"train": 20, "validation": 6, "test": 6}
    files = datasets["train"].files
    assert sorted(set(files)) == [f"{clip}.wav" for clip in range(8)]
    assert [files.count(f"{clip}.wav") for clip in (5, 6, 7)] == [5, 5, 5]
    data.max_repeats = 2
    datasets = train.build_datasets(data, parse_tasks(model.tasks), train.build_extractor(model), seed=0)
    assert len(datasets["train"]) == 5 + 3 * 2


def test_shuffled_labels_are_those_of_train_in_another_order(demo_data):
    model, data, *_ = settings_of([*demo_data, "--shuffle_labels", "true"])
    tasks, extractor = parse_tasks(model.tasks), train.build_extractor(model)
    shuffled = train.build_datasets(data, tasks, extractor, seed=0)
    data.shuffle_labels = False
    plain = train.build_datasets(data, tasks, extractor, seed=0)
    ages = shuffled["train"].labels["age"].tolist()
    assert sorted(ages) == sorted(plain["train"].labels["age"]) and ages != plain["train"].labels["age"].tolist()
    for split in ("validation", "test"):
        assert shuffled[split].labels["age"].tolist() == plain[split].labels["age"].tolist()


def test_the_level_reaches_the_clips_and_the_saved_model(demo_data, tmp_path):
    model, *_ = settings_of([*demo_data, "--target_rms_db", "-20"])
    samples = train.build_extractor(model).load(tmp_path / "data" / "audio" / "0.wav")
    assert 20 * np.log10(np.sqrt(np.mean(samples**2))) == pytest.approx(-20, abs=0.01)
    train.main([*demo_data, "--target_rms_db", "-20", "--max_steps", "1"])
    saved = json.loads((tmp_path / "run" / "model" / "preprocessor_config.json").read_text())
    assert saved["target_rms_db"] == -20


MINIMAL = """
tasks:
  - {name: age, kind: scalar, range: [20, 40], unit: years}
encoder: ENCODER
"""


@pytest.fixture
def minimal(tiny_encoder_folders, tmp_path):
    """The command line of a YAML file with tasks and encoder alone."""
    data = write_metadata_corpus(tmp_path / "data", yaml.safe_load(MINIMAL)["tasks"])
    (tmp_path / "minimal.yaml").write_text(MINIMAL.replace("ENCODER", str(tiny_encoder_folders["whisper"])))
    return [str(tmp_path / "minimal.yaml"), "--data_dir", str(data), "--use_cpu", "true"]


def test_tasks_and_an_encoder_are_enough(minimal, tmp_path, capsys):
    results = train.main([*minimal, "--num_train_epochs", "2"])
    run, said = tmp_path / "runs" / "train", capsys.readouterr()
    evaluations = [line for line in said.out.splitlines() if line.startswith("epoch ")]
    assert [line.split(":")[0] for line in evaluations] == ["epoch 1.00", "epoch 2.00"]
    assert all(", age MAE " in line and "loss " in line for line in evaluations)
    assert "parameters learn." in said.out and "8 Train clips in 1 batches per epoch" in said.out
    assert "Scores (Val chose the epoch)" in said.out
    assert "training" in said.err and "loss" in said.err  # the line of progress
    assert "{'" not in said.out + said.err  # no dictionaries
    state = json.loads((run / "trainer_state.json").read_text())
    losses = {entry["step"]: entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry}
    best = min(losses, key=losses.get)
    assert state["best_global_step"] == best
    # The model that is kept is that of the best epoch: it has the score that was logged there.
    logged = next(entry for entry in state["log_history"] if entry["step"] == best and "eval_age_mae" in entry)
    assert results["val"]["age_mae"] == pytest.approx(logged["eval_age_mae"], abs=1e-4)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {"eval_age_mae", "eval_loss"} <= set().union(*log)
    assert (run / "predictions" / "test.npz").is_file() and (run / "model" / "config.json").is_file()


def test_without_val_nothing_chooses_and_nothing_says_so(minimal, tmp_path, capsys):
    metadata = tmp_path / "data" / "metadata.csv"
    metadata.write_text(metadata.read_text().replace(",validation,", ",train,"))
    results = train.main([*minimal, "--num_train_epochs", "1"])
    said = capsys.readouterr().out
    assert "nothing chooses an epoch, and the last one is kept" in said and "Scores after the last epoch" in said
    assert "val" not in results and "Val chose" not in said
    card = (tmp_path / "runs" / "train" / "model" / "README.md").read_text()
    assert "The last epoch was kept." in card and "chose" not in card
    with pytest.raises(ConfigError, match="early_stopping_patience needs a validation split"):
        train.main([*minimal, "--early_stopping_patience", "2", "--overwrite", "true"])
    with pytest.raises(ConfigError, match="heads_first_epochs needs a validation split"):
        train.main([*minimal, "--heads_first_epochs", "2", "--overwrite", "true"])


def test_train_alone_trains(minimal, tmp_path, capsys):
    metadata = tmp_path / "data" / "metadata.csv"
    rows = metadata.read_text().splitlines()
    metadata.write_text("\n".join(row for row in rows if ",validation," not in row and ",test," not in row) + "\n")
    results = train.main([*minimal, "--num_train_epochs", "1"])
    assert results["constant"] == {} and "there are no scores" in capsys.readouterr().out
    assert (tmp_path / "runs" / "train" / "model" / "model.safetensors").is_file()


def test_a_run_that_would_learn_nothing_is_refused(minimal):
    with pytest.raises(ConfigError, match="num_train_epochs and heads_first_epochs are both 0"):
        train.main([*minimal, "--num_train_epochs", "0"])


def test_the_heads_first_stage_has_its_own_arguments_and_they_are_checked(demo_data):
    *_, run, _, args = settings_of([*demo_data, "--heads_first_epochs", "3", "--encoder_learning_rate", "1e-6"])
    stage = train.heads_first_arguments(args, run)
    assert (stage.num_train_epochs, stage.learning_rate, stage.task_batching) == (3, 1e-3, "round_robin")
    assert stage.lr_scheduler_type.value == "linear" and stage.warmup_steps == 0
    assert stage.trainable_encoder_layers == 0 and stage.encoder_learning_rate is None and stage.max_steps == -1
    assert stage.eval_strategy.value == stage.save_strategy.value == "epoch" and stage.load_best_model_at_end
    assert stage.metric_for_best_model == args.metric_for_best_model and stage.seed == args.seed
    assert Path(stage.output_dir) == Path(args.output_dir) / "frozen_head"
    assert args.max_steps == 2 and args.encoder_learning_rate == 1e-6  # those of the run are left as they were
    run.heads_first_learning_rate = -1.0
    with pytest.raises(ConfigError, match="learning_rate is -1.0: give a number of at least 0"):
        train.heads_first_arguments(args, run)
    run.heads_first_learning_rate = 1e-3
    run.heads_first_lr_scheduler_type = "constant"
    assert train.heads_first_arguments(args, run).lr_scheduler_type.value == "constant"
    run.heads_first_task_batching = "all_tasks"
    args.task_batch_sizes = {"age": 3}
    assert train.heads_first_arguments(args, run).task_batch_sizes is None


@pytest.mark.parametrize(
    "options", [[], ["--max_steps", "-1", "--num_train_epochs", "0", "--heads_first_epochs", "1"]], ids=["all", "heads"]
)
def test_weights_are_saved_before_anything_is_scored(demo_data, tmp_path, monkeypatch, options):
    def fail(*arguments):
        assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
        raise AudioError("a Test clip that cannot be read")

    monkeypatch.setattr(train, "score_splits", fail)
    with pytest.raises(AudioError, match="a Test clip"):
        train.main([*demo_data, *options])


def test_a_metric_that_val_cannot_measure_ends_the_run_before_it_reads_an_encoder(demo_data, tmp_path, monkeypatch):
    table = tmp_path / "data" / "metadata.csv"
    rows = list(csv.DictReader(table.open()))
    for row in rows:
        row["age"] = "" if row["split"] == "validation" else row["age"]
    with open(table, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    monkeypatch.setattr(train, "build_model", lambda *arguments: pytest.fail("a model was built"))
    with pytest.raises(ConfigError, match="metric_for_best_model 'age_mae' cannot be measured"):
        train.main([*demo_data, "--metric_for_best_model", "age_mae"])


def test_a_clip_of_test_that_is_too_long_ends_the_run_before_it_reads_an_encoder(demo_data, tmp_path, monkeypatch):
    """The encoder of the demo is a Whisper, which takes 30 seconds."""
    soundfile.write(tmp_path / "data" / "audio" / "19.wav", np.zeros(31 * 1000), 1000)
    monkeypatch.setattr(train, "build_model", lambda *arguments: pytest.fail("a model was built"))
    with pytest.raises(AudioError, match=r"1 of test.: 19.wav lasts 31.0 s, but the encoder takes at most 30 s"):
        train.main(demo_data)


@pytest.mark.parametrize(("corpus", "labels"), [("emodb", "anger boredom disgust fear happiness sadness neutral")])
def test_every_corpus_trains_by_its_name(corpus, labels, minimal, open_corpora, tmp_path):
    tasks = [{"name": "emotion", "kind": "classes", "labels": labels.split()}]
    settings = yaml.safe_load(Path(minimal[0]).read_text()) | {"tasks": tasks, "corpus": corpus}
    (tmp_path / "corpus.yaml").write_text(yaml.safe_dump(settings))
    options = ["--data_dir", str(open_corpora / corpus), "--max_steps", "1", "--use_cpu", "true"]
    options += ["--corpus_options", '{"folds": 4}']
    results = train.main([str(tmp_path / "corpus.yaml"), *options])
    assert 0 <= results["val"]["emotion_uar"] <= 1 and 0 <= results["test"]["emotion_uar"] <= 1


def test_labels_and_speakers_lie_beside_the_predictions(demo_data, tmp_path):
    results = train.main(demo_data)
    saved = read_predictions(tmp_path / "run" / "predictions" / "val.npz")
    with open(tmp_path / "data" / "metadata.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "validation"]
    assert saved.speakers == [row["speaker"] for row in rows]
    assert saved.clips == [Path(row["file_name"]).name for row in rows]
    np.testing.assert_allclose(saved.labels["age"], [float(row["age"]) for row in rows])
    mae = np.abs(saved.predictions["age"] - saved.labels["age"]).mean()
    assert results["val"]["age_mae"] == pytest.approx(mae, abs=1e-4)


def test_the_constant_prediction_is_that_of_train(demo_data, tmp_path):
    """The median of Train's ages, not that of the scored split."""
    results = train.main(demo_data)
    ages = {"train": [], "validation": [], "test": []}
    with open(tmp_path / "data" / "metadata.csv", newline="") as file:
        for row in csv.DictReader(file):
            ages[row["split"]].append(float(row["age"]))
    for split, title in (("validation", "val"), ("test", "test")):
        expected = np.abs(np.array(ages[split]) - np.median(ages["train"])).mean()
        assert results["constant"][title]["age_mae"] == pytest.approx(expected)
        assert expected != pytest.approx(np.abs(np.array(ages[split]) - np.median(ages[split])).mean())
