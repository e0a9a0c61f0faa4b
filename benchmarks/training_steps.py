"""Measures a training step of Burst2Vec against the bare encoder's, on any device and in any precision.

Everything that Burst2Vec adds (both kinds of representations, three passes of the head, discriminator, adversarial
losses, the Trainer) is in the ratio of the two. The step runs on the model that accelerate has prepared, as in a run:
only this model computes in half precision where `bf16` says so.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, HubertConfig, Wav2Vec2Config, WavLMConfig, WhisperConfig

from paravox import (
    Burst2VecConfig,
    Burst2VecFeatureExtractor,
    Burst2VecForMultiTask,
    Burst2VecTrainer,
    MultiTaskTrainingArguments,
)
from paravox.modeling.encoders import build_encoder

TASKS = [
    {"name": "emotion", "kind": "intensities", "labels": [f"emotion_{number}" for number in range(10)]},
    {"name": "age", "kind": "scalar", "range": [20, 40], "unit": "years"},
    {"name": "country", "kind": "classes", "labels": ["China", "South Africa", "USA", "Venezuela"]},
]
_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
_LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
_TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_TINY |= {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}


def encoder_config(name: str) -> Any:
    """The config of an encoder of a published size, without LayerDrop, so that every step runs every layer.

    Args:
        name (`str`): `WL`, `HB` or `HL` of the paper, `whisper_base`, `wavlm_base`, or `tiny` for a test.
    """
    configs = {
        "WL": (Wav2Vec2Config, _LARGE),  # facebook/wav2vec2-large-960h, with group norm
        "HB": (HubertConfig, {}),  # facebook/hubert-base-ls960
        "HL": (HubertConfig, _LARGE | _LAYER_NORM),  # facebook/hubert-large-ls960-ft
        "wavlm_base": (WavLMConfig, {}),
        "whisper_base": (
            WhisperConfig,
            {"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048},
        ),
        "tiny": (HubertConfig, _TINY | _LAYER_NORM),
    }
    config_class, sizes = configs[name]
    layerdrop = "encoder_layerdrop" if config_class is WhisperConfig else "layerdrop"
    return config_class(**sizes, **{layerdrop: 0.0})


def make_batches(config: Any, clips: int, seconds: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """Batches of noise, one for each pair of the shortest and the longest clip, padded and with labels of emotions."""
    generator = np.random.default_rng(0)
    extractor = Burst2VecFeatureExtractor.for_config(config)
    batches = []
    for shortest, longest in seconds:
        lengths = (np.linspace(shortest, longest, clips) * 16_000).astype(int)
        audio = [(generator.normal(size=length).astype(np.float32), 16_000) for length in lengths]
        emotions = torch.from_numpy(generator.random((clips, 10), dtype=np.float32))
        labels = {"task": "emotion", "labels": {"emotion": emotions}, "index": torch.arange(clips)}
        batches.append({**extractor(audio, return_tensors="pt"), **labels})
    return batches


def measure_training_step(
    config: Any,
    batches: list[dict[str, Any]],
    device: torch.device | str = "cpu",
    bf16: bool = False,
    compiled: bool = False,
    repeats: int = 9,
    warm_up: int = 3,
) -> dict[str, Any]:
    """Times training steps of Burst2Vec and of its bare encoder by turns, on the same batches.

    Args:
        config ([`PreTrainedConfig`]): of the encoder, whose weights are random.
        batches (list of `dict`): from [`make_batches`]; a turn is a step on each of them.
        device (`torch.device` or `str`, *optional*, defaults to `"cpu"`): where both run.
        bf16 (`bool`, *optional*, defaults to `False`): compute in bfloat16 by autocast, on both sides.
        compiled (`bool`, *optional*, defaults to `False`): train Burst2Vec with `torch_compile`. The bare encoder is
            not compiled.
        repeats (`int`, *optional*, defaults to 9): the number of turns, of which the median counts.
        warm_up (`int`, *optional*, defaults to 3): the number of turns before that.

    Returns:
        `dict`: `milliseconds` and `bare_milliseconds` of a step, their `ratio`, and of Burst2Vec the
        `clips_per_second`, the encoder's `tflops_per_second` (see [`encoder_operations`]) and, on CUDA, the
        `memory_gigabytes` that it takes at most while the bare encoder is not there.
    """
    device = torch.device(device)
    torch.manual_seed(0)
    ours = burst2vec_step(config, device, bf16, compiled)
    batches = [_on_device(batch, device) for batch in batches]
    memory = None
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(warm_up):
        _seconds(ours, batches, device)
    if device.type == "cuda":
        memory = round(torch.cuda.max_memory_allocated(device) / 1e9, 2)
    bare = bare_step(config, device, bf16)
    for _ in range(warm_up):
        _seconds(bare, batches, device)
    seconds: dict[Callable, list[float]] = {ours: [], bare: []}
    for repeat in range(repeats):
        for step in (ours, bare) if repeat % 2 else (bare, ours):
            seconds[step].append(_seconds(step, batches, device) / len(batches))
    took, bare_took = statistics.median(seconds[ours]), statistics.median(seconds[bare])
    name = Burst2VecFeatureExtractor.for_config(config).model_input_names[0]
    clips = sum(len(batch["index"]) for batch in batches) / len(batches)
    operations = sum(
        3 * len(batch["index"]) * encoder_operations(config, batch[name].shape[-1]) for batch in batches
    ) / len(batches)
    return {
        "milliseconds": round(1000 * took, 2),
        "bare_milliseconds": round(1000 * bare_took, 2),
        "ratio": round(took / bare_took, 4),
        "clips_per_second": round(clips / took, 1),
        "tflops_per_second": round(operations / took / 1e12, 3),
        "memory_gigabytes": memory,
    }


def encoder_operations(config: Any, length: int) -> float:
    """The operations of one forward pass of an encoder on one clip; a training step takes three times as many.

    A multiply-add counts as two operations. Counted are the convolutions, the projections and feed-forward networks
    (`frames * (4 hidden^2 + 2 hidden * intermediate)` per layer) and the attention (`2 frames^2 * hidden`), not what
    takes next to no time: norms, activations, the representations and heads of Burst2Vec.

    Args:
        config ([`PreTrainedConfig`]): of the encoder.
        length (`int`): of the input with its padding, in samples or mel frames.
    """
    hidden = config.hidden_size
    if config.model_type == "whisper":
        frames = -(-length // 2)
        multiply_adds = length * 3 * config.num_mel_bins * hidden + frames * 3 * hidden**2
        layers, intermediate = config.encoder_layers, config.encoder_ffn_dim
    else:
        multiply_adds, channels, frames = 0, 1, length
        for size, kernel, stride in zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True):
            frames = (frames - kernel) // stride + 1
            multiply_adds += frames * kernel * channels * size
            channels = size
        multiply_adds += frames * channels * hidden
        groups, kernel = config.num_conv_pos_embedding_groups, config.num_conv_pos_embeddings
        multiply_adds += frames * kernel * hidden * hidden // groups
        layers, intermediate = config.num_hidden_layers, config.intermediate_size
    layer = frames * (4 * hidden**2 + 2 * hidden * intermediate) + 2 * frames**2 * hidden
    return 2.0 * (multiply_adds + layers * layer)


def burst2vec_step(config: Any, device: torch.device, bf16: bool, compiled: bool) -> Callable[[dict], None]:
    """A function that takes a training step on a batch, as a run does."""
    model = Burst2VecForMultiTask(Burst2VecConfig(encoder=config, tasks=TASKS)).train()
    args = MultiTaskTrainingArguments(
        output_dir=tempfile.mkdtemp(), use_cpu=device.type == "cpu", bf16=bf16, torch_compile=compiled, report_to="none"
    )
    trainer = Burst2VecTrainer(model, args)
    prepared, optimizer = trainer.accelerator.prepare(model, trainer.create_optimizer())
    trainer.current_gradient_accumulation_steps = 1

    def step(batch: dict[str, Any]) -> None:
        trainer.training_step(prepared, batch)
        optimizer.step()
        optimizer.zero_grad()

    return step


def bare_step(config: Any, device: torch.device, bf16: bool) -> Callable[[dict], None]:
    """A function that takes a training step of the encoder of Transformers alone.

    Whisper's takes 30 seconds and nothing else, so its clips run through the encoder as paravox runs it.
    """
    is_whisper = config.model_type == "whisper"
    encoder = (build_encoder(config) if is_whisper else AutoModel.from_config(config)).to(device).train()
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-5, fused=device.type != "mps")

    def step(batch: dict[str, Any]) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            if is_whisper:
                states = encoder.last_state(batch["input_features"], batch["attention_mask"])
            else:
                states = encoder(batch["input_values"], batch["attention_mask"]).last_hidden_state
        states.float().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _on_device(values: Any, device: torch.device) -> Any:
    if isinstance(values, dict):
        return {name: _on_device(value, device) for name, value in values.items()}
    return values.to(device) if isinstance(values, torch.Tensor) else values


def _seconds(step: Callable[[dict], None], batches: list[dict[str, Any]], device: torch.device) -> float:
    """The seconds of a turn, until the device has done it."""
    _wait_for(device)
    start = time.perf_counter()
    for batch in batches:
        step(batch)
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
