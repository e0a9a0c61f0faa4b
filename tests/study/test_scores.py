"""The scores of a trial against scikit-learn's."""

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from paravox.study.scores import as_text, binary_scores


def test_scikit_learn_agrees():
    generator = np.random.default_rng(0)
    predictions, labels = generator.random((2, 200, 7)) < 0.3
    scores = binary_scores(predictions, labels)
    for row in range(200):
        truth, guess = labels[row], predictions[row]
        macro = f1_score(truth, guess, labels=[False, True], average="macro", zero_division=0)
        assert np.isclose(scores["macro_f1"][row], macro)
        assert np.isclose(scores["positive_f1"][row], f1_score(truth, guess, pos_label=True, zero_division=0))
        assert np.isclose(scores["accuracy"][row], accuracy_score(truth, guess))


def test_always_no_scores_what_the_paper_s_split_gives():
    labels = np.arange(150) < 30
    assert round(float(binary_scores(np.zeros(150, bool), labels)["macro_f1"]), 3) == 0.444


def test_text():
    assert as_text(np.array([True, False, True])) == "101"
