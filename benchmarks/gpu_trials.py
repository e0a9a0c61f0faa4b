"""The section `trials` of gpu.py: full trials of the few-shot study, with one and with several at the same time."""

import time
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
# By how many trials run at the same time: the emotions and the repetitions that are run, each with every k.
GRIDS: dict[int, tuple[list[str], int]] = {
    1: (["angry"], 1),
    4: (["angry", "happy"], 1),
    16: (["angry", "happy", "neutral", "sad"], 2),
}
TINY_GRIDS: dict[int, tuple[list[str], int]] = {1: (["angry"], 1), 2: (["angry", "happy"], 1)}


def measure(material: Material, device: str) -> dict[str, Any]:
    """Trials per hour by how many run at once, and the hours that the paper's grid would take at the best rate."""
    dtype = "bfloat16" if torch.device(device).type == "cuda" else "float32"
    grids = TINY_GRIDS if material.tiny else GRIDS
    rows = {str(at_once): _run(material, device, dtype, at_once, *grids[at_once]) for at_once in grids}
    best = max(row["trials_per_hour"] for row in rows.values())
    return {
        "at_once": rows,
        "hours_for_33600": round(PAPER_TRIALS / best, 1),
        "encoder_of_trials": "tiny" if material.tiny else "of the size of wav2vec 2.0 base, with random weights",
        "dtype": dtype,
        "unit": "trials per hour",
    }


def _run(
    material: Material, device: str, dtype: str, at_once: int, emotions: list[str], repetitions: int
) -> dict[str, Any]:
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
    if material.tiny:
        options |= {"max_epochs": ["2"]}
    started = time.perf_counter()
    few_shot.main([str(SETTINGS), *(part for name, values in options.items() for part in (f"--{name}", *values))])
    wall = time.perf_counter() - started
    table = _finished(output_dir)
    return {
        # From the seconds of each trial: without what a process does once, which a long study does not notice.
        "trials_per_hour": round(3600 * at_once * len(table) / table["seconds"].sum()),
        "trials_per_hour_with_the_start": round(3600 * len(table) / wall),
        "trials": len(table),
        "mean_epochs": round(float(table["epochs"].mean()), 1),
        "seconds_by_k": {str(k): round(float(rows["seconds"].mean()), 2) for k, rows in table.groupby("k")},
    }


def _finished(output_dir: Path) -> pd.DataFrame:
    table = ResultsFile(output_dir / "results.sqlite", {}).table()
    return table[table["status"] == FINISHED]
