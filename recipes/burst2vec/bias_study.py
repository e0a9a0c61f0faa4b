"""Does debiasing help where the bias is known? The demo's model on synthetic bursts whose Train ties age to country.

    python recipes/burst2vec/bias_study.py --output_dir runs/bias_study --results_file recipes/burst2vec/results/bias_study.json
    python recipes/burst2vec/bias_study.py ... --bursts_runs runs/real_bursts_encoder runs/real_bursts_extractor

For every bias and seed a corpus is written, and `tiny_demo.yaml` is trained on it three times: adversarial with either
`adversarial_scope`, and without (the paper's -Adv). Val and Test are unbiased and, for a seed, the same at every bias. What
is not named here goes to train.py. Every run has its own folder and is skipped once it is finished; one that was stopped
goes on from its last checkpoint.

The results file has every run's scores on Test and its `age_country_leak` (see `bias_measures`), their means over the
seeds, the differences of the adversarial variants to -Adv, paired by seed, each with the standard error over the seeds, and
the discriminator's accuracy over training. Every synthetic clip has every label; `--bursts_runs` adds the accuracy of
finished adversarial runs of train.py on a corpus whose sources each bring one task. `.png` and `.svg` of the same name
show all of it.
"""

import argparse
import csv
import json
import sys
from collections import Counter
from itertools import product
from pathlib import Path

from paravox.corpora.synthetic import write_synthetic_corpus
from paravox.evaluation.bias_figure import draw_bias_study
from paravox.evaluation.bias_measures import age_country_leak, last_quarter, mean_with_error, read_discriminator
from paravox.evaluation.score_tables import print_scores
from paravox.modeling.errors import AudioError, CheckpointError, ConfigError, CorpusError
from paravox.recipes.burst2vec import train
from paravox.recipes.burst2vec.repeat import load_predictions, read_corpus, run_once, without_paths

CONFIG = Path(train.__file__).parent / "configs" / "tiny_demo.yaml"
NO_ADVERSARIAL = "no_adversarial"
VARIANTS = {
    "adversarial_encoder": ["--adversarial", "true", "--adversarial_scope", "encoder"],
    "adversarial_extractor": ["--adversarial", "true", "--adversarial_scope", "extractor"],
    NO_ADVERSARIAL: ["--adversarial", "false"],
}
SCORES = ("emotion_ccc", "age_mae", "country_uar")
MEASURES = (*SCORES, "age_country_leak")


