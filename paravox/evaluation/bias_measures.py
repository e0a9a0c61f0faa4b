"""Measures of the bias study: how far a predicted age follows the country, and the accuracy of the discriminator."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from scipy import stats

from paravox.corpora.synthetic import BIASED_AGE
from paravox.evaluation.finished_run import FinishedRun
from paravox.modeling.errors import CheckpointError

NO_ADVERSARIAL = "no_adversarial"
AUXILIARY = "auxiliary"
SCORES = ("emotion_ccc", "age_mae", "country_uar")
LEAK = "age_country_leak"
MEASURES = (*SCORES, LEAK)
DISCRIMINATOR = "discriminator_accuracy/"
MAX_POINTS = 60
# Predictions are float32: a spread below this share of the values' size is rounding.
ROUNDING = 1e-6


def age_country_leak(predicted_ages: np.ndarray, true_ages: np.ndarray, countries: Sequence[str]) -> float:
    """How much the predicted ages follow the country, beyond what the true ages explain.

    The partial correlation of the prediction p with b = `BIASED_AGE[true country]`, the mean age that biased Train data
    tie to the country, given the true age a:

        leak = (r_pb - r_pa r_ab) / sqrt((1 - r_pa^2) (1 - r_ab^2))

    where r is Pearson's correlation over the clips. At 1, everything that the prediction holds beside the true age is
    the country's biased age. At 0, nothing of it is. The leak says how consistently the prediction follows the country,
    not by how many years.

    Args:
        predicted_ages (`np.ndarray` of shape `(clips,)`): in years.
        true_ages (`np.ndarray` of shape `(clips,)`): in years.
        countries (sequence of `str`): the true country of each clip.

    Returns:
        `float`: from -1 to 1; 0 where the true age explains all of the prediction or of b.
    """
    tied = np.array([BIASED_AGE[country] for country in countries])
    rest, tied_rest = (_not_explained(values, true_ages) for values in (predicted_ages, tied))
    size = np.sqrt((rest @ rest) * (tied_rest @ tied_rest))
    return float(rest @ tied_rest / size) if size > 0 else 0.0


def _not_explained(values: np.ndarray, given: np.ndarray) -> np.ndarray:
    """What is left of values after their regression on others with an intercept; zeros if only rounding is left."""
    values = np.asarray(values, np.float64)
    design = np.stack([np.ones(len(values)), np.asarray(given, np.float64)], axis=1)
    rest = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return rest if np.linalg.norm(rest) > ROUNDING * np.linalg.norm(values) else np.zeros_like(rest)


def measure_run(run: FinishedRun) -> dict[str, float]:
    """The scores and the leak of a finished run on Test.

    Args:
        run ([`FinishedRun`]): on a synthetic corpus, with the tasks `age` and `country`.

    Returns:
        `dict` of `float`: one value for each of [`MEASURES`].
    """
    scores, test = run.results["test"], run.predictions()["test"]
    names = next(task.labels for task in run.tasks if task.name == "country")
    countries = [names[index] for index in test.labels["country"]]
    leak = age_country_leak(test.predictions["age"], test.labels["age"], countries)
    return {name: round(scores[name], 4) for name in SCORES} | {LEAK: round(leak, 4)}


def mean_with_error(values: Sequence[float]) -> dict[str, Any]:
    """The mean of independent values, its standard error, and its 95 % interval by Student's t.

    Returns:
        `dict`: `mean`, `standard_error` and `interval`; the last two are None for a single value.
    """
    mean = round(float(np.mean(values)), 4)
    if len(values) < 2:
        return {"mean": mean, "standard_error": None, "interval": None}
    error = float(stats.sem(values))
    reach = stats.t.ppf(0.975, len(values) - 1) * error
    interval = [round(float(np.mean(values) + sign * reach), 4) for sign in (-1, 1)]
    return {"mean": mean, "standard_error": round(error, 4), "interval": interval}


def read_discriminator(run: FinishedRun) -> dict:
    """How often the discriminator was right during a finished run of train.py.

    The log's `discriminator_accuracy/<task>` is the mean over the batches of a task since the previous entry, in
    training mode, against a shared extractor that learns to fool the discriminator, or to help it in a run without
    gradient reversal. The unweighted mean over the tasks is 1 / tasks for a guess that does not look at the clip,
    however many batches a task has. Entries that lack a task are left out. The steps of a heads-first stage come first,
    and those of the next stage count on.

    Args:
        run ([`FinishedRun`]): one with a discriminator.

    Returns:
        `dict`: `variant`, `chance`, and the lists `steps` and `accuracy`, shortened by [`thin`].

    Raises:
        CheckpointError: if the log has no accuracy of all tasks.
    """
    keys = [f"{DISCRIMINATOR}{task.name}" for task in run.tasks]
    steps, accuracy, earlier = [], [], 0
    for log in (stage.log for stage in (run.frozen_head, run) if stage is not None):
        if log is None:
            continue
        complete = [entry for entry in log["log_history"] if all(key in entry for key in keys)]
        steps += [earlier + entry["step"] for entry in complete]
        accuracy += [float(np.mean([entry[key] for key in keys])) for entry in complete]
        earlier += log["global_step"]
    if not steps:
        raise CheckpointError(
            f"the log of {run.folder} has no discriminator_accuracy of all of {len(keys)} tasks: give an adversarial "
            "run, or train with larger logging_steps, so that each entry has batches of every task"
        )
    steps, accuracy = thin(steps, accuracy)
    config = run.config
    return {
        "variant": f"adversarial_{config.adversarial_scope}" if config.gradient_reversal else AUXILIARY,
        "chance": round(1 / len(keys), 4),
        "steps": steps,
        "accuracy": accuracy,
    }


def thin(steps: Sequence[int], values: Sequence[float], points: int = MAX_POINTS) -> tuple[list[int], list[float]]:
    """Shortens a curve to at most `points` points. Neighbours are averaged, so that no part of the log is dropped."""
    blocks = np.array_split(np.arange(len(steps)), min(points, len(steps)))
    means = [(np.mean([steps[i] for i in block]), np.mean([values[i] for i in block])) for block in blocks]
    return [round(float(step)) for step, _ in means], [round(float(value), 4) for _, value in means]


def last_quarter(curve: dict) -> float:
    """The mean accuracy over the last quarter of a run's steps."""
    steps, accuracy = np.array(curve["steps"]), np.array(curve["accuracy"])
    return float(accuracy[steps >= 0.75 * steps[-1]].mean())


