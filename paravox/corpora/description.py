"""What a corpus holds: clips, hours, speakers, lengths and labels of each split, as plain data and as tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from rich.table import Table
from rich.text import Text

from paravox.modeling.losses import UNKNOWN_CLASS, fully_known
from paravox.modeling.tasks import Task
from paravox.trainers.multi_task_dataset import MultiTaskDataset

QUANTILES = {"min": 0.0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "max": 1.0}


def describe_split(clips: Dataset, dataset: MultiTaskDataset) -> dict[str, Any]:
    """Counts what one split of a corpus holds.

    Args:
        clips (`datasets.Dataset`): the split as its reader returns it.
        dataset ([`MultiTaskDataset`]): the same clips with the tasks to describe.

    Returns:
        `dict` with `clips`, `hours`, `speakers` (known ones; 0 if the corpus has none), the quantiles of `seconds`, and
        `labels`: what [`describe_labels`] returns for each task.
    """
    speakers = set(clips["speaker"]) if "speaker" in clips.column_names else set()
    return {
        "clips": len(dataset),
        "hours": round(float(dataset.seconds.sum()) / 3600, 3),
        "speakers": len(speakers - {None, ""}),
        "seconds": _quantiles(dataset.seconds),
        "labels": {task.name: describe_labels(task, dataset.labels[task.name]) for task in dataset.tasks},
    }


def describe_labels(task: Task, labels: np.ndarray) -> dict[str, Any]:
    """Counts how many clips have a label of a task, and how the labels are distributed.

    Args:
        task ([`Task`]).
        labels (`np.ndarray`): as [`read_labels`] returns them; a clip of which one intensity is unknown does not count.

    Returns:
        `dict` with `known`, the number of labelled clips, and for classes the `counts` by label; for a scalar its
        quantiles; for intensities the `mean` of each label and in how many clips it is the `strongest`.
    """
    if task.kind == "classes":
        counts = {label: int((labels == position).sum()) for position, label in enumerate(task.labels)}
        return {"known": int((labels != UNKNOWN_CLASS).sum()), "counts": counts}
    known = labels[fully_known(labels)]
    if task.kind == "scalar":
        return {"known": len(known), **_quantiles(known)}
    strongest = np.bincount(known.argmax(axis=1), minlength=task.outputs) if len(known) else [0] * task.outputs
    means = known.mean(axis=0) if len(known) else []
    return {
        "known": len(known),
        "mean": {label: round(float(mean), 4) for label, mean in zip(task.labels, means, strict=False)},
        "strongest": {label: int(count) for label, count in zip(task.labels, strongest, strict=True)},
    }


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    return {name: round(float(np.quantile(values, share)), 3) for name, share in QUANTILES.items()}


def description_tables(description: dict[str, dict[str, Any]], tasks: Sequence[Task]) -> list[Table]:
    """Makes the tables of a description: one row per split for the clips, then one column per split for each task.

    Args:
        description (`dict`): from the name of a split to what [`describe_split`] returns.
        tasks (sequence of [`Task`]): those that were described.
    """
    clips = Table(title="Clips", title_justify="left")
    for column in ("split", "clips", "hours", "speakers", "seconds: min", "median", "max"):
        clips.add_column(column, justify="left" if column == "split" else "right")
    for split, values in description.items():
        numbers = [f"{values['clips']:,}", f"{values['hours']:.2f}", f"{values['speakers']:,}"]
        clips.add_row(split, *numbers, *(f"{values['seconds'][name]:.2f}" for name in ("min", "median", "max")))
    labels = {split: values["labels"] for split, values in description.items()}
    return [clips, *(_label_table(task, {split: labels[split][task.name] for split in labels}) for task in tasks)]


def _label_table(task: Task, labels: dict[str, dict[str, Any]]) -> Table:
    contents = {"classes": "clips", "scalar": task.unit or "value", "intensities": "clips in which it is strongest"}
    # As Text, because a label such as [laugh] would be read as markup.
    table = Table(title=Text(f"{task.name} ({contents[task.kind]})", style="table.title"), title_justify="left")
    table.add_column("")
    for split in labels:
        table.add_column(split, justify="right")
    table.add_row("labelled clips", *(f"{values['known']:,}" for values in labels.values()))
    key = {"classes": "counts", "intensities": "strongest"}.get(task.kind)
    for row in task.labels if key else QUANTILES:
        cells = [values[key][row] if key else values.get(row) for values in labels.values()]
        title = row if key else row.replace("_", " ")
        table.add_row(Text(title), *("" if cell is None else f"{cell:,g}" for cell in cells))
    return table
