"""Compares runs of several seeds: means, differences to the frozen head, ensembles, intervals and learning curves."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from paravox.evaluation.bootstrap import bootstrap_scores, draw_speakers, interval
from paravox.evaluation.finished_run import FROZEN_HEAD, FinishedRun
from paravox.evaluation.predictions_file import SavedPredictions
from paravox.evaluation.score_names import SPLIT_TITLES, is_score
from paravox.inference.prediction import mean_predictions
from paravox.modeling.errors import CheckpointError
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task

ADVERSARIAL = "adversarial"
NO_ADVERSARIAL = "no_adversarial"
Runs = Mapping[tuple[str, int], FinishedRun]
"""Finished runs by variant and seed, such as `("adversarial", 1)`."""


def compare(runs: Runs) -> dict:
    """Scores every run, and every variant over the seeds, with 95 % intervals from the same draws of speakers.

    Args:
        runs ([`Runs`]): all of them on the same corpus. `"frozen_head"` is the variant that the others are compared
            with.

    Returns:
        `dict`: `runs`, a list with the scores of each; `constant`, the scores of a constant prediction that was fitted
        on Train; and by variant `means` over the seeds, `differences_to_frozen_head`, and `ensembles`, which average
        the predictions of all seeds. Each has the splits `val` and `test`, as far as they have labels.

    Raises:
        CheckpointError: if the runs have different tasks, labels or speakers, or were saved without them.
    """
    # The first stage of a run has no constant prediction of its own.
    constant = next(run.results["constant"] for run in runs.values() if "constant" in run.results)
    saved = {run: finished.predictions() for run, finished in runs.items()}
    tasks = same_tasks(list(runs.values()))
    entries = {
        (variant, seed): {"name": variant, "seed": seed, "adversarial": variant == ADVERSARIAL}
        for variant, seed in runs
    }
    variants = list(dict.fromkeys(variant for variant, _ in runs))
    summary: dict[str, dict] = {"constant": {}, "means": {}, "differences_to_frozen_head": {}, "ensembles": {}}
    for split in SPLIT_TITLES.values():
        labels, speakers = same_clips({runs[run].folder: saved[run].get(split) for run in runs})
        scored = [task for task in tasks if task.name in labels and fully_known(labels[task.name]).any()]
        if not scored:
            continue
        counts = draw_speakers(speakers)
        predictions = {run: saved[run][split].predictions for run in runs}
        draws = {run: bootstrap_scores(scored, values, labels, counts) for run, values in predictions.items()}
        for run, entry in entries.items():
            entry[split] = {name: round(float(values[0]), 4) for name, values in draws[run].items()}
            entry[f"{split}_interval"] = {name: interval(values) for name, values in draws[run].items()}
        summary["constant"][split] = {
            name: round(value, 4) for name, value in constant[split].items() if is_score(name)
        }
        means = {variant: mean_of_draws(draws[run] for run in runs if run[0] == variant) for variant in variants}
        for variant, mean in means.items():
            _add(summary["means"], variant, split, mean)
            members = [predictions[run] for run in runs if run[0] == variant]
            _add(
                summary["ensembles"],
                variant,
                split,
                bootstrap_scores(scored, mean_predictions(members), labels, counts),
            )
            if variant != FROZEN_HEAD and FROZEN_HEAD in means:
                difference = {name: values - means[FROZEN_HEAD][name] for name, values in mean.items()}
                _add(summary["differences_to_frozen_head"], variant, split, difference)
    return {"runs": list(entries.values()), **summary}


def same_tasks(runs: Sequence[FinishedRun]) -> list[Task]:
    """The tasks that several runs share. Their losses and class weights may differ, since predictions mean the same.

    Raises:
        CheckpointError: if two runs do not predict the same.
    """
    first, *others = runs
    predicted = [[(task.name, task.kind, task.labels, task.range, task.unit) for task in run.tasks] for run in runs]
    for other, tasks in zip(others, predicted[1:], strict=True):
        if tasks != predicted[0]:
            raise CheckpointError(
                f"{other.folder} has other tasks than {first.folder}: give another output_dir, or the same YAML"
            )
    return first.tasks


def same_clips(saved: dict[Path, SavedPredictions | None]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The labels and speakers that several runs share; empty if no run has predicted this split.

    Raises:
        CheckpointError: if a run lacks predictions, or was run on other clips.
    """
    folder, first = next(iter(saved.items()))
    if not any(saved.values()):
        return {}, []
    for other, predictions in saved.items():
        if predictions is None:
            raise CheckpointError(f"{other} lacks predictions that other runs have: remove the folder and run it again")
    if not first.labels or first.speakers is None:
        raise CheckpointError(
            f"the predictions in {folder} were saved without labels and speakers: remove the folder and run it again"
        )
    for other, predictions in saved.items():
        same = predictions.speakers == first.speakers and predictions.labels.keys() == first.labels.keys()
        if not same or not all(
            np.array_equal(values, predictions.labels[name], equal_nan=True) for name, values in first.labels.items()
        ):
            raise CheckpointError(
                f"{other} was run on other clips than {folder}: give another output_dir, or the same corpus"
            )
    return first.labels, first.speakers


def mean_of_draws(draws: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean over runs of their scores in each draw of speakers, as [`bootstrap_scores`] gives them."""
    draws = list(draws)
    return {name: np.mean([run[name] for run in draws], axis=0) for name in draws[0]}


def _add(table: dict, variant: str, split: str, draws: dict[str, np.ndarray]) -> None:
    table.setdefault(variant, {})[split] = {
        name: {"value": round(float(values[0]), 4), "interval": interval(values)} for name, values in draws.items()
    }


def learning_curves(runs: Runs) -> list[dict]:
    """The CCC of the first task of intensities by epoch, for every run that trained the encoder.

    Returns:
        list of `dict`: `name`, `seed`, `task`, and the points `[epoch, CCC]` of `train` and `val`. The CCC of `train`
        is the mean over batches in training mode. Epoch 0 of `val` is the frozen head that the run began with, if it
        had one. Empty if no task has intensities.
    """
    curves = []
    for (variant, seed), run in runs.items():
        task = next((task.name for task in run.tasks if task.kind == "intensities"), None)
        log = run.log
        if task is None or variant == FROZEN_HEAD or log is None:
            continue
        loss, score = f"loss/{task}/joint", f"eval_{task}_ccc"
        entries = log["log_history"]
        train_points = [(entry["epoch"], 1 - entry[loss]) for entry in entries if loss in entry]
        val_points = [(entry["epoch"], entry[score]) for entry in entries if score in entry]
        start = run.frozen_head.results.get("val", {}) if run.frozen_head is not None else {}
        if f"{task}_ccc" in start:
            val_points.insert(0, (0, start[f"{task}_ccc"]))
        points = {"train": train_points, "val": val_points}
        rounded = {split: [[round(number, 4) for number in point] for point in points[split]] for split in points}
        curves.append({"name": variant, "seed": seed, "task": task, **rounded})
    return curves


def table_rows(results: dict) -> dict[str, dict[str, dict[str, float]]]:
    """The rows of the printed table: the constant prediction, then the means and the ensembles of the variants.

    Args:
        results (`dict`): what the results file holds.
    """
    rows = {"constant prediction": results["constant"]}
    for part, ending in (("means", ""), ("ensembles", ", ensemble")):
        for variant, splits in results[part].items():
            rows[variant.replace("_", " ") + ending] = {
                split: {name: score["value"] for name, score in scores.items()} for split, scores in splits.items()
            }
    return rows
