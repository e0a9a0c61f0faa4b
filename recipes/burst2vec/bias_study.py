"""Measures whether adversarial debiasing helps against a known bias: synthetic bursts whose Train ties age to country.

    python recipes/burst2vec/bias_study.py --output_dir runs/bias_study \\
        --output recipes/burst2vec/results/bias_study.json
    python recipes/burst2vec/bias_study.py ... --bursts_runs runs/real_bursts_encoder runs/real_bursts_extractor

For every bias and seed, the program writes a corpus and trains tiny_demo.yaml on it four times: with adversarial
debiasing in both scopes, with the same terms but without reversed gradients (auxiliary), and without these terms (the
paper's -Adv). The auxiliary runs tell the effect of the reversal from that of the additional supervision. Val and Test
are unbiased and, for a given seed, the same at every bias. Options that are not listed below are passed on to train.py.
Each run has its own folder. A finished run is not repeated, and a run that was stopped goes on from its last
checkpoint.

The results file has the scores of every run on Test and its leak of country into age, their means over the seeds, the
differences to -Adv and to auxiliary, paired by seed, each with its standard error and its 95 % interval over the seeds,
and the accuracy of the discriminator during training. At the highest bias, it also has the leakage matrix of each
variant: how well probes, fitted on Train, predict every task from every representation on Test. Every synthetic clip
has every label; --bursts_runs adds the accuracy of finished runs with a discriminator on a corpus in which each source
has labels of one task. Figures are written beside the results file as .png and .svg.
"""

import argparse
import csv
import json
import shlex
import sys
from collections import Counter
from itertools import product
from pathlib import Path

from paravox.corpora.registry import load_corpus
from paravox.corpora.synthetic import write_synthetic_corpus
from paravox.evaluation.audited_corpus import open_audited_corpus
from paravox.evaluation.bias_figure import STYLES, plot_bias_study
from paravox.evaluation.bias_measures import (
    AUXILIARY,
    MEASURES,
    NO_ADVERSARIAL,
    measure_run,
    read_discriminator,
    statements,
    summarise_bias_study,
    summarise_leakage,
)
from paravox.evaluation.finished_run import RESULTS, FinishedRun
from paravox.evaluation.leakage import LEAKAGE, MAIN_METRICS, audit_model
from paravox.evaluation.leakage_figure import plot_leakage
from paravox.evaluation.score_tables import print_scores
from paravox.inference.opening import open_model
from paravox.inference.prediction import default_batch_seconds
from paravox.modeling.errors import ConfigError
from paravox.runs.device_options import add_device_options, chosen_device
from paravox.runs.output_options import add_output_arguments
from paravox.runs.program import run
from paravox.runs.suite_runs import SuiteRun, command_line, train_missing
from paravox.runs.training_runs import GO_ON, TRAIN, refuse_options, without_paths
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.files import write_text

# The tasks of tiny_demo.yaml, as the columns of the heat map.
FIGURE_TASKS = (
    {"name": "emotion", "kind": "intensities"},
    {"name": "age", "kind": "scalar"},
    {"name": "country", "kind": "classes"},
)
YAML = Path(__file__).parent / "configs" / "tiny_demo.yaml"
VARIANTS = {
    "adversarial_encoder": ["--adversarial", "true", "--adversarial_scope", "encoder"],
    "adversarial_extractor": ["--adversarial", "true", "--adversarial_scope", "extractor"],
    AUXILIARY: ["--adversarial", "true", "--gradient_reversal", "false"],
    NO_ADVERSARIAL: ["--adversarial", "false"],
}
SET_HERE = {
    "--seed": "give --seeds, one number for each run",
    "--adversarial": "every corpus is trained with and without it",
    "--gradient_reversal": "every corpus is trained with and without it",
    "--adversarial_scope": "every corpus is trained with both scopes",
    "--data_dir": "the study writes its own corpora",
    "--resume_from_checkpoint": "a run that was stopped goes on by itself",
}


