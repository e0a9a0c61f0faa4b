"""Small corpora and a small encoder, on which a run takes seconds: what benchmarks/interruptions.py stops runs over."""

import itertools
from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor

from paravox.corpora.synthetic import write_synthetic_corpus
from paravox.modeling.encoders import build_encoder
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask

TASKS = [
    {"name": "age", "kind": "scalar", "range": [20, 40], "unit": "years"},
    {"name": "country", "kind": "classes", "labels": ["China", "USA"]},
]
CLIPS = {"train": 48, "validation": 16, "test": 16}
# The sizes of the two networks, and what a config of Whisper wants besides them.
SIZES = {
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 64,
    "vocab_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}


def write_material(folder: Path) -> None:
    """Writes `bursts`, `emotions` (two corpora), `esd`, `encoder` and `model` into a folder, the same each time."""
    write_synthetic_corpus(folder / "bursts", CLIPS, seed=0)
    seeds = itertools.count()
    for speaker, take in itertools.product(range(1, 5), "ab"):
        for code in "WLEAFTN":
            write_noise(folder / f"emotions/emodb/wav/{speaker:02}a01{code}{take}.wav", next(seeds))
        for emotion, code in (("Angry", "kz"), ("Calm", "sk"), ("Happy", "mt"), ("Sad", "hl")):
            write_noise(
                folder / f"emotions/turev/Sound Source/{emotion}/115{speaker}_{code}_word{take}.wav", next(seeds)
            )
    for speaker, (block, emotion) in itertools.product(("0001", "0011"), enumerate(("Neutral", "Angry", "Happy"))):
        numbers = itertools.count(350 * block + 1)
        for split, clips in (("evaluation", 2), ("test", 3), ("train", 4)):
            for number in itertools.islice(numbers, clips):
                write_noise(folder / f"esd/{speaker}/{emotion}/{split}/{speaker}_{number:06}.wav", next(seeds))
    torch.manual_seed(0)
    build_encoder(WhisperConfig(**SIZES)).model.save_pretrained(folder / "encoder")
    WhisperFeatureExtractor().save_pretrained(folder / "encoder")
    encoder = str(folder / "encoder")
    Burst2VecForMultiTask.from_encoder(encoder, tasks=TASKS, projection_size=16).save_pretrained(folder / "model")
    Burst2VecFeatureExtractor.from_encoder(encoder).save_pretrained(folder / "model")


def write_noise(path: Path, seed: int) -> None:
    """A recording of 0.3 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(scale=0.1, size=4_800), 16_000)
