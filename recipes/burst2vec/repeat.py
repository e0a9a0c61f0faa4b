"""Trains one YAML file over several seeds, with and without adversarial debiasing, and compares the runs.

    paravox repeat recipes/burst2vec/configs/real_bursts.yaml --data_dir BURSTS --encoder WHISPER_BASE \\
        --seeds 1 2 3 --output_dir runs/repeated --output recipes/burst2vec/results/real_bursts.json

Options that are not listed below are passed on to train.py. Each run has its own folder. A finished run is not
repeated, and a run that was stopped goes on from its last checkpoint. Test is scored once per run, at its end.

The results file has the scores of every run and, for each variant, the mean over the seeds, its difference to the
frozen head, and the ensemble of all seeds. The 95 % intervals come from a bootstrap over speakers, with the same draws
for all models; they do not cover what other seeds would give. The results file also has the CCC of the intensities on
Train and Val by epoch. Figures are written beside it as .png and .svg.
"""

import argparse
import json
import shlex
import sys

from paravox.evaluation.finished_run import FROZEN_HEAD, FinishedRun
from paravox.evaluation.repeated_runs import ADVERSARIAL, NO_ADVERSARIAL, compare, learning_curves, table_rows
from paravox.evaluation.repeated_runs_figure import plot_repeated_runs
from paravox.evaluation.score_tables import print_scores
from paravox.runs.output_options import add_output_arguments
from paravox.runs.program import run
from paravox.runs.training_runs import GO_ON, refuse_options, train_once, without_paths
from paravox.trainers.files import write_text

VARIANTS = {ADVERSARIAL: ["--adversarial", "true"], NO_ADVERSARIAL: ["--adversarial", "false"]}
SET_HERE = {
    "--seed": "give --seeds, one number for each run",
    "--adversarial": "each seed is trained with and without it",
    "--resume_from_checkpoint": "a run that was stopped goes on by itself",
}


def main(argv: list[str] | None = None) -> dict:
    """Runs what is missing, compares the runs, and returns what the results file holds."""
    arguments, options = parse_arguments(argv)
    runs: dict[tuple[str, int], FinishedRun] = {}
    for seed in dict.fromkeys(arguments.seeds):
        for variant, adversarial in VARIANTS.items():
            settings = [arguments.yaml, *options, "--seed", str(seed), *adversarial]
            finished = train_once(arguments.output_dir / f"{variant}_{seed}", settings, arguments.overwrite)
            runs[variant, seed] = finished
            if variant == NO_ADVERSARIAL and finished.frozen_head is not None:
                runs[FROZEN_HEAD, seed] = finished.frozen_head
    results = compare(runs)
    results["learning_curves"] = learning_curves(runs)
    results["command"] = shlex.join(["paravox", "repeat", *without_paths(sys.argv[1:] if argv is None else argv)])
    write_text(arguments.output, json.dumps(results, indent=1) + "\n")
    title = f"Means over {len(set(arguments.seeds))} seeds, and ensembles of them"
    if any(finished.selected_on_val for finished in runs.values()):
        title += " (Val was used for selection, Test was not)"
    print_scores(title, table_rows(results))
    for file in (arguments.output, *plot_repeated_runs(results, arguments.output)):
        print(f"written: {file}")
    return results


def parse_arguments(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The arguments of this program, and the options that are passed on to train.py."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("yaml", metavar="YAML", help="Settings of train.py.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="Seeds of the runs (default: 1 2 3).")
    add_output_arguments(parser)
    arguments, options = parser.parse_known_args(argv)
    refuse_options(options, SET_HERE)
    return arguments, options


if __name__ == "__main__":
    run(main, go_on=GO_ON)
