"""The output folder of train.py, read back."""

import json

import little_runs
import pytest

from paravox.evaluation.finished_run import FinishedRun
from paravox.modeling.errors import CheckpointError


def test_a_run_and_its_first_stage(tmp_path):
    folder = little_runs.write_run(tmp_path / "run", 2.0, adversarial=False)
    assert FinishedRun(folder).frozen_head is None
    (folder / "frozen_head").mkdir()
    little_runs.write_stage(folder / "frozen_head", 7.0)
    run = FinishedRun(folder)
    stage = run.frozen_head
    assert [task.name for task in run.tasks] == ["emotion", "age", "country"] and stage.tasks == run.tasks
    assert run.config.adversarial is False and stage.config.adversarial is False
    assert run.results["constant"]["val"]["age_mae"] == 11.25 and stage.results["test"]["age_mae"] == 7.0
    for found, error in ((run.predictions(), 2.0), (stage.predictions(), 7.0)):
        assert list(found) == ["val", "test"]
        ages = found["test"].predictions["age"] - found["test"].labels["age"]
        assert abs(ages).mean() == pytest.approx(error, rel=1e-5)
        assert found["val"].speakers == little_runs.speakers("val") and found["val"].clips[1] == "1.wav"


def test_a_run_of_the_first_stage_alone_has_its_predictions(tmp_path):
    folder = little_runs.write_run(tmp_path / "run", 2.0)
    (folder / "predictions").rename(tmp_path / "gone")
    with pytest.raises(CheckpointError, match="holds no predictions: remove .*run and run it again"):
        FinishedRun(folder).predictions()
    (folder / "frozen_head").mkdir()
    little_runs.write_stage(folder / "frozen_head", 7.0)
    test = FinishedRun(folder).predictions()["test"]
    assert abs(test.predictions["age"] - test.labels["age"]).mean() == pytest.approx(7.0, rel=1e-5)


def test_val_selected_where_a_stage_tracked_a_score_on_it(tmp_path):
    folder = little_runs.write_run(tmp_path / "run", 2.0)
    assert not FinishedRun(folder).selected_on_val
    (folder / "frozen_head").mkdir()
    little_runs.write_stage(folder / "frozen_head", 7.0, best_metric=0.0)
    assert FinishedRun(folder).selected_on_val and FinishedRun(folder / "frozen_head").selected_on_val
    (folder / "frozen_head" / "trainer_state.json").unlink()
    assert not FinishedRun(folder).selected_on_val and FinishedRun(folder / "frozen_head").log is None
    state = json.loads((folder / "trainer_state.json").read_text())
    (folder / "trainer_state.json").write_text(json.dumps(state | {"best_metric": 0.4}))
    assert FinishedRun(folder).selected_on_val


def test_a_folder_without_a_finished_run_is_named(tmp_path):
    folder = little_runs.write_run(tmp_path / "run", 2.0)
    (folder / "results.json").unlink()
    with pytest.raises(CheckpointError, match="run holds no finished run of train.py: give its output_dir"):
        FinishedRun(folder)
