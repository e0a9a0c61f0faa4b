"""Measures of the bias study against other computations of the same numbers."""

import json

import little_runs
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression

from paravox.corpora.exvo import COUNTRIES
from paravox.corpora.synthetic import BIASED_AGE
from paravox.evaluation.bias_measures import (
    MEASURES,
    age_country_leak,
    last_quarter,
    mean_with_error,
    measure_run,
    read_discriminator,
    statements,
    summarise_bias_study,
    summarise_leakage,
    thin,
)
from paravox.evaluation.finished_run import FinishedRun
from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.errors import CheckpointError


@pytest.fixture
def people():
    """True ages and countries of 2000 clips, independent of each other."""
    generator = np.random.default_rng(0)
    return generator.uniform(20, 40, 2000), [COUNTRIES[i] for i in generator.integers(4, size=2000)], generator


def tied_ages(countries):
    return np.array([BIASED_AGE[country] for country in countries])


def test_leak_is_that_of_the_inverted_correlation_matrix(people):
    # Another way to the same number: minus the scaled entry of the precision matrix.
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
    # A true age that itself follows the country is no leak.
    related = tied_ages(countries) + generator.normal(scale=3.0, size=len(ages))
    assert abs(age_country_leak(0.8 * related + noise, related, countries)) < 0.07


def test_leak_is_zero_where_the_true_age_explains_all_of_the_prediction(people):
    ages, countries, _ = people
    assert age_country_leak(ages.astype(np.float32), ages, countries) == 0.0
    assert age_country_leak(np.full(len(ages), 28.7, np.float32), ages, countries) == 0.0


def test_standard_error():
    found = mean_with_error([1.0, 2.0, 6.0])
    test = stats.ttest_1samp([1.0, 2.0, 6.0], 0).confidence_interval(0.95)
    assert found["mean"] == 3.0 and found["standard_error"] == round(np.sqrt(7 / 3), 4)
    assert found["interval"] == pytest.approx([test.low, test.high], abs=1e-4)
    assert mean_with_error([0.25]) == {"mean": 0.25, "standard_error": None, "interval": None}


def test_thinned_curves_keep_their_mean_and_their_ends():
    steps, values = list(range(20, 3620, 20)), np.random.default_rng(0).random(180)
    thinned, means = thin(steps, values)
    assert len(thinned) == len(means) == 60
    assert np.mean(means) == pytest.approx(values.mean(), abs=1e-4)
    assert thinned[0] == 40 and thinned[-1] == 3580
    assert thin([20, 40], [0.1, 0.3]) == ([20, 40], [0.1, 0.3])
    assert last_quarter({"steps": [25, 50, 75, 100], "accuracy": [0.0, 0.0, 0.4, 0.6]}) == pytest.approx(0.5)


def test_leak_is_the_correlation_of_what_two_regressions_leave(people):
    ages, countries, generator = people
    predicted = 0.7 * ages - 0.4 * tied_ages(countries) + generator.normal(scale=3.0, size=len(ages))
    rests = [
        values - LinearRegression().fit(ages[:, None], values).predict(ages[:, None])
        for values in (predicted, tied_ages(countries))
    ]
    expected = stats.pearsonr(*rests).statistic
    assert expected < -0.3
    assert age_country_leak(predicted, ages, countries) == pytest.approx(expected, abs=1e-9)


def test_a_run_is_measured_on_test(tmp_path):
    folder = little_runs.write_run(tmp_path / "run", 3.0)
    scores = {"emotion_ccc": 0.512345, "age_mae": 3.0, "country_uar": 0.75, "emotion_uar": 0.9}
    (folder / "results.json").write_text(json.dumps({"val": dict.fromkeys(scores, 9.0), "test": scores}))
    found = measure_run(FinishedRun(folder))
    assert list(found) == list(MEASURES)
    labels, predicted = little_runs.true_labels("test"), little_runs.predicted("test", 3.0)
    names = [("China", "USA")[country] for country in labels["country"]]
    leak = age_country_leak(predicted["age"], labels["age"], names)
    assert abs(leak) > 1e-3
    expected = {"emotion_ccc": 0.5123, "age_mae": 3.0, "country_uar": 0.75, "age_country_leak": leak}
    assert found == pytest.approx(expected, abs=6e-5)