def main(argv: list[str] | None = None) -> dict:
    """Runs what is missing, measures the runs, and returns what the results file holds."""
    arguments, options = parse_arguments(argv)
    device, dtype = chosen_device(arguments.device, arguments.dtype)
    settings = PassSettings(device, dtype, max_batch_seconds=default_batch_seconds(device), show_progress=False)
    bursts = [
        {"corpus": "bursts", "run": folder.name, **read_discriminator(FinishedRun(folder))}
        for folder in arguments.bursts_runs
    ]
    clips = {split: getattr(arguments, split) for split in ("train", "validation", "test")}
    biases = list(dict.fromkeys(arguments.biases))
    # One seed after the other, so that a study that is stopped has complete seeds.
    places = list(product(dict.fromkeys(arguments.seeds), biases, VARIANTS))
    train_all(arguments, places, clips, options)
    runs, curves, audits = [], [], []
    for seed, bias, variant in places:
        about = {"bias": bias, "seed": seed, "variant": variant}
        finished = FinishedRun(run_folder(arguments.output_dir, seed, bias, variant))
        runs.append({**about, "test": measure_run(finished), "seconds": finished.results["seconds"]})
        if variant != NO_ADVERSARIAL:
            curves.append({"corpus": "synthetic", "bias": bias, "seed": seed, **read_discriminator(finished)})
        if bias == max(biases):
            corpus = corpus_folder(arguments.output_dir, seed, bias)
            audits.append({**about, **read_leakage(finished, corpus, settings)})
    results = {"clips": clips, "runs": runs, **summarise_bias_study(runs, curves + bursts, list(VARIANTS))}
    results["statements"] = statements(results)
    results["leakage"] = {"bias": max(biases), "split": "test", **summarise_leakage(audits)}
    command = without_paths(sys.argv[1:] if argv is None else argv)
    results["command"] = shlex.join(["python", "recipes/burst2vec/bias_study.py", *command])
    write_text(arguments.output, json.dumps(results, indent=1) + "\n")
    print_results(results)
    for file in (
        arguments.output,
        *plot_bias_study(results, arguments.output),
        *plot_audits(results, arguments.output),
    ):
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
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="Seeds of the runs (default: 1 2 3 4 5)."
    )
    for split, count in (("train", 900), ("validation", 300), ("test", 300)):
        parser.add_argument(
            f"--{split}", type=int, default=count, help=f"Number of {split} clips per corpus (default: {count})."
        )
    parser.add_argument(
        "--bursts_runs", type=Path, nargs="+", default=[], help="Output folders of finished runs of train.py."
    )
    parser.add_argument("--jobs", type=int, default=1, help="How many runs to train at once (default: %(default)s).")
    add_output_arguments(parser)
    add_device_options(parser)
    arguments, options = parser.parse_known_args(argv)
    refuse_options(options, SET_HERE)
    for bias in arguments.biases:
        if not 0 <= bias <= 1:
            raise ConfigError(f"bias {bias:g}: give numbers from 0 to 1")
    if arguments.jobs < 1:
        raise ConfigError(f"jobs {arguments.jobs}: give a number from 1 on")
    return arguments, options


def train_all(
    arguments: argparse.Namespace, places: list[tuple[int, float, str]], clips: dict[str, int], options: list[str]
) -> None:
    """Writes the corpora that are missing, and trains every variant on each of them.

    Raises:
        SystemExit: if a run has failed; it has said why.
    """
    runs = []
    for seed, bias, variant in places:
        corpus = provide_corpus(corpus_folder(arguments.output_dir, seed, bias), clips, bias, seed)
        settings = (str(YAML), *options, *VARIANTS[variant], "--data_dir", str(corpus), "--seed", str(seed))
        folder = run_folder(arguments.output_dir, seed, bias, variant)
        runs.append(SuiteRun(f"{variant} at bias {bias:g}", seed, folder, TRAIN, settings))
    failed = train_missing(runs, arguments.jobs, arguments.overwrite)
    if failed:
        lines = [f"{command_line(run)}\n  {reason}" for run, reason in failed.items()]
        sys.exit("\n".join([f"{len(failed)} of {len(runs)} runs have failed:", *lines]))


