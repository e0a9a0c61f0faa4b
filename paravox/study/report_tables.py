"""The tables of the report of a few-shot study, as text for the terminal and for Markdown files."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from paravox.study.statistics import (
    StudyResults,
    baseline_numbers,
    figure_2_numbers,
    figure_3_numbers,
    paired_tests,
    table_1_numbers,
)

ABSENT = "no trials"


class TextTable(NamedTuple):
    """A table that people read.

    Args:
        title (`str`): what it shows.
        header (list of `str`): one title per column.
        rows (list of list of `str`): the cells.
        numbers (`pandas.DataFrame`): what the cells were made from, unrounded.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    numbers: pd.DataFrame

    def as_markdown(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure_2_table(results: StudyResults) -> TextTable:
    """The means of figure 2: one row per number of corpora, one column per k."""
    numbers = figure_2_numbers(results)
    title = "Figure 2: mean macro F1 by number of corpora"
    return _table_by_k(title, numbers, "corpora", [_number(value, ".4f") for value in numbers["mean"]])


def figure_3_table(results: StudyResults) -> TextTable:
    """The changes of figure 3: one row per corpus, one column per k."""
    numbers = figure_3_numbers(results)
    title = "Figure 3: change of macro F1 against no pre-finetuning"
    return _table_by_k(title, numbers, "corpus", [_number(value, "+.4f") for value in numbers["difference"]])


def table_1(results: StudyResults) -> TextTable:
    """Table 1: one row per k and corpus."""
    numbers = table_1_numbers(results)
    rows = [
        [str(row.k), row.corpus, _number(row.f1_in), _number(row.f1_ex), _number(row.difference, "+.4f")]
        + [_interval(row.low, row.high, "+.4f"), str(row.cells)]
        for row in numbers.itertuples()
    ]
    header = ["k", "corpus", "F1in", "F1ex", "difference", "95 % interval", "cells"]
    return TextTable("Table 1: pre-finetuned on a corpus alone (in), on all others (ex)", header, rows, numbers)


def baselines_table(results: StudyResults) -> TextTable:
    """The baselines: one row per model, one column per k."""
    numbers = baseline_numbers(results)
    cells = [
        _number(row.mean, ".3f") + (f" {_interval(row.low, row.high, '.3f')}" if row.values else "")
        for row in numbers.itertuples(name="Row")
    ]
    return _table_by_k("Baselines: mean macro F1, 95 % interval over speakers", numbers, "model", cells)


def paired_tests_table(results: StudyResults) -> TextTable:
    """The paired tests: one row per comparison and k."""
    numbers = paired_tests(results)
    rows = [
        [row.comparison, str(row.k), str(row.speakers), _number(row.difference, "+.4f")]
        + [_interval(row.low, row.high, "+.4f"), _p_value(row.p), _p_value(row.p_holm), row.note]
        for row in numbers.itertuples()
    ]
    header = ["comparison", "k", "speakers", "difference", "95 % interval", "p", "p (Holm)", "note"]
    return TextTable("Pre-finetuned against not: Wilcoxon over speakers", header, rows, numbers)


def summarize(results: StudyResults) -> dict[str, object]:
    """How many trials have which status, and what the study was."""
    about = ("mode", "layer", "selection", "corpora", "speakers", "seed")
    return results.counts | {"outside_grid": results.outside} | {name: results.study.get(name) for name in about}


def _table_by_k(title: str, numbers: pd.DataFrame, key: str, cells: list[str]) -> TextTable:
    """A table with one column per k and one row per value of `key`; `cells` has one text per row of the numbers."""
    text = dict(zip(zip(numbers[key], numbers["k"], strict=True), cells, strict=True))
    shots = numbers["k"].unique()
    rows = [[str(name), *(text[name, k] for k in shots)] for name in numbers[key].unique()]
    return TextTable(title, [key, *(f"k = {k}" for k in shots)], rows, numbers)


def _number(value: float, style: str = ".4f") -> str:
    return format(value, style) if np.isfinite(value) else ABSENT


def _interval(low: float, high: float, style: str) -> str:
    return f"[{low:{style}}, {high:{style}}]" if np.isfinite(low) else "no interval"


def _p_value(p: float) -> str:
    return f"{p:.4f}" if np.isfinite(p) else "-"
