"""Table 2 of Burst2Vec from predictions: scores of all models and ensembles, and where they differ significantly."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paravox.evaluation.bootstrap import DRAWS, bootstrap_scores, draw_speakers, interval
from paravox.evaluation.repeated_runs import mean_of_draws
from paravox.evaluation.score_names import S_MTL
from paravox.evaluation.significance import bootstrap_test, holm, paired_test, paper_test, speaker_test
from paravox.evaluation.table_2_predictions import TablePredictions
from paravox.evaluation.table_2_suite import Suite
from paravox.inference.prediction import mean_predictions
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task
from paravox.trainers.scoring import METRICS_BY_KIND

SIGNIFICANT = 0.05
# Speakers are drawn so often that the smallest p-value of a bootstrap is this small even after Holm's correction.
_SMALLEST_P = 0.01
COMPARED_SPLIT = "val"
CONSTANT = "constant prediction"
_Predictions = dict[str, np.ndarray]
_Draws = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Row:
    """What is needed of a row on one split: its predictions by seed, and its scores in each draw of speakers."""

    predictions: dict[int, _Predictions]
    draws: dict[int, _Draws]
    mean: _Draws


def make_table(suite: Suite, saved: TablePredictions) -> dict[str, Any]:
    """Computes the table.

    A score of a row is the mean over its seeds. An ensemble is the mean over the predictions of its members, seed by
    seed. The 95 % intervals come from a bootstrap over speakers with the same draws for all rows; they do not cover
    what other seeds would give, which `sd`, the standard deviation over the seeds, shows instead.

    A row has a mark for a score on Val if the paper's test between its first seed and that of the row compared with
    gives p <= 0.05 (Burst2Vec, Table 2).

    Args:
        suite ([`Suite`]): the rows, ensembles and comparisons.
        saved ([`TablePredictions`]): the predictions of all its rows.

    Returns:
        `dict`, ready for JSON: `title`, `command`, `seeds`, `scores` (the names of those of the paper's table, S_MTL
        only where there is one task of each kind), `compared_with`, `selected_on_val`; `rows`, each with `code`,
        `name`, `settings` or `members`, and by split a `dict` from score to `value`, `interval`, `sd` (None for one
        seed), `best` and, on Val, `marks`; `comparisons`, each with `code`, `compared_with`, `mark`, `task`, `score`,
        `difference`, `interval` and p-values; and `runs`, with the seconds and machine of each.
    """
    seeds = sorted({seed for _, seed in saved.predictions})
    rows: list[dict[str, Any]] = [{"code": "", "name": CONSTANT}]
    settings = saved.about["settings"]
    rows += [{"code": row.code, "name": row.name, "settings": settings[row.code]} for row in suite.rows]
    rows += [
        {"code": ensemble.code, "name": ensemble.name, "members": list(ensemble.members)}
        for ensemble in suite.ensembles
    ]
    comparisons: list[dict[str, Any]] = []
    shown: list[str] = []
    for split, clips in saved.clips.items():
        tasks = [task for task in saved.tasks if fully_known(clips.labels[task.name]).any()]
        by_code = _score_rows(suite, saved, split, tasks, seeds)
        names = next(iter(by_code.values())).mean
        table_scores = [_score(task) for task in tasks] + [S_MTL] * (S_MTL in names)
        shown += [name for name in table_scores if name not in shown]
        constant = saved.about["constant"].get(split, {})
        rows[0][split] = {name: {"value": constant[name]} for name in names if name in constant}
        for row in rows[1:]:
            row[split] = _describe(by_code[row["code"]])
        if split == COMPARED_SPLIT:
            comparisons = _compare(suite, by_code, tasks, clips.labels, clips.speakers or [], seeds[0])
            for row in rows[1:]:
                _add_marks(row, comparisons, tasks)
        _add_best(rows, split, names)
    return {
        "title": suite.title,
        "command": saved.about["command"],
        "seeds": seeds,
        "scores": shown,
        "compared_with": suite.compared_with,
        "selected_on_val": any(entry["selected_on_val"] for entry in saved.about["runs"]),
        "rows": rows,
        "comparisons": comparisons,
        "runs": saved.about["runs"],
    }


def is_error(score: str) -> bool:
    """Whether a smaller value of a score is better."""
    return score.endswith("_mae")


def _score(task: Task) -> str:
    """The score of a task that the paper's table shows: CCC, UAR or MAE."""
    return f"{task.name}_{METRICS_BY_KIND[task.kind][0]}"


