"""Table 2: planted effects are found, every number equals that of another library, and the paper's S_MTL is met."""

import statistics

import little_runs
import numpy as np
import planted_table
import pytest
from planted_table import EFFECTS, SEEDS, predicted, speakers, true_labels
from scipy.stats import ttest_1samp, ttest_ind, ttest_rel
from sklearn.metrics import mean_absolute_error, recall_score
from statsmodels.stats.contingency_tables import cochrans_q, mcnemar
from statsmodels.stats.multitest import multipletests

from paravox.evaluation import table_2
from paravox.evaluation.bootstrap import draw_speakers
from paravox.evaluation.predictions_file import SavedPredictions
from paravox.evaluation.table_2 import make_table
from paravox.evaluation.table_2_predictions import TablePredictions, keep_predictions, read_table_predictions
from paravox.evaluation.table_2_suite import Suite, SuiteRow
from paravox.modeling.tasks import parse_tasks

MEMBERS = ("V1", "V 2")
FACTS = {code: {"encoder": "base", "raw": False} for code in EFFECTS}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return planted_table.read_suite(planted_table.write_suite(tmp_path_factory.mktemp("suite")))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    keep_predictions(folder / "kept", planted_table.write_runs(folder), FACTS, "paravox table_2")
    return read_table_predictions(folder / "kept", list(EFFECTS), None)


@pytest.fixture(scope="module")
def results(suite, saved):
    return make_table(suite, saved)


def row_of(results, code):
    return next(row for row in results["rows"] if row["code"] == code)


def values_of(split, code, seed):
    """The predictions of a row; of the ensemble, their mean over its members."""
    if code in EFFECTS:
        return predicted(split, code, seed)
    members = [predicted(split, member, seed) for member in MEMBERS]
    return {task: (members[0][task] + members[1][task]) / 2 for task in members[0]}


def ccc(predictions, labels):
    found = []
    for guess, truth in zip(predictions.T.astype(float), labels.T.astype(float), strict=True):
        covariance = np.mean((guess - guess.mean()) * (truth - truth.mean()))
        found.append(2 * covariance / (guess.var() + truth.var() + (guess.mean() - truth.mean()) ** 2))
    return float(np.mean(found))


def scores_of(split, code, seed):
    labels, values = true_labels(split), values_of(split, code, seed)
    scores = {
        "emotion_ccc": ccc(values["emotion"], labels["emotion"]),
        "age_mae": mean_absolute_error(labels["age"], values["age"]),
        "country_uar": recall_score(labels["country"], values["country"].argmax(axis=1), average="macro"),
    }
    parts = scores["emotion_ccc"], scores["country_uar"], 1 / scores["age_mae"]
    return scores | {"s_mtl": statistics.harmonic_mean(parts)}


