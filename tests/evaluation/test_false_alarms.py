"""The simulation of false alarms: errors as they are stated, rates that are counted anew, and 5 % where all is well."""

import numpy as np
import pytest
from scipy import stats

from paravox.evaluation.bootstrap import draw_speakers
from paravox.evaluation.false_alarms import (
    TASKS,
    TESTS,
    Setting,
    Size,
    draw_clips,
    measure_false_alarms,
    p_values,
    simulate,
)
from paravox.evaluation.significance import clip_errors
from paravox.modeling.errors import ConfigError
from paravox.trainers.scoring import score_split

BY_KIND = {task.kind: task for task in TASKS}
SETTINGS = [Setting(0.0, 0.0), Setting(0.0, 0.3), Setting(0.5, 0.0), Setting(0.6, 0.2)]


@pytest.mark.parametrize("kind", BY_KIND)
@pytest.mark.parametrize("setting", SETTINGS)
def test_errors_have_the_correlation_and_the_share_of_the_speakers_that_are_stated(kind, setting):
    speakers, clips = 4000, 25
    speaker_of_clip = np.repeat(np.arange(speakers), clips)
    first, second, labels = simulate(BY_KIND[kind], setting, speaker_of_clip, np.random.default_rng(0))
    errors = np.stack([clip_errors(BY_KIND[kind], model, labels) for model in (first, second)])
    assert np.corrcoef(errors)[0, 1] == pytest.approx(setting.sharing, abs=0.02)
    # One-way analysis of variance of the difference.
    difference = (errors[0] - errors[1]).reshape(speakers, clips)
    within = difference.var(axis=1, ddof=1).mean()
    between = difference.mean(axis=1).var(ddof=1) - within / clips
    assert between / (between + within) == pytest.approx(setting.clustering, abs=0.02)


@pytest.mark.parametrize("kind", BY_KIND)
def test_both_models_are_equally_good(kind):
    task = BY_KIND[kind]
    speaker_of_clip = np.repeat(np.arange(4000), 5)
    *models, labels = simulate(task, Setting(0.3, 0.2), speaker_of_clip, np.random.default_rng(1))
    scores = [score_split([task], {task.name: model}, {task.name: labels}) for model in models]
    metric, expected, margin = {
        # Without correlation between label and error: CCC = 2 var / (2 var + mean square of the error).
        "intensities": ("emotion_ccc", (1 / 6) / (1 / 6 + 0.15**2 + 0.05**2), 0.004),
        "scalar": ("age_mae", 8.0, 0.1),
        "classes": ("origin_uar", 0.75, 0.02),
    }[kind]
    assert [score[metric] for score in scores] == pytest.approx([expected] * 2, abs=margin)


def test_speakers_have_unequal_numbers_of_clips():
    speaker_of_clip = draw_clips(Size(1350, 45), np.random.default_rng(0))
    counts = np.bincount(speaker_of_clip)
    assert len(speaker_of_clip) == 1350 and len(counts) == 45 and counts.min() >= 1
    assert counts.max() > 2 * np.median(counts) and (np.diff(speaker_of_clip) >= 0).all()
    assert draw_clips(Size(7, 7), np.random.default_rng(0)).tolist() == list(range(7))


@pytest.mark.parametrize("kind", BY_KIND)
def test_all_clips_of_a_speaker_have_its_class(kind):
    speaker_of_clip = draw_clips(Size(200, 12), np.random.default_rng(0))
    first, second, labels = simulate(BY_KIND[kind], Setting(0.5, 0.1), speaker_of_clip, np.random.default_rng(0))
    shapes = {"intensities": ((200, 4), (200, 4)), "scalar": ((200,), (200,)), "classes": ((200, 3), (200,))}
    assert (first.shape, labels.shape) == shapes[kind] == (second.shape, labels.shape)
    if kind == "classes":
        assert all(len(set(labels[speaker_of_clip == speaker])) == 1 for speaker in range(12))
        assert set(labels) == {0, 1, 2}


