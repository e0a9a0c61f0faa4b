"""Train one YAML over several seeds, with and without adversarial debiasing, and compare with intervals.

    python recipes/burst2vec/repeat.py recipes/burst2vec/configs/real_bursts.yaml --data_dir BURSTS --encoder WHISPER_BASE \\
        --seeds 1 2 3 --output_dir runs/repeated --results_file recipes/burst2vec/results/real_bursts.json

What is not named here goes to train.py. Every run has its own folder and is skipped once it is finished; one that was
stopped goes on from its last checkpoint. Val chose the epochs; Test is scored once, at the end of each run.

The results file has every run, and over the seeds: the mean of each variant, its difference to the frozen head, and the
ensemble of its members; the 95 % intervals draw speakers anew, the same ones for all models, and do not hold what other
seeds would give. It also has how the CCC of the intensities grew on Train and Val. `.png` and `.svg` of the same name show
all of it.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from paravox.corpora.class_weights import without_balanced_weights
from paravox.corpora.registry import load_corpus
from paravox.evaluation.baselines import constant_predictions
from paravox.evaluation.bias_measures import FROZEN_HEAD
from paravox.evaluation.bootstrap import bootstrap_scores, draw_speakers, interval
from paravox.evaluation.repeated_runs_figure import draw_repeated_runs
from paravox.evaluation.score_tables import print_scores
from paravox.inference.prediction import mean_predictions
from paravox.modeling.errors import AudioError, CheckpointError, ConfigError, CorpusError
from paravox.modeling.tasks import Task, parse_tasks
from paravox.recipes.burst2vec import train
from paravox.runs.output_folder import last_whole_checkpoint
from paravox.runs.settings import parse_settings
from paravox.trainers.multi_task_dataset import read_labels

VARIANTS = {"adversarial": "true", "no_adversarial": "false"}


def main(argv: list[str] | None = None) -> dict:
    """Runs what is missing, then compares; gives what the results file holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a YAML of train.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default 1 2 3)")
    parser.add_argument("--output_dir", type=Path, required=True, help="a folder a run is written here")
    parser.add_argument("--results_file", type=Path, required=True, help="the JSON file of all runs")
    arguments, options = parser.parse_known_args(argv)
    runs = {}
    for seed in arguments.seeds:
        for variant, adversarial in VARIANTS.items():
            folder = arguments.output_dir / f"{variant}_{seed}"
            settings = [arguments.config, *options, "--seed", str(seed), "--adversarial", adversarial]
            run_once(folder, [*settings, "--output_dir", str(folder)])
            runs[variant, seed] = folder
            if variant == "no_adversarial" and (folder / FROZEN_HEAD / "results.json").is_file():
                runs[FROZEN_HEAD, seed] = folder / FROZEN_HEAD
    tasks, labels, speakers = read_corpus([arguments.config, *options])
    results = compare(runs, tasks, labels, speakers)
    results["learning_curves"] = learning_curves(runs, tasks)
    results["command"] = " ".join(["python recipes/burst2vec/repeat.py", *without_paths(argv or sys.argv[1:])])
    arguments.results_file.parent.mkdir(parents=True, exist_ok=True)
    arguments.results_file.write_text(json.dumps(results, indent=1) + "\n")
    print_scores("Means over the seeds (Val chose the epochs)", shown_rows(results))
    for path in draw_repeated_runs(results, arguments.results_file):
        print(f"written: {path}")
    return results


def run_once(folder: Path, settings: list[str]) -> None:
    """One run of train.py, unless it is finished."""
    if (folder / "results.json").is_file():
        print(f"{folder} is finished")
        return
    started = folder.is_dir() and last_whole_checkpoint(folder) is not None
    print(f"{folder}: {'going on' if started else 'starting'}")
    how = ["--resume_from_checkpoint", "last"] if started else ["--overwrite_output_dir", "true"]
    train.main([*settings, "--results_file", "", *how])


def read_corpus(settings: list[str]) -> tuple[list[Task], dict[str, dict[str, np.ndarray]], dict[str, list[str]]]:
    """The tasks, and by split the labels and the speakers."""
    model, data, *_ = parse_settings(train.SETTINGS, settings)
    tasks = parse_tasks(without_balanced_weights(model.tasks))
    corpus = load_corpus(data.corpus, data.data_dir, tasks, data.audio)
    labels = {split: {task.name: read_labels(clips, task) for task in tasks} for split, clips in corpus.items()}
    return tasks, labels, {split: [str(name) for name in clips["speaker"]] for split, clips in corpus.items()}


