"""The bias study: what it trains, what it keeps equal over bias, and whose numbers its results file holds."""

import json
import os
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from paravox.corpora.synthetic import BIASED_AGE
from paravox.evaluation import probes
from paravox.evaluation.bias_measures import MEASURES, SCORES, age_country_leak
from paravox.evaluation.finished_run import FinishedRun
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.recipes.burst2vec import bias_study
from paravox.runs import training_runs
from paravox.trainers.clip_pass import PassSettings

SMALL = ["--train", "60", "--validation", "20", "--test", "40", "--num_train_epochs", "1", "--logging_steps", "3"]
ALPHA = 100.0
ENCODER = {
    "model_type": "whisper",
    "d_model": 16,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "num_mel_bins": 80,
}
SMALL += ["--encoder_config", json.dumps(ENCODER), "--task_batching", "round_robin"]
SMALL += ["--per_device_train_batch_size", "8", "--projection_size", "8", "--feature_size", "8"]


pytestmark = pytest.mark.slow  # the study takes most of a minute


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A tiny study of two biases, run twice; what it returned, and how many trainings each command made."""
    folder = tmp_path_factory.mktemp("bias_study")
    command = ["--output_dir", str(folder / "runs"), "--output", str(folder / "bias_study.json"), *SMALL]
    calls = []

    def in_this_process(program, arguments, log):
        calls.append(program)
        import_module(f"paravox.recipes.{program}").main(arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_runs, "start", in_this_process)
        for name, value in (("FOLDS", 2), ("ALPHAS", (ALPHA,)), ("CS", (0.1,))):  # each fit takes its time
            patch.setattr(probes, name, value)
        bias_study.main([*command, "--biases", "0.9", "--seeds", "1"])
        first = len(calls)
        bursts = ["--bursts_runs", str(folder / "runs" / "adversarial_encoder_bias0.9_seed1")]
        results = bias_study.main([*command, "--biases", "0", "0.9", "--seeds", "1", *bursts])
    assert set(calls) == {"burst2vec.train"}
    return folder, results, (first, len(calls) - first)


def test_val_and_test_are_the_same_at_every_bias(study):
    folder, *_ = study
    fair, biased = (folder / "runs" / "corpora" / f"bias{bias}_seed1" for bias in ("0", "0.9"))
    tables = [pd.read_csv(corpus / "metadata.csv") for corpus in (fair, biased)]
    held_out = [table[table["split"] != "train"].reset_index(drop=True) for table in tables]
    pd.testing.assert_frame_equal(*held_out)
    assert len(held_out[0]) == 60
    assert all((fair / name).read_bytes() == (biased / name).read_bytes() for name in held_out[0]["file_name"])
    # In the biased Train alone, ages are close to those that the countries are tied to.
    train = [table[table["split"] == "train"] for table in tables]
    distance = [np.abs(table["age"] - table["country"].map(BIASED_AGE)).mean() for table in train]
    assert distance[1] < 0.6 * distance[0]


def test_finished_runs_are_not_run_again(study):
    folder, results, trainings = study
    assert trainings == (4, 4)
    assert json.loads((folder / "bias_study.json").read_text()) == results
    assert all((folder / f"bias_study.{suffix}").stat().st_size > 10_000 for suffix in ("png", "svg"))


def test_runs_have_their_own_scores_and_leak(study):
    folder, results, _ = study
    assert len(results["runs"]) == 8
    for run in results["runs"]:
        place = folder / "runs" / f"{run['variant']}_bias{run['bias']:g}_seed1"
        own = json.loads((place / "results.json").read_text())["test"]
        assert {name: run["test"][name] for name in SCORES} == pytest.approx(
            {name: own[name] for name in SCORES}, abs=1e-4
        )
        table = pd.read_csv(folder / "runs" / "corpora" / f"bias{run['bias']:g}_seed1" / "metadata.csv")
        people = table[table["split"] == "test"]
        predicted = np.load(place / "predictions" / "test.npz")["age"]
        assert np.abs(predicted - people["age"]).mean() == pytest.approx(own["age_mae"], abs=1e-3)
        leak = age_country_leak(predicted, people["age"].to_numpy(), people["country"].tolist())
        assert run["test"]["age_country_leak"] == pytest.approx(leak, abs=1e-4)


def test_variants_were_trained_as_they_are_named(study):
    folder, *_ = study
    found = {}
    for run in (folder / "runs").glob("*_bias0.9_seed1"):
        config = json.loads((run / "model" / "config.json").read_text())
        keys = ("adversarial", "adversarial_scope", "gradient_reversal")
        found[run.name.removesuffix("_bias0.9_seed1")] = tuple(config[key] for key in keys)
    assert found == {
        "adversarial_encoder": (True, "encoder", True),
        "adversarial_extractor": (True, "extractor", True),
        "auxiliary": (True, "encoder", False),
        "no_adversarial": (False, "encoder", True),
    }


@pytest.mark.parametrize(
    ("base", "compared"),
    [
        ("no_adversarial", ["adversarial_encoder", "adversarial_extractor", "auxiliary"]),
        ("auxiliary", ["adversarial_encoder", "adversarial_extractor"]),
    ],
)
def test_differences_are_to_the_run_of_the_same_bias(study, base, compared):
    _, results, _ = study
    tests = {(run["bias"], run["variant"]): run["test"] for run in results["runs"]}
    entries = results[f"differences_to_{base}"]
    assert [(entry["bias"], entry["variant"]) for entry in entries] == [
        (bias, variant) for bias in (0, 0.9) for variant in compared
    ]
    for entry in entries:
        for name in MEASURES:
            expected = tests[entry["bias"], entry["variant"]][name] - tests[entry["bias"], base][name]
            assert entry[name]["mean"] == pytest.approx(expected, abs=1e-4)
            assert entry[name]["standard_error"] is None and entry[name]["interval"] is None


def test_leakage_is_that_of_the_models_of_the_highest_bias(study):
    folder, results, _ = study
    leakage = results["leakage"]
    assert leakage["bias"] == 0.9 and list(leakage["means"]) == list(bias_study.VARIANTS)
    corpus = folder / "runs" / "corpora" / "bias0.9_seed1"
    table = pd.read_csv(corpus / "metadata.csv")
    train, test = (table[table["split"] == split] for split in ("train", "test"))
    for variant in ("auxiliary", "no_adversarial"):
        place = folder / "runs" / f"{variant}_bias0.9_seed1" / "model"
        model = Burst2VecForMultiTask.from_pretrained(place).eval()
        extractor = Burst2VecFeatureExtractor.from_pretrained(place)
        features = []
        for clips in (train, test):
            inputs = extractor([str(corpus / name) for name in clips["file_name"]], return_tensors="pt")
            with torch.no_grad():
                features.append(model(**inputs).representations["specific"]["country"].numpy().astype(float))
        probe = make_pipeline(StandardScaler(), Ridge(ALPHA)).fit(features[0], train["age"])
        expected = np.abs(probe.predict(features[1]).clip(20, 40) - test["age"]).mean()
        assert leakage["means"][variant]["specific[country]"]["age"]["mae"]["mean"] == pytest.approx(expected, abs=1e-3)
    own, base = (leakage["means"][name]["shared"]["age"]["mae"]["mean"] for name in ("auxiliary", "no_adversarial"))
    found = leakage["differences_to_no_adversarial"]["auxiliary"]["shared"]["age"]["mae"]["mean"]
    assert found == pytest.approx(own - base, abs=2e-4)
    median = np.abs(test["age"] - train["age"].median()).mean()
    assert leakage["chance"]["age"]["mae"] == pytest.approx(median, abs=1e-3)
    assert all((folder / f"bias_study_leakage.{suffix}").stat().st_size > 10_000 for suffix in ("png", "svg"))


def test_a_repeated_run_is_audited_again(study, monkeypatch):
    folder, results, _ = study
    run = FinishedRun(folder / "runs" / "auxiliary_bias0.9_seed1")
    calls = []
    monkeypatch.setattr(bias_study, "audit_model", lambda *args, **kwargs: calls.append(args) or {})
    corpus = folder / "runs" / "corpora" / "bias0.9_seed1"
    kept = bias_study.read_leakage(run, corpus, PassSettings())
    assert not calls and kept["leakage"]["shared"]["age"]["mae"] > 0
    before = (run.folder / "leakage.json").read_bytes(), (run.folder / "results.json").stat()
    try:
        os.utime(run.folder / "results.json", (time.time() + 10, time.time() + 10))
        assert bias_study.read_leakage(run, corpus, PassSettings())["leakage"] == {} and len(calls) == 1
    finally:
        os.utime(run.folder / "results.json", (before[1].st_atime, before[1].st_mtime))
        (run.folder / "leakage.json").write_bytes(before[0])


def test_discriminator_curves_are_those_of_the_log(study):
    folder, results, _ = study
    curves = results["discriminator"]
    assert [curve["corpus"] for curve in curves] == ["synthetic"] * 6 + ["bursts"]
    assert {curve["variant"] for curve in curves} == {"adversarial_encoder", "adversarial_extractor", "auxiliary"}
    log = json.loads((folder / "runs" / "adversarial_encoder_bias0.9_seed1" / "trainer_state.json").read_text())
    # Round robin: each entry of three steps has a batch of each task, but the last one may have fewer steps.
    names = [f"discriminator_accuracy/{task}" for task in ("emotion", "age", "country")]
    expected = [
        (entry["step"], sum(entry[name] for name in names) / 3)
        for entry in log["log_history"]
        if all(name in entry for name in names)
    ]
    assert len(expected) >= 5 and len(expected) <= 60
    bursts = curves[-1]
    assert bursts["chance"] == pytest.approx(1 / 3, abs=1e-4) and bursts["variant"] == "adversarial_encoder"
    assert bursts["steps"] == [step for step, _ in expected]
    assert bursts["accuracy"] == pytest.approx([value for _, value in expected], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--biases", "0", "--seeds", "1", "--train", "5"], ConfigError, "bias0_seed1 holds clips"),
        (["--biases", "1.5"], ConfigError, "bias 1.5: give numbers from 0 to 1"),
        (["--seed", "7"], ConfigError, "--seed cannot be passed on to train.py: give --seeds"),
        (["--gradient_reversal", "false"], ConfigError, "--gradient_reversal cannot be passed on"),
        (["--jobs", "0"], ConfigError, "jobs 0: give a number from 1 on"),
        (["--data_dir", "x"], ConfigError, "--data_dir cannot be passed on .*: the study writes its own corpora"),
        (["--bursts_runs", "nowhere"], CheckpointError, "nowhere holds no finished run of train.py"),
    ],
)
def test_wrong_options_are_refused(study, tmp_path, options, error, message):
    folder, *_ = study
    with pytest.raises(error, match=message):
        bias_study.main(["--output_dir", str(folder / "runs"), "--output", str(tmp_path / "x.json"), *options])


def test_no_place_of_this_machine_is_written(study):
    folder, *_ = study
    assert str(folder) not in Path(folder / "bias_study.json").read_text()
