"""The results of an audit as Markdown, and its leakage matrix as rows of a printed table."""

from collections.abc import Sequence
from typing import Any

from paravox.evaluation.audited_corpus import TASK_OF_CLIP
from paravox.evaluation.leakage import DISCRIMINATOR, ERRORS, LEAKAGE, MEAN_OVER_TASKS

METRIC_TITLES = {"ccc": "CCC", "r2": "R²", "mae": "MAE", "uar": "UAR", "mean_error": "mean error"}
# Of an audit's scores, those that its leakage matrix shows.
SHOWN = {"intensities": ("ccc",), "scalar": ("r2", "mae"), "classes": ("uar",)}
NO_CLIP = "No clip has both labels, or fewer than two speakers share one."


def printed_rows(results: dict[str, Any]) -> dict[str, dict[str, dict[str, float | None]]]:
    """The leakage matrices as rows of [`print_scores`].

    Args:
        results (`dict`): what the results file of the audit holds.
    """
    columns = [(target["name"], metric) for target in results["targets"] for metric in SHOWN[target["kind"]]]
    rows = {
        f"{name}: {representation}": {
            "": {f"{target}_{metric}": scores[target][metric]["value"] for target, metric in columns}
        }
        for name, mean in results["means"].items()
        for representation, scores in mean[LEAKAGE].items()
    }
    chance = {f"{target}_{metric}": results["chance"][target][metric] for target, metric in columns}
    return rows | {"chance": {"": chance}}


def as_markdown(results: dict[str, Any]) -> str:
    """The whole audit as Markdown: the leakage matrix of each name, the discriminators, and the errors by label.

    Args:
        results (`dict`): what the results file of the audit holds.
    """
    parts = [
        f"# Audit: {results['corpus']}, {results['split']}",
        "Values with 95 % intervals from a bootstrap over speakers. Chance is a constant prediction fitted on Train. "
        f"Probes were fitted on {results['clips']['train']:,} Train clips and scored on {results['clips']['scored']:,} "
        f"clips of {results['speakers']['scored']:,} other speakers.",
        "## What probes predict from each representation",
    ]
    for name, mean in results["means"].items():
        parts += [f"### {_title(name, mean)}", _leakage_table(mean[LEAKAGE], results)]
    parts += ["## How often the discriminator names the task of a clip", _discriminator_table(results)]
    parts += ["## Errors by the labels of other tasks", *_error_tables(results)]
    return "\n\n".join(parts) + "\n"


def _title(name: str, mean: dict[str, Any]) -> str:
    return name if mean["models"] == 1 else f"{name}, mean of {mean['models']} models"


def _leakage_table(leakage: dict[str, Any], results: dict[str, Any]) -> str:
    targets, chance = results["targets"], results["chance"]
    columns = [(target, metric) for target in targets for metric in SHOWN[target["kind"]]]
    header = ["representation", *(_column_title(target, metric) for target, metric in columns)]
    rows = [
        [representation, *(_cell(scores[target["name"]][metric]) for target, metric in columns)]
        for representation, scores in leakage.items()
    ]
    last = ["chance", *(_number(chance[target["name"]][metric]) for target, metric in columns)]
    return _table(header, [*rows, last])


def _column_title(target: dict[str, Any], metric: str) -> str:
    unit = f" ({target['unit']})" if target.get("unit") and metric in ("mae", "mean_error") else ""
    return f"{target['name']} {METRIC_TITLES[metric]}{unit}"


def _discriminator_table(results: dict[str, Any]) -> str:
    tasks = results["tasks"]
    columns = [*(task["name"] for task in tasks), MEAN_OVER_TASKS]
    rows = [
        [_title(name, mean), *(_cell(mean[DISCRIMINATOR].get(column)) for column in columns)]
        for name, mean in results["means"].items()
        if DISCRIMINATOR in mean
    ]
    if not rows:
        return "No model has a discriminator."
    return _table(["", *columns], [*rows, ["chance", *[_number(1 / len(tasks))] * len(columns)]])


def _error_tables(results: dict[str, Any]) -> list[str]:
    parts = []
    for task in results["tasks"]:
        for by in (*results["tasks"], *results["groups"]):
            if by["name"] in (task["name"], TASK_OF_CLIP):
                continue
            parts.append(f"### {task['name']} by {by['name']}")
            groups = [
                group for group in results["error_groups"] if (group["task"], group["by"]) == (task["name"], by["name"])
            ]
            parts.append(_error_table(task, groups, results["means"]) if groups else NO_CLIP)
    return parts


def _error_table(task: dict[str, Any], groups: Sequence[dict[str, Any]], means: dict[str, Any]) -> str:
    first = groups[0]
    scores = {name: mean[ERRORS][task["name"]][first["by"]] for name, mean in means.items()}
    metrics = list(next(iter(scores.values()))[first["label"]])
    titles = {name: f"{name}: " if len(means) > 1 else "" for name in means}
    header = [first["by"], "clips", "speakers"]
    header += [titles[name] + _column_title(task, metric) for name in means for metric in metrics]
    rows = [
        [group["label"], f"{group['clips']:,}", f"{group['speakers']:,}"]
        + [_cell(scores[name][group["label"]][metric]) for name in means for metric in metrics]
        for group in groups
    ]
    return _table(header, rows)


def _cell(result: dict[str, Any] | None) -> str:
    if result is None or result["value"] is None:
        return ""
    low, high = result["interval"]
    return f"{_number(result['value'])} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    # Without the sign of a zero, which means nothing.
    return f"{round(value, 3) + 0.0:.3f}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