def test_p_values_are_those_of_scipy():
    task = BY_KIND["scalar"]
    speaker_of_clip = draw_clips(Size(120, 10), np.random.default_rng(3))
    first, second, labels = simulate(task, Setting(0.5, 0.2), speaker_of_clip, np.random.default_rng(3))
    counts = draw_speakers(speaker_of_clip, draws=99)
    found = p_values(task, first, second, labels, speaker_of_clip, counts)
    one, other = np.abs(first - labels), np.abs(second - labels)
    means = [(one - other)[speaker_of_clip == speaker].mean() for speaker in range(10)]
    differences = [(row * (one - other)).sum() for row in counts[1:]]
    smaller = min(sum(value <= 0 for value in differences), sum(value >= 0 for value in differences))
    expected = {
        "paper": stats.ttest_ind(one, other).pvalue,
        "paired": stats.ttest_rel(one, other).pvalue,
        "speakers": stats.ttest_1samp(means, 0).pvalue,
        "bootstrap": 2 * (smaller + 1) / 100,
    }
    assert found == pytest.approx(expected) and list(found) == list(TESTS)


def test_where_clips_are_independent_all_tests_keep_5_percent():
    rates = measure_false_alarms([Size(160, 40)], [Setting(0.0, 0.0)], repetitions=250, draws=79, seed=0)
    assert [(entry["kind"], entry["test"]) for entry in rates] == [(kind, test) for kind in BY_KIND for test in TESTS]
    # Four standard errors of a rate of 5 %; the few draws of the bootstrap add a little.
    margin = 4 * np.sqrt(0.05 * 0.95 / 250)
    for entry in rates:
        assert entry["rate"] == pytest.approx(0.05, abs=margin + 0.01 * (entry["test"] == "bootstrap")), entry
        assert entry["interval"][0] <= entry["rate"] <= entry["interval"][1]


def test_clustering_raises_alarms_of_tests_over_clips_alone_and_sharing_silences_the_independent_test():
    settings = [Setting(0.0, 0.4), Setting(0.7, 0.0)]
    rates = measure_false_alarms([Size(600, 30)], settings, repetitions=40, draws=39, seed=0)
    by_case = {(entry["clustering"], entry["kind"], entry["test"]): entry["rate"] for entry in rates}
    for kind in BY_KIND:
        for test in TESTS:
            assert (by_case[0.4, kind, test] > 0.35) == (test in ("paper", "paired"))
            assert by_case[0.0, kind, test] < 0.2
        # Cochran's Q compares clip by clip, the independent t-test does not.
        assert kind == "classes" or by_case[0.0, kind, "paper"] == 0


def test_a_rate_is_a_share_of_repetitions_and_the_same_seed_repeats_it():
    size, setting = Size(60, 6), Setting(0.2, 0.3)
    rates = measure_false_alarms([size], [setting], repetitions=20, draws=39, seed=5)
    assert rates == measure_false_alarms([size], [setting], repetitions=20, draws=39, seed=5)
    assert rates != measure_false_alarms([size], [setting], repetitions=20, draws=39, seed=6)
    for entry in rates:
        count = entry["rate"] * 20
        assert count == pytest.approx(round(count))
        expected = stats.binomtest(round(count), 20).proportion_ci(method="wilson")
        assert entry["interval"] == pytest.approx([expected.low, expected.high], abs=1e-4)
        assert {name: entry[name] for name in ("clips", "speakers", "sharing", "clustering")} == {
            "clips": 60,
            "speakers": 6,
            "sharing": 0.2,
            "clustering": 0.3,
        }


@pytest.mark.parametrize("size", [Size(10, 1), Size(5, 6)])
def test_a_size_that_is_not_possible(size):
    with pytest.raises(ConfigError, match=f"^{size.clips} clips of {size.speakers} speakers: give at least 2 speakers"):
        measure_false_alarms([size], [Setting(0.0, 0.0)], repetitions=1, draws=9, seed=0)


@pytest.mark.parametrize("setting", [Setting(0.7, 0.3), Setting(-0.1, 0.3), Setting(0.0, -0.1)])
def test_a_setting_that_is_not_possible(setting):
    message = f"^sharing {setting.sharing:g} with clustering {setting.clustering:g}: give numbers of at least 0 whose"
    with pytest.raises(ConfigError, match=message):
        measure_false_alarms([Size(10, 5)], [Setting(0.0, 0.0), setting], repetitions=1, draws=9, seed=0)