def main(argv: list[str] | None = None) -> dict:
    """Runs what is missing, then measures; gives what the results file holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--biases", type=float, nargs="+", default=[0.0, 0.5, 0.9], help="0 to 1 (default 0 0.5 0.9)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default 1 2 3)")
    parser.add_argument("--train", type=int, default=900, help="clips (default %(default)s)")
    parser.add_argument("--validation", type=int, default=300, help="clips (default %(default)s)")
    parser.add_argument("--test", type=int, default=300, help="clips (default %(default)s)")
    parser.add_argument("--bursts_runs", type=Path, nargs="+", default=[], help="output folders of finished runs")
    parser.add_argument("--output_dir", type=Path, required=True, help="corpora and runs are written here")
    parser.add_argument("--results_file", type=Path, required=True, help="the JSON file; figures go beside it")
    arguments, options = parser.parse_known_args(argv)
    for bias in arguments.biases:
        if not 0 <= bias <= 1:
            raise ConfigError(f"bias {bias:g}: give numbers from 0 to 1")
    bursts = [{"corpus": "bursts", "run": run.name, **read_discriminator(run)} for run in arguments.bursts_runs]
    clips = {split: getattr(arguments, split) for split in ("train", "validation", "test")}
    runs, curves = [], []
    # A seed at a time: a study that is stopped has whole seeds.
    for seed, bias in product(dict.fromkeys(arguments.seeds), dict.fromkeys(arguments.biases)):
        for run, curve in run_variants(arguments.output_dir, clips, bias, seed, options):
            runs.append(run)
            curves += [] if curve is None else [curve]
    results = {"clips": clips, "runs": runs, **summarise(runs, curves + bursts)}
    results["command"] = " ".join(["python recipes/burst2vec/bias_study.py", *without_paths(argv or sys.argv[1:])])
    arguments.results_file.parent.mkdir(parents=True, exist_ok=True)
    arguments.results_file.write_text(json.dumps(results, indent=1) + "\n")
    print_results(results)
    for path in draw_bias_study(results, arguments.results_file):
        print(f"written: {path}")
    return results


def run_variants(
    folder: Path, clips: dict[str, int], bias: float, seed: int, options: list[str]
) -> list[tuple[dict, dict | None]]:
    """Trains what is missing for one bias and seed; gives each variant's measures, and its discriminator's curve if any."""
    name = f"bias{bias:g}_seed{seed}"
    corpus = provide_corpus(folder / "corpora" / name, clips, bias, seed)
    about = {"bias": bias, "seed": seed}
    found = []
    for variant, settings in VARIANTS.items():
        run = folder / f"{variant}_{name}"
        paths = ["--data_dir", str(corpus), "--output_dir", str(run)]
        run_once(run, [str(CONFIG), *options, *settings, *paths, "--seed", str(seed)])
        curve = None
        if variant != NO_ADVERSARIAL:
            curve = {"corpus": "synthetic", **about, **read_discriminator(run)}
        found.append(({**about, "variant": variant, "test": measure(run, corpus)}, curve))
    return found


def provide_corpus(folder: Path, clips: dict[str, int], bias: float, seed: int) -> Path:
    """The corpus of a bias and seed, written unless it is there.

    Raises:
        ConfigError: if what is there has other numbers of clips.
    """
    table = folder / "metadata.csv"
    if not table.is_file():  # it is written last
        return write_synthetic_corpus(folder, clips, bias=bias, seed=seed)
    with open(table, newline="") as file:
        found = dict(Counter(row["split"] for row in csv.DictReader(file)))
    if found != clips:
        raise ConfigError(f"{folder} holds clips {found}, expected {clips}: choose another output_dir")
    return folder


def measure(run: Path, corpus: Path) -> dict[str, float]:
    """Scores and leak of a finished run on Test."""
    tasks, labels, _ = read_corpus([str(CONFIG), "--data_dir", str(corpus)])
    names = next(task.labels for task in tasks if task.name == "country")
    truth = labels["test"]
    countries = [names[index] for index in truth["country"]]
    scores = json.loads((run / "results.json").read_text())["test"]
    leak = age_country_leak(load_predictions(run, "test")["age"], truth["age"], countries)
    return {name: round(scores[name], 4) for name in SCORES} | {"age_country_leak": round(leak, 4)}


def summarise(runs: list[dict], curves: list[dict]) -> dict:
    """Means over the seeds, differences paired by seed, and the discriminators' curves with their last quarters."""
    values = {(run["bias"], run["variant"], run["seed"]): run["test"] for run in runs}
    seeds = list(dict.fromkeys(run["seed"] for run in runs))
    means, differences = [], []
    for bias, variant in product(dict.fromkeys(run["bias"] for run in runs), VARIANTS):
        about = {"bias": bias, "variant": variant}
        tests = [values[bias, variant, seed] for seed in seeds]
        means.append(about | {name: mean_with_error([test[name] for test in tests]) for name in MEASURES})
        if variant != NO_ADVERSARIAL:
            pairs = list(zip(tests, [values[bias, NO_ADVERSARIAL, seed] for seed in seeds], strict=True))
            paired = {name: mean_with_error([test[name] - base[name] for test, base in pairs]) for name in MEASURES}
            differences.append(about | paired)
    groups: dict[tuple[str, str, float], list[float]] = {}
    for curve in curves:
        groups.setdefault((curve["corpus"], curve["variant"], curve["chance"]), []).append(last_quarter(curve))
    ends = [
        {"corpus": corpus, "variant": variant, "chance": chance, "runs": len(ends), **mean_with_error(ends)}
        for (corpus, variant, chance), ends in groups.items()
    ]
    return {
        "means": means,
        "differences_to_no_adversarial": differences,
        "discriminator_last_quarter": ends,
        "discriminator": curves,
    }


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
            "s.e.": {"accuracy": entry["standard_error"]},
            "chance": {"accuracy": entry["chance"]},
        }
        for entry in results["discriminator_last_quarter"]
    }
    print_scores("The discriminator in the last quarter of training", rows)


def _columns(entry: dict) -> dict[str, dict[str, float | None]]:
    return {
        "mean": {name: entry[name]["mean"] for name in MEASURES},
        "s.e.": {name: entry[name]["standard_error"] for name in MEASURES},
    }


if __name__ == "__main__":
    try:
        main()
    except (AudioError, CheckpointError, ConfigError, CorpusError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
