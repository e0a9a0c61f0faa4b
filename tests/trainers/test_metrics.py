"""The metrics: against scipy and scikit-learn, the paper's own table, and at their edges."""

import doctest
from importlib import import_module
from pathlib import Path

import evaluate
import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import balanced_accuracy_score

from paravox.trainers import metrics
from paravox.trainers.metrics.ccc.ccc import concordance_cc
from paravox.trainers.metrics.mae.mae import mean_absolute_difference
from paravox.trainers.metrics.s_mtl.s_mtl import s_mtl
from paravox.trainers.metrics.uar.uar import unweighted_average_recall

NAMES = ("ccc", "mae", "s_mtl", "uar")
# Burst2Vec, table 2, validation: CCC, UAR, MAE in years, S_MTL.
TABLE_2 = {
    "ComParE baseline": (0.416, 0.506, 4.222, 0.349),
    "V1 WL": (0.653, 0.672, 3.672, 0.448),
    "V2 WL -Adv": (0.645, 0.676, 3.709, 0.445),
    "V3 HB -Adv": (0.652, 0.606, 3.594, 0.443),
    "V4 HL": (0.675, 0.638, 3.638, 0.449),
    "V5 HL -Adv": (0.675, 0.631, 3.694, 0.444),
    "V6 HL, own audio": (0.676, 0.644, 3.640, 0.450),
    "V7 V6 + oversampling": (0.669, 0.630, 4.233, 0.410),
    "Ensemble A": (0.704, 0.690, 3.580, 0.465),
    "Ensemble B": (0.708, 0.688, 3.589, 0.465),
    "Ensemble C": (0.711, 0.682, 3.586, 0.464),
}


@pytest.mark.parametrize("row", TABLE_2)
def test_s_mtl_reproduces_table_2(row):
    ccc, uar, mae, expected = TABLE_2[row]
    assert s_mtl(ccc, uar, mae) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("ccc", "uar"), [(0.0, 0.5), (-0.1, 0.5), (0.5, 0.0)])
def test_s_mtl_is_zero_where_a_score_is_not_positive(ccc, uar):
    assert s_mtl(ccc, uar, 4.0) == 0


def test_ccc_is_pearson_times_the_bias_correction():
    generator = np.random.default_rng(3)
    truth = generator.normal(size=(50, 4))
    guess = 0.5 * truth + generator.normal(scale=0.4, size=truth.shape) + 0.2
    for column, value in enumerate(concordance_cc(guess, truth)):
        x, y = guess[:, column], truth[:, column]
        expected = pearsonr(x, y)[0] * 2 * x.std() * y.std() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
        assert value == pytest.approx(expected, abs=1e-12)


def test_ccc_at_its_edges():
    assert concordance_cc([[1.0], [1.0]], [[1.0], [1.0]]).tolist() == [0.0]
    assert concordance_cc([[1.0], [1.0]], [[0.0], [1.0]]).tolist() == [0.0]
    assert np.isnan(concordance_cc([[1.0]], [[1.0]])).all()
    with pytest.raises(ValueError, match="NaN or infinite"):
        concordance_cc([0.0, np.nan], [0.0, 1.0])
    with pytest.raises(ValueError, match="must be equal"):
        concordance_cc([0.0, 1.0], [0.0, 1.0, 2.0])


def test_uar_and_mae_equal_scikit_learn_and_numpy():
    generator = np.random.default_rng(4)
    truth, guess = generator.integers(4, size=(2, 200))
    assert unweighted_average_recall(guess, truth) == pytest.approx(balanced_accuracy_score(truth, guess))
    years, guessed = generator.uniform(20, 40, size=(2, 50))
    assert mean_absolute_difference(guessed, years) == pytest.approx(np.abs(guessed - years).mean())
    assert np.isnan(unweighted_average_recall([], [])) and np.isnan(mean_absolute_difference([], []))


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_the_docstrings_hold(name):
    result = doctest.testmod(import_module(f"paravox.trainers.metrics.{name}.{name}"))
    assert result.attempted and not result.failed


@pytest.mark.parametrize("name", NAMES)
def test_evaluate_loads_each_by_its_path(name):
    path = Path(metrics.__file__).parent / name / f"{name}.py"
    values = (
        {"ccc": [0.5], "uar": [0.5], "mae": [4.0]} if name == "s_mtl" else {"predictions": [0, 1], "references": [0, 1]}
    )
    expected = {"ccc": 1.0, "uar": 1.0, "mae": 0.0, "s_mtl": 3 / 8}[name]
    assert evaluate.load(str(path), keep_in_memory=True).compute(**values)[name] == pytest.approx(expected)