@pytest.mark.parametrize("code", [*EFFECTS, "Ensemble A"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_scores_are_means_over_seeds(results, code, split):
    by_seed = [scores_of(split, code, seed) for seed in SEEDS]
    found = row_of(results, code)[split]
    for name in by_seed[0]:
        expected = [scores[name] for scores in by_seed]
        assert found[name]["value"] == pytest.approx(statistics.mean(expected), abs=2e-4), name
        assert found[name]["sd"] == pytest.approx(statistics.stdev(expected), abs=2e-4), name
        low, high = found[name]["interval"]
        assert low < found[name]["value"] < high
    assert results["scores"] == list(by_seed[0])


def test_planted_marks_are_found_and_no_others(results):
    marks = {
        (row["code"], score): row["val"][score].get("marks")
        for row in results["rows"][1:]
        for score in ("emotion_ccc", "age_mae", "country_uar")
    }
    assert marks == {
        ("V1", "emotion_ccc"): "♦",
        ("V1", "age_mae"): "",
        ("V1", "country_uar"): "♦",
        ("V 2", "emotion_ccc"): "♦",
        ("V 2", "age_mae"): "♣♦",
        ("V 2", "country_uar"): "♦",
        ("V3", "emotion_ccc"): "♣",
        ("V3", "age_mae"): "",
        ("V3", "country_uar"): "♣",
        # The mean of two independent errors is smaller than each, in emotion; in age, V2's are too large to help V1.
        ("Ensemble A", "emotion_ccc"): "♣♦",
        ("Ensemble A", "age_mae"): "",
        ("Ensemble A", "country_uar"): "♦",
    }
    assert not any("marks" in entry for row in results["rows"] for entry in row.get("test", {}).values())
    assert not any("marks" in row["val"]["s_mtl"] for row in results["rows"][1:])


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_best_of_a_column_is_the_best_by_hand(results, split):
    for name in results["scores"]:
        expected = {code: statistics.mean(scores_of(split, code, seed)[name] for seed in SEEDS) for code in EFFECTS}
        expected["Ensemble A"] = statistics.mean(scores_of(split, "Ensemble A", seed)[name] for seed in SEEDS)
        best = (min if name == "age_mae" else max)(expected, key=expected.get)
        assert [row["code"] for row in results["rows"] if row[split][name]["best"]] == [best], name
    assert row_of(results, "V3")["val"]["emotion_ccc"]["best"]


def test_the_constant_prediction_is_that_of_the_runs(results):
    constant = results["rows"][0]
    assert constant["name"] == "constant prediction"
    for split, scores in little_runs.CONSTANT.items():
        assert {name: entry["value"] for name, entry in constant[split].items()} == pytest.approx(scores, abs=1e-4)


def test_it_can_be_the_best(suite, saved):
    saved.about["constant"]["val"]["age_mae"] = 0.5
    rows = make_table(suite, saved)["rows"]
    saved.about["constant"]["val"]["age_mae"] = little_runs.CONSTANT["val"]["age_mae"]
    assert [row["code"] for row in rows if row["val"]["age_mae"]["best"]] == [""]


def errors_of(saved, code, task):
    """The errors of the kept predictions of the first seed on Val, which are rounded to steps of 1/2048."""
    kept = [saved.predictions[member, SEEDS[0]]["val"][task] for member in (MEMBERS if code not in EFFECTS else [code])]
    labels, values = true_labels("val")[task], sum(kept) / len(kept)
    if task == "country":
        return (values.argmax(axis=1) != labels).astype(float)
    return np.abs(values.astype(float) - labels).reshape(len(labels), -1).mean(axis=1)


def test_p_values_equal_those_of_scipy_and_statsmodels(results, saved):
    """All tests take the first seed of both rows, on Val."""
    assert len(results["comparisons"]) == 2 * 3 * 3
    for found in results["comparisons"]:
        first, second = (errors_of(saved, found[name], found["task"]) for name in ("code", "compared_with"))
        if not np.any(first - second):
            assert [found[name] for name in ("p_paper", "p_paired", "p_speakers")] == [1, 1, 1]
            continue
        if found["task"] == "country":
            paper = cochrans_q(np.stack([first, second], axis=1)).pvalue
            table = [[np.sum((first == a) & (second == b)) for b in (0, 1)] for a in (0, 1)]
            paired = mcnemar(table, exact=table[0][1] + table[1][0] < 25, correction=False).pvalue
        else:
            paper, paired = ttest_ind(first, second).pvalue, ttest_rel(first, second).pvalue
        by_speaker = (first - second).reshape(planted_table.SPEAKERS, -1).mean(axis=1)
        expected = (paper, paired, ttest_1samp(by_speaker, 0).pvalue)
        for name, p in zip(("p_paper", "p_paired", "p_speakers"), expected, strict=True):
            assert found[name] == pytest.approx(p, rel=1e-3), (found, name)
        assert found["significant"] == (found["p_paper"] <= 0.05)


def test_the_bootstrap_compares_means_over_seeds(results):
    """The draws of each score in age, computed here from the errors."""
    # 4 rows, 2 marks, 3 tasks: 24 p-values of at most 2 / 2001 each would be too rough, so speakers are drawn again.
    counts = np.concatenate(
        [draw_speakers(speakers("val"), seed=0), *(draw_speakers(speakers("val"), seed=seed)[1:] for seed in (1, 2))]
    )
    labels = true_labels("val")["age"].astype(float)
    draws = {}
    for code in EFFECTS:
        by_seed = [np.abs(predicted("val", code, seed)["age"].astype(float) - labels) for seed in SEEDS]
        draws[code] = np.mean([counts @ errors / counts.sum(axis=1) for errors in by_seed], axis=0)
    found = {
        (entry["code"], entry["compared_with"]): entry for entry in results["comparisons"] if entry["task"] == "age"
    }
    for code, reference in (("V 2", "V1"), ("V3", "V1"), ("V1", "V3")):
        difference = draws[code] - draws[reference]
        entry = found[code, reference]
        assert entry["difference"] == pytest.approx(difference[0], abs=1e-4)
        assert entry["interval"] == pytest.approx(np.percentile(difference[1:], [2.5, 97.5]), abs=1e-4)
        smaller = min(np.sum(difference[1:] <= 0), np.sum(difference[1:] >= 0)) + 1
        assert entry["p_bootstrap"] == pytest.approx(min(1, 2 * smaller / 6001), rel=1e-3)


def test_holm_counts_two_rows_that_are_compared_both_ways_once(results):
    unique = {}
    for entry in results["comparisons"]:
        unique.setdefault((frozenset((entry["code"], entry["compared_with"])), entry["task"]), entry["p_bootstrap"])
    assert len(unique) == len(results["comparisons"]) - 3
    corrected = dict(zip(unique, multipletests(list(unique.values()), method="holm")[1], strict=True))
    for entry in results["comparisons"]:
        pair = frozenset((entry["code"], entry["compared_with"]))
        assert entry["p_bootstrap_holm"] == pytest.approx(corrected[pair, entry["task"]], rel=1e-2)


@pytest.mark.parametrize("comparisons", [0, 1, 10, 11, 99])
def test_there_are_enough_draws_for_a_corrected_p_value_to_be_small(comparisons):
    """The smallest p-value of a bootstrap is 2 / (draws + 1), and Holm multiplies it by the number of comparisons."""
    draws = 2000 * table_2._blocks(comparisons)
    assert comparisons * 2 / (draws + 1) <= 0.01 and (draws == 2000 or comparisons * 2 / (draws - 2000) > 0.01)


# Table 2 of the paper, Val: CCC, UAR, MAE, S_MTL.
PAPER = {
    "Baseline": (0.416, 0.506, 4.222, 0.349),
    "V1": (0.653, 0.672, 3.672, 0.448),
    "V2": (0.645, 0.676, 3.709, 0.445),
    "V3": (0.652, 0.606, 3.594, 0.443),
    "V4": (0.675, 0.638, 3.638, 0.449),
    "V5": (0.675, 0.631, 3.694, 0.444),
    "V6": (0.676, 0.644, 3.640, 0.450),
    "V7": (0.669, 0.630, 4.233, 0.410),
    "Ensemble A": (0.704, 0.690, 3.580, 0.465),
    "Ensemble B": (0.708, 0.688, 3.589, 0.465),
    "Ensemble C": (0.711, 0.682, 3.586, 0.464),
}


def with_scores(labels, wanted_ccc, wanted_uar, wanted_mae):
    """Predictions of 1,000 clips that have exactly these scores, to three decimals."""
    mean = labels["emotion"].mean(axis=0)
    # Shrunk to a part a of its spread, a column has the CCC 2 a / (1 + a^2).
    part = (1 - np.sqrt(1 - wanted_ccc**2)) / wanted_ccc
    hits = round(1000 * wanted_uar)
    right = np.concatenate([np.arange(500) < hits // 2, np.arange(500) < hits - hits // 2])
    return {
        "emotion": (mean + part * (labels["emotion"] - mean)).astype(np.float32),
        "age": (labels["age"] + wanted_mae).astype(np.float32),
        "country": np.eye(2, dtype=np.float32)[np.where(right, labels["country"], 1 - labels["country"])],
    }


def test_s_mtl_of_the_papers_rows():
    generator = np.random.default_rng(0)
    labels = {
        "emotion": generator.random((1000, 3)).astype(np.float32),
        "age": generator.uniform(20, 35, 1000).astype(np.float32),
        "country": np.repeat([0, 1], 500),
    }
    clips = {"val": SavedPredictions({}, labels, [f"{clip // 10}" for clip in range(1000)])}
    predictions = {(code, 1): {"val": with_scores(labels, *scores[:3])} for code, scores in PAPER.items()}
    about = {"constant": {}, "command": "", "settings": dict.fromkeys(PAPER, {}), "runs": []}
    saved = TablePredictions(parse_tasks(little_runs.TASKS), predictions, clips, about)
    rows = tuple(SuiteRow(code, code, planted_table.Path("any.yaml")) for code in PAPER)
    table = make_table(Suite("the paper's", (1,), {}, rows), saved)
    for code, expected in PAPER.items():
        found = row_of(table, code)["val"]
        names = ("emotion_ccc", "country_uar", "age_mae", "s_mtl")
        assert [found[name]["value"] for name in names] == pytest.approx(expected, abs=1e-3), code
        assert found["s_mtl"]["sd"] is None
    assert [row["code"] for row in table["rows"] if row.get("val", {}).get("s_mtl", {}).get("best")] == ["Ensemble A"]
    assert table["comparisons"] == []


def test_without_one_task_of_each_kind_there_is_no_s_mtl(suite, saved):
    tasks = [task for task in saved.tasks if task.name != "country"]
    fewer = TablePredictions(tasks, saved.predictions, saved.clips, saved.about)
    table = make_table(suite, fewer)
    assert table["scores"] == ["emotion_ccc", "age_mae"]
    assert "s_mtl" not in row_of(table, "V1")["val"]
