"""Predictions for a table like Table 2 with known effects: which models are better at what, and which are alike."""

from pathlib import Path

import little_runs
import numpy as np
import yaml

from paravox.evaluation.finished_run import FinishedRun
from paravox.evaluation.predictions_file import write_predictions
from paravox.evaluation.table_2_suite import Suite, parse_suite

SEEDS = (1, 2)
SPEAKERS, CLIPS_EACH = 50, 6
CLIPS = SPEAKERS * CLIPS_EACH
# Per row: the noise of the emotions, the spread of the error in age in years, and the share of right countries. V 2
# truly differs from V1 in age alone, where it is worse. V3 is better at emotion and country.
EFFECTS = {"V1": (0.3, 4.0, 0.7), "V 2": (0.3, 7.0, 0.7), "V3": (0.1, 4.0, 0.95)}
SUITE = {
    "title": "Planted, 100 % known",
    "seeds": list(SEEDS),
    "rows": [
        {"code": "V1", "name": "first_model", "settings": "first.yaml"},
        {"code": "V 2", "name": "worse at age", "settings": "first.yaml", "options": {"adversarial": False}},
        {"code": "V3", "name": "better", "settings": "raw.yaml"},
    ],
    "ensembles": [{"code": "Ensemble A", "members": ["V1", "V 2"]}],
    "compared_with": {"♣": "V1", "♦": "V3"},
}
SETTINGS = {
    "first.yaml": {"encoder": "owner/large", "tasks": little_runs.TASKS},
    "raw.yaml": {"encoder": "owner/base", "corpus": "exvo", "audio": "raw", "tasks": little_runs.TASKS},
}


def write_suite(folder: Path, **changes) -> Path:
    """A suite file, with the YAML files of its rows."""
    for name, settings in SETTINGS.items():
        (folder / name).write_text(yaml.safe_dump(settings))
    file = folder / "suite.yaml"
    # In the given order: opensmile imports oyaml, which keeps PyYAML from sorting keys in the whole process.
    file.write_text(yaml.safe_dump(SUITE | changes, allow_unicode=True, sort_keys=False))
    return file


def read_suite(file: Path) -> Suite:
    return parse_suite(yaml.safe_load(file.read_text()), file)


def true_labels(split: str) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(len(split))
    return {
        "emotion": generator.random((CLIPS, 3)).astype(np.float32),
        "age": generator.uniform(30, 70, CLIPS).astype(np.float32),
        "country": np.arange(CLIPS) % 2,
    }


def speakers(split: str) -> list[str]:
    return [f"{split} {clip // CLIPS_EACH}" for clip in range(CLIPS)]


def predicted(split: str, code: str, seed: int) -> dict[str, np.ndarray]:
    """What a row predicts. All its errors depend on the row, but for the countries of V1 and V2, which are the same."""
    noise, spread, hits = EFFECTS[code]
    labels = true_labels(split)
    generator = np.random.default_rng([len(split), seed, list(EFFECTS).index(code)])
    emotion = labels["emotion"] + generator.normal(scale=noise, size=(CLIPS, 3))
    age = labels["age"] + generator.normal(scale=spread, size=CLIPS)
    wrong = np.random.default_rng([len(split), seed]).random(CLIPS) >= hits
    sure = np.random.default_rng(seed).uniform(0.6, 0.9, CLIPS)[:, None]
    country = np.eye(2)[np.where(wrong, 1 - labels["country"], labels["country"])]
    return {
        "emotion": emotion.clip(0, 1).astype(np.float32),
        "age": age.astype(np.float32),
        "country": (country * sure + (1 - country) * (1 - sure)).astype(np.float32),
    }


def write_run(folder: Path, code: str, seed: int) -> FinishedRun:
    """What a run of a row leaves."""
    little_runs.write_run(folder, 1.0)
    for split in ("val", "test"):
        clips = [f"/data/{clip}.wav" for clip in range(CLIPS)]
        file = folder / "predictions" / f"{split}.npz"
        write_predictions(file, predicted(split, code, seed), true_labels(split), speakers(split), clips)
    return FinishedRun(folder)


def write_runs(folder: Path) -> dict[tuple[str, int], FinishedRun]:
    return {(code, seed): write_run(folder / f"{code}_{seed}", code, seed) for code in EFFECTS for seed in SEEDS}
