"""Measures rows predict_workers, predict_bfloat16, predict_memory and predict_growth: a folder of real bursts.

    python benchmarks/folder_prediction.py --model runs/real_bursts/model --data_dir BURSTS [--device cuda]

Worker processes against a thread, and bfloat16 against float32, run by turns in one process after a warm-up. The peak
of the memory is that of `paravox predict --output` in a process of its own, for a folder of links to the bursts. The
growth of the time is that of predicting 1, 4 and 16 times the clips, relative to the smallest.
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from timing import record, side_by_side

from paravox.inference.audio_files import find_audio_files
from paravox.inference.onnx_export import largest_difference
from paravox.inference.opening import open_model
from paravox.inference.prediction import predict_files
from paravox.trainers.devices import choose_device, device_line

# Runs the program in a process of its own, which prints its largest memory in megabytes.
MEASURED = """
import resource, sys
from paravox.recipes.burst2vec.predict import main
main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", required=True, help="Saved model.")
    parser.add_argument("--data_dir", required=True, help="Folder with recordings.")
    parser.add_argument("--device", default="cpu", help="Where the model runs (default: %(default)s).")
    parser.add_argument(
        "--clips", type=int, default=400, help="Number of clips, drawn at random (default: %(default)s)."
    )
    parser.add_argument("--num_workers", type=int, help="Worker processes (default: the cores but one, at least 1).")
    parser.add_argument("--repeats", type=int, default=3, help="Number of runs of each side (default: %(default)s).")
    parser.add_argument(
        "--memory_files", type=int, nargs=2, default=[200, 4000], help="Files of the runs whose memory is measured."
    )
    parser.add_argument(
        "--growth_clips", type=int, default=50, help="Clips of the smallest run of the growth (default: %(default)s)."
    )
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    workers = max(1, (os.cpu_count() or 1) - 1) if arguments.num_workers is None else arguments.num_workers
    model, extractor = open_model(arguments.model, device=device)
    half = copy.deepcopy(model).bfloat16()
    print(device_line(device, torch.float32))
    everything = find_audio_files([arguments.data_dir])
    drawn = np.random.default_rng(0).permutation(len(everything))[: arguments.clips]
    paths = [str(everything[row]) for row in drawn]
    about = {"unit": "clips a second", "clips": len(paths), "device": str(device)}

    with_workers, with_thread = side_by_side(
        lambda: predict_files(model, extractor, paths, num_workers=workers),
        lambda: predict_files(model, extractor, paths, num_workers=0),
        arguments.repeats,
    )
    record("predict_workers", ratio(len(paths), with_workers, with_thread) | about | {"workers": workers})

    in_half, whole = side_by_side(
        lambda: predict_files(half, extractor, paths, num_workers=0),
        lambda: predict_files(model, extractor, paths, num_workers=0),
        arguments.repeats,
    )
    found, expected = (predict_files(side, extractor, paths, num_workers=0) for side in (half, model))
    difference = largest_difference(list(model.tasks.values()), found, expected)
    record("predict_bfloat16", ratio(len(paths), in_half, whole) | about | {"largest_difference": round(difference, 4)})

    peaks = [peak_megabytes(arguments.model, str(device), paths, files) for files in arguments.memory_files]
    values = {"ratio": round(peaks[1] / peaks[0], 3), "ours": round(peaks[1]), "alternative": round(peaks[0])}
    record("predict_memory", values | {"unit": "megabytes", "files": arguments.memory_files, "device": str(device)})

    seconds = {}
    for times in (1, 4, 16):
        repeated = (paths[: arguments.growth_clips]) * times
        seconds[times] = statistics.median(timed(model, extractor, repeated) for _ in range(arguments.repeats))
    growth = {str(times): round(value / times / seconds[1], 3) for times, value in seconds.items()}
    record(
        "predict_growth", {"seconds_per_clip_relative": growth, "clips": arguments.growth_clips, "device": str(device)}
    )


def ratio(clips: int, ours: float, alternative: float) -> dict[str, float]:
    """The speeds of both sides in clips a second, and how many times as fast ours is."""
    speeds = {"ours": round(clips / ours, 2), "alternative": round(clips / alternative, 2)}
    return {"ratio": round(alternative / ours, 3), **speeds}


def timed(model, extractor, paths: list[str]) -> float:
    start = time.perf_counter()
    predict_files(model, extractor, paths, num_workers=0)
    return time.perf_counter() - start


def peak_megabytes(model: str, device: str, paths: list[str], files: int) -> float:
    """The largest memory of `paravox predict` for a folder with so many links to recordings."""
    with tempfile.TemporaryDirectory() as folder:
        links = Path(folder) / "clips"
        links.mkdir()
        for number in range(files):
            source = Path(paths[number % len(paths)]).absolute()
            (links / f"{number:06}{source.suffix}").symlink_to(source)
        options = [
            "--model",
            model,
            "--device",
            device,
            "--num_workers",
            "0",
            "--output",
            f"{folder}/predictions.jsonl",
        ]
        command = [sys.executable, "-c", MEASURED, str(links), *options]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        lines = (Path(folder) / "predictions.jsonl").read_text().splitlines()
        assert len(lines) == files and not any("error" in json.loads(line) for line in lines)
        return float(printed.splitlines()[-1])


if __name__ == "__main__":
    main()