def discriminator_log(accuracies):
    tasks = [task["name"] for task in little_runs.TASKS]
    # The tasks differ, so that their mean is none of them; every third entry lacks one.
    entries = [
        {"step": 20 * (position + 1)}
        | {f"discriminator_accuracy/{task}": value + shift for task, shift in zip(tasks, (-0.1, 0.0, 0.4), strict=True)}
        for position, value in enumerate(accuracies)
    ]
    return [*entries, {"step": 45, "discriminator_accuracy/age": 1.0}, {"step": 46, "loss": 1.0}]


def test_the_discriminator_of_a_run_with_a_heads_first_stage(tmp_path):
    folder = little_runs.write_run(tmp_path / "run", 3.0, log=discriminator_log([0.5]))
    curve = read_discriminator(FinishedRun(folder))
    assert curve == {"variant": "adversarial_encoder", "chance": 0.3333, "steps": [20], "accuracy": [0.6]}
    config = Burst2VecConfig.from_pretrained(folder / "model")
    config.gradient_reversal = False
    config.save_pretrained(tmp_path / "auxiliary" / "model")
    for file in ("results.json", "trainer_state.json"):
        (tmp_path / "auxiliary" / file).write_bytes((folder / file).read_bytes())
    assert read_discriminator(FinishedRun(tmp_path / "auxiliary")) == curve | {"variant": "auxiliary"}
    (folder / "frozen_head").mkdir()
    little_runs.write_stage(folder / "frozen_head", 3.0, log=discriminator_log([0.2, 0.4]), global_step=50)
    curve = read_discriminator(FinishedRun(folder))
    assert (curve["steps"], curve["accuracy"]) == ([20, 40, 70], [0.3, 0.5, 0.6])


def test_a_run_without_a_discriminator_is_named(tmp_path):
    folder = little_runs.write_run(tmp_path / "run", 3.0, log=[{"step": 1, "discriminator_accuracy/age": 0.5}])
    with pytest.raises(
        CheckpointError, match="run has no discriminator_accuracy of all of 3 tasks: give an adversarial"
    ):
        read_discriminator(FinishedRun(folder))


@pytest.fixture
def summary():
    """The summary of random numbers for two biases, three seeds and three variants, and a table of these numbers."""
    generator = np.random.default_rng(0)
    runs = [
        {"bias": bias, "seed": seed, "variant": variant, "test": dict(zip(MEASURES, generator.random(4), strict=True))}
        for seed in (1, 2, 3)
        for bias in (0.0, 0.9)
        for variant in ("no_adversarial", "auxiliary", "adversarial_encoder")
    ]
    curves = [
        {
            "corpus": corpus,
            "variant": "adversarial_encoder",
            "chance": 0.25,
            "steps": [10, 20, 30, 40],
            "accuracy": values,
        }
        for corpus, values in (
            ("synthetic", [0, 0, 0.3, 0.5]),
            ("synthetic", [0, 0, 0.7, 0.6]),
            ("bursts", [0, 0, 0.9, 0.9]),
        )
    ]
    table = pd.DataFrame([{**run, **run["test"]} for run in runs])
    return summarise_bias_study(runs, curves, ["adversarial_encoder", "auxiliary", "no_adversarial"]), table, curves


def test_means_and_errors_are_those_of_pandas(summary):
    results, table, _ = summary
    groups = table.groupby(["bias", "variant"])[list(MEASURES)]
    mean, error = groups.mean(), groups.sem()
    assert len(results["means"]) == 6
    for entry in results["means"]:
        for name in MEASURES:
            key = entry["bias"], entry["variant"]
            assert entry[name]["mean"] == pytest.approx(mean.loc[key, name], abs=6e-5)
            assert entry[name]["standard_error"] == pytest.approx(error.loc[key, name], abs=6e-5)


