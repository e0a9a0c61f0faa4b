"""Comparisons of several runs: intervals over speakers, paired differences, learning curves, and refusals."""

import json

import little_runs
import numpy as np
import pytest

from paravox.evaluation.finished_run import FROZEN_HEAD, FinishedRun
from paravox.evaluation.predictions_file import write_predictions
from paravox.evaluation.repeated_runs import compare, learning_curves, table_rows
from paravox.modeling.errors import CheckpointError


@pytest.fixture
def runs(tmp_path):
    """Two seeds of an adversarial variant and of the frozen head, with mean errors in age of 2, 3, 5 and 6 years."""
    errors = {("adversarial", 1): 2.0, ("adversarial", 2): 3.0, (FROZEN_HEAD, 1): 5.0, (FROZEN_HEAD, 2): 6.0}
    return {
        run: FinishedRun(little_runs.write_run(tmp_path / f"{run[0]}_{run[1]}", error)) for run, error in errors.items()
    }


def bootstrap_of_factors(split):
    """The mean factor of the error in draws of whole speakers, one by one, by another generator than the code's."""
    factors, speakers = little_runs.speaker_factors(split), np.array(little_runs.speakers(split))
    names, generator = np.unique(speakers), np.random.default_rng(123)
    means = []
    for _ in range(4000):
        drawn = generator.choice(names, len(names))
        means.append(np.concatenate([factors[speakers == name] for name in drawn]).mean())
    return np.percentile(means, [2.5, 97.5])


def test_intervals_are_over_speakers_and_differences_are_paired(runs):
    results = compare(runs)
    low, high = bootstrap_of_factors("test")
    assert low < 0.9 and high > 1.1
    # The errors of all runs are proportional to each other in every draw.
    for found, scale in (
        (results["runs"][0]["test_interval"]["age_mae"], 2.0),
        (results["means"]["adversarial"]["test"]["age_mae"]["interval"], 2.5),
        (results["means"][FROZEN_HEAD]["test"]["age_mae"]["interval"], 5.5),
        (results["ensembles"]["adversarial"]["test"]["age_mae"]["interval"], 2.5),
    ):
        assert found == pytest.approx([scale * low, scale * high], rel=0.02)
    difference = results["differences_to_frozen_head"]["adversarial"]["test"]["age_mae"]
    assert difference["value"] == pytest.approx(-3.0, abs=1e-3)
    assert difference["interval"] == pytest.approx([-3 * high, -3 * low], rel=0.02)


def test_ensembles_average_predictions_not_scores(runs, tmp_path):
    runs["adversarial", 2] = FinishedRun(little_runs.write_run(tmp_path / "other", -3.0))
    results = compare(runs)
    assert results["means"]["adversarial"]["val"]["age_mae"]["value"] == pytest.approx(2.5, abs=1e-3)
    assert results["ensembles"]["adversarial"]["val"]["age_mae"]["value"] == pytest.approx(0.5, abs=1e-3)


def test_a_split_without_labels_is_left_out(runs):
    for run in runs.values():
        unlabelled = {
            name: np.full_like(values, np.nan)
            for name, values in little_runs.true_labels("test").items()
            if name != "country"
        }
        unlabelled["country"] = np.full(little_runs.CLIPS["test"], -100)
        speakers, clips = little_runs.speakers("test"), ["a.wav"] * little_runs.CLIPS["test"]
        file = run.folder / "predictions" / "test.npz"
        write_predictions(file, little_runs.predicted("test", 1.0), unlabelled, speakers, clips)
    results = compare(runs)
    assert list(results["constant"]) == ["val"] and list(results["means"]["adversarial"]) == ["val"]
    assert "test" not in results["runs"][0] and "val" in results["runs"][0]


def change_predictions(run, split="val", labels=None, speakers=None, keep_labels=True):
    clips = ["a.wav"] * little_runs.CLIPS[split]
    labels = labels or (little_runs.true_labels(split) if keep_labels else {})
    file = run.folder / "predictions" / f"{split}.npz"
    write_predictions(file, little_runs.predicted(split, 1.0), labels, speakers or little_runs.speakers(split), clips)


