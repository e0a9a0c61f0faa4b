"""Two results files with a known relation between them."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from paravox.modeling.errors import ConfigError
from paravox.recipes.prefinetuning import compare_modes
from paravox.study.grid import StudySettings
from paravox.study.results_file import ResultsFile

SPEAKERS, EMOTIONS = ["1", "2", "3"], ["angry", "sad"]


def write(name, mode, score, checkpoints=("none", "a+b")):
    study = StudySettings(["a", "b"], SPEAKERS, EMOTIONS, [2, 8], repetitions=1, mode=mode)
    results = ResultsFile(Path(name), study.description())
    rows = []
    for trial in study.grid():
        if trial.checkpoint in checkpoints:
            rows.append(trial._asdict() | {"status": "finished", "macro_f1": score(trial)})
    results.add(rows)
    return name


def base(trial):
    return 0.3 + 0.05 * SPEAKERS.index(trial.speaker) + 0.03 * EMOTIONS.index(trial.emotion) + 0.01 * trial.k


def test_what_is_planted_is_found():
    # Pre-finetuning gains 0.10 in the first, and in the second 0.02 but for one cell, where it loses.
    first = write("first", "head", lambda trial: base(trial) + 0.1 * (trial.checkpoint == "a+b"))
    loses = lambda trial: trial.speaker == "2" and trial.emotion == "sad" and trial.k == 2  # noqa: E731
    gain = lambda trial: -0.1 if loses(trial) else 0.02  # noqa: E731
    second = write("second", "full", lambda trial: base(trial) ** 2 + gain(trial) * (trial.checkpoint == "a+b"))
    report = compare_modes.main([first, second, "--output_dir", "out"])
    assert report == json.loads(Path("out/compare_modes.json").read_text())
    assert report["modes"] == ["head", "full"] and report["trials"] == 24 and report["pairs"] == 6
    values = {name: numbers[0] for name, numbers in report["values"].items()}
    assert values["gain_in_first"] == pytest.approx(0.1)
    assert values["gain_in_second"] == pytest.approx((11 * 0.02 - 0.1) / 12, abs=1e-4)
    assert values["gains_of_one_sign"] == pytest.approx(11 / 12, abs=1e-4)
    study = StudySettings(["a", "b"], SPEAKERS, EMOTIONS, [2, 8], repetitions=1)
    trials = [trial for trial in study.grid() if trial.checkpoint in ("none", "a+b")]
    firsts = [base(trial) + 0.1 * (trial.checkpoint == "a+b") for trial in trials]
    seconds = [base(trial) ** 2 + gain(trial) * (trial.checkpoint == "a+b") for trial in trials]
    assert values["rank_correlation_of_trials"] == pytest.approx(spearmanr(firsts, seconds).statistic, abs=1e-4)
    twos = [base(trial) + 0.1 for trial in trials if trial.checkpoint == "a+b" and trial.k == 2]
    assert report["means"]["a+b"]["2"]["first"] == pytest.approx(np.mean(twos), abs=1e-4)
    low, high = report["values"]["gain_in_second"][1:]
    assert low < values["gain_in_second"] < high and np.isclose(high, 0.02)


def test_files_that_share_nothing():
    first = write("first", "head", base)
    second = write("second", "full", base, checkpoints=("none",))
    with pytest.raises(ConfigError, match=r"share no trials of none and a\+b: run both checkpoints in each mode"):
        compare_modes.main([first, second, "--output_dir", "out"])
