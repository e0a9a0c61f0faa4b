"""The predictions behind a table, small enough to be kept beside it, so that all its numbers can be computed again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paravox.evaluation.bootstrap import bootstrap_scores
from paravox.evaluation.finished_run import FinishedRun
from paravox.evaluation.predictions_file import SavedPredictions, read_predictions, write_predictions
from paravox.evaluation.repeated_runs import same_clips, same_tasks
from paravox.evaluation.score_names import SPLIT_TITLES, is_score
from paravox.evaluation.table_2_suite import file_name
from paravox.modeling.errors import CheckpointError
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task, parse_tasks
from paravox.trainers.files import write_text

ABOUT = "runs.json"
CLIPS = "clips"
# Predictions from 0 to 1 are kept in steps of this size, all of which float16 holds exactly.
_STEP = 2.0**-11
# The most that a score may differ because of it.
TOLERANCE = 1e-4

Run = tuple[str, int]
"""The code of a row, and a seed."""


@dataclass(frozen=True)
class TablePredictions:
    """What a table is computed from.

    Args:
        tasks (list of [`Task`]): of all runs.
        predictions (`dict`): by run, split (`val` or `test`) and task.
        clips (`dict` of [`SavedPredictions`]): by split, the labels, speakers and file names that all runs share.
        about (`dict`): what is known of the runs beside their predictions: `constant`, the scores of the constant
            prediction; `settings` by code, as in [`row_facts`]; `runs`, the seconds and machine of each; and `command`.
    """

    tasks: list[Task]
    predictions: dict[Run, dict[str, dict[str, np.ndarray]]]
    clips: dict[str, SavedPredictions]
    about: dict[str, Any]


def keep_predictions(
    folder: Path, runs: Mapping[Run, FinishedRun], settings: Mapping[str, dict[str, Any]], command: str
) -> None:
    """Copies the predictions of finished runs into one folder.

    Each run and split has a file such as `V1_1_val.npz`. Labels, speakers and file names are the same for all runs and
    stand in `clips_val.npz`. Predictions for clips whose label is unknown count nowhere and are left out as NaN.
    Intensities and probabilities are rounded to steps of 1/2048, unless that changes a score by 0.0001 or more. A
    split without labels is left out.

    Args:
        folder (`Path`): made if it does not exist.
        runs (`dict` of [`FinishedRun`]): by code and seed, all on the same corpus.
        settings (`dict`): by code, as in [`row_facts`].
        command (`str`): how the table was made.

    Raises:
        CheckpointError: if the runs have different tasks, labels or speakers, or were saved without them.
    """
    tasks = same_tasks(list(runs.values()))
    saved = {run: finished.predictions() for run, finished in runs.items()}
    for split in SPLIT_TITLES.values():
        labels, speakers = same_clips({runs[run].folder: saved[run].get(split) for run in runs})
        known = [task for task in tasks if task.name in labels and fully_known(labels[task.name]).any()]
        if not known:
            continue
        clips = next(iter(saved.values()))[split].clips
        write_predictions(folder / f"{CLIPS}_{split}.npz", {}, labels, speakers, clips)
        for run, by_split in saved.items():
            small = _small(known, by_split[split].predictions, labels)
            write_predictions(folder / _file(run, split), small, {}, None, None)
    results = {run: finished.results for run, finished in runs.items()}
    constant: dict[str, dict[str, float]] = next(
        (found["constant"] for found in results.values() if "constant" in found), {}
    )
    about = {
        "command": command,
        "tasks": [task.to_dict() for task in tasks],
        "constant": {
            split: {name: round(value, 4) for name, value in scores.items() if is_score(name)}
            for split, scores in constant.items()
        },
        "settings": dict(settings),
        "runs": [
            {
                "code": code,
                "seed": seed,
                "seconds": results[code, seed].get("seconds"),
                "machine": results[code, seed].get("machine"),
                "selected_on_val": finished.selected_on_val,
            }
            for (code, seed), finished in runs.items()
        ],
    }
    write_text(folder / ABOUT, json.dumps(about, indent=1) + "\n")


def read_table_predictions(folder: Path, codes: Sequence[str], seeds: Sequence[int] | None) -> TablePredictions:
    """Reads what [`keep_predictions`] wrote.

    Args:
        folder (`Path`).
        codes (sequence of `str`): of the rows to read.
        seeds (sequence of `int`, *optional*): by default all that the folder holds.

    Raises:
        CheckpointError: if the folder lacks one of the runs.
    """
    if not (folder / ABOUT).is_file():
        raise CheckpointError(f"{folder} holds no predictions of a table: give the folder beside its results file")
    about = json.loads((folder / ABOUT).read_text())
    found = [(entry["code"], entry["seed"]) for entry in about["runs"]]
    chosen = list(dict.fromkeys(seed for _, seed in found)) if seeds is None else seeds
    runs = [(code, seed) for code in codes for seed in chosen]
    missing = [f"{code} with seed {seed}" for code, seed in runs if (code, seed) not in found]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}: leave them out by --rows and --seeds")
    files = {split: folder / f"{CLIPS}_{split}.npz" for split in SPLIT_TITLES.values()}
    clips = {split: read_predictions(file) for split, file in files.items() if file.is_file()}
    predictions = {run: {split: _read(folder / _file(run, split)) for split in clips} for run in runs}
    about["runs"] = [entry for entry in about["runs"] if (entry["code"], entry["seed"]) in runs]
    return TablePredictions(parse_tasks(about["tasks"]), predictions, clips, about)


def _read(file: Path) -> dict[str, np.ndarray]:
    return {task: values.astype(np.float32) for task, values in read_predictions(file).predictions.items()}


def _file(run: Run, split: str) -> str:
    code, seed = run
    return f"{file_name(code)}_{seed}_{split}.npz"


def _small(
    tasks: list[Task], predictions: dict[str, np.ndarray], labels: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The predictions of the clips with known labels, in as few bits as their scores allow."""
    exact, small = {}, {}
    for task in tasks:
        known = fully_known(labels[task.name])
        values = np.asarray(predictions[task.name], np.float32)
        exact[task.name] = np.where(known.reshape(-1, *[1] * (values.ndim - 1)), values, np.float32(np.nan))
        small[task.name] = exact[task.name] if task.kind == "scalar" else _rounded(exact[task.name])
    each_clip_once = np.ones((1, len(next(iter(exact.values())))))
    before, after = (bootstrap_scores(tasks, kept, labels, each_clip_once) for kept in (exact, small))
    return small if all(abs(before[name][0] - after[name][0]) < TOLERANCE for name in before) else exact


def _rounded(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1 as float16, the first of the largest values of a clip still being the first of them."""
    steps = np.round(values / _STEP)
    top = values.argmax(axis=1)[:, None]
    # A smaller value before the largest one must not become as large by rounding, or it would be taken for it.
    before = np.arange(values.shape[1]) < top
    steps -= before & (steps == np.take_along_axis(steps, top, axis=1))
    return (steps * _STEP).astype(np.float16)
