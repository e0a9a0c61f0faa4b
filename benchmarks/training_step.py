"""Row a: a training step of Burst2Vec against the bare encoder's forward, backward and optimizer step.

    python benchmarks/training_step.py

wav2vec 2.0 of the base size with random weights, the same padded batch, by turns. Everything that Burst2Vec adds (both
kinds of representations, three passes of the head, discriminator, adversarial losses, the Trainer) is in the ratio.
"""

import argparse
import tempfile

import numpy as np
import torch
from timing import record, side_by_side
from transformers import AutoModel, Wav2Vec2Config

from paravox import (
    Burst2VecConfig,
    Burst2VecFeatureExtractor,
    Burst2VecForMultiTask,
    Burst2VecTrainer,
    MultiTaskTrainingArguments,
)

TASKS = [
    {"name": "emotion", "kind": "intensities", "labels": [f"emotion_{number}" for number in range(10)]},
    {"name": "age", "kind": "scalar", "range": [20, 40], "unit": "years"},
    {"name": "country", "kind": "classes", "labels": ["China", "South Africa", "USA", "Venezuela"]},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="steps of each, of which the median counts")
    parser.add_argument("--clips", type=int, default=8, help="clips of a batch, 1 to 3 s long")
    arguments = parser.parse_args()
    # Without LayerDrop every step runs every layer, on both sides.
    config = Wav2Vec2Config(layerdrop=0.0)
    torch.manual_seed(0)
    batch = make_batch(config, arguments.clips)
    ours, bare = side_by_side(burst2vec_step(config, batch), bare_step(config, batch), arguments.repeats)
    values = {
        "ratio": round(ours / bare, 4),
        "ours": round(ours, 4),
        "alternative": round(bare, 4),
        "unit": "seconds a step",
    }
    record("a", values)


def make_batch(config: Wav2Vec2Config, clips: int) -> dict:
    generator = np.random.default_rng(0)
    lengths = np.linspace(16_000, 48_000, clips).astype(int)
    extractor = Burst2VecFeatureExtractor.for_config(config)
    audio = [(generator.normal(size=length).astype(np.float32), 16_000) for length in lengths]
    emotions = torch.from_numpy(generator.random((clips, 10), dtype=np.float32))
    return {**extractor(audio, return_tensors="pt"), "task": "emotion", "labels": {"emotion": emotions}}


def burst2vec_step(config: Wav2Vec2Config, batch: dict):
    model = Burst2VecForMultiTask(Burst2VecConfig(encoder=config, tasks=TASKS))
    folder = tempfile.mkdtemp()
    trainer = Burst2VecTrainer(model, MultiTaskTrainingArguments(output_dir=folder, use_cpu=True))
    optimizer = trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1

    def step() -> None:
        trainer.training_step(model, {**batch, "index": torch.arange(len(batch["attention_mask"]))})
        optimizer.step()
        optimizer.zero_grad()

    return step


def bare_step(config: Wav2Vec2Config, batch: dict):
    encoder = AutoModel.from_config(config).train()
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-5)

    def step() -> None:
        encoder(batch["input_values"], batch["attention_mask"]).last_hidden_state.mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
