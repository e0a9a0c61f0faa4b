"""Audits saved models: what their representations tell about each task and about the source of a clip.

    paravox audit runs/mine/model --data_dir FOLDER --output audit.json --group source
    paravox audit adversarial=runs/a_1/model adversarial=runs/a_2/model auxiliary=runs/b_1/model \\
        --data_dir FOLDER --output audit.json

For each model, the program writes three things. First, the leakage matrix: linear models, fitted on Train, predict
every task and the group from every representation, for clips of other speakers. Second, how often the discriminator
names the task of a clip. Third, the model's errors by the labels of the other tasks. All values have 95 % intervals
from a bootstrap over speakers, and the score of a constant prediction beside them.

Models of one name, such as seeds of one setting, are averaged, and each name is compared with the first one. Tables
are written beside the results file as .md, and a heat map as .png and .svg.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from paravox.corpora.names import CORPUS_NAMES
from paravox.corpora.registry import load_corpus
from paravox.evaluation.audited_corpus import AuditedCorpus, open_audited_corpus
from paravox.evaluation.leakage import (
    LEAKAGE,
    MAIN_METRICS,
    Draws,
    as_results,
    audit_model,
    difference,
    mean_draws,
)
from paravox.evaluation.leakage_figure import plot_leakage
from paravox.evaluation.leakage_tables import as_markdown, printed_rows
from paravox.evaluation.score_tables import print_scores
from paravox.inference.opening import open_model, same_tasks
from paravox.inference.prediction import default_batch_seconds
from paravox.runs.device_options import add_device_options, chosen_device
from paravox.runs.program import run
from paravox.runs.training_runs import without_paths
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.files import write_text


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Audits the models, writes the results, and returns what the results file holds."""
    began = time.monotonic()
    arguments = parse_arguments(argv)
    device, dtype = chosen_device(arguments.device, arguments.dtype)
    named = [split_name(given) for given in arguments.models]
    opened = [open_model(place) for _, place in named]
    tasks = same_tasks([model for model, _ in opened], [place for _, place in named])
    splits = load_corpus(arguments.corpus, arguments.data_dir, tasks, arguments.audio)
    corpus = open_audited_corpus(splits, tasks, arguments.split, arguments.group)
    settings = PassSettings(device, dtype, max_batch_seconds=arguments.batch_seconds or default_batch_seconds(device))
    audits: list[tuple[str, Draws]] = []
    entries = []
    for (name, place), (model, extractor) in zip(named, opened, strict=True):
        print(f"auditing {place}", flush=True)
        audits.append((name, audit_model(model, extractor, corpus, settings, cache_dir=arguments.cache_dir)))
        model.cpu()  # the next one may need the memory of the accelerator
        config = model.config
        about = {key: getattr(config, key) for key in ("adversarial", "adversarial_scope", "gradient_reversal")}
        entries.append({"name": name, "model": place_name(place), **about, **as_results(audits[-1][1])})
    results = about_corpus(arguments, corpus) | {"models": entries} | summarise(audits)
    results["seconds"] = round(time.monotonic() - began)
    command = [without_folder(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    results["command"] = shlex.join(["paravox", "audit", *without_paths(command)])
    report(results, arguments.output)
    return results


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="Folder of a model that train wrote, or its name on the Hub; NAME=MODEL gives it a name in the tables.",
    )
    parser.add_argument("--data_dir", required=True, help="Folder of the corpus.")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the results.")
    parser.add_argument(
        "--corpus",
        default="metadata_csv",
        help=f"Name of the corpus: {', '.join(CORPUS_NAMES)} (default: %(default)s).",
    )
    parser.add_argument(
        "--audio", default="provided", help="Recordings of ExVo to use: provided or raw (default: %(default)s)."
    )
    parser.add_argument("--group", help="Column of the corpus that is predicted like a task, such as source.")
    parser.add_argument(
        "--split",
        default="validation",
        choices=["validation", "test"],
        help="Split to score the probes on: validation or test (default: %(default)s).",
    )
    add_device_options(parser)
    parser.add_argument(
        "--cache_dir",
        type=Path,
        help="Keep the encoder's states here, so that models with the same frozen encoder share one pass, and share it "
        "with training runs that have cache_lower_layers and trainable_encoder_layers: 1.",
    )
    parser.add_argument(
        "--batch_seconds",
        type=float,
        help="Seconds of audio per batch (default: 30; on a GPU up to 1000, as its memory allows).",
    )
    return parser.parse_args(argv)


def split_name(given: str) -> tuple[str, str]:
    """The name and the place of a model that is given as `NAME=MODEL` or `MODEL`."""
    name, equals, place = given.partition("=")
    return (name, place) if equals else (place_name(given), given)


def place_name(place: str) -> str:
    """The last part of a place that tells models apart: of `runs/mine/model`, `mine`."""
    path = Path(place)
    return path.parent.name if path.name == "model" and path.parent.name else path.name


def without_folder(argument: str) -> str:
    """An argument as anyone could type it: of `NAME=MODEL` with an absolute path, the path's last part."""
    name, equals, place = argument.partition("=")
    return f"{name}={place_name(place)}" if equals and Path(place).is_absolute() else argument


def about_corpus(arguments: argparse.Namespace, corpus: AuditedCorpus) -> dict[str, Any]:
    """What the results file holds about the clips."""
    parts = {"train": corpus.train, "scored": corpus.scored}
    left_out = [task.name for task in (*corpus.tasks, *corpus.groups) if task not in corpus.targets]
    if left_out:
        print(f"Without probes, because one of the splits has too few labels: {', '.join(left_out)}")
    return {
        "corpus": Path(arguments.data_dir).name,
        "split": arguments.split,
        "clips": {part: len(clips) for part, clips in parts.items()},
        "speakers": {part: len(np.unique(clips.speakers)) for part, clips in parts.items()},
        "tasks": [task.to_dict() for task in corpus.tasks],
        "groups": [task.to_dict() for task in corpus.groups],
        "targets": [target.to_dict() for target in corpus.targets],
        "chance": corpus.chance,
        "error_groups": [
            {"task": group.task.name, "by": group.by, "label": group.label}
            | {"clips": len(group.rows), "speakers": len(np.unique(corpus.scored.speakers[group.rows]))}
            for group in corpus.error_groups
        ],
    }


def summarise(audits: Iterable[tuple[str, Draws]]) -> dict[str, Any]:
    """The mean over the models of each name, and the differences of these means to that of the first name."""
    by_name: dict[str, list[Draws]] = {}
    for name, audit in audits:
        by_name.setdefault(name, []).append(audit)
    means = {name: mean_draws(group) for name, group in by_name.items()}
    first, *others = means
    return {
        "means": {name: {"models": len(by_name[name]), **as_results(mean)} for name, mean in means.items()},
        "differences_to": first,
        "differences": {name: as_results(difference(means[name], means[first])) for name in others},
    }


def report(results: dict[str, Any], output: Path) -> None:
    """Prints the leakage matrix, and writes the results file, the tables and the figure."""
    print_scores("What probes predict from each representation, for speakers outside Train", printed_rows(results))
    write_text(output, json.dumps(results, indent=1) + "\n")
    tables = output.with_suffix(".md")
    write_text(tables, as_markdown(results))
    metrics = {target["name"]: MAIN_METRICS[target["kind"]] for target in results["targets"]}
    matrices = {
        name: {
            representation: {target: scores[target][metric]["value"] for target, metric in metrics.items()}
            for representation, scores in mean[LEAKAGE].items()
        }
        for name, mean in results["means"].items()
    }
    chance = {target: results["chance"][target][metric] for target, metric in metrics.items()}
    note = f"{results['corpus']}, {results['split']}; probes fitted on Train, scored on other speakers"
    figures = plot_leakage(matrices, chance, results["targets"], output, note)
    for file in (output, tables, *figures):
        print(f"written: {file}")


if __name__ == "__main__":
    run(main)
