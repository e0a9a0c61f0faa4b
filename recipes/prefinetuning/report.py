"""Make figures 2 to 4, Table 1, baselines and paired tests of a few-shot study from its results file alone.

    python recipes/prefinetuning/report.py runs/open_few_shot/results.sqlite --output_dir runs/open_few_shot/report

Each figure is a PNG, an SVG and a csv with its numbers. Each table is a Markdown file and a csv. summary.json counts
the trials. Trials that lack shots, failed or were not run are counted on every figure and below every table. Intervals
are 95 % intervals over speakers. A study that is not complete gives a report of what there is.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from paravox.modeling.errors import ConfigError
from paravox.runs.program import run
from paravox.study.figures import plot_figure_2, plot_figure_3, plot_figure_4
from paravox.study.report_tables import (
    TextTable,
    baselines_table,
    figure_2_table,
    figure_3_table,
    paired_tests_table,
    summarize,
    table_1,
)
from paravox.study.statistics import figure_4_numbers, read_results
from paravox.trainers.files import write_text


def main(argv: list[str] | None = None) -> None:
    """Writes the report into the output folder and prints its tables.

    Raises:
        ConfigError: if the file is no results file or the folder cannot be made.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("results", type=Path, help="the results.sqlite that few_shot.py wrote")
    parser.add_argument("--output_dir", type=Path, required=True, help="the folder for figures and tables")
    arguments = parser.parse_args(argv)
    results, folder = read_results(arguments.results), arguments.output_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output_dir {folder} cannot be made ({error.strerror}): give another folder") from None

    console = Console(width=None if sys.stdout.isatty() else 120)
    written = []
    for name, table, plot in (
        ("figure_2", figure_2_table(results), plot_figure_2),
        ("figure_3", figure_3_table(results), plot_figure_3),
    ):
        print_table(console, table)
        written += [write_csv(table.numbers, folder / f"{name}.csv"), *plot(table.numbers, results, folder)]
    numbers = figure_4_numbers(results)
    written += [write_csv(numbers, folder / "figure_4.csv"), *plot_figure_4(numbers, results, folder)]
    for name, table in (
        ("table_1", table_1(results)),
        ("baselines", baselines_table(results)),
        ("paired_tests", paired_tests_table(results)),
    ):
        print_table(console, table)
        note = f"{results.coverage}. {results.method}."
        written += [write_csv(table.numbers, folder / f"{name}.csv"), folder / f"{name}.md"]
        write_text(written[-1], f"{table.title}\n\n{table.as_markdown()}\n\n{note}\n")
    written.append(folder / "summary.json")
    write_text(written[-1], json.dumps(summarize(results), indent=2) + "\n")
    console.print(f"{results.coverage} ({results.method})", markup=False, highlight=False)
    if results.outside:
        console.print(f"{results.outside:,} trials of the file are not in the study's grid and were left out")
    print("written:", ", ".join(map(str, written)))


def print_table(console: Console, table: TextTable) -> None:
    """Prints a table, with numbers aligned to the right."""
    # As Text, because brackets in a name would be read as markup.
    shown = Table(title=Text(table.title, style="table.title"), title_justify="left")
    for title, cells in zip(table.header, zip(*table.rows, strict=True), strict=True):
        is_text = all(cell[:1].isalpha() or not cell for cell in cells)
        shown.add_column(title, justify="left" if is_text else "right")
    for row in table.rows:
        shown.add_row(*map(Text, row))
    console.print(shown)


def write_csv(numbers: pd.DataFrame, path: Path) -> Path:
    """Writes the numbers of a figure or table, and returns the path."""
    write_text(path, numbers.to_csv(index=False, float_format="%.6g"))
    return path


if __name__ == "__main__":
    run(main)
