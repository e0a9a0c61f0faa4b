"""Balanced class weights, from the labels of Train."""

import numpy as np
import pytest

from paravox.corpora.class_weights import balanced_weights
from paravox.modeling.errors import ConfigError
from paravox.modeling.tasks import Task

COUNTRIES = ("China", "South Africa", "USA", "Venezuela")


def test_a_class_without_clips_cannot_be_balanced():
    task = Task("country", "classes", labels=COUNTRIES)
    assert balanced_weights(task, np.array([0, 0, 1, 2, 3, -100])) == [0.625, 1.25, 1.25, 1.25]
    with pytest.raises(ConfigError, match="'country': Train has no clip of 'USA', which class_weights: balanced needs"):
        balanced_weights(task, np.array([0, 1, 3, -100]))
