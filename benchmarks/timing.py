"""What every benchmark shares: timing two things side by side, and the file of results."""

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from paravox.runs.machine import machine_name

RESULTS = Path(__file__).parent / "results.json"


def side_by_side(ours: Callable[[], Any], alternative: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median seconds of two functions, run by turns so that a slow minute of the machine hits both, after a warm-up."""
    seconds: dict[Callable, list[float]] = {ours: [], alternative: []}
    for repeat in range(repeats + 1):
        for function in (ours, alternative) if repeat % 2 else (alternative, ours):
            start = time.perf_counter()
            function()
            if repeat:
                seconds[function].append(time.perf_counter() - start)
    return statistics.median(seconds[ours]), statistics.median(seconds[alternative])


def record(row: str, values: dict[str, Any], path: Path = RESULTS, device: str = "cpu") -> None:
    """Writes one row into the results file and prints it. Other rows stay, each with the machine that measured it."""
    results = json.loads(path.read_text()) if path.is_file() else {"rows": {}}
    cores = f"{torch.get_num_threads()} threads" if device == "cpu" else f"{os.cpu_count()} cores"
    results["machine"] = f"{machine_name(device)}, {cores}"
    results["rows"][row] = values | {"machine": results["machine"]}
    path.write_text(json.dumps({"machine": results["machine"], "rows": results["rows"]}, indent=2) + "\n")
    print(f"{row}: {json.dumps(values)}")
