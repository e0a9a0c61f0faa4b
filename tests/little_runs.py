"""Output folders of runs whose scores are known by construction, as train.py would leave them."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import WhisperConfig

from paravox.evaluation.predictions_file import write_predictions
from paravox.modeling.configuration_burst2vec import Burst2VecConfig

TASKS = [
    {"name": "emotion", "kind": "intensities", "labels": ["awe", "fear", "joy"]},
    {"name": "age", "kind": "scalar", "range": [0, 100], "unit": "years"},
    {"name": "country", "kind": "classes", "labels": ["China", "USA"]},
]
CLIPS = {"val": 24, "test": 40}
CONSTANT = {
    split: {"emotion_ccc": 0.0, "emotion_uar": 1 / 3, "age_mae": age_mae, "country_uar": 0.5, "s_mtl": 0.0}
    for split, age_mae in (("val", 11.25), ("test", 12.5))
}


def true_labels(split: str) -> dict[str, np.ndarray]:
    clips = CLIPS[split]
    generator = np.random.default_rng(clips)
    return {
        "emotion": generator.random((clips, 3)).astype(np.float32),
        "age": generator.uniform(30, 70, clips).astype(np.float32),
        "country": np.arange(clips) % 2,
    }


def speakers(split: str) -> list[str]:
    """Four clips each."""
    return [f"{split} {clip // 4}" for clip in range(CLIPS[split])]


def speaker_factors(split: str) -> np.ndarray:
    """How much larger the error in age is for each clip, by its speaker; 1 on average."""
    factors = np.repeat(np.linspace(0.5, 1.5, CLIPS[split] // 4), 4)
    return factors / factors.mean()


def predicted(split: str, age_error: float, hits: float = 0.75) -> dict[str, np.ndarray]:
    """Predictions with a mean error in age, in years, and a share of right countries."""
    labels = true_labels(split)
    right = np.arange(CLIPS[split]) // 2 < hits * CLIPS[split] // 2
    country = np.where(right, labels["country"], 1 - labels["country"])
    return {
        "emotion": labels["emotion"] * np.float32(0.9),
        "age": labels["age"] + np.float32(age_error) * speaker_factors(split).astype(np.float32),
        "country": np.eye(2, dtype=np.float32)[country] * 0.8 + 0.1,
    }


def write_run(folder: Path, age_error: float, adversarial: bool = True, log: list[dict] | None = None, **state) -> Path:
    """Writes a finished run, whose mean absolute error in age is that of `age_error` on both splits."""
    encoder = WhisperConfig(d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=16)
    Burst2VecConfig(encoder=encoder, tasks=TASKS, adversarial=adversarial).save_pretrained(folder / "model")
    write_stage(folder, age_error, log, **state)
    results = {"constant": CONSTANT, "seed": 1, "seconds": 1}
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def write_stage(folder: Path, age_error: float, log: list[dict] | None = None, **state) -> None:
    """Writes what both a run and its stage with a frozen encoder leave."""
    for split in CLIPS:
        clips = [f"/data/{clip}.wav" for clip in range(CLIPS[split])]
        labels = true_labels(split)
        write_predictions(
            folder / "predictions" / f"{split}.npz", predicted(split, age_error), labels, speakers(split), clips
        )
    (folder / "results.json").write_text(
        json.dumps({split: {"emotion_ccc": 0.125, "age_mae": abs(age_error)} for split in CLIPS})
    )
    (folder / "trainer_state.json").write_text(
        json.dumps({"log_history": log or [], "global_step": 10, "best_metric": None} | state)
    )


def write_checkpoint(folder: Path, **state) -> Path:
    """Writes a whole checkpoint of the Trainer, as small as it can be."""
    folder.mkdir(parents=True)
    save_file({"weight": torch.arange(2000.0)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "burst2vec"}))
    torch.save({"state": {0: torch.arange(2000.0)}}, folder / "optimizer.pt")
    torch.save({"last_epoch": 3}, folder / "scheduler.pt")
    torch.save({"cpu": torch.get_rng_state()}, folder / "rng_state.pth")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 8} | state))
    return folder
