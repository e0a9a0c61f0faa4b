"""Small recordings and corpora that several tests write into their own folders."""

import csv
from pathlib import Path

import numpy as np
import soundfile

# How many clips each split of [`write_metadata_corpus`] and [`write_exvo_corpus`] has.
CLIPS = {"train": 8, "validation": 6, "test": 6}
# As ExVo numbers its countries, and its emotions in the order of its table.
COUNTRIES = ("China", "South Africa", "USA", "Venezuela")
EMOTIONS = (
    *("Awe", "Excitement", "Amusement", "Awkwardness", "Fear", "Horror", "Distress", "Triumph", "Sadness", "Surprise"),
)


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


def write_exvo_corpus(folder: Path, clips_per_speaker: int = 1) -> Path:
    """ExVo's tree with a few bursts, in both kinds of audio. Test has no speakers and no labels, as in ExVo."""
    rows, number = [], 0
    for split, title in (("train", "Train"), ("validation", "Val"), ("test", "Test")):
        for clip in range(CLIPS[split]):
            emotions = np.eye(10)[clip % 10] * 1.0 + 0.1 * (clip % 3 > 0) * (1 - np.eye(10)[clip % 10])
            country = clip // clips_per_speaker % 4
            labels = [country, COUNTRIES[country], 20 + 2 * clip, *emotions] if split != "test" else [""] * 13
            speaker = f"Speaker_{number // clips_per_speaker}" if split != "test" else ""
            rows.append([f"[{number:05d}]", title, speaker, *labels])
            for kind in ("wav", "raw"):
                write_noise(folder / kind / f"{number:05d}.wav", number, 0.2 + 0.02 * clip)
            number += 1
    with open(folder / "data_info.csv", "w", newline="") as file:
        header = ["File_ID", "Split", "Subject_ID", "Country", "Country_string", "Age", *EMOTIONS]
        csv.writer(file).writerows([header, *rows])
    return folder
