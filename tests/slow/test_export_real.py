"""The ONNX file of a model with real weights on real bursts, and of every encoder at every length."""

import pytest

pytestmark = pytest.mark.slow

CLIPS = 200
EMOTIONS = "Amusement Awe Disgust Distress Elation Embarrassment Fear Sadness Surprise Triumph".split()
TASKS = [
    {"name": "emotion", "kind": "intensities", "labels": EMOTIONS},
    {"name": "age", "kind": "scalar", "range": [10, 90], "unit": "years"},
    {"name": "sex", "kind": "classes", "labels": ["female", "male"]},
]
