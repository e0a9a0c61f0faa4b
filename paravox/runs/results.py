"""What a training run leaves: scores of its splits, predictions, and results.json."""

import json
from pathlib import Path
from typing import Any

from paravox.evaluation.baselines import constant_predictions
from paravox.evaluation.predictions_file import SavedPredictions, read_predictions, write_predictions
from paravox.evaluation.score_names import SPLIT_TITLES, only_scores
from paravox.modeling.tasks import Task
from paravox.trainers.files import write_text
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.multi_task_trainer import MultiTaskTrainer
from paravox.trainers.scoring import score_split

PREDICTIONS = "predictions"

Scores = dict[str, dict[str, float]]
"""By split, as `val` and `test`, and by name of the score."""


def score_splits(trainer: MultiTaskTrainer, datasets: dict[str, MultiTaskDataset]) -> Scores:
    """Scores Val and Test, whichever there are, and writes their predictions to `output_dir/predictions/`.

    Args:
        trainer ([`MultiTaskTrainer`]): whose model is scored.
        datasets (`dict` of [`MultiTaskDataset`]): by split.

    Returns:
        [`Scores`]: without losses and timings.
    """
    scores = {}
    for split, title in SPLIT_TITLES.items():
        if split in datasets:
            dataset = datasets[split]
            output: Any = trainer.predict(dataset, metric_key_prefix=title)
            named = {name.removeprefix(f"{title}_"): value for name, value in output.metrics.items()}
            scores[title] = only_scores(named)
            if trainer.is_world_process_zero():
                file = Path(trainer.args.output_dir) / PREDICTIONS / f"{title}.npz"
                write_predictions(file, output.predictions, dataset.labels, dataset.speakers, dataset.files)
    return scores


def score_constant(tasks: list[Task], datasets: dict[str, MultiTaskDataset]) -> Scores:
    """Scores the constant prediction that Train's labels suggest on Val and Test, whichever there are."""
    labels = datasets["train"].labels
    return {
        title: score_split(tasks, constant_predictions(tasks, labels, len(datasets[split])), datasets[split].labels)
        for split, title in SPLIT_TITLES.items()
        if split in datasets
    }


def last_predictions(*folders: Path) -> SavedPredictions | None:
    """The predictions of the last split that was scored, Test if there is one, from the first folder that has any."""
    for folder in folders:
        for title in reversed(SPLIT_TITLES.values()):
            file = folder / PREDICTIONS / f"{title}.npz"
            if file.is_file():
                return read_predictions(file)
    return None


def write_results(results: dict[str, Any], *files: str | Path | None) -> None:
    """Writes results as JSON to every file that is given, whole or not at all."""
    for file in filter(None, files):
        write_text(Path(file), json.dumps(results, indent=2) + "\n")
