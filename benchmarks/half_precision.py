"""Measures row half_precision: how far predictions in bfloat16 and float16 lie from those in float32, on real bursts.

    python benchmarks/half_precision.py --model runs/table_2_bursts/V1_1/model --data_dir BURSTS

The weights are held and the encoder computes in the type that is named, as with `paravox predict --dtype`. The largest
difference of one number of one clip counts, by task: of an intensity or a probability, or in the unit of the task. The
row is kept in benchmarks/results.json, and docs/robustness.md has it as a table.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environments import ROOT, write_table
from timing import RESULTS, record

from paravox.inference.opening import open_model
from paravox.inference.prediction import predict_files
from paravox.trainers.devices import DTYPES

ROW = "half_precision"
PAGE = ROOT / "docs" / "robustness.md"
HALVES = ("bfloat16", "float16")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", required=True, help="Model that was trained on the bursts, around Whisper base.")
    parser.add_argument("--data_dir", type=Path, required=True, help="Folder with the bursts, in its folder audio/.")
    parser.add_argument("--clips", type=int, default=200, help="Number of bursts (default: %(default)s).")
    arguments = parser.parse_args(argv)
    paths = draw_clips(arguments.data_dir / "audio", arguments.clips)
    model, extractor = open_model(arguments.model)
    whole = predict_files(model, extractor, paths, num_workers=0)
    differences = {}
    for name in HALVES:
        half, _ = open_model(arguments.model, dtype=DTYPES[name])
        found = predict_files(half, extractor, paths, num_workers=0)
        differences[name] = {task: round(value, 4) for task, value in largest_differences(found, whole).items()}
    about = {
        "clips": len(paths),
        "encoder": model.config.encoder.model_type,
        "hidden_size": model.encoder.hidden_size,
        "units": {name: task.unit or "" for name, task in model.tasks.items()},
        "torch": torch.__version__.partition("+")[0],
    }
    record(ROW, about | differences)
    write_table(ROW, half_precision_table(json.loads(RESULTS.read_text())["rows"][ROW]), PAGE)


def draw_clips(folder: Path, count: int) -> list[str]:
    """So many recordings of a folder, drawn at random with a fixed seed from those that are sorted by name."""
    files = sorted(folder.glob("*.ogg"))
    drawn = np.random.default_rng(0).permutation(len(files))[:count]
    return [str(files[row]) for row in sorted(drawn)]


def largest_differences(
    found: Mapping[str, Sequence | np.ndarray], expected: Mapping[str, Sequence | np.ndarray]
) -> dict[str, float]:
    """The largest absolute difference of one number, by task."""
    return {task: float(np.abs(np.asarray(found[task]) - np.asarray(expected[task])).max()) for task in expected}


def half_precision_table(row: dict[str, Any]) -> list[list[str]]:
    """The row as cells of a table: one line per task."""
    cells = [["largest difference from float32", *HALVES]]
    for task, unit in row["units"].items():
        cells.append([task + (f" ({unit})" if unit else ""), *(f"{row[name][task]:.4f}" for name in HALVES)])
    return cells


if __name__ == "__main__":
    main()
