"""On real bursts, predictions of Whisper base in half precision lie as near to float32 as the documents say."""

import json
import sys
from pathlib import Path

import pytest
import torch

from paravox.inference.prediction import predict_files
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import half_precision  # noqa: E402

pytestmark = pytest.mark.slow
# In float16, and how much coarser bfloat16 is: three bits. As shares of the range of each prediction.
TOLERANCE, COARSER = 0.004, 8


@pytest.fixture(scope="module")
def paths(shared):
    folder = shared / "corpora" / "bursts" / "audio"
    if not folder.is_dir():
        pytest.skip("no real vocal bursts")
    return half_precision.draw_clips(folder, 200)


@pytest.fixture(scope="module")
def model(shared):
    """Heads of a fixed seed on the real encoder, whose predictions lie within their ranges."""
    encoder = shared / "encoders" / "whisper-base"
    if not encoder.is_dir():
        pytest.skip(f"no real encoder at {encoder}")
    tasks = [
        {"name": "emotion", "kind": "intensities", "labels": ["amusement", "awe", "fear"]},
        {"name": "age", "kind": "scalar", "range": [12, 81], "unit": "years"},
        {"name": "origin", "kind": "classes", "labels": ["English", "Arabic", "Dutch"]},
    ]
    torch.manual_seed(0)
    model = Burst2VecForMultiTask.from_encoder(str(encoder), tasks=tasks).eval()
    for head in model.heads.values():
        torch.nn.init.constant_(head.bias, 0.5)
    return model, Burst2VecFeatureExtractor.from_encoder(str(encoder))


def test_the_table_has_what_was_measured():
    row = json.loads(half_precision.RESULTS.read_text())["rows"]["half_precision"]
    cells = half_precision.half_precision_table(row)
    assert row["clips"] == 200 and "\n".join(f"| {' | '.join(line)} |" for line in cells[1:]) in (
        half_precision.PAGE.read_text()
    )


def test_real_bursts_in_half_precision(model, paths):
    model, extractor = model
    assert len(paths) == 200
    whole = predict_files(model, extractor, paths, num_workers=0)
    assert all(values.std(axis=0).max() > 0 for values in whole.values())
    for dtype, tolerance in ((torch.float16, TOLERANCE), (torch.bfloat16, COARSER * TOLERANCE)):
        found = predict_files(model.to(dtype), extractor, paths, num_workers=0)
        differences = half_precision.largest_differences(found, whole)
        differences["age"] /= 81 - 12
        for task, difference in differences.items():
            assert 0 < difference < tolerance, (task, dtype, difference)
