"""The benchmark of a GPU, at a tiny size on the CPU."""

import json
import sys

import pytest
from documents import ROOT
from little_corpora import write_clip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs sections of gpu.py on six clips, each in this process, and returns their rows."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import gpu

    for number in range(6):
        write_clip(tmp_path / "clips" / f"{number}.wav", number, seconds=0.3 + 0.1 * number)

    def rows(*sections):
        output = tmp_path / "results.json"
        places = ["--clips", str(tmp_path / "clips"), "--folder", str(tmp_path / "work"), "--output", str(output)]
        for section in sections:
            monkeypatch.setattr(sys, "argv", ["gpu.py", *places, "--device", "cpu", "--tiny", "--section", section])
            gpu.main()
        return json.loads(output.read_text())["rows"]

    return rows


def test_prediction_and_a_training_step_are_measured(run):
    rows = run("prediction", "training_step")
    prediction = rows["prediction"]
    assert prediction["ratio"] == pytest.approx(prediction["ours"] / prediction["alternative"], abs=0.06)
    assert (prediction["clips"], prediction["given_clips"], prediction["dtype"]) == (8, 6, "float32")
    steps = rows["training_step"]["steps"]
    assert set(steps) == {"tiny_float32", "tiny_bfloat16"}
    assert all(
        step["ratio"] == pytest.approx(step["milliseconds"] / step["bare_milliseconds"], rel=0.01)
        for step in steps.values()
    )


@pytest.mark.slow
def test_training_runs_trials_and_agreement_are_measured(run):
    rows = run("training_run", "trials", "agreement")
    assert rows["training_run"]["ours"]["eager"] > 0
    trials = rows["trials"]
    assert (trials["trials"], trials["at_once"]) == (2, 2) and set(trials["seconds_by_k"]) == {"2", "4"}
    assert trials["hours_for_33600"] == pytest.approx(33_600 / trials["ours"], rel=0.05)
    # On one device nothing differs, and two equal runs give equal weights, resumed or not.
    agreement = rows["agreement"]
    assert agreement["predictions_float32"] == {"emotion": 0.0, "age": 0.0, "origin": 0.0}
    assert 0 < agreement["predictions_bfloat16"]["emotion"] < 0.05
    assert agreement["weights_of_two_identical_runs"] == agreement["weights_of_a_resumed_run"] == 0.0
