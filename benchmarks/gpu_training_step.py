"""The section `training_step` of gpu.py: a step of Burst2Vec against the bare encoder's, for the paper's encoders."""

import gc
from collections.abc import Iterator
from typing import Any

import torch
from gpu_material import Material
from training_steps import encoder_config, make_batches, measure_training_step

CLIPS = 32
SECONDS = (1.8, 2.4)
# The most that an H100 computes in bfloat16, measured by a product of two large matrices, in Tflop/s.
H100_BFLOAT16_TFLOPS = 790.0
# By name: whether the step computes in bfloat16, and whether Burst2Vec is compiled.
VARIANTS = {"float32": (False, False), "bfloat16": (True, False), "bfloat16_compiled": (True, True)}


def measure(material: Material, device: str) -> Iterator[dict[str, Any]]:
    """Milliseconds, ratio, clips per second, Tflop/s and memory, by encoder and precision."""
    sizes = (2, (0.3, 0.4)) if material.tiny else (CLIPS, SECONDS)
    found: dict[str, Any] = {}
    variants = {name: variant for name, variant in VARIANTS.items() if not (material.tiny and variant[1])}
    names = ["tiny"] if material.tiny else ["HB", "WL", "HL"]
    # What takes minutes to compile comes last.
    for variant, (bf16, compiled) in variants.items():
        for name in names:
            config = encoder_config(name)
            batches = make_batches(config, sizes[0], [sizes[1]])
            repeats = {"repeats": 1, "warm_up": 1} if material.tiny else {"repeats": 9}
            measured = measure_training_step(config, batches, device, bf16, compiled, **repeats)
            if bf16 and torch.device(device).type == "cuda":
                measured["share_of_peak"] = round(measured["tflops_per_second"] / H100_BFLOAT16_TFLOPS, 3)
            found[f"{name}_{variant}"] = measured
            yield {"steps": found, "clips_of_a_batch": sizes[0], "seconds_of_a_clip": list(sizes[1])}
            gc.collect()  # a trainer holds itself in circles, and its model with it
