"""Measures rows onnx_alone and onnx_batches: a saved model in onnxruntime and in PyTorch, on real bursts.

    python benchmarks/onnx_export.py --model runs/real_bursts/model --data_dir BURSTS

Both sides get the same inputs, which the feature extractor makes once, and the same number of threads; decoding is not
counted. One row is for clips one by one, as a service gets them, the other one for the batches of `paravox predict`.
Needs the extra: pip install 'paravox[onnx]'.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import record, side_by_side
from transformers import BatchFeature

from paravox.inference.audio_files import find_audio_files
from paravox.inference.onnx_export import export_onnx, largest_difference, open_session, predict_by_session
from paravox.inference.opening import open_model
from paravox.inference.prediction import CPU_BATCH_SECONDS
from paravox.trainers.sampler import EvaluationBatchSampler

Predict = Callable[[BatchFeature], dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", required=True, help="Saved model or ensemble.")
    parser.add_argument("--data_dir", required=True, help="Folder with recordings.")
    parser.add_argument(
        "--clips", type=int, default=100, help="Number of clips, drawn at random (default: %(default)s)."
    )
    parser.add_argument(
        "--batch_seconds",
        type=float,
        default=CPU_BATCH_SECONDS,
        help="Seconds of audio per batch (default: %(default)s).",
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="Number of threads of both sides.")
    parser.add_argument("--repeats", type=int, default=3, help="Number of runs of each side (default: %(default)s).")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, extractor = open_model(arguments.model)
    paths = find_audio_files([arguments.data_dir])
    drawn = np.random.default_rng(0).permutation(len(paths))[: arguments.clips]
    clips = [(extractor.load(str(paths[row])), extractor.sampling_rate) for row in drawn]
    seconds = np.array([len(samples) / rate for samples, rate in clips])

    def by_pytorch(inputs: BatchFeature) -> dict[str, Any]:
        with torch.inference_mode():
            return model(**inputs).predictions

    with tempfile.TemporaryDirectory() as folder:
        session = open_session(export_onnx(model, extractor, Path(folder) / "model.onnx"), arguments.threads)
        tasks = list(model.tasks.values())
        for row, most_clips in (("onnx_alone", 1), ("onnx_batches", 256)):
            budget = max(arguments.batch_seconds, float(seconds.max()))
            groups = EvaluationBatchSampler(seconds, most_clips, max_batch_seconds=budget)
            batches = [extractor([clips[draw.index] for draw in group], return_tensors="pt") for group in groups]
            values = compare(lambda inputs: predict_by_session(session, inputs), by_pytorch, batches, arguments.repeats)
            differences = [
                largest_difference(tasks, by_pytorch(batch), predict_by_session(session, batch)) for batch in batches
            ]
            about = {
                "batches": len(batches),
                "threads": arguments.threads,
                "largest_difference": float(f"{max(differences):.1e}"),
            }
            record(row, values | {"clips": len(clips)} | about)


def compare(by_onnx: Predict, by_pytorch: Predict, batches: list[BatchFeature], repeats: int) -> dict[str, Any]:
    """Clips per second of both sides for the same batches, measured in one run."""
    count = sum(len(batch["attention_mask"]) for batch in batches)
    seconds = side_by_side(
        lambda: [by_onnx(batch) for batch in batches], lambda: [by_pytorch(batch) for batch in batches], repeats
    )
    ours, alternative = (count / value for value in seconds)
    return {
        "ratio": round(ours / alternative, 2),
        "ours": round(ours, 2),
        "alternative": round(alternative, 2),
        "unit": "clips a second",
    }


if __name__ == "__main__":
    main()
