"""The warning that comes with a prediction."""

import numpy as np
import pytest

from paravox.modeling.familiarity import peak_of, warning_of


@pytest.mark.parametrize(
    ("samples", "peak", "unusual", "expected"),
    [
        (16_000, 0.5, None, None),
        (16_000, 0.5, 1.0, None),
        (16_000, 0.5, 1.01, "unlike the training recordings"),
        (16_000, 0.5, float("nan"), "unlike the training recordings"),
        (16_000, 0.0003, 5.0, "silence"),
        (16_000, 0.0004, 0.5, None),
        (399, 0.5, 5.0, "too short"),
        (400, 0.5, 0.5, None),
        (399, 0.0, None, "silence"),
    ],
)
def test_the_first_of_silence_shortness_and_distance_is_said(samples, peak, unusual, expected):
    assert warning_of(samples, peak, 400, unusual) == expected


def test_a_constant_offset_is_silence():
    assert peak_of(np.full(100, 0.25, np.float32)) == 0
    assert peak_of(np.array([0.5, 0.25, 0.0], np.float32)) == 0.25
