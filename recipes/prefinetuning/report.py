"""Make figures 2 to 4, Table 1, baselines and paired tests of a few-shot study, from its results file alone.

    python recipes/prefinetuning/report.py runs/open_few_shot/results.sqlite --output_dir runs/open_few_shot/report

Each figure is a PNG, an SVG and a csv with its numbers; each table is Markdown and csv; summary.json counts the trials.
Trials that lack shots, failed or were not run are counted on every figure and below every table. Intervals are 95 % over
speakers. A study that is not complete gives what there is.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from paravox.modeling.errors import ConfigError
from paravox.study.figures import describe_study, draw_figure_2, draw_figure_3, draw_figure_4
from paravox.study.statistics import (
    StudyResults,
    baseline_numbers,
    figure_2_numbers,
    figure_3_numbers,
    figure_4_numbers,
    paired_tests,
    read_results,
    table_1_numbers,
)

ABSENT = "no trials"
FIGURES = {
    "figure_2": (figure_2_numbers, draw_figure_2),
    "figure_3": (figure_3_numbers, draw_figure_3),
    "figure_4": (figure_4_numbers, draw_figure_4),
}


def main(arguments: list[str] | None = None) -> None:
    """Writes the report into the output folder and prints its tables.

    Raises:
        ConfigError: if the file is no results file or the folder cannot be made.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="the results.sqlite that few_shot.py wrote")
    parser.add_argument("--output_dir", type=Path, required=True, help="where figures and tables are written")
    parsed = parser.parse_args(arguments)
    results, folder = read_results(parsed.results), parsed.output_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output_dir {folder} cannot be made ({error.strerror}): give another folder") from None

    console = Console(width=None if sys.stdout.isatty() else 120)
    written = []
    for name, (count, draw) in FIGURES.items():
        numbers = count(results)
        written += [_write_csv(numbers, folder / f"{name}.csv"), *draw(numbers, results, folder)]
        if name == "figure_2":
            _print(console, "Figure 2: mean macro F1 by number of corpora", *_by_k(numbers, "corpora", "mean", ".4f"))
        if name == "figure_3":
            title = "Figure 3: change of macro F1 against none"
            _print(console, title, *_by_k(numbers, "corpus", "difference", "+.4f"))
    for name, (title, numbers, header, rows) in tables(results).items():
        _print(console, title, header, rows)
        note = f"{results.coverage}. {describe_study(results)}."
        (folder / f"{name}.md").write_text(f"{title}\n\n{as_markdown(header, rows)}\n\n{note}\n")
        written += [_write_csv(numbers, folder / f"{name}.csv"), folder / f"{name}.md"]
    (folder / "summary.json").write_text(json.dumps(summarize(results), indent=2) + "\n")
    console.print(f"{results.coverage} ({describe_study(results)})", highlight=False)
    if results.outside:
        console.print(
            f"{results.outside:,} other trials of the file are not of the study's grid and were left out",
            highlight=False,
        )
    print("written:", ", ".join(str(path) for path in [*written, folder / "summary.json"]))


def summarize(results: StudyResults) -> dict[str, object]:
    """What summary.json holds: counts of trials, and what the study was."""
    about = ("mode", "layer", "selection", "corpora", "speakers", "seed")
    return results.counts | {"outside_grid": results.outside} | {name: results.study.get(name) for name in about}


def tables(results: StudyResults) -> dict[str, tuple[str, pd.DataFrame, list[str], list[list[str]]]]:
    """Each table's title, numbers, and header and rows as text, by the name of its file."""
    table_1, baselines, tests = table_1_numbers(results), baseline_numbers(results), paired_tests(results)
    header_1 = ["k", "corpus", "F1in", "F1ex", "difference", "95 % interval", "cells"]
    rows_1 = [
        [str(row.k), row.corpus, _number(row.f1_in), _number(row.f1_ex), _number(row.difference, "+.4f")]
        + [_interval(row.low, row.high, "+.4f"), str(row.cells)]
        for row in table_1.itertuples()
    ]
    header_tests = ["comparison", "k", "speakers", "difference", "95 % interval", "p", "p (Holm)", "note"]
    rows_tests = [
        [row.comparison, str(row.k), str(row.speakers), _number(row.difference, "+.4f")]
        + [_interval(row.low, row.high, "+.4f"), *(_p_value(p) for p in (row.p, row.p_holm)), row.note]
        for row in tests.itertuples()
    ]
    texts = [
        _number(row.mean, ".3f") + (f" {_interval(row.low, row.high, '.3f')}" if row.values else "")
        for row in baselines.itertuples(name="Row")
    ]
    cells = _by_k(baselines.assign(text=texts), "model", "text")
    return {
        "table_1": ("Table 1: pre-finetuned on a corpus alone (in), on all others (ex)", table_1, header_1, rows_1),
        "baselines": ("Baselines: mean macro F1, 95 % interval over speakers", baselines, *cells),
        "paired_tests": ("Pre-finetuned against not: Wilcoxon over speakers", tests, header_tests, rows_tests),
    }


def as_markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _by_k(numbers: pd.DataFrame, key: str, value: str, style: str = "") -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table with a column a k, rows and columns in the order of the numbers."""
    shots = list(numbers["k"].unique())
    values = numbers.set_index([key, "k"])[value]
    rows = []
    for name in numbers[key].unique():
        cells = [values[name, k] for k in shots]
        rows.append([str(name), *(cell if isinstance(cell, str) else _number(cell, style) for cell in cells)])
    return [key, *(f"k = {k}" for k in shots)], rows


def _number(value: float, style: str = ".4f") -> str:
    return format(value, style) if np.isfinite(value) else ABSENT


def _interval(low: float, high: float, style: str) -> str:
    return f"[{low:{style}}, {high:{style}}]" if np.isfinite(low) else "no interval"


def _p_value(p: float) -> str:
    return f"{p:.4f}" if np.isfinite(p) else "-"


def _print(console: Console, title: str, header: list[str], rows: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for column, cells in zip(header, zip(*rows, strict=True), strict=True):
        is_text = all(cell[:1].isalpha() or not cell for cell in cells)
        table.add_column(column, justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _write_csv(numbers: pd.DataFrame, path: Path) -> Path:
    numbers.to_csv(path, index=False, float_format="%.6g")
    return path


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"{type(error).__name__}: {error}")
