"""The section `prediction` of gpu.py: a folder of clips, by paravox and by the audio-classification pipeline."""

import time
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


def measure(material: Material, device: str) -> dict[str, Any]:
    """Clips per second of both, from the files to the results, after a short run of each as a warm-up."""
    dtype = "bfloat16" if torch.device(device).type == "cuda" else "float32"
    counts = (4, 12) if material.tiny else (512, 12_000)
    ours = [_paravox_seconds(material, device, dtype, count) for count in counts]
    counts_of_pipeline = (4, 8) if material.tiny else (128, 2_000)
    theirs = [_pipeline_seconds(material, device, dtype, count) for count in counts_of_pipeline]
    rates = {"ours": counts[1] / ours[1], "alternative": counts_of_pipeline[1] / theirs[1]}
    # What a longer run reaches: without the start, which costs the same for few and for many clips.
    steady = (counts[1] - counts[0]) / max(ours[1] - ours[0], 1e-9)
    return {
        "ratio": round(rates["ours"] / rates["alternative"], 1),
        **{name: round(rate, 1) for name, rate in rates.items()},
        "unit": "clips per second",
        "ours_without_the_start": round(steady, 1),
        "clips": counts[1],
        "clips_of_the_alternative": counts_of_pipeline[1],
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