def corpus_folder(output_dir: Path, seed: int, bias: float) -> Path:
    return output_dir / "corpora" / f"bias{bias:g}_seed{seed}"


def run_folder(output_dir: Path, seed: int, bias: float, variant: str) -> Path:
    return output_dir / f"{variant}_bias{bias:g}_seed{seed}"


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


def read_leakage(finished: FinishedRun, corpus: Path, settings: PassSettings) -> dict[str, dict]:
    """The leakage matrix of a run on Test and the scores of chance. They are kept in the run's folder.

    Returns:
        `dict`: `leakage`, the scores by representation, target and metric; and `chance`, by target and metric.
    """
    kept = finished.folder / "leakage.json"
    # A run that was repeated has results that are newer.
    if kept.is_file() and kept.stat().st_mtime > (finished.folder / RESULTS).stat().st_mtime:
        return json.loads(kept.read_text())
    print(f"auditing {finished.folder}", flush=True)
    model, extractor = open_model(str(finished.folder / "model"))
    audited = open_audited_corpus(load_corpus("metadata_csv", corpus, finished.tasks), finished.tasks, "test")
    found: dict[str, dict] = {"leakage": {}, "chance": audited.chance}
    for (part, *path), (value, *_) in audit_model(model, extractor, audited, settings, draws=0).items():
        if part == LEAKAGE:
            representation, target, metric = path
            scores = found["leakage"].setdefault(representation, {}).setdefault(target, {})
            scores[metric] = round(float(value), 4)
    write_text(kept, json.dumps(found, indent=1) + "\n")
    return found


def plot_audits(results: dict, path: Path) -> list[Path]:
    """Writes the leakage matrices as a heat map, one panel per variant; `path` is that of the results file."""
    leakage = results["leakage"]
    matrices = {
        STYLES[variant][0]: {
            representation: {
                task["name"]: scores[task["name"]][MAIN_METRICS[task["kind"]]]["mean"] for task in FIGURE_TASKS
            }
            for representation, scores in matrix.items()
        }
        for variant, matrix in leakage["means"].items()
    }
    chance = {task["name"]: leakage["chance"][task["name"]][MAIN_METRICS[task["kind"]]] for task in FIGURE_TASKS}
    seeds = len({run["seed"] for run in results["runs"]})
    note = f"Means over {seeds} seeds at bias {leakage['bias']:g}; probes fitted on Train, scored on unbiased Test."
    return plot_leakage(matrices, chance, FIGURE_TASKS, path.with_name(f"{path.stem}_leakage{path.suffix}"), note)


def print_results(results: dict) -> None:
    rows = {f"bias {entry['bias']:g}, {entry['variant']}": _columns(entry) for entry in results["means"]}
    print_scores("Unbiased Test: means over the seeds, and standard errors", rows)
    rows = {
        f"bias {entry['bias']:g}, {entry['variant']}": _columns(entry)
        for entry in results["differences_to_no_adversarial"]
    }
    print_scores("Difference to -Adv, paired by seed", rows)
    rows = {
        f"bias {entry['bias']:g}, {entry['variant']}": _columns(entry) for entry in results["differences_to_auxiliary"]
    }
    print_scores("Difference to auxiliary, paired by seed", rows)
    rows = {
        f"{entry['corpus']}, {entry['variant']}": {
            "mean": {"accuracy": entry["mean"]},
            "error": {"accuracy": entry["standard_error"]},
            "chance": {"accuracy": entry["chance"]},
        }
        for entry in results["discriminator_last_quarter"]
    }
    print_scores("The discriminator in the last quarter of training", rows)
    print("\n".join(results["statements"]))


def _columns(entry: dict) -> dict[str, dict[str, float | None]]:
    return {
        "mean": {name: entry[name]["mean"] for name in MEASURES},
        "error": {name: entry[name]["standard_error"] for name in MEASURES},
    }


if __name__ == "__main__":
    run(main, go_on=GO_ON)
