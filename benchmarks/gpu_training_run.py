"""The section `training_run` of gpu.py: training from files, end to end, by the stock recipe and by paravox."""

import gc
import os
from collections.abc import Iterator
from typing import Any

import torch
from gpu_material import Material
from stock_recipe import paravox_clips_per_second, stock_clips_per_second
from training_steps import encoder_config

# Seconds of audio in a batch of paravox, padding included.
BATCH_SECONDS = 384.0


def measure(material: Material, device: str) -> Iterator[dict[str, Any]]:
    """Clips per second of HuBERT large in bfloat16, once the workers have started."""
    workers = 0 if material.tiny else max(1, os.cpu_count() - 1)
    options: dict[str, Any] = {"device": torch.device(device), "bf16": not material.tiny, "num_workers": workers}
    name = "tiny" if material.tiny else "HL"
    # The clips of an epoch are so many full batches; with its budget of audio, paravox takes more steps for them.
    steps = {"steps": 4, "skip": 1} if material.tiny else {"steps": 60, "skip": 20}
    stock = stock_clips_per_second(
        encoder_config(name), material.clips, batch_size=2 if material.tiny else 32, **steps, **options
    )
    ours: dict[str, float] = {}
    steps = steps if material.tiny else {"steps": 24, "skip": 10}
    seconds = 2.0 if material.tiny else BATCH_SECONDS
    for variant in ["eager"] if material.tiny else ["eager", "compiled"]:
        gc.collect()  # a trainer holds itself in circles, and its model with it
        ours[variant] = paravox_clips_per_second(
            encoder_config(name),
            material.clips,
            batch_size=2 if material.tiny else 256,
            max_batch_seconds=seconds,
            compiled=variant == "compiled",
            cache_dir=material.folder / "audio_cache",
            **steps,
            **options,
        )
        yield {
            "ratio": round(max(ours.values()) / stock, 2),
            "ours": ours,
            "alternative": stock,
            "unit": "clips per second",
            "encoder_of_runs": name,
            "max_batch_seconds": seconds,
            "num_workers": workers,
        }
