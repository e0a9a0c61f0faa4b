"""The cells of the tables, each of them the number of the table behind it."""

import pytest
from planted_study import SHOTS, planted_rows, write_results

from paravox.study.report_tables import (
    baselines_table,
    figure_2_table,
    figure_3_table,
    paired_tests_table,
    summarize,
    table_1,
)
from paravox.study.statistics import read_results


@pytest.fixture
def results(tmp_path):
    # ravdess at k = 64 has no trials, so that some cells have nothing to show.
    rows = [row for row in planted_rows() if (row["checkpoint"], row["k"]) != ("ravdess", 64)]
    return read_results(write_results(tmp_path / "results.sqlite", rows))


def test_table_1(results):
    table = table_1(results)
    assert table.header == ["k", "corpus", "F1in", "F1ex", "difference", "95 % interval", "cells"]
    for row, numbers in zip(table.rows, table.numbers.to_dict("records"), strict=True):
        assert row[:2] == [str(numbers["k"]), numbers["corpus"]] and row[6] == str(numbers["cells"])
        if row[:2] == ["64", "ravdess"]:
            assert row[2:] == ["no trials", "no trials", "no trials", "no interval", "0"]
            continue
        assert row[2:4] == [f"{numbers['f1_in']:.4f}", f"{numbers['f1_ex']:.4f}"]
        assert row[4] == f"{numbers['difference']:+.4f}"
        assert row[5] == f"[{numbers['low']:+.4f}, {numbers['high']:+.4f}]" and numbers["low"] <= numbers["high"]
    # 0.30 + 0.03 - 0.02 for ased alone, and 0.30 + 0.03 + 0.10 for the others.
    assert "| 2 | ased | 0.3100 | 0.4300 | -0.1200 |" in table.as_markdown()
    assert table.as_markdown().splitlines()[1] == "| --- | --- | --- | --- | --- | --- | --- |"


def test_paired_tests(results):
    table = paired_tests_table(results)
    for row, numbers in zip(table.rows, table.numbers.to_dict("records"), strict=True):
        interval = f"[{numbers['low']:+.4f}, {numbers['high']:+.4f}]"
        assert row[:5] == [numbers["comparison"], str(numbers["k"]), "6", f"{numbers['difference']:+.4f}", interval]
        # Six positive differences: 2 of 64 signs; three tests, each with the same p.
        assert row[5:7] == ["0.0312", "0.0938"]


def test_tables_with_one_column_per_k(results):
    for table, key, value, style in (
        (figure_2_table(results), "corpora", "mean", ".4f"),
        (figure_3_table(results), "corpus", "difference", "+.4f"),
    ):
        assert table.header == [key, *(f"k = {k}" for k in SHOTS)]
        values = table.numbers.set_index([key, "k"])[value]
        names = list(dict.fromkeys(table.numbers[key]))
        assert table.rows == [[str(name), *(format(values[name, k], style) for k in SHOTS)] for name in names]
    table = baselines_table(results)
    numbers = table.numbers.set_index(["model", "k"])
    assert [row[0] for row in table.rows] == ["always no", "none"]
    for model, *cells in table.rows:
        expected = [numbers.loc[(model, k)] for k in SHOTS]
        assert cells == [f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" for row in expected]


def test_the_summary(results):
    summary = summarize(results)
    assert [summary[name] for name in ("specified", "finished", "not_run", "outside_grid")] == [1152, 1128, 24, 0]
    assert [summary[name] for name in ("mode", "layer", "seed")] == ["head", "last", 7]
