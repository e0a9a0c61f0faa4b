"""The ComParE 2016 baseline: one trial against a loop that is written out here, and features that are never stale."""

import sys
import types
import zlib

import numpy as np
import pytest
import torch
from little_corpora import write_clip
from sklearn.metrics import f1_score

from paravox.modeling.audio import load_audio
from paravox.modeling.feature_extraction_compare import open_smile
from paravox.study.clips import StudyClips
from paravox.study.draws import TrialClips
from paravox.study.grid import StudySettings, Trial
from paravox.study.opensmile_baseline import opensmile_features, run_baseline_trial

TRIAL = Trial("compare_2016", "0001", "angry", 6, 1)
SETTINGS = StudySettings(["emodb"], ["0001"], ["angry"], [6], max_epochs=60, patience=4, seed=3)
TRAIN, EVALUATION, TEST = np.split(np.random.default_rng(1).permutation(40), [6, 18])
FEATURES = np.random.default_rng(5).normal(size=(40, 10)).astype(np.float32)


def parts(evaluation_labels, test_labels):
    return TrialClips(TRAIN, np.arange(6) < 3, EVALUATION, np.array(evaluation_labels), TEST, np.array(test_labels))


def answers_by_hand(epochs):
    """A network of 128 and 64 units, Adam with the defaults of its paper at 0.001, one step per epoch on all six clips.

    Returns the predictions on the evaluation and the test part after each epoch.
    """
    torch.manual_seed(zlib.crc32(b"3/0001/angry/6/1"))
    layers = [torch.nn.Linear(*sizes) for sizes in ((10, 128), (128, 64), (64, 2))]
    weights = [weight for layer in layers for weight in layer.parameters()]
    moments = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight in weights]

    def logits(rows):
        hidden = torch.from_numpy(FEATURES)[rows]
        for layer in layers[:2]:
            hidden = (hidden @ layer.weight.T + layer.bias).clamp(min=0)
        return hidden @ layers[2].weight.T + layers[2].bias

    history = []
    for epoch in range(1, epochs + 1):
        log_probabilities = logits(TRAIN).log_softmax(dim=1)
        loss = -torch.cat([log_probabilities[:3, 1], log_probabilities[3:, 0]]).mean()
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient, (first, second) in zip(weights, gradients, moments, strict=True):
                first.mul_(0.9).add_(0.1 * gradient)
                second.mul_(0.999).add_(0.001 * gradient**2)
                weight -= 0.001 * first / (1 - 0.9**epoch) / ((second / (1 - 0.999**epoch)).sqrt() + 1e-8)
            history.append([logits(rows).argmax(dim=1).bool().numpy() for rows in (EVALUATION, TEST)])
    return history


def text(answers):
    return "".join("01"[int(answer)] for answer in answers)


@pytest.fixture(scope="module")
def history():
    return answers_by_hand(16)


def test_a_whole_trial_by_hand(history):
    evaluated, tested = zip(*history, strict=True)
    # Epoch 8 is best, later ones are as good, and on the test part it differs from all others.
    assert text(evaluated[7]) == text(evaluated[8]) and text(evaluated[7]) not in map(text, evaluated[:7])
    assert text(tested[7]) not in [text(answers) for answers in (*tested[:7], *tested[8:])]
    # Whoever looks at the labels of the test part sees the worst of all epochs.
    row = run_baseline_trial(FEATURES, TRIAL, parts(evaluated[7], ~tested[7]), SETTINGS)
    assert (row["best_epoch"], row["epochs"], row["evaluation_macro_f1"]) == (8, 8 + SETTINGS.patience, 1.0)
    assert row["predictions"] == text(tested[7]) and row["macro_f1"] == 0 and row["status"] == "finished"

    # The same trial with other labels in the test part is the same trial with another score.
    labels = np.arange(len(TEST)) % 3 == 0
    other = run_baseline_trial(FEATURES, TRIAL, parts(evaluated[7], labels), SETTINGS)
    assert other["predictions"] == row["predictions"]
    assert other["macro_f1"] == pytest.approx(f1_score(labels, tested[7], average="macro"))

    other = run_baseline_trial(FEATURES, TRIAL, parts(evaluated[0], labels), SETTINGS)
    assert (other["best_epoch"], other["epochs"]) == (1, 5) and other["predictions"] == text(tested[0])


def test_the_last_epoch_can_be_scored_instead(history):
    settings = StudySettings(["emodb"], ["0001"], ["angry"], [6], max_epochs=10, selection="last", seed=3)
    row = run_baseline_trial(FEATURES, TRIAL, parts(history[0][0], history[0][1]), settings)
    assert (row["best_epoch"], row["epochs"]) == (10, 10) and "evaluation_macro_f1" not in row
    assert row["predictions"] == text(history[9][1])


@pytest.fixture
def extracted(monkeypatch):
    """Stands for openSMILE: three functionals of a clip that are easy to see through. Holds what was extracted."""
    seen = []

    class Functionals:
        def __init__(self, feature_set, feature_level):
            assert (feature_set, feature_level) == ("the set of 2016", "one row per clip")

        def process_signal(self, samples, rate):
            seen.append((len(samples), rate))
            row = np.array([[len(samples), float(np.abs(samples).sum()), np.nan]])
            return types.SimpleNamespace(to_numpy=lambda: row)

    module = types.SimpleNamespace(
        Smile=Functionals,
        FeatureSet=types.SimpleNamespace(ComParE_2016="the set of 2016"),
        FeatureLevel=types.SimpleNamespace(Functionals="one row per clip"),
    )
    monkeypatch.setitem(sys.modules, "opensmile", module)
    open_smile.cache_clear()
    yield seen
    open_smile.cache_clear()


def test_features_are_kept_and_never_stale(extracted, tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for number, path in enumerate(paths):
        write_clip(path, number, seconds=0.2 + 0.1 * number, rate=22_050)
    names = [str(path) for path in paths]

    def features(max_seconds=None, chosen=names):
        return opensmile_features(StudyClips(chosen, None, max_seconds), tmp_path / "states")

    def expected(length):
        samples = [load_audio(path, 16_000)[:length] for path in paths]
        return [[len(clip), np.abs(clip).sum(), 0] for clip in samples]

    np.testing.assert_allclose(features(), expected(None), rtol=1e-6)
    assert features().dtype == np.float32 and extracted == [(3200, 16_000), (4800, 16_000), (6400, 16_000)]
    # Another cut, other clips and another order are other features.
    np.testing.assert_allclose(features(0.25), expected(4000), rtol=1e-6)
    np.testing.assert_allclose(features(chosen=names[::-1]), expected(None)[::-1], rtol=1e-6)
    np.testing.assert_allclose(features(), expected(None), rtol=1e-6)
    write_clip(paths[0], 17, seconds=0.2, rate=22_050)
    np.testing.assert_allclose(features(), expected(None), rtol=1e-6)
    assert len(extracted) == 4 * 3
