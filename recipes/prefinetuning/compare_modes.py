"""Compare two ways to run trials, such as mode head and mode full: do they rank checkpoints alike?

    python recipes/prefinetuning/compare_modes.py HEAD/results.sqlite FULL/results.sqlite --output_dir DIR

Prints how the two agree on the trials that both files hold, and writes it to DIR/compare_modes.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from paravox.runs.program import run
from paravox.study.mode_comparison import compare_results
from paravox.study.statistics import read_results
from paravox.trainers.files import write_text


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Compares two results files and returns what the JSON file holds.

    Raises:
        ConfigError: if a file is no results file, or the two share no trial of both checkpoints.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("first", type=Path, help="a results.sqlite, such as that of mode head")
    parser.add_argument("second", type=Path, help="another results.sqlite, such as that of mode full")
    parser.add_argument("--output_dir", type=Path, required=True, help="the folder for compare_modes.json")
    arguments = parser.parse_args(argv)
    report = compare_results(read_results(arguments.first), read_results(arguments.second))
    write_text(arguments.output_dir / "compare_modes.json", json.dumps(report, indent=2) + "\n")
    # As Text, because brackets in a name would be read as markup.
    title = f"{report['modes'][0]} against {report['modes'][1]}, {report['trials']} trials of both"
    table = Table(title=Text(title, style="table.title"))
    for column in ("", "value", "95 % interval"):
        table.add_column(column, justify="right" if column else "left")
    for name, (value, low, high) in report["values"].items():
        table.add_row(Text(name.replace("_", " ")), f"{value:.3f}", Text(f"[{low:.3f}, {high:.3f}]"))
    Console().print(table)
    return report


if __name__ == "__main__":
    run(main)
