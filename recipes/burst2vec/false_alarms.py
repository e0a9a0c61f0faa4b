"""Measures how often significance tests find a difference between two models that are equally good.

    python recipes/burst2vec/false_alarms.py --output recipes/burst2vec/results/false_alarms.json

A test with p <= 0.05 should find one in 5 % of such pairs of models. The program simulates the errors of two models on
the same clips of the same speakers, for every kind of task, and runs the tests of Burst2Vec's Table 2, paired tests
over clips, a t-test over speakers, and the bootstrap over speakers of the score. By default it simulates the size of a
Val part of 1,350 clips of 45 speakers and a smaller one, errors of the two models that are correlated or not, and
differences between them that depend more or less on the speaker.

The results file has the rate of false alarms of each test with its 95 % interval over the simulations. The figure is
written beside it as .png and .svg. The program needs no corpus, and takes five to six minutes of one core.
"""

import argparse
import json
import shlex
import sys
import time
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.table import Table

from paravox.evaluation.false_alarms import TESTS, Setting, Size, measure_false_alarms
from paravox.evaluation.false_alarms_figure import plot_false_alarms
from paravox.modeling.errors import ConfigError
from paravox.runs.machine import machine_name
from paravox.runs.program import run
from paravox.runs.training_runs import without_paths
from paravox.trainers.files import write_text


def main(argv: list[str] | None = None) -> dict:
    """Runs the simulation, and returns what the results file holds."""
    arguments = parse_arguments(argv)
    sizes = [Size(clips, speakers) for clips, speakers in zip(arguments.clips, arguments.speakers, strict=True)]
    settings = [Setting(*numbers) for numbers in product(arguments.sharing, arguments.clustering)]
    start = time.perf_counter()
    rates = measure_false_alarms(sizes, settings, arguments.repetitions, arguments.draws, arguments.seed)
    command = without_paths(sys.argv[1:] if argv is None else argv)
    results = {
        "repetitions": arguments.repetitions,
        "bootstrap_draws": arguments.draws,
        "seed": arguments.seed,
        "rates": rates,
        "seconds": round(time.perf_counter() - start),
        "machine": machine_name(),
        "command": shlex.join(["python", "recipes/burst2vec/false_alarms.py", *command]),
    }
    write_text(arguments.output, json.dumps(results, indent=1) + "\n")
    print_rates(results)
    for file in (arguments.output, *plot_false_alarms(results, arguments.output)):
        print(f"written: {file}")
    return results


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The arguments of this program.

    Raises:
        ConfigError: if a number is too small, or a number of clips lacks its number of speakers.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="JSON file for the results. The figure is written beside it."
    )
    add = parser.add_argument
    add("--clips", type=int, nargs="+", default=[1350, 300], help="Clips of each size (default: 1350 300).")
    add("--speakers", type=int, nargs="+", default=[45, 15], help="Speakers of each size (default: 45 15).")
    add(
        "--sharing",
        type=float,
        nargs="+",
        default=[0.0, 0.5],
        help="Correlations of the errors of the two models (default: 0 0.5).",
    )
    add(
        "--clustering",
        type=float,
        nargs="+",
        default=[0.0, 0.1, 0.3],
        help="Shares of the variance of the models' difference that speakers explain (default: 0 0.1 0.3).",
    )
    add("--repetitions", type=int, default=1000, help="Simulations of each case (default: 1000).")
    add("--draws", type=int, default=199, help="Draws of speakers by the bootstrap (default: 199).")
    add("--seed", type=int, default=1, help="The same seed gives the same rates (default: 1).")
    arguments = parser.parse_args(argv)
    if len(arguments.clips) != len(arguments.speakers):
        raise ConfigError(
            f"--clips has {len(arguments.clips)} numbers and --speakers has {len(arguments.speakers)}: give one of "
            "each for every size"
        )
    for name, least in (("repetitions", 1), ("draws", 1), ("seed", 0)):
        if getattr(arguments, name) < least:
            raise ConfigError(f"--{name} is {getattr(arguments, name)}: give a number of at least {least}")
    return arguments


def print_rates(results: dict) -> None:
    """Prints the rates as percentages, one row per size, setting and kind."""
    table = Table(title="False alarms: how often p <= 0.05 although no model is better")
    for column in ("clips", "speakers", "sharing", "clustering", "kind", *TESTS):
        table.add_column(column, justify="left" if column == "kind" else "right")
    rows: dict[tuple, dict[str, float]] = {}
    for entry in results["rates"]:
        row = tuple(f"{entry[name]}" for name in ("clips", "speakers", "sharing", "clustering", "kind"))
        rows.setdefault(row, {})[entry["test"]] = entry["rate"]
    for row, by_test in rows.items():
        table.add_row(*row, *(f"{100 * by_test[test]:.1f} %" for test in TESTS))
    Console(width=110).print(table)


if __name__ == "__main__":
    run(main)
