"""The section `agreement` of gpu.py: a GPU against the CPU, two identical runs on it, and a run that was resumed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from gpu_material import TASKS, Material
from safetensors.torch import load_file

from paravox.recipes.burst2vec import predict

EPOCHS = 2


def measure(material: Material, device: str) -> Iterator[dict[str, Any]]:
    """The largest differences of predictions and of weights."""
    count = 8 if material.tiny else 256
    reference = _predictions(material, "cpu", "float32", count)
    dtypes = ["float32", "bfloat16"] + (["float16"] if torch.device(device).type == "cuda" else [])
    found: dict[str, Any] = {"clips": count, "unit": "largest absolute difference"}
    for dtype in dtypes:
        found[f"predictions_{dtype}"] = _differences(_predictions(material, device, dtype, count), reference)
    yield found
    first, second, stopped = (material.folder / f"run_{name}" for name in ("first", "second", "stopped"))
    _train(material, device, first)
    _train(material, device, second)
    found["weights_of_two_identical_runs"] = _weight_difference(first, second)
    shutil.copytree(first, stopped)
    shutil.rmtree(stopped / "model")
    checkpoints = sorted(stopped.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    shutil.rmtree(checkpoints[-1])
    _train(material, device, stopped, "--resume_from_checkpoint", "last")
    found["weights_of_a_resumed_run"] = _weight_difference(first, stopped)
    yield found


def _predictions(material: Material, device: str, dtype: str, count: int) -> list[dict[str, Any]]:
    output = material.folder / f"agreement_{device}_{dtype}.jsonl"
    options = ["--device", device, "--dtype", dtype, "--output", str(output), "--overwrite"]
    predict.main([str(material.folder_of_clips(count)), "--model", str(material.burst2vec()), *options])
    return [json.loads(line) for line in output.read_text().splitlines()]


def _differences(found: list[dict[str, Any]], reference: list[dict[str, Any]]) -> dict[str, float]:
    """Per task, the largest difference of a value; a scalar's is in its unit."""
    largest = {}
    for name in (task["name"] for task in TASKS):
        pairs = [(row[name], other[name]) for row, other in zip(found, reference, strict=True)]
        numbers = [(ours, theirs) for ours, theirs in pairs if isinstance(ours, float)]
        numbers += [(ours[label], theirs[label]) for ours, theirs in pairs if isinstance(ours, dict) for label in ours]
        largest[name] = float(f"{max(abs(ours - theirs) for ours, theirs in numbers):.2e}")
    return largest


def _train(material: Material, device: str, output_dir: Path, *options: str) -> None:
    settings = {
        "tasks": json.dumps(TASKS),
        "encoder": str(material.saved_encoder("whisper")),
        "data_dir": str(material.corpus(32 if material.tiny else 512)),
        "output_dir": str(output_dir),
        "num_train_epochs": str(EPOCHS),
        "learning_rate": "1e-4",
        "save_strategy": "epoch",
        "eval_strategy": "no",
        "bf16": "true" if torch.device(device).type == "cuda" else "false",
        "use_cpu": "true" if torch.device(device).type == "cpu" else "false",
        "save_total_limit": str(EPOCHS),
        "report_to": "none",
    }
    file = material.folder / "agreement.yaml"
    file.write_text(f"tasks: {settings.pop('tasks')}\n")
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    program = [sys.executable, "-m", "paravox.recipes.burst2vec.train"]
    subprocess.run([*program, str(file), *arguments, *options], check=True)


def _weight_difference(run: Path, other: Path) -> float:
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (run, other))
    return max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in ours)