def test_differences_are_adversarial_minus_the_same_seed_without(summary):
    results, table, _ = summary
    for base, compared in (
        ("no_adversarial", ["adversarial_encoder", "auxiliary"]),
        ("auxiliary", ["adversarial_encoder"]),
    ):
        entries = results[f"differences_to_{base}"]
        assert [entry["variant"] for entry in entries] == compared * 2
        for entry in entries:
            for name in MEASURES:
                pivot = table[table["bias"] == entry["bias"]].pivot(index="seed", columns="variant", values=name)
                difference = pivot[entry["variant"]] - pivot[base]
                low, high = stats.t.interval(0.95, 2, difference.mean(), difference.sem())
                assert entry[name]["mean"] == pytest.approx(difference.mean(), abs=6e-5)
                assert entry[name]["standard_error"] == pytest.approx(difference.sem(), abs=6e-5)
                assert entry[name]["interval"] == pytest.approx([low, high], abs=6e-5)


def test_statements_count_the_intervals_that_include_zero():
    def entry(variant, bias, **intervals):
        values = {name: {"mean": 0.5, "standard_error": 1, "interval": intervals.get(name)} for name in MEASURES}
        return {"variant": variant, "bias": bias, **values}

    within = dict.fromkeys(MEASURES, [-0.1, 0.9])
    results = {
        "differences_to_no_adversarial": [
            entry("auxiliary", 0, **within),
            entry("auxiliary", 0.9, **within | {"age_mae": [0.1, 0.9], "country_uar": [-0.9, -0.2]}),
            entry("adversarial_encoder", 0, **within),
        ],
        "differences_to_auxiliary": [entry("adversarial_encoder", 0)],
    }
    assert statements(results) == [
        "auxiliary minus -Adv: the 95 % intervals of 6 of 8 differences include 0, and 2 do not: "
        "age_mae at bias 0.9 (+0.500, +0.100 to +0.900), country_uar at bias 0.9 (+0.500, -0.900 to -0.200).",
        "adversarial_encoder minus -Adv: the 95 % intervals of 4 of 4 differences include 0, and 0 do not.",
        "adversarial_encoder minus auxiliary: a single seed gives no interval.",
        "Without any effect, about one interval in 20 would not include 0.",
    ]


def test_the_leakage_of_variants_is_paired_by_seed():
    generator = np.random.default_rng(0)
    variants, seeds = ("adversarial_encoder", "no_adversarial"), (1, 2, 3)
    values = {(variant, seed): generator.random(2) for seed in seeds for variant in variants}
    audits = [
        {"variant": variant, "seed": seed}
        | {"leakage": {"shared": {"age": {"mae": row[0], "r2": row[1]}}}, "chance": {"age": {"mae": float(seed)}}}
        for (variant, seed), row in values.items()
    ]
    found = summarise_leakage(audits)
    for position, metric in enumerate(("mae", "r2")):
        own, base = ([values[variant, seed][position] for seed in seeds] for variant in variants)
        mean = found["means"]["adversarial_encoder"]["shared"]["age"][metric]
        change = found["differences_to_no_adversarial"]["adversarial_encoder"]["shared"]["age"][metric]
        assert mean["mean"] == pytest.approx(np.mean(own), abs=6e-5)
        assert mean["standard_error"] == pytest.approx(stats.sem(own), abs=6e-5)
        test = stats.ttest_rel(own, base).confidence_interval(0.95)
        assert change["interval"] == pytest.approx([test.low, test.high], abs=6e-5)
    assert list(found["differences_to_no_adversarial"]) == ["adversarial_encoder"]
    assert found["chance"] == {"age": {"mae": 2.0}}


def test_last_quarters_are_grouped_by_corpus_and_variant(summary):
    results, _, curves = summary
    assert results["discriminator"] == curves
    synthetic, bursts = results["discriminator_last_quarter"]
    # Steps 30 and 40 are the last quarter of 40: 0.4 and 0.65.
    assert synthetic["mean"] == pytest.approx(0.525) and synthetic["runs"] == 2 and synthetic["chance"] == 0.25
    assert synthetic["standard_error"] == pytest.approx(0.125)
    assert bursts["mean"] == pytest.approx(0.9) and bursts["runs"] == 1 and bursts["standard_error"] is None
