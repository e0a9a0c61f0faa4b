"""Significance: scipy and statsmodels on vectors worked out clip by clip, formulas by hand, planted effects."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import cochrans_q, mcnemar

from paravox.evaluation.bootstrap import bootstrap_scores, draw_speakers
from paravox.evaluation.significance import (
    bootstrap_test,
    clip_errors,
    holm,
    paired_test,
    paper_test,
    speaker_test,
)
from paravox.modeling.tasks import Task

TASKS = {
    "intensities": Task("emotion", "intensities", labels=("awe", "fear", "joy")),
    "scalar": Task("age", "scalar", range=(20, 40), unit="years"),
    "classes": Task("country", "classes", labels=("China", "USA", "Venezuela")),
}
CLIPS, SPEAKERS = 90, 9


def make(kind, gain=0.0, clips=CLIPS, seed=0):
    """Labels, some of which are unknown, and two models. A positive gain makes the second one better."""
    generator = np.random.default_rng(seed)
    if kind == "classes":
        labels = generator.integers(3, size=clips)
        models = []
        for wrong in (0.4, 0.4 - gain):
            guess = np.where(generator.random(clips) < wrong, (labels + 1) % 3, labels)
            models.append(0.5 * np.eye(3)[guess] + 0.5 * generator.dirichlet(np.ones(3) * 50, clips))
        labels[[3, 40]] = -100
    else:
        shape, low, high = ((clips, 3), 0, 1) if kind == "intensities" else ((clips,), 20, 40)
        labels = generator.uniform(low, high, shape).astype(np.float32)
        sizes = np.array([0.2, 0.2 - gain]) * (high - low)
        models = [(labels + size * generator.normal(size=shape)).astype(np.float32) for size in sizes]
        labels[[3, 40]] = np.nan
        if kind == "intensities":
            labels[17, 1] = np.nan  # partly known
    return models[0], models[1], labels


def errors_by_hand(kind, predictions, labels):
    """The errors of the clips with known labels, and their places, clip by clip in plain Python."""
    errors, places = [], []
    for place, (guess, truth) in enumerate(zip(predictions.tolist(), labels.tolist(), strict=True)):
        if kind == "classes":
            if truth != -100:
                errors.append(float(guess.index(max(guess)) != truth))
                places.append(place)
            continue
        guess, truth = (values if kind == "intensities" else [values] for values in (guess, truth))
        if not any(math.isnan(value) for value in truth):
            errors.append(sum(abs(a - b) for a, b in zip(guess, truth, strict=True)) / len(truth))
            places.append(place)
    return np.array(errors), places


SPEAKER_OF_CLIP = [f"speaker {(clip * clip) % SPEAKERS}" for clip in range(CLIPS)]  # unequal numbers of clips


def speaker_means_by_hand(kind, first, second, labels):
    one, places = errors_by_hand(kind, first, labels)
    other, _ = errors_by_hand(kind, second, labels)
    by_speaker = {}
    for place, difference in zip(places, one - other, strict=True):
        by_speaker.setdefault(SPEAKER_OF_CLIP[place], []).append(difference)
    assert len({len(values) for values in by_speaker.values()}) > 1
    return np.array([sum(values) / len(values) for values in by_speaker.values()])


@pytest.mark.parametrize("kind", TASKS)
def test_errors_are_those_of_each_clip_and_nan_where_its_label_is_not_fully_known(kind):
    first, _, labels = make(kind)
    found = clip_errors(TASKS[kind], first, labels)
    expected, places = errors_by_hand(kind, first, labels)
    assert found.shape == (CLIPS,) and found.dtype == np.float64
    np.testing.assert_allclose(found[places], expected, atol=1e-7)
    unknown = sorted(set(range(CLIPS)) - set(places))
    assert np.isnan(found[unknown]).all() and unknown == ([3, 17, 40] if kind == "intensities" else [3, 40])


@pytest.mark.parametrize("kind", ["intensities", "scalar"])
def test_the_t_tests_are_those_of_scipy_on_the_errors(kind):
    first, second, labels = make(kind, gain=0.03)
    one, other = (errors_by_hand(kind, model, labels)[0] for model in (first, second))
    assert paper_test(TASKS[kind], first, second, labels) == pytest.approx(stats.ttest_ind(one, other).pvalue, rel=1e-5)
    assert paired_test(TASKS[kind], first, second, labels) == pytest.approx(
        stats.ttest_rel(one, other).pvalue, rel=1e-5
    )


def test_cochrans_q_of_two_models_is_that_of_its_formula():
    first, second, labels = make("classes", gain=0.1)
    one, other = (1 - errors_by_hand("classes", model, labels)[0] for model in (first, second))
    found = paper_test(TASKS["classes"], first, second, labels)
    # Cochran (1950): Q = k (k - 1) sum_j (C_j - mean C)^2 / sum_i (k R_i - R_i^2), with k = 2 models.
    columns, rows = np.array([one.sum(), other.sum()]), one + other
    q = 2 * ((columns - columns.mean()) ** 2).sum() / (2 * rows - rows**2).sum()
    assert found == pytest.approx(math.erfc(math.sqrt(q / 2)))  # chi-square with one degree of freedom
    assert found == pytest.approx(cochrans_q(np.stack([one, other], axis=1)).pvalue) and 0.001 < found < 0.999


@pytest.mark.parametrize(("clips", "exact"), [(90, False), (50, True)])
def test_mcnemar_is_exact_where_few_clips_are_discordant(clips, exact):
    first, second, labels = make("classes", gain=0.1, clips=clips, seed=1)
    one, other = (errors_by_hand("classes", model, labels)[0] for model in (first, second))
    only_first, only_second = int(((one > 0) & (other == 0)).sum()), int(((one == 0) & (other > 0)).sum())
    assert (only_first + only_second < 25) == exact and only_first != only_second
    found = paired_test(TASKS["classes"], first, second, labels)
    if exact:
        assert found == pytest.approx(stats.binomtest(only_first, only_first + only_second).pvalue)
    else:
        assert found == pytest.approx(paper_test(TASKS["classes"], first, second, labels))
    table = [[0, only_second], [only_first, 0]]
    assert found == pytest.approx(mcnemar(table, exact=exact, correction=False).pvalue)


@pytest.mark.parametrize("kind", TASKS)
def test_the_speaker_test_is_the_t_test_of_the_means_of_the_speakers(kind):
    first, second, labels = make(kind, gain=0.05)
    means = speaker_means_by_hand(kind, first, second, labels)
    t = means.mean() / (np.std(means, ddof=1) / math.sqrt(speakers := len(means)))
    found = speaker_test(TASKS[kind], first, second, labels, SPEAKER_OF_CLIP)
    assert found == pytest.approx(2 * stats.t.sf(abs(t), speakers - 1), rel=1e-5)
    assert found == pytest.approx(speaker_test(TASKS[kind], second, first, labels, np.array(SPEAKER_OF_CLIP)))


@pytest.mark.parametrize("kind", TASKS)
def test_planted_effects_are_found(kind):
    speakers = [f"speaker {clip % 30}" for clip in range(600)]
    first, second, labels = make(kind, gain=0.14 if kind == "classes" else 0.05, clips=600)
    assert paper_test(TASKS[kind], first, second, labels) < 0.001
    assert paired_test(TASKS[kind], first, second, labels) < 0.001
    assert speaker_test(TASKS[kind], first, second, labels, speakers) < 0.001
    counts = draw_speakers(speakers, draws=500)
    name = TASKS[kind].name
    scores = [bootstrap_scores([TASKS[kind]], {name: model}, {name: labels}, counts) for model in (first, second)]
    metric = {"intensities": "emotion_ccc", "scalar": "age_mae", "classes": "country_uar"}[kind]
    assert bootstrap_test(scores[0][metric], scores[1][metric]) == 2 / 501


def test_one_speaker_with_many_clips_convinces_tests_over_clips_alone():
    labels = np.full(400, 30.0)
    speakers = ["one"] * 200 + [f"speaker {clip % 20}" for clip in range(200)]
    noise = np.random.default_rng(0).uniform(1, 2, (2, 400))
    first, second = labels + noise
    first[:200] += 1  # the second model is better on this speaker
    assert paired_test(TASKS["scalar"], first, second, labels) < 1e-6
    assert speaker_test(TASKS["scalar"], first, second, labels, speakers) > 0.1


@pytest.mark.parametrize("kind", TASKS)
def test_the_same_model_twice_gives_1_without_a_warning(kind):
    first, _, labels = make(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constant = np.zeros_like(first)
        for model in (first, constant):
            assert paper_test(TASKS[kind], model, model, labels) == 1
            assert paired_test(TASKS[kind], model, model, labels) == 1
            assert speaker_test(TASKS[kind], model, model, labels, SPEAKER_OF_CLIP) == 1


def test_a_difference_that_all_clips_share_is_found_without_a_warning():
    labels = np.full(6, 30.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for test in (paper_test, paired_test):
            assert test(TASKS["scalar"], labels + 2, labels + 1, labels) < 1e-6
        assert speaker_test(TASKS["scalar"], labels + 2, labels + 1, labels, list("aabbcc")) < 1e-6


def test_speakers_whose_clips_cancel_out_do_not_differ():
    labels = np.zeros(6)
    first, second = np.tile([0.1, 0.2, 0.6], 2), np.tile([0.6, 0.1, 0.2], 2)
    left = [sum(a - b for a, b in zip(first[rows], second[rows], strict=True)) for rows in (slice(3), slice(3, 6))]
    assert left[0] == left[1] and 0 < abs(left[0]) < 1e-15  # what rounding leaves
    assert speaker_test(TASKS["scalar"], first, second, labels, list("aaabbb")) == 1


@pytest.mark.parametrize("kind", TASKS)
def test_there_is_no_test_of_fewer_than_two_clips_or_speakers(kind):
    first, second, labels = make(kind)
    one_speaker = ["one"] * CLIPS
    assert math.isnan(speaker_test(TASKS[kind], first, second, labels, one_speaker))
    labels[1:] = -100 if kind == "classes" else np.nan
    assert math.isnan(paper_test(TASKS[kind], first, second, labels))
    assert math.isnan(paired_test(TASKS[kind], first, second, labels))
    assert math.isnan(speaker_test(TASKS[kind], first, second, labels, SPEAKER_OF_CLIP))


def test_the_bootstrap_counts_draws_on_either_side_of_0():
    second = np.zeros(10)
    first = np.array([-5.0, 1, 2, 3, 4, 5, 6, -1, 0, 0])  # the score itself, then 9 draws: 6 above, 1 below, 2 at 0
    assert bootstrap_test(first, second) == pytest.approx(2 * (3 + 1) / (9 + 1))
    assert bootstrap_test(second, first) == pytest.approx(2 * (3 + 1) / (9 + 1))
    assert bootstrap_test(first, first) == 1
    first[1:3] = np.nan  # 7 draws: 4 above, 1 below, 2 at 0
    assert bootstrap_test(first, second) == pytest.approx(2 * (3 + 1) / (7 + 1))
    assert bootstrap_test(np.arange(1.0, 101.0), np.zeros(100)) == pytest.approx(2 / 100)
    assert math.isnan(bootstrap_test(np.array([0.5, np.nan]), np.array([0.4, 0.3])))


def test_holm_multiplies_by_the_number_of_tests_that_are_left():
    p_values = [0.03, np.nan, 0.004, 0.04, 0.5, 0.011]
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    expected, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        expected[place] = largest
    assert holm(p_values) == pytest.approx(expected, nan_ok=True)
    assert holm([]) == [] and math.isnan(holm([math.nan])[0]) and holm([0.02]) == [0.02]