def summarise_bias_study(runs: list[dict], curves: list[dict], variants: Sequence[str]) -> dict:
    """Means over the seeds, differences paired by seed, and the discriminators' curves with their last quarters.

    Args:
        runs (list of `dict`): `bias`, `seed`, `variant`, and `test` with one value for each of [`MEASURES`].
        curves (list of `dict`): what [`read_discriminator`] returns, and `corpus`.
        variants (sequence of `str`): in the order of the tables.

    Returns:
        `dict`: `means`, `differences_to_no_adversarial` and `differences_to_auxiliary` by bias and variant, each value
        as in [`mean_with_error`] over the seeds; `discriminator_last_quarter`; and `discriminator`, the curves. The
        last differences tell the effect of the reversal from that of the additional supervision.
    """
    values = {(run["bias"], run["variant"], run["seed"]): run["test"] for run in runs}
    seeds = list(dict.fromkeys(run["seed"] for run in runs))
    biases = list(dict.fromkeys(run["bias"] for run in runs))
    means = []
    for bias, variant in product(biases, variants):
        tests = [values[bias, variant, seed] for seed in seeds]
        entry = {name: mean_with_error([test[name] for test in tests]) for name in MEASURES}
        means.append({"bias": bias, "variant": variant, **entry})

    def differences(base: str, compared: Sequence[str]) -> list[dict]:
        found = []
        for bias, variant in product(biases, compared):
            pairs = [(values[bias, variant, seed], values[bias, base, seed]) for seed in seeds]
            entry = {name: mean_with_error([test[name] - other[name] for test, other in pairs]) for name in MEASURES}
            found.append({"bias": bias, "variant": variant, **entry})
        return found

    groups: dict[tuple[str, str, float], list[float]] = {}
    for curve in curves:
        groups.setdefault((curve["corpus"], curve["variant"], curve["chance"]), []).append(last_quarter(curve))
    ends = [
        {"corpus": corpus, "variant": variant, "chance": chance, "runs": len(ends), **mean_with_error(ends)}
        for (corpus, variant, chance), ends in groups.items()
    ]
    reversed_ones = [variant for variant in variants if variant not in (NO_ADVERSARIAL, AUXILIARY)]
    others = [variant for variant in variants if variant != NO_ADVERSARIAL]
    return {
        "means": means,
        "differences_to_no_adversarial": differences(NO_ADVERSARIAL, others),
        "differences_to_auxiliary": differences(AUXILIARY, reversed_ones) if AUXILIARY in variants else [],
        "discriminator_last_quarter": ends,
        "discriminator": curves,
    }


