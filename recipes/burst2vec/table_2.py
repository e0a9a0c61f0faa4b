"""Trains all models of a suite over several seeds, and makes Table 2 of the paper from them.

    paravox table_2 recipes/burst2vec/configs/table_2_exvo.yaml --data_dir EXVO \\
        --output_dir runs/table_2 --output results/table_2.json
    paravox table_2 recipes/burst2vec/configs/table_2_exvo.yaml --from_predictions results/table_2_predictions \\
        --output results/table_2.json

The suite names the rows, each with the YAML file of a training program, the ensembles of rows, and the rows that others
are compared with. Every run, a row with a seed, is a process of its own with a folder of its own. A finished run is not
repeated, and a run that was stopped goes on from its last checkpoint. A run that fails leaves the others running.
Options that are not listed below are passed on to all runs whose program has them.

The table is written as JSON to --output, and beside it as .md, .tex, .csv and .html. A folder whose name ends in
_predictions gets the predictions of all runs. The second command makes the same table from them without any run.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paravox.evaluation.finished_run import FinishedRun
from paravox.evaluation.html_page import write_page
from paravox.evaluation.table_2 import make_table
from paravox.evaluation.table_2_formats import TEXT_FORMATS, html_sections, print_table_2
from paravox.evaluation.table_2_predictions import keep_predictions, read_table_predictions
from paravox.evaluation.table_2_suite import Suite, check_seeds, parse_suite
from paravox.modeling.errors import ConfigError
from paravox.runs.packaged_settings import find_settings
from paravox.runs.program import run
from paravox.runs.settings import read_yaml
from paravox.runs.suite_runs import check_runs, command_line, facts_of_rows, plan_runs, train_missing
from paravox.runs.training_runs import GO_ON, refuse_options, without_paths
from paravox.trainers.files import write_text

SET_HERE = {
    "--seed": "give --seeds, one number for each run",
    "--data_dir": "all rows have that of the command line",
    "--output_dir": "each run has a folder of its own in that of the command line",
    "--resume_from_checkpoint": "a run that was stopped goes on by itself",
}


def main(argv: list[str] | None = None) -> dict[str, Any] | None:
    """Runs what is missing, and returns what the results file holds, or None after a dry run."""
    arguments, options = parse_arguments(argv)
    file = find_settings(arguments.suite)
    suite = parse_suite(read_yaml(file), file)
    suite = suite.only(arguments.rows) if arguments.rows else suite
    folder = arguments.from_predictions
    if folder is None:
        refuse_what_rows_set(suite, options)
        plan = plan_runs(suite, arguments.seeds or suite.seeds, arguments.output_dir, arguments.data_dir, options)
        if arguments.dry_run:
            for planned in plan:
                print(f"{planned.code} with seed {planned.seed}: {planned.state}\n    {command_line(planned)}")
            print("\n".join(check_runs(plan, read_corpora=True)))
            print(f"Dry run: {len(plan)} runs are as they should be, and none was started.")
            return None
        check_runs(plan, read_corpora=False)
        facts = facts_of_rows(suite, options)
        failed = train_missing(plan, arguments.jobs, arguments.overwrite)
        if failed:
            reasons = [f"{one.code} with seed {one.seed} has failed: {reason}" for one, reason in failed.items()]
            sys.exit("\n".join([*reasons, f"There is no table yet. {GO_ON[0].upper()}{GO_ON[1:]}."]))
        folder = arguments.output.with_name(f"{arguments.output.stem}_predictions")
        command = shlex.join(["paravox", "table_2", *without_paths(sys.argv[1:] if argv is None else argv)])
        keep_predictions(folder, {(one.code, one.seed): FinishedRun(one.folder) for one in plan}, facts, command)
        print(f"written: {folder}")
    saved = read_table_predictions(folder, [row.code for row in suite.rows], arguments.seeds)
    results = make_table(suite, saved)
    print_table_2(results)
    for file in write_table(results, arguments.output):
        print(f"written: {file}")
    return results


def parse_arguments(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The arguments of this program, and the options that are passed on to all runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("suite", metavar="SUITE.yaml", type=Path, help="The suite; see configs/table_2_exvo.yaml.")
    parser.add_argument("--data_dir", help="Folder of the corpus.")
    parser.add_argument("--output_dir", type=Path, help="Folder that gets one sub-folder per run.")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the table.")
    parser.add_argument("--overwrite", action="store_true", help="Repeat runs that are already finished.")
    parser.add_argument("--seeds", type=int, nargs="+", help="Seeds of the runs. By default those of the suite.")
    parser.add_argument("--rows", metavar="CODE", nargs="+", help="Only these rows, and the ensembles of them.")
    parser.add_argument("--jobs", type=int, default=1, help="How many runs go on at once (default: 1).")
    parser.add_argument("--dry_run", action="store_true", help="Show the runs, check settings and corpus, run nothing.")
    parser.add_argument(
        "--from_predictions", metavar="FOLDER", type=Path, help="Make the table from kept predictions, run nothing."
    )
    arguments, options = parser.parse_known_args(argv)
    if arguments.seeds:
        arguments.seeds = check_seeds(arguments.seeds)
    if arguments.jobs < 1:
        raise ConfigError(f"jobs is {arguments.jobs}: give a whole number of at least 1")
    if arguments.from_predictions is None:
        missing = [name for name in ("data_dir", "output_dir") if getattr(arguments, name) is None]
        if missing:
            raise ConfigError(f"--{missing[0]} is missing: give it, or --from_predictions to run nothing")
    elif options:
        raise ConfigError(f"unknown option {options[0]!r}: with --from_predictions, nothing is passed on to a run")
    return arguments, options


def refuse_what_rows_set(suite: Suite, options: Iterable[str]) -> None:
    """Raises [`ConfigError`] if an option of the command line would make rows alike, or runs would share a folder."""
    for row in suite.rows:
        refuse_options(map("--{}".format, [*suite.options, *row.options]), SET_HERE)
        own = [name for name in row.options if name not in suite.options]
        refuse_options(options, {f"--{name}": f"the row {row.code} of the suite sets it" for name in own})
    refuse_options(options, SET_HERE)


def write_table(results: dict[str, Any], file: Path) -> list[Path]:
    """Writes the table in all formats, and returns the files."""
    write_text(file, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    for suffix, as_text in TEXT_FORMATS.items():
        write_text(file.with_suffix(suffix), as_text(results))
    page = file.with_suffix(".html")
    write_page(page, results["title"], html_sections(results))
    return [file, *(file.with_suffix(suffix) for suffix in TEXT_FORMATS), page]


if __name__ == "__main__":
    run(main, go_on=GO_ON)
