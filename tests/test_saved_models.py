"""Models that an earlier paravox saved open in this one, and by their own code, and predict the same."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import save_file
from transformers import AutoFeatureExtractor, AutoModel

import paravox

SAVED = Path(__file__).parent / "saved_models"
NAMES = sorted(folder.name for folder in SAVED.iterdir() if folder.is_dir())
RATE = 16_000
# Sums of float32 in another order differ by so much.
TOLERANCE = {"rtol": 1e-6, "atol": 1e-6}

OPEN_WITHOUT_PARAVOX = """
import json, sys
import numpy as np
sys.modules["paravox"] = None  # importing it fails, even where it is installed
from transformers import AutoFeatureExtractor, AutoModel
clips, *folders = sys.argv[1:]
with np.load(clips) as file:
    clips = [(file[name], 16_000) for name in sorted(file)]
for folder in folders:
    model = AutoModel.from_pretrained(folder, trust_remote_code=True)
    extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
    output = model(**extractor(clips, return_tensors="pt"))
    found = {"module": type(model).__module__}
    for kind in ("predictions", "logits"):
        found[kind] = {task: values.tolist() for task, values in (output.get(kind) or {}).items()}
    print(json.dumps(found))
"""


def formula_weights(name: str, shape: list[int]) -> np.ndarray:
    """Numbers that look random and depend on the name alone: what a steep sine leaves behind the comma."""
    count = int(np.prod(shape, dtype=int))
    waves = 43_758.5453 * np.sin(12.9898 * np.arange(1, count + 1) + zlib.crc32(name.encode()) % 1_000)
    values = 2 * (waves - np.floor(waves)) - 1
    if name.endswith("norm.weight") or (len(shape) == 1 and name.endswith("1.weight")):
        values = 1 + 0.2 * values
    elif len(shape) > 1:
        values *= 2 / np.sqrt(np.prod(shape[1:]))
    else:
        values *= 0.3
    return values.astype(np.float32).reshape(shape)


def formula_clip(seconds: float, pitch: float) -> np.ndarray:
    time = np.arange(int(RATE * seconds)) / RATE
    fading = 0.3 * np.sin(2 * np.pi * pitch * time) * np.exp(-2 * time)
    return (fading + 0.05 * np.sin(2 * np.pi * 3.1 * pitch * time)).astype(np.float32)


CLIPS = [formula_clip(0.5, 220.0), formula_clip(0.8, 330.0)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Per name, the folder of a saved model as the earlier commit left it, and what that commit predicted."""
    found = {}
    for name in NAMES:
        folder = tmp_path_factory.mktemp("saved") / name
        shutil.copytree(SAVED / name, folder)
        expected = json.loads((folder / "expected.json").read_text())
        (folder / "expected.json").unlink()
        weights = {name: formula_weights(name, shape) for name, shape in expected["weights"].items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with zipfile.ZipFile(SAVED / "code.zip") as code:
            code.extractall(folder, members=expected["code"])
        found[name] = folder, expected
    return found


def check(found: dict, expected: dict) -> None:
    for kind in ("predictions", "logits"):
        assert set(found[kind]) == set(expected[kind])
        for task, values in expected[kind].items():
            np.testing.assert_allclose(found[kind][task], values, **TOLERANCE)


def test_one_of_each_class_is_kept():
    classes = {json.loads((SAVED / name / "expected.json").read_text())["model_class"] for name in NAMES}
    assert classes == {
        "Burst2VecForMultiTask",
        "Burst2VecEnsemble",
        "EncoderForPreFinetuning",
        "Wav2Vec2ForPreFinetuning",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_opens_in_this_paravox_and_predicts_the_same(saved, name):
    folder, expected = saved[name]
    model = AutoModel.from_pretrained(folder)
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    assert type(model) is getattr(paravox, expected["model_class"])
    assert {name: list(values.shape) for name, values in model.state_dict().items()} == expected["weights"]
    with torch.no_grad():
        output = model(**extractor([(clip, RATE) for clip in CLIPS], return_tensors="pt"))
    check({"predictions": output.predictions, "logits": output.get("logits") or {}}, expected)
    assert any(first != second for first, second in expected["predictions"].values())  # the clips make a difference


@pytest.mark.skipif(
    tuple(map(int, transformers.__version__.split(".")[:2])) < (5, 20),
    reason="the code that was saved with these models needs Transformers 5.20 or newer",
)
def test_saved_models_open_by_their_own_code_and_predict_the_same(saved, tmp_path):
    np.savez(tmp_path / "clips.npz", first=CLIPS[0], second=CLIPS[1])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    folders = [str(folder) for folder, _ in saved.values()]
    command = [sys.executable, "-c", OPEN_WITHOUT_PARAVOX, str(tmp_path / "clips.npz"), *folders]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for model, (_, expected) in zip(found, saved.values(), strict=True):
        assert model["module"].startswith("transformers_modules.")
        check(model, expected)