def compare(
    runs: dict[tuple[str, int], Path],
    tasks: list[Task],
    labels: dict[str, dict[str, np.ndarray]],
    speakers: dict[str, list[str]],
) -> dict:
    """Scores of every run, and of the variants over the seeds, with intervals.

    Args:
        runs (`dict`): folders with `predictions/` by variant and seed.
        tasks (list of [`Task`]).
        labels (`dict`): by split and task.
        speakers (`dict`): by split, of every clip.
    """
    entries = {
        (variant, seed): {"name": variant, "seed": seed, "adversarial": variant == "adversarial"}
        for variant, seed in runs
    }
    variants = list(dict.fromkeys(variant for variant, _ in runs))
    summary: dict[str, dict] = {"constant": {}, "means": {}, "differences_to_frozen_head": {}, "ensembles": {}}
    for split, title in train.SPLIT_TITLES.items():
        if split not in labels:
            continue
        counts = draw_speakers(speakers[split])
        predictions = {run: load_predictions(folder, title) for run, folder in runs.items()}
        draws = {run: bootstrap_scores(tasks, values, labels[split], counts) for run, values in predictions.items()}
        for run, entry in entries.items():
            entry[title] = {name: round(float(values[0]), 4) for name, values in draws[run].items()}
            entry[f"{title}_interval"] = {name: interval(values) for name, values in draws[run].items()}
        constant = constant_predictions(tasks, labels["train"], len(speakers[split]))
        scores = bootstrap_scores(tasks, constant, labels[split], counts[:1])
        summary["constant"][title] = {name: round(float(values[0]), 4) for name, values in scores.items()}
        means = {variant: _mean([draws[run] for run in runs if run[0] == variant]) for variant in variants}
        for variant, mean in means.items():
            _note(summary["means"], variant, title, mean)
            members = [predictions[run] for run in runs if run[0] == variant]
            ensemble = bootstrap_scores(tasks, mean_predictions(members), labels[split], counts)
            _note(summary["ensembles"], variant, title, ensemble)
            if variant != FROZEN_HEAD and FROZEN_HEAD in means:
                difference = {name: values - means[FROZEN_HEAD][name] for name, values in mean.items()}
                _note(summary["differences_to_frozen_head"], variant, title, difference)
    return {"runs": list(entries.values()), **summary}


def learning_curves(runs: dict[tuple[str, int], Path], tasks: list[Task]) -> list[dict]:
    """The CCC of the first task of intensities by epoch, of every run that trained the encoder.

    Returns:
        list of `dict`: `name`, `seed`, `task`, and the points `[epoch, CCC]` of `train`, whose CCC is that of the batches
        in training mode, and `val`, where epoch 0 is the frozen head that the run began with. Empty without such a task.
    """
    task = next((task.name for task in tasks if task.kind == "intensities"), None)
    curves = []
    for (variant, seed), folder in runs.items():
        log = folder / "trainer_state.json"
        if task is None or variant == FROZEN_HEAD or not log.is_file():
            continue
        entries = json.loads(log.read_text())["log_history"]
        loss, score = f"loss/{task}/joint", f"eval_{task}_ccc"
        train_points = [(entry["epoch"], 1 - entry[loss]) for entry in entries if loss in entry]
        val_points = [(entry["epoch"], entry[score]) for entry in entries if score in entry]
        start = folder / FROZEN_HEAD / "results.json"
        if start.is_file():
            val_points.insert(0, (0, json.loads(start.read_text())["val"][f"{task}_ccc"]))
        points = {"train": train_points, "val": val_points}
        rounded = {split: [[round(number, 4) for number in point] for point in points[split]] for split in points}
        curves.append({"name": variant, "seed": seed, "task": task, **rounded})
    return curves


def load_predictions(folder: Path, title: str) -> dict[str, np.ndarray]:
    with np.load(folder / "predictions" / f"{title}.npz") as file:
        return dict(file)


def shown_rows(results: dict) -> dict[str, dict[str, dict[str, float]]]:
    """The rows of the table: constant prediction, the variants' means and their ensembles."""
    rows = {"constant prediction": results["constant"]}
    for kind in ("means", "ensembles"):
        for variant, splits in results[kind].items():
            name = variant.replace("_", " ") + (", ensemble" if kind == "ensembles" else "")
            rows[name] = {title: {m: v["value"] for m, v in scores.items()} for title, scores in splits.items()}
    return rows


def _mean(draws: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.mean([run[name] for run in draws], axis=0) for name in draws[0]}


def _note(table: dict, variant: str, title: str, draws: dict[str, np.ndarray]) -> None:
    table.setdefault(variant, {})[title] = {
        name: {"value": round(float(values[0]), 4), "interval": interval(values)} for name, values in draws.items()
    }


def without_paths(argv: list[str]) -> list[str]:
    """The command line as anyone may type it: absolute paths, and places of data and weights, by their last part."""
    private = ("--data_dir", "--encoder")
    before = ["", *argv]
    return [
        Path(part).name if Path(part).is_absolute() or before[position] in private else part
        for position, part in enumerate(argv)
    ]


if __name__ == "__main__":
    try:
        main()
    except (AudioError, CheckpointError, ConfigError, CorpusError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