@pytest.mark.parametrize("what", ["labels", "speakers"])
def test_runs_on_other_clips_are_not_compared(runs, what):
    labels, speakers = little_runs.true_labels("val"), little_runs.speakers("val")
    if what == "labels":
        labels["age"][3] += 1
    else:
        speakers[3] = "somebody else"
    change_predictions(runs["adversarial", 2], labels=labels, speakers=speakers)
    with pytest.raises(CheckpointError, match="adversarial_2 was run on other clips than .*adversarial_1"):
        compare(runs)


def test_runs_with_other_tasks_are_not_compared(runs):
    file = runs["adversarial", 2].folder / "model" / "config.json"
    config = json.loads(file.read_text())
    config["tasks"][1]["range"] = [0, 90]
    file.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="adversarial_2 has other tasks than .*adversarial_1"):
        compare(runs)


def test_predictions_that_cannot_be_scored_are_named(runs):
    file = runs[FROZEN_HEAD, 1].folder / "predictions" / "test.npz"
    content = file.read_bytes()
    file.unlink()
    with pytest.raises(CheckpointError, match="frozen_head_1 lacks predictions that other runs have"):
        compare(runs)
    file.write_bytes(content)
    change_predictions(runs["adversarial", 1], keep_labels=False)
    with pytest.raises(CheckpointError, match="adversarial_1 were saved without labels and speakers"):
        compare(runs)


LOG = [
    {"epoch": 0.5, "step": 5, "loss/emotion/joint": 0.75, "loss": 9.0},
    {"epoch": 1.0, "step": 10, "eval_emotion_ccc": 0.21234567, "eval_age_mae": 9.0},
    {"epoch": 1.5, "step": 15, "loss/emotion/joint": 0.25, "loss/age/joint": 0.5},
    {"epoch": 2.0, "step": 20, "eval_emotion_ccc": 0.5},
]


def test_learning_curves(tmp_path):
    folder = little_runs.write_run(tmp_path / "run", 1.0, log=LOG)
    runs = {("adversarial", 1): FinishedRun(folder), (FROZEN_HEAD, 1): FinishedRun(folder)}
    expected = {"name": "adversarial", "seed": 1, "task": "emotion", "train": [[0.5, 0.25], [1.5, 0.75]]}
    assert learning_curves(runs) == [expected | {"val": [[1.0, 0.2123], [2.0, 0.5]]}]
    # A run that began with a frozen head has its score as epoch 0.
    (folder / "frozen_head").mkdir()
    little_runs.write_stage(folder / "frozen_head", 1.0)
    assert learning_curves(runs) == [expected | {"val": [[0, 0.125], [1.0, 0.2123], [2.0, 0.5]]}]


def test_there_are_no_curves_without_intensities(tmp_path, monkeypatch):
    monkeypatch.setattr(little_runs, "TASKS", little_runs.TASKS[1:])
    run = FinishedRun(little_runs.write_run(tmp_path / "run", 1.0, log=LOG))
    assert learning_curves({("adversarial", 1): run}) == []


def test_rows_of_the_table():
    def scores(value):
        return {"val": {"age_mae": {"value": value, "interval": [0, 9]}}}

    results = {
        "constant": {"val": {"age_mae": 9.0}},
        "means": {"adversarial": scores(1.0), "frozen_head": scores(2.0)},
        "ensembles": {"adversarial": scores(0.5), "frozen_head": scores(1.5)},
    }
    assert table_rows(results) == {
        "constant prediction": {"val": {"age_mae": 9.0}},
        "adversarial": {"val": {"age_mae": 1.0}},
        "frozen head": {"val": {"age_mae": 2.0}},
        "adversarial, ensemble": {"val": {"age_mae": 0.5}},
        "frozen head, ensemble": {"val": {"age_mae": 1.5}},
    }
