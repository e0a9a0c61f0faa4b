"""The bias study: what it measures, what it keeps equal over bias, and the program from end to end."""

import json

import numpy as np
import pandas as pd
import pytest

from paravox.corpora.exvo import COUNTRIES
from paravox.corpora.synthetic import BIASED_AGE
from paravox.evaluation.bias_measures import (
    age_country_leak,
    last_quarter,
    mean_with_error,
    read_discriminator,
    thin,
)
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.recipes.burst2vec import bias_study, train

SMALL = ["--train", "100", "--validation", "20", "--test", "40", "--num_train_epochs", "1", "--logging_steps", "3"]
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


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A tiny study of two biases, run twice; what it gave, and how many trainings each command made."""
    folder = tmp_path_factory.mktemp("bias_study")
    command = ["--output_dir", str(folder / "runs"), "--results_file", str(folder / "bias_study.json"), *SMALL]
    calls = []
    run = train.main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "main", lambda argv: calls.append(argv) or run(argv))
        bias_study.main([*command, "--biases", "0.9", "--seeds", "1"])
        first = len(calls)
        bursts = ["--bursts_runs", str(folder / "runs" / "adversarial_encoder_bias0.9_seed1")]
        results = bias_study.main([*command, "--biases", "0", "0.9", "--seeds", "1", *bursts])
    return folder, results, (first, len(calls) - first)


@pytest.fixture
def people():
    """True ages and countries of 2000 clips, independent of each other."""
    generator = np.random.default_rng(0)
    return generator.uniform(20, 40, 2000), [COUNTRIES[i] for i in generator.integers(4, size=2000)], generator


def tied_ages(countries):
    return np.array([BIASED_AGE[country] for country in countries])


def test_leak_is_that_of_the_inverted_correlation_matrix(people):
    # Another road to the same number: minus the scaled entry of the precision matrix.
    ages, countries, generator = people
    predicted = 0.5 * ages + 0.3 * tied_ages(countries) + generator.normal(scale=2.0, size=len(ages))
    precision = np.linalg.inv(np.corrcoef([predicted, tied_ages(countries), ages]))
    expected = -precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1])
    assert 0.2 < expected < 0.8
    assert age_country_leak(predicted, ages, countries) == pytest.approx(expected, abs=1e-9)


def test_leak_of_planted_cases(people):
    ages, countries, generator = people
    noise = generator.normal(scale=1.0, size=len(ages))
    assert age_country_leak(tied_ages(countries) + 0.1 * noise, ages, countries) > 0.99
    assert age_country_leak(60 - tied_ages(countries), ages, countries) == pytest.approx(-1)
    assert abs(age_country_leak(ages + noise, ages, countries)) < 0.07
    # A true age that itself goes by the country is no leak.
    related = tied_ages(countries) + generator.normal(scale=3.0, size=len(ages))
    assert abs(age_country_leak(0.8 * related + noise, related, countries)) < 0.07


def test_leak_of_predictions_that_hold_nothing_but_the_true_age_is_zero(people):
    ages, countries, _ = people
    assert age_country_leak(ages.astype(np.float32), ages, countries) == 0.0
    assert age_country_leak(np.full(len(ages), 28.7, np.float32), ages, countries) == 0.0


def test_standard_error():
    assert mean_with_error([1.0, 2.0, 6.0]) == {"mean": 3.0, "standard_error": round(np.sqrt(7 / 3), 4)}
    assert mean_with_error([0.25]) == {"mean": 0.25, "standard_error": None}


def test_thinned_curves_keep_their_mean_and_their_ends():
    steps, values = list(range(20, 3620, 20)), np.random.default_rng(0).random(180)
    thinned, means = thin(steps, values)
    assert len(thinned) == len(means) == 60
    assert np.mean(means) == pytest.approx(values.mean(), abs=1e-4)
    assert thinned[0] == 40 and thinned[-1] == 3580
    assert thin([20, 40], [0.1, 0.3]) == ([20, 40], [0.1, 0.3])
    assert last_quarter({"steps": [25, 50, 75, 100], "accuracy": [0.0, 0.0, 0.4, 0.6]}) == pytest.approx(0.5)


def test_val_and_test_are_the_same_at_every_bias(study):
    folder, *_ = study
    fair, biased = (folder / "runs" / "corpora" / f"bias{bias}_seed1" for bias in ("0", "0.9"))
    tables = [pd.read_csv(corpus / "metadata.csv") for corpus in (fair, biased)]
    held_out = [table[table["split"] != "train"].reset_index(drop=True) for table in tables]
    pd.testing.assert_frame_equal(*held_out)
    assert len(held_out[0]) == 60
    assert all((fair / name).read_bytes() == (biased / name).read_bytes() for name in held_out[0]["file_name"])
    assert not tables[0][tables[0]["split"] == "train"].equals(tables[1][tables[1]["split"] == "train"])


def test_finished_runs_are_not_run_again(study):
    folder, results, trainings = study
    assert trainings == (3, 3)
    assert json.loads((folder / "bias_study.json").read_text()) == results
    assert all((folder / f"bias_study.{kind}").stat().st_size > 10_000 for kind in ("png", "svg"))


def test_runs_have_their_own_scores_and_leak(study):
    folder, results, _ = study
    assert len(results["runs"]) == 6
    for run in results["runs"]:
        place = folder / "runs" / f"{run['variant']}_bias{run['bias']:g}_seed1"
        own = json.loads((place / "results.json").read_text())["test"]
        assert {name: run["test"][name] for name in bias_study.SCORES} == pytest.approx(
            {name: own[name] for name in bias_study.SCORES}, abs=1e-4
        )
        table = pd.read_csv(folder / "runs" / "corpora" / f"bias{run['bias']:g}_seed1" / "metadata.csv")
        people = table[table["split"] == "test"]
        predicted = np.load(place / "predictions" / "test.npz")["age"]
        leak = age_country_leak(predicted, people["age"].to_numpy(), people["country"].tolist())
        assert run["test"]["age_country_leak"] == pytest.approx(leak, abs=1e-4)


def test_variants_were_trained_as_they_are_named(study):
    folder, *_ = study
    found = {}
    for run in (folder / "runs").glob("*_bias0.9_seed1"):
        config = json.loads((run / "model" / "config.json").read_text())
        found[run.name.removesuffix("_bias0.9_seed1")] = config["adversarial"], config["adversarial_scope"]
    assert found == {
        "adversarial_encoder": (True, "encoder"),
        "adversarial_extractor": (True, "extractor"),
        "no_adversarial": (False, "encoder"),
    }


def test_differences_are_paired(study):
    _, results, _ = study
    tests = {(run["bias"], run["variant"]): run["test"] for run in results["runs"]}
    assert len(results["differences_to_no_adversarial"]) == 4
    for entry in results["differences_to_no_adversarial"]:
        base = tests[entry["bias"], "no_adversarial"]
        for name in bias_study.MEASURES:
            expected = tests[entry["bias"], entry["variant"]][name] - base[name]
            assert entry[name]["mean"] == pytest.approx(expected, abs=1e-4)
            assert entry[name]["standard_error"] is None


def test_error_of_paired_differences_is_over_the_seeds():
    runs = []
    for seed, (adversarial, base) in enumerate([(0.5, 0.4), (0.9, 0.7), (0.2, 0.2)]):
        for variant, value in zip(bias_study.VARIANTS, (adversarial, adversarial, base), strict=True):
            runs.append(
                {"bias": 0.5, "seed": seed, "variant": variant, "test": dict.fromkeys(bias_study.MEASURES, value)}
            )
    found = bias_study.summarise(runs, [])["differences_to_no_adversarial"][0]["age_mae"]
    # Differences 0.1, 0.2 and 0: standard deviation 0.1.
    assert found == {"mean": 0.1, "standard_error": round(0.1 / np.sqrt(3), 4)}


def test_discriminator_curves_are_those_of_the_log(study):
    folder, results, _ = study
    curves = results["discriminator"]
    assert [curve["corpus"] for curve in curves] == ["synthetic"] * 4 + ["bursts"]
    assert {curve["variant"] for curve in curves} == {"adversarial_encoder", "adversarial_extractor"}
    log = json.loads((folder / "runs" / "adversarial_encoder_bias0.9_seed1" / "trainer_state.json").read_text())
    # Round robin: each entry of three steps has a batch of each task.
    expected = [
        (entry["step"], sum(entry[f"discriminator_accuracy/{task}"] for task in ("emotion", "age", "country")) / 3)
        for entry in log["log_history"]
        if "loss" in entry
    ]
    assert len(expected) >= 5 and len(expected) <= 60
    bursts = curves[-1]
    assert bursts["chance"] == pytest.approx(1 / 3, abs=1e-4) and bursts["variant"] == "adversarial_encoder"
    assert bursts["steps"] == [step for step, _ in expected]
    assert bursts["accuracy"] == pytest.approx([value for _, value in expected], abs=1e-4)


def test_a_heads_first_stage_comes_before(tmp_path, study):
    folder, *_ = study
    run = folder / "runs" / "adversarial_extractor_bias0_seed1"
    for name in ("model", "results.json"):
        (tmp_path / name).symlink_to(run / name)
    tasks = ("emotion", "age", "country")
    for place, accuracies in ((tmp_path / "frozen_head", (0.3, 0.6)), (tmp_path, (0.9,))):
        place.mkdir(exist_ok=True)
        history = [
            {"step": 20 * (i + 1)} | {f"discriminator_accuracy/{task}": value for task in tasks}
            for i, value in enumerate(accuracies)
        ]
        # An entry without a batch of every task says nothing about their mean.
        history.append({"step": 45, "discriminator_accuracy/age": 1.0})
        (place / "trainer_state.json").write_text(json.dumps({"log_history": history, "global_step": 50}))
    curve = read_discriminator(tmp_path)
    assert curve["variant"] == "adversarial_extractor"
    assert (curve["steps"], curve["accuracy"]) == ([20, 40, 70], [0.3, 0.6, 0.9])


def test_what_cannot_be_read_is_an_error(study, tmp_path):
    folder, *_ = study
    with pytest.raises(CheckpointError, match="no finished run"):
        read_discriminator(tmp_path)
    with pytest.raises(CheckpointError, match="give an adversarial run"):
        read_discriminator(folder / "runs" / "no_adversarial_bias0_seed1")
    paths = ["--output_dir", str(folder / "runs"), "--results_file", str(tmp_path / "x.json")]
    with pytest.raises(ConfigError, match="holds clips"):
        bias_study.main([*paths, "--biases", "0", "--seeds", "1", "--train", "5"])
    with pytest.raises(ConfigError, match="from 0 to 1"):
        bias_study.main([*paths, "--biases", "1.5"])


def test_no_place_of_this_machine_is_written(study):
    folder, *_ = study
    assert str(folder) not in (folder / "bias_study.json").read_text()
