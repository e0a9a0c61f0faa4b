"""Balanced class weights from the labels of Train, compared with a calculation by hand."""

import numpy as np
import pytest

from paravox.corpora.class_weights import balanced_weights, with_balanced_weights, without_balanced_weights
from paravox.modeling.errors import ConfigError
from paravox.modeling.tasks import Task

COUNTRIES = ("China", "South Africa", "USA", "Venezuela")
EMOTION = {"name": "emotion", "kind": "intensities", "labels": ["awe", "fear"]}
COUNTRY = {"name": "country", "kind": "classes", "labels": list(COUNTRIES), "class_weights": "balanced"}
SEX = {"name": "sex", "kind": "classes", "labels": ["female", "male"], "class_weights": [1.0, 3.0]}
# 6, 3, 2 and 1 of 12 known clips, and two clips of unknown country.
LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, -100, -100])
# Clips / (classes * clips of the class): 12 / (4 * 6), 12 / (4 * 3), 12 / (4 * 2), 12 / (4 * 1).
WEIGHTS = [0.5, 1.0, 1.5, 3.0]


def test_weights_are_clips_over_classes_times_clips_of_the_class():
    assert balanced_weights(Task("country", "classes", labels=COUNTRIES), LABELS) == WEIGHTS
    # 7 / (4 * 3), to four decimals.
    assert balanced_weights(Task("country", "classes", labels=COUNTRIES), np.array([0, 0, 0, 1, 1, 2, 3]))[0] == 0.5833


def test_only_balanced_tasks_are_given_numbers():
    tasks = with_balanced_weights([EMOTION, COUNTRY, SEX], {"country": LABELS})
    assert tasks == [EMOTION, COUNTRY | {"class_weights": WEIGHTS}, SEX]
    assert COUNTRY["class_weights"] == "balanced"


def test_without_weights_other_keys_and_tasks_stay():
    plain = {"name": "country", "kind": "classes", "labels": list(COUNTRIES)}
    assert without_balanced_weights([EMOTION, COUNTRY, SEX]) == [EMOTION, plain, SEX]
    # Only a task of classes can be balanced; for all others, parse_tasks says what is wrong.
    wrong = [EMOTION | {"class_weights": "balanced"}, "no task"]
    assert without_balanced_weights(wrong) == wrong


def test_a_class_without_clips_cannot_be_balanced():
    task = Task("country", "classes", labels=COUNTRIES)
    with pytest.raises(ConfigError, match="'country': Train has no clip of 'USA', which class_weights: balanced needs"):
        balanced_weights(task, np.array([0, 1, 3, -100]))
