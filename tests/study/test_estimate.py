"""The estimate of a study is the sum over its trials of what epochs and steps were measured to take."""

import numpy as np
import pytest

from paravox.study import estimate
from paravox.study.draws import TrialClips
from paravox.study.estimate import EpochSeconds, epochs_of, measure_epochs, trial_seconds
from paravox.study.grid import StudySettings, Trial


def settings(**changes):
    return StudySettings(["a"], ["b"], ["c"], [2, 8, 64], batch_size=4, **changes)


def drawn(*shots):
    nothing = np.zeros(0, int)
    return [
        (Trial("none", "b", "c", k, 0), TrialClips(np.arange(k), np.arange(k) < k // 2, *[nothing] * 4)) for k in shots
    ]


def test_epochs_lie_between_patience_and_the_maximum():
    assert epochs_of(settings(max_epochs=200, patience=30)) == (31, 200)
    assert epochs_of(settings(max_epochs=20, patience=30)) == (20, 20)
    assert epochs_of(settings(selection="last", max_epochs=200, patience=30)) == (200, 200)


def test_epochs_are_measured_with_few_and_with_many_shots(monkeypatch):
    """A trial takes 5 s, and each epoch 2 s and 0.25 s per step. The first one of all is slow and does not count."""
    ran = []

    def run(checkpoint, clips, trial, chosen, study):
        ran.append((trial.k, study.max_epochs))
        assert study.patience >= study.max_epochs
        steps = {2: 1, 8: 2, 64: 16}[trial.k]
        return {"seconds": 5 + study.max_epochs * (2 + 0.25 * steps) + (100 if len(ran) == 1 else 0)}

    monkeypatch.setattr(estimate, "run_trained_trial", run)
    measured = measure_epochs(settings(), None, None, drawn(8, 64, 2))
    assert measured == pytest.approx((2, 0.25)) and {k for k, _ in ran} == {2, 64}
    measured = measure_epochs(settings(), None, None, drawn(8, 8))  # no difference from which a step could be known
    assert measured.always + 2 * measured.per_step == pytest.approx(2.5)


def test_the_seconds_of_trials_are_summed():
    measured = [EpochSeconds(1.0, 0.5), EpochSeconds(3.0, 1.5)]  # two processes: 2 and 1 on average
    total = trial_seconds(settings(), measured, drawn(2, 8, 64), epochs=10)
    assert total == pytest.approx(10 * ((2 + 1) + (2 + 2) + (2 + 16)))
