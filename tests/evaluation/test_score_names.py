"""Names of scores: what counts as one, and how it is written."""

import pytest

from paravox.evaluation.score_names import SPLIT_TITLES, column_title, is_score, metric_title, only_scores
from paravox.modeling.tasks import Task
from paravox.trainers.scoring import metric_names

TASKS = [
    Task("emotion", "intensities", labels=("awe", "fear")),
    Task("native_country", "classes", labels=("China", "USA")),
    Task("age", "scalar", range=(20, 40)),
]


def test_the_scores_are_what_a_split_is_scored_by_without_the_losses():
    scores = ["emotion_ccc", "emotion_uar", "native_country_uar", "age_mae", "s_mtl"]
    assert [name for name in metric_names(TASKS) if is_score(name)] == scores
    for name in ("loss", "emotion_loss", "runtime", "samples_per_second", "epoch", "mae", "this_mtl"):
        assert not is_score(name), name
    assert only_scores({"age_mae": 4.5, "loss": 1.0, "s_mtl": 0.3, "runtime": 2.0}) == {"age_mae": 4.5, "s_mtl": 0.3}


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("emotion_ccc", "emotion CCC"),
        ("native_country_uar", "native_country UAR"),
        ("age_mae", "age MAE"),
        ("s_mtl", "S_MTL"),
        ("age_country_leak", "age_country leak"),
        ("accuracy", "accuracy"),
    ],
)
def test_titles(name, title):
    assert metric_title(name) == title
    assert column_title("val", name) == f"Val: {title}"


def test_results_files_call_the_validation_split_val():
    assert SPLIT_TITLES == {"validation": "val", "test": "test"}