def summarise_leakage(audits: list[dict]) -> dict:
    """The mean leakage matrix of each variant over the seeds, and its differences to -Adv, paired by seed.

    Args:
        audits (list of `dict`): `variant`, `seed`, `leakage`, a `dict` of scores by representation, target and metric,
            and `chance`, a `dict` of scores by target and metric.

    Returns:
        `dict`: `means` and `differences_to_no_adversarial`, by variant, representation, target and metric, each value
        as in [`mean_with_error`]; and `chance`, the mean by target and metric.
    """
    by_run = {(audit["variant"], audit["seed"]): audit["leakage"] for audit in audits}
    seeds = list(dict.fromkeys(audit["seed"] for audit in audits))
    variants = list(dict.fromkeys(audit["variant"] for audit in audits))

    def over_seeds(variant: str, base: str | None) -> dict:
        pairs = [(by_run[variant, seed], by_run[base, seed] if base else None) for seed in seeds]
        return {
            representation: {
                target: {
                    metric: mean_with_error(
                        [
                            own[representation][target][metric]
                            - (other[representation][target][metric] if other else 0.0)
                            for own, other in pairs
                        ]
                    )
                    for metric in scores
                }
                for target, scores in targets.items()
            }
            for representation, targets in pairs[0][0].items()
        }

    return {
        "means": {variant: over_seeds(variant, None) for variant in variants},
        "differences_to_no_adversarial": {
            variant: over_seeds(variant, NO_ADVERSARIAL) for variant in variants if variant != NO_ADVERSARIAL
        },
        "chance": {
            target: {
                metric: round(float(np.mean([audit["chance"][target][metric] for audit in audits])), 4)
                for metric in scores
            }
            for target, scores in audits[0]["chance"].items()
        },
    }


def statements(results: dict) -> list[str]:
    """What the differences of the study show, one sentence for each variant and what it is compared with.

    Args:
        results (`dict`): from [`summarise_bias_study`].

    Returns:
        list of `str`: how many of the differences have a 95 % interval that does not include 0, and which.
    """
    found = []
    for base, title in ((NO_ADVERSARIAL, "-Adv"), (AUXILIARY, AUXILIARY)):
        entries = results[f"differences_to_{base}"]
        for variant in dict.fromkeys(entry["variant"] for entry in entries):
            values = [
                (name, entry["bias"], entry[name])
                for entry in entries
                if entry["variant"] == variant
                for name in MEASURES
            ]
            if any(value["interval"] is None for *_, value in values):
                found.append(f"{variant} minus {title}: a single seed gives no interval.")
                continue
            outside = [
                f"{name} at bias {bias:g} ({value['mean']:+.3f}, {value['interval'][0]:+.3f} to "
                f"{value['interval'][1]:+.3f})"
                for name, bias, value in values
                if not value["interval"][0] <= 0 <= value["interval"][1]
            ]
            which = f": {', '.join(outside)}" if outside else ""
            found.append(
                f"{variant} minus {title}: the 95 % intervals of {len(values) - len(outside)} of {len(values)} "
                f"differences include 0, and {len(outside)} do not{which}."
            )
    return [*found, "Without any effect, about one interval in 20 would not include 0."]
