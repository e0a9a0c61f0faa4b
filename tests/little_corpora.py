"""Small recordings and corpora that several tests write into their own folders."""

import csv
from pathlib import Path

import numpy as np
import soundfile

# How many clips each split of [`write_metadata_corpus`] has.
CLIPS = {"train": 8, "validation": 6, "test": 6}


def write_clip(path, seed, seconds=0.3, rate=16_000):
    """A short recording of noise whose colour depends on its seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    noise = generator.normal(scale=0.1, size=round(rate * seconds))
    soundfile.write(path, np.cumsum(noise) / 10 if seed % 2 else noise, rate)


def write_noise(path: Path, seed: int, seconds: float = 0.3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(scale=0.1, size=int(16_000 * seconds))
    soundfile.write(path, noise, 16_000)


def write_metadata_corpus(folder: Path, tasks: list[dict]) -> Path:
    """A folder with metadata.csv whose columns fit the tasks of a YAML, every clip with every label."""
    header, rows = ["file_name", "speaker", "split"], []
    for task in tasks:
        header += task["labels"] if task["kind"] == "intensities" else [task["name"]]
    number = 0
    for split, count in CLIPS.items():
        for clip in range(count):
            row = [f"audio/{number}.wav", f"speaker_{number}", split]
            for task in tasks:
                if task["kind"] == "intensities":
                    row += np.eye(len(task["labels"]))[clip % len(task["labels"])].tolist()
                elif task["kind"] == "scalar":
                    row.append(task["range"][0] + clip)
                else:
                    row.append(task["labels"][clip % len(task["labels"])])
            rows.append(row)
            write_noise(folder / "audio" / f"{number}.wav", number)
            number += 1
    with open(folder / "metadata.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder
