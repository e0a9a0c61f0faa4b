"""Measures whether adversarial debiasing helps against a known bias: synthetic bursts whose Train ties age to country.

    python recipes/burst2vec/bias_study.py --output_dir runs/bias_study \\
        --output recipes/burst2vec/results/bias_study.json
    python recipes/burst2vec/bias_study.py ... --bursts_runs runs/real_bursts_encoder runs/real_bursts_extractor

For every bias and seed, the program writes a corpus and trains tiny_demo.yaml on it three times: with adversarial
debiasing in both scopes, and without it (the paper's -Adv). Val and Test are unbiased and, for a given seed, the same
at every bias. Options that are not listed below are passed on to train.py. Each run has its own folder. A finished run
is not repeated, and a run that was stopped goes on from its last checkpoint.

The results file has the scores of every run on Test and its leak of country into age, their means over the seeds, the
differences of the adversarial variants to -Adv, paired by seed, each with its standard error over the seeds, and the
accuracy of the discriminator during training. Every synthetic clip has every label; --bursts_runs adds the accuracy of
finished adversarial runs on a corpus in which each source has labels of one task. Figures are written beside the
results file as .png and .svg.
"""

import argparse
import csv
import json
import shlex
import sys
from collections import Counter
from itertools import product
from pathlib import Path

from paravox.corpora.synthetic import write_synthetic_corpus
from paravox.evaluation.bias_figure import plot_bias_study
from paravox.evaluation.bias_measures import (
    MEASURES,
    NO_ADVERSARIAL,
    measure_run,
    read_discriminator,
    summarise_bias_study,
)
from paravox.evaluation.finished_run import FinishedRun
from paravox.evaluation.score_tables import print_scores
from paravox.modeling.errors import ConfigError
from paravox.runs.program import run
from paravox.runs.training_runs import GO_ON, add_output_arguments, refuse_options, train_once, without_paths
from paravox.trainers.files import write_text

YAML = Path(__file__).parent / "configs" / "tiny_demo.yaml"
VARIANTS = {
    "adversarial_encoder": ["--adversarial", "true", "--adversarial_scope", "encoder"],
    "adversarial_extractor": ["--adversarial", "true", "--adversarial_scope", "extractor"],
    NO_ADVERSARIAL: ["--adversarial", "false"],
}
SET_HERE = {
    "--seed": "give --seeds, one number for each run",
    "--adversarial": "every corpus is trained with and without it",
    "--adversarial_scope": "every corpus is trained with both scopes",
    "--data_dir": "the study writes its own corpora",
    "--resume_from_checkpoint": "a run that was stopped goes on by itself",
}


def main(argv: list[str] | None = None) -> dict:
    """Runs what is missing, measures the runs, and returns what the results file holds."""
    arguments, options = parse_arguments(argv)
    bursts = [
        {"corpus": "bursts", "run": folder.name, **read_discriminator(FinishedRun(folder))}
        for folder in arguments.bursts_runs
    ]
    clips = {split: getattr(arguments, split) for split in ("train", "validation", "test")}
    runs, curves = [], []
    # One seed after the other, so that a study that is stopped has complete seeds.
    for seed, bias in product(dict.fromkeys(arguments.seeds), dict.fromkeys(arguments.biases)):
        for measured, curve in run_variants(arguments, clips, bias, seed, options):
            runs.append(measured)
            curves += [] if curve is None else [curve]
    results = {"clips": clips, "runs": runs, **summarise_bias_study(runs, curves + bursts, list(VARIANTS))}
    command = without_paths(sys.argv[1:] if argv is None else argv)
    results["command"] = shlex.join(["python", "recipes/burst2vec/bias_study.py", *command])
    write_text(arguments.output, json.dumps(results, indent=1) + "\n")
    print_results(results)
    for file in (arguments.output, *plot_bias_study(results, arguments.output)):
        print(f"written: {file}")
    return results


def parse_arguments(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The arguments of this program, and the options that are passed on to train.py."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--biases", type=float, nargs="+", default=[0.0, 0.5, 0.9], help="Biases from 0 to 1 (default: 0 0.5 0.9)."
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="Seeds of the runs (default: 1 2 3).")
    for split, count in (("train", 900), ("validation", 300), ("test", 300)):
        parser.add_argument(
            f"--{split}", type=int, default=count, help=f"Number of {split} clips per corpus (default: {count})."
        )
    parser.add_argument(
        "--bursts_runs", type=Path, nargs="+", default=[], help="Output folders of finished runs of train.py."
    )
    add_output_arguments(parser)
    arguments, options = parser.parse_known_args(argv)
    refuse_options(options, SET_HERE)
    for bias in arguments.biases:
        if not 0 <= bias <= 1:
            raise ConfigError(f"bias {bias:g}: give numbers from 0 to 1")
    return arguments, options


def run_variants(
    arguments: argparse.Namespace, clips: dict[str, int], bias: float, seed: int, options: list[str]
) -> list[tuple[dict, dict | None]]:
    """Trains every variant on the corpus of one bias and seed.

    Returns:
        list of pairs: the entry of the run in the results file, and the curve of its discriminator, if it has one.
    """
    name = f"bias{bias:g}_seed{seed}"
    corpus = provide_corpus(arguments.output_dir / "corpora" / name, clips, bias, seed)
    about = {"bias": bias, "seed": seed}
    found = []
    for variant, settings in VARIANTS.items():
        settings = [str(YAML), *options, *settings, "--data_dir", str(corpus), "--seed", str(seed)]
        finished = train_once(arguments.output_dir / f"{variant}_{name}", settings, arguments.overwrite)
        curve = None
        if variant != NO_ADVERSARIAL:
            curve = {"corpus": "synthetic", **about, **read_discriminator(finished)}
        found.append(({**about, "variant": variant, "test": measure_run(finished)}, curve))
    return found


def provide_corpus(folder: Path, clips: dict[str, int], bias: float, seed: int) -> Path:
    """The corpus of one bias and seed, which is written unless it exists.

    Raises:
        ConfigError: if the folder holds other numbers of clips.
    """
    table = folder / "metadata.csv"
    if not table.is_file():  # it is written last
        return write_synthetic_corpus(folder, clips, bias=bias, seed=seed)
    with open(table, newline="") as file:
        found = dict(Counter(row["split"] for row in csv.DictReader(file)))
    if found != clips:
        raise ConfigError(f"{folder} holds clips {found}, expected {clips}: choose another output_dir")
    return folder


def print_results(results: dict) -> None:
    rows = {f"bias {entry['bias']:g}, {entry['variant']}": _columns(entry) for entry in results["means"]}
    print_scores("Unbiased Test: means over the seeds, and standard errors", rows)
    rows = {
        f"bias {entry['bias']:g}, {entry['variant']}": _columns(entry)
        for entry in results["differences_to_no_adversarial"]
    }
    print_scores("Adversarial minus -Adv, paired by seed", rows)
    rows = {
        f"{entry['corpus']}, {entry['variant']}": {
            "mean": {"accuracy": entry["mean"]},
            "error": {"accuracy": entry["standard_error"]},
            "chance": {"accuracy": entry["chance"]},
        }
        for entry in results["discriminator_last_quarter"]
    }
    print_scores("The discriminator in the last quarter of training", rows)


def _columns(entry: dict) -> dict[str, dict[str, float | None]]:
    return {
        "mean": {name: entry[name]["mean"] for name in MEASURES},
        "error": {name: entry[name]["standard_error"] for name in MEASURES},
    }


if __name__ == "__main__":
    run(main, go_on=GO_ON)