def _score_rows(
    suite: Suite, saved: TablePredictions, split: str, tasks: list[Task], seeds: Sequence[int]
) -> dict[str, _Row]:
    """All rows and ensembles by code."""
    predictions = {row.code: {seed: saved.predictions[row.code, seed][split] for seed in seeds} for row in suite.rows}
    for ensemble in suite.ensembles:
        predictions[ensemble.code] = {
            seed: mean_predictions([predictions[member][seed] for member in ensemble.members]) for seed in seeds
        }
    draws: dict[tuple[str, int], _Draws] = {}
    comparisons = len(predictions) * len(suite.compared_with) * len(tasks) if split == COMPARED_SPLIT else 0
    # One block of draws after the other, because all of them would not fit into the memory for a large corpus.
    for block in range(_blocks(comparisons)):
        counts = draw_speakers(saved.clips[split].speakers or [], seed=block)
        for code, by_seed in predictions.items():
            for seed, values in by_seed.items():
                scores = bootstrap_scores(tasks, values, saved.clips[split].labels, counts)
                before = draws.get((code, seed))
                # The first entry of every block is the score itself.
                draws[code, seed] = scores if before is None else _joined(before, scores)
    by_code = {code: {seed: draws[code, seed] for seed in by_seed} for code, by_seed in predictions.items()}
    return {
        code: _Row(predictions[code], by_seed, mean_of_draws(by_seed.values())) for code, by_seed in by_code.items()
    }


def _blocks(comparisons: int) -> int:
    """How many times [`DRAWS`] speakers are drawn, so that a corrected p-value can be small."""
    return max(1, math.ceil(2 * comparisons / _SMALLEST_P / DRAWS))


def _joined(before: _Draws, block: _Draws) -> _Draws:
    return {name: np.concatenate([before[name], values[1:]]) for name, values in block.items()}


def _describe(row: _Row) -> dict[str, dict[str, Any]]:
    scores: dict[str, dict[str, Any]] = {}
    for name, values in row.mean.items():
        by_seed = [float(draws[name][0]) for draws in row.draws.values()]
        spread = round(float(np.std(by_seed, ddof=1)), 4) if len(by_seed) > 1 else None
        scores[name] = {"value": round(float(values[0]), 4), "interval": interval(values), "sd": spread}
    return scores


def _compare(
    suite: Suite,
    rows: dict[str, _Row],
    tasks: list[Task],
    labels: dict[str, np.ndarray],
    speakers: list[str],
    seed: int,
) -> list[dict[str, Any]]:
    """The tests of every row against every row that is compared with, for every task."""
    found: list[dict[str, Any]] = []
    for mark, reference in suite.compared_with.items():
        for code in rows:
            for task in tasks if code != reference else ():
                first, second = (rows[name].predictions[seed][task.name] for name in (code, reference))
                draws, reference_draws = (rows[name].mean[_score(task)] for name in (code, reference))
                found.append(
                    {
                        "code": code,
                        "compared_with": reference,
                        "mark": mark,
                        "task": task.name,
                        "score": _score(task),
                        "difference": round(float(draws[0] - reference_draws[0]), 4),
                        "interval": interval(draws - reference_draws),
                        "p_paper": paper_test(task, first, second, labels[task.name]),
                        "p_paired": paired_test(task, first, second, labels[task.name]),
                        "p_speakers": speaker_test(task, first, second, labels[task.name], speakers),
                        "p_bootstrap": bootstrap_test(draws, reference_draws),
                    }
                )
    _correct(found)
    for comparison in found:
        comparison["significant"] = bool(comparison["p_paper"] <= SIGNIFICANT)
        for name in [name for name in comparison if name.startswith("p_")]:
            p = comparison[name]
            comparison[name] = None if np.isnan(p) else float(f"{p:.4g}")
    return found


def _correct(comparisons: Iterable[dict[str, Any]]) -> None:
    """Adds Holm's correction over all comparisons. Two rows that are compared both ways count as one comparison."""
    by_pair: dict[tuple[frozenset[str], str], list[dict[str, Any]]] = {}
    for comparison in comparisons:
        pair = frozenset((comparison["code"], comparison["compared_with"]))
        by_pair.setdefault((pair, comparison["task"]), []).append(comparison)
    corrected = holm([same[0]["p_bootstrap"] for same in by_pair.values()]) if by_pair else []
    for same, p in zip(by_pair.values(), corrected, strict=True):
        for comparison in same:
            comparison["p_bootstrap_holm"] = p


def _add_marks(row: dict[str, Any], comparisons: list[dict[str, Any]], tasks: list[Task]) -> None:
    for task in tasks:
        score = _score(task)
        significant = [
            comparison["mark"]
            for comparison in comparisons
            if comparison["code"] == row["code"] and comparison["task"] == task.name and comparison["significant"]
        ]
        row[COMPARED_SPLIT][score]["marks"] = "".join(significant)


def _add_best(rows: list[dict[str, Any]], split: str, scores: Iterable[str]) -> None:
    """Says of every value whether no row has a better one; equal values are equally good."""
    for score in scores:
        entries = [row[split][score] for row in rows if score in row[split]]
        values = [entry["value"] for entry in entries]
        best = min(values) if is_error(score) else max(values)
        for entry in entries:
            entry["best"] = entry["value"] == best
