"""The section `prediction` of gpu.py: a folder of clips, by paravox and by the audio-classification pipeline."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from gpu_material import Material
from torch.utils.data import Dataset
from transformers import WhisperFeatureExtractor, WhisperForAudioClassification, pipeline

from paravox.modeling.audio import load_audio
from paravox.recipes.burst2vec import predict

PIPELINE = {"batch_size": 64, "num_workers": 8}


class DecodedClips(Dataset):
    """Clips as the pipeline takes them, decoded where they are read, which is in its workers."""

    def __init__(self, paths: list) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"raw": load_audio(self.paths[row]), "sampling_rate": 16_000}


def measure(material: Material, device: str) -> Iterator[dict[str, Any]]:
    """Clips per second of both, from the files to the results, after a short run of each as a warm-up."""
    dtype = "bfloat16" if torch.device(device).type == "cuda" else "float32"
    warm_up, few, many, of_pipeline = (4, 8, 12, 8) if material.tiny else (512, 12_000, 36_000, 2_000)
    _paravox_seconds(material, device, dtype, warm_up)
    seconds = {count: _paravox_seconds(material, device, dtype, count) for count in (few, many)}
    _pipeline_seconds(material, device, dtype, warm_up // 4)
    alternative = of_pipeline / _pipeline_seconds(material, device, dtype, of_pipeline)
    ours = few / seconds[few]
    # What a longer run reaches: the start of the workers costs the same for few and for many clips.
    steady = (many - few) / (seconds[many] - seconds[few])
    yield {
        "ratio": round(ours / alternative, 1),
        "ours": round(ours, 1),
        "alternative": round(alternative, 1),
        "unit": "clips per second",
        "ours_without_the_start": round(steady, 1),
        "clips": few,
        "clips_of_the_longer_run": many,
        "clips_of_the_alternative": of_pipeline,
        "dtype": dtype,
    }


def _paravox_seconds(material: Material, device: str, dtype: str, count: int) -> float:
    folder, model = material.folder_of_clips(count), material.burst2vec()
    output = material.folder / f"predictions_{count}.jsonl"
    options = ["--model", str(model), "--device", device, "--dtype", dtype, "--output", str(output), "--overwrite"]
    started = time.perf_counter()
    predict.main([str(folder), *options])
    return time.perf_counter() - started


def _pipeline_seconds(material: Material, device: str, dtype: str, count: int) -> float:
    config = material.whisper_config()
    model = WhisperForAudioClassification(config).to(getattr(torch, dtype))
    extractor = WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    classifier = pipeline(
        "audio-classification", model=model, feature_extractor=extractor, device=device, dtype=getattr(torch, dtype)
    )
    settings = {"batch_size": 2, "num_workers": 0} if material.tiny else PIPELINE
    started = time.perf_counter()
    for _ in classifier(DecodedClips(material.repeated(count)), **settings):
        pass
    return time.perf_counter() - started
