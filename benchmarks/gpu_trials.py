"""The section `trials` of gpu.py: full trials of the few-shot study, with one and with several at the same time."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from gpu_material import Material

from paravox.recipes.prefinetuning import few_shot
from paravox.study.results_file import FINISHED, ResultsFile

SETTINGS = Path(few_shot.__file__).parent / "configs" / "paper_few_shot.yaml"
PAPER_TRIALS = 33_600
SHOTS = (2, 4, 8, 16, 24, 32, 64)
# Whole trials, as the study runs them.
AT_ONCE = 16
EMOTIONS, REPETITIONS = ["angry", "happy", "neutral", "sad"], 2
# The same with fewer at once, cut short, which says how long an epoch takes.
FEWER_AT_ONCE = {1: ["angry"], 4: ["angry", "happy"]}
EPOCHS_OF_FEWER = 6


def measure(material: Material, device: str) -> Iterator[dict[str, Any]]:
    """Trials per hour by how many run at once, and the hours that the paper's grid would take with most of them."""
    dtype = "bfloat16" if torch.device(device).type == "cuda" else "float32"
    with shared_card() as is_shared:
        at_once = 2 if material.tiny else AT_ONCE
        whole = _run(material, device, dtype, at_once, EMOTIONS[: at_once // 2], 1 if material.tiny else REPETITIONS)
        rate = 3600 * at_once / whole["seconds"].mean()
        found: dict[str, Any] = {
            "ours": round(rate),
            "hours_for_33600": round(PAPER_TRIALS / rate, 1),
            "unit": "trials per hour",
            "at_once": at_once,
            "trials": len(whole),
            "mean_epochs": round(float(whole["epochs"].mean()), 1),
            "seconds_by_k": {str(k): round(float(rows["seconds"].mean()), 2) for k, rows in whole.groupby("k")},
            "wall_seconds": whole.attrs["wall_seconds"],
            "cuda_mps": is_shared,
            "encoder_of_trials": "tiny" if material.tiny else "of the size of wav2vec 2.0 base, with random weights",
            "dtype": dtype,
            "epochs_per_hour": {str(at_once): _epochs_per_hour(whole, at_once)},
        }
        yield found
        for fewer, emotions in {} if material.tiny else FEWER_AT_ONCE.items():
            short = _run(material, device, dtype, fewer, emotions, 1, EPOCHS_OF_FEWER)
            found["epochs_per_hour"][str(fewer)] = _epochs_per_hour(short, fewer)
            yield found


@contextmanager
def shared_card() -> Iterator[bool]:
    """Lets the kernels of several processes run side by side, where NVIDIA's MPS is there; says whether it is."""
    program = shutil.which("nvidia-cuda-mps-control")
    if program is None:
        yield False
        return
    with tempfile.TemporaryDirectory() as folder:
        places = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        os.environ |= places
        try:
            yield subprocess.run([program, "-d"], capture_output=True).returncode == 0
        finally:
            subprocess.run([program], input=b"quit\n", capture_output=True)
            for name in places:
                del os.environ[name]


def _epochs_per_hour(trials: pd.DataFrame, at_once: int) -> int:
    return round(3600 * at_once * trials["epochs"].sum() / trials["seconds"].sum())


def _run(
    material: Material,
    device: str,
    dtype: str,
    at_once: int,
    emotions: list[str],
    repetitions: int,
    max_epochs: int | None = None,
) -> pd.DataFrame:
    """Runs trials with every k, and returns their rows."""
    output_dir = material.folder / f"trials_{at_once}"
    options: dict[str, list[str]] = {
        "data_dir": [str(material.esd(1, *((5, 2, 2) if material.tiny else ())))],
        "encoder": [str(material.saved_encoder("wav2vec2"))],
        "combinations": ["none"],
        "speakers": ["0001"],
        "emotions": emotions,
        "shots": list(map(str, SHOTS[:2] if material.tiny else SHOTS)),
        "repetitions": [str(repetitions)],
        "device": [device],
        "dtype": [dtype],
        "trials_per_device": [str(at_once)],
        "output_dir": [str(output_dir)],
    }
    if material.tiny or max_epochs is not None:
        options |= {"max_epochs": [str(max_epochs or 2)]}
    started = time.perf_counter()
    few_shot.main([str(SETTINGS), *(part for name, values in options.items() for part in (f"--{name}", *values))])
    trials = _finished(output_dir)
    trials.attrs["wall_seconds"] = round(time.perf_counter() - started, 1)
    return trials


def _finished(output_dir: Path) -> pd.DataFrame:
    table = ResultsFile(output_dir / "results.sqlite", {}).table()
    return table[table["status"] == FINISHED]
