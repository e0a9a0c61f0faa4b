"""Choosing and fitting a head for few clips: against scikit-learn on features that are scaled here."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from paravox.inference import adapted_heads
from paravox.inference.adapted_heads import (
    Choice,
    adapt_head,
    centre_and_spread,
    clearly_best,
    deal_out,
    recommended_layer,
)

LAYERS, HIDDEN, FRAMES = 7, 24, 12


def make_clips(clips, classes, telling_layer, seed=0):
    """Frames `(clips, layers, frames, hidden)` of which one layer tells the classes, their moments, and the labels."""
    generator = np.random.default_rng(seed)
    targets = np.arange(clips) % classes
    frames = generator.normal(size=(clips, LAYERS, FRAMES, HIDDEN)) * generator.uniform(0.1, 10, size=HIDDEN)
    frames += generator.normal(size=(clips, LAYERS, 1, HIDDEN))
    frames[:, telling_layer, :, :6] += 30.0 * generator.normal(size=(classes, 1, 6))[targets]
    moments = np.stack([frames.mean(axis=2), frames.var(axis=2)], axis=2).astype(np.float32)
    return frames, moments, targets


def test_features_are_scaled_by_all_frames_and_have_a_variance_of_one_on_average():
    frames, moments, _ = make_clips(6, 2, 1)
    centre, spread = centre_and_spread(moments)
    for layer in range(LAYERS):
        values = frames[:, layer].reshape(-1, HIDDEN)
        np.testing.assert_allclose(centre[layer], values.mean(axis=0), rtol=1e-4, atol=1e-5)
        ratio = spread[layer] / values.std(axis=0)
        np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-4)
        scaled = (frames[:, layer].mean(axis=1) - centre[layer]) / spread[layer]
        assert scaled.var(axis=0, ddof=1).mean() == pytest.approx(1, rel=1e-3)


def test_equal_clips_are_scaled_without_a_division_by_zero():
    moments = np.zeros((4, LAYERS, 2, HIDDEN), np.float32)
    centre, spread = centre_and_spread(moments)
    assert (spread == 1).all() and (centre == 0).all()
    head = adapt_head(moments, np.array([0, 1, 0, 1]), 2)
    assert np.isfinite(head.logits(moments)).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_is_that_of_scikit_learn_with_the_scaling_folded_in(classes):
    _, moments, targets = make_clips(12, classes, 1)
    head = adapt_head(moments, targets, classes, layer=2)
    assert head.layer == 2
    centre, spread = centre_and_spread(moments)
    _, new, _ = make_clips(9, classes, 1, seed=5)
    known, unseen = ((clips[:, 2, 0] - centre[2]) / spread[2] for clips in (moments, new))
    for number in range(classes):
        model = LogisticRegression(C=head.inverse_penalty, tol=1e-10, max_iter=10_000)
        value = model.fit(known, targets == number).decision_function(unseen)
        logits = head.logits(new)
        found = logits[:, number] - logits[:, 1 - number] if classes == 2 else logits[:, number]
        np.testing.assert_allclose(found, value, atol=1e-4)


def test_two_clips_get_the_layer_and_penalty_of_the_study():
    _, moments, targets = make_clips(2, 2, 4)
    head = adapt_head(moments, targets, 2)
    assert (head.layer, head.inverse_penalty, head.choice) == (1, 1.0, None)
    assert (head.logits(moments).argmax(axis=1) == targets).all()


def test_the_recommended_layer_lies_at_a_sixth_of_the_depth():
    assert [recommended_layer(layers) for layers in (1, 3, 4, 6, 12, 24)] == [1, 1, 1, 1, 2, 4]


@pytest.mark.parametrize("classes", [2, 3])
def test_a_layer_that_tells_the_clips_is_found_without_other_clips(classes):
    _, moments, targets = make_clips(30, classes, 4)
    head = adapt_head(moments, targets, classes)
    assert head.layer == 4
    assert head.choice.validation().score > 0.9
    # Where no other layer is better, it stays.
    _, moments, targets = make_clips(30, classes, 1)
    assert adapt_head(moments, targets, classes).layer == 1


def test_every_clip_is_told_by_heads_that_have_not_learned_from_it():
    _, moments, targets = make_clips(10, 2, 1)
    choice = adapt_head(moments, targets, 2, layer=1).choice
    rows = choice.folds[0]
    known = np.delete(np.arange(10), rows)
    centre, spread = centre_and_spread(moments[known])
    scale = [(moments[some, 1, 0] - centre[1]) / spread[1] for some in (known, rows)]
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(scale[0], targets[known])
    logits = choice.logits[0, rows]
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], model.decision_function(scale[1]), atol=1e-4)


def test_folds_hold_every_clip_once_and_leave_every_label_outside():
    targets = np.array([0] * 7 + [1] * 3)
    folds, by_speaker = deal_out(targets)
    assert not by_speaker and len(folds) == 3
    assert sorted(np.concatenate(folds).tolist()) == list(range(10))
    assert all(1 in targets[rows] for rows in folds)
    assert deal_out(np.array([0, 0, 0, 1])) == ([], False)


def test_speakers_stay_together_where_that_is_possible():
    targets, speakers = np.arange(12) % 2, np.repeat(["a", "b", "c"], 4)
    folds, by_speaker = deal_out(targets, speakers)
    assert by_speaker and len(folds) == 3
    assert all(len(set(speakers[rows])) == 1 for rows in folds)
    # One speaker has all clips of a label: without that speaker nothing could be learned.
    folds, by_speaker = deal_out(np.repeat([0, 1], 6), np.repeat(["a", "b"], 6))
    assert not by_speaker and len(folds) == 5
    assert deal_out(targets, np.repeat("a", 12))[1] is False


def test_another_candidate_must_be_better_by_two_standard_errors():
    first = np.array([1.0, 1.0, 1.0, 1.0])
    gains = np.array([0.5, 0.5, 0.5, -0.3])  # mean 0.3, standard error 0.2
    assert gains.std(ddof=1) / 2 == pytest.approx(0.2)
    assert clearly_best(np.stack([first, first - gains]), [0, 1]) == 0
    assert clearly_best(np.stack([first, first - gains - 0.11]), [0, 1]) == 1
    assert clearly_best(np.stack([first, first - gains - 0.11]), [0]) == 0


def choice_of(logits, targets):
    return Choice([], False, [(1, 1.0), (0, 1.0)], np.asarray(logits), targets)


def test_a_layer_that_tells_no_more_clips_is_not_chosen_for_being_surer():
    targets = np.arange(8) % 2
    right = np.where(targets == 1, 1.0, -1.0)
    logits = np.stack([np.stack([-right, right], axis=1), 5 * np.stack([-right, right], axis=1)])
    assert choice_of(logits, targets).best() == 0


def test_the_interval_of_clips_that_are_all_told_is_that_of_their_number():
    targets = np.arange(8) % 2
    right = np.where(targets == 1, 1.0, -1.0)
    logits = np.stack([np.stack([-right, right], axis=1)] * 2)
    found = choice_of(logits, targets).validation()
    # Wilson's interval for 8 of 8: 1 / (1 + z^2 / 8).
    assert (found.score, found.high) == (1, 1) and found.low == pytest.approx(1 / (1 + 1.96**2 / 8), abs=1e-4)


def test_the_score_does_not_take_the_luck_of_the_best_of_many_layers(monkeypatch):
    monkeypatch.setattr(adapted_heads, "BOOTSTRAPS", 50)
    monkeypatch.setattr(adapted_heads, "CLEARLY_BETTER", 0.0)  # any luck is enough to be chosen
    generator = np.random.default_rng(0)
    scores, best_of_all = [], []
    for _ in range(40):
        targets = np.arange(10) % 2
        choice = Choice([], False, [(n, 1.0) for n in range(7)], generator.normal(size=(7, 10, 2)) * 3, targets)
        scores.append(choice.validation().score)
        best_of_all.append(choice.hits.mean(axis=1).max())
    assert np.mean(best_of_all) > 0.7
    assert np.mean(scores) == pytest.approx(0.5, abs=0.07)
