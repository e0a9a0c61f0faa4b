"""Scores one or several saved models on a corpus, and the mean of their predictions.

    paravox score runs/wl/model --data_dir EXVO --corpus exvo --split validation
    paravox score runs/wl/model runs/hl/model --data_dir EXVO --corpus exvo \\
        --split test --submission ExVo-Multi_team_1.csv

Prints a table with each model, the mean of all models if there are several, and a constant prediction that was fitted
on Train. The submission file is that of the ExVo challenge; it can be written for clips without labels.

    paravox score runs/wl/model --data_dir FOLDER --report report.html

writes a page that shows how sure the scores are, for whom the model does well, and where it is wrong.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset

from paravox.corpora.exvo import COUNTRIES, EMOTIONS
from paravox.corpora.names import CORPUS_NAMES
from paravox.corpora.registry import load_corpus
from paravox.evaluation.baselines import constant_predictions
from paravox.evaluation.group_scores import groups_of_columns
from paravox.evaluation.score_names import SPLIT_TITLES
from paravox.evaluation.score_report import ScoredSplit, model_titles, player_of_clip, write_score_report
from paravox.evaluation.score_tables import print_scores
from paravox.inference.opening import open_model, same_tasks
from paravox.inference.prediction import mean_predictions, predict_dataset
from paravox.modeling.errors import ConfigError, CorpusError
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task
from paravox.runs.device_options import add_device_options, chosen_device
from paravox.runs.program import run
from paravox.trainers.files import write_text, written_aside
from paravox.trainers.multi_task_dataset import MultiTaskDataset, read_labels
from paravox.trainers.scoring import score_split


def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Scores the models, prints the table, and returns the scores by row."""
    arguments = parse_arguments(argv)
    if arguments.revision is not None and len(arguments.models) > 1:
        raise ConfigError("revision is given for several models: download the others, or leave it out")
    if arguments.report_audio and arguments.report is None:
        raise ConfigError("report_audio puts recordings into a report: give --report FILE.html, too")
    device, dtype = chosen_device(arguments.device, arguments.dtype)
    opened = [open_model(name, arguments.revision, dtype=dtype) for name in arguments.models]
    tasks = same_tasks([model for model, _ in opened], arguments.models)
    corpus = load_corpus(arguments.corpus, arguments.data_dir, tasks, arguments.audio, to_train=False)
    if arguments.split not in corpus:
        raise CorpusError(
            f"split {arguments.split!r} is not in {arguments.data_dir}: it has {', '.join(corpus)}, so give one of "
            "these by --split"
        )
    clips = corpus[arguments.split]
    if arguments.submission:
        check_submission(clips, tasks)
    start = time.perf_counter()
    members = []
    for model, extractor in opened:
        dataset = MultiTaskDataset(clips, tasks, sampling_rate=extractor.sampling_rate)
        model.to(device)
        members.append(predict_dataset(model, extractor, dataset, arguments.batch_seconds, arguments.num_workers))
        model.cpu()  # the next one may need the memory of the device
    ensemble = mean_predictions(members)
    seconds = time.perf_counter() - start

    constant_labels = {task.name: read_labels(corpus["train"], task) for task in tasks} if "train" in corpus else {}
    # A new corpus may have no Train, or one without labels of a task.
    on_train = bool(constant_labels) and all(fully_known(labels).any() for labels in constant_labels.values())
    constant = "constant prediction" + ("" if on_train else f" fitted on {arguments.split}")
    constant_labels = constant_labels if on_train else dataset.labels
    rows = {constant: constant_predictions(tasks, constant_labels, len(clips))}
    rows |= dict(zip(arguments.models, members, strict=True))
    if len(members) > 1:
        rows[f"mean of {len(members)} models"] = ensemble
    scores = {row: score_split(tasks, predictions, dataset.labels) for row, predictions in rows.items()}
    split = SPLIT_TITLES.get(arguments.split, arguments.split)
    print_scores(f"{arguments.data_dir}, {arguments.split}", {row: {split: value} for row, value in scores.items()})
    if arguments.output:
        write_text(arguments.output, json.dumps(scores, indent=2) + "\n")
    if arguments.report:
        report(arguments, clips, dataset, rows, seconds)
    if arguments.submission:
        write_submission(arguments.submission, clips, tasks, ensemble)
        print(f"{len(clips)} predictions written to {arguments.submission}")
    return scores


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "models", metavar="MODEL", nargs="+", help="Folder that train or ensemble wrote, or name on the Hub."
    )
    parser.add_argument("--data_dir", required=True, help="Folder of the corpus.")
    parser.add_argument(
        "--corpus",
        default="metadata_csv",
        help=f"Name of the corpus: {', '.join(CORPUS_NAMES)} (default: %(default)s).",
    )
    parser.add_argument(
        "--audio", default="provided", help="Recordings of ExVo to use: provided or raw (default: %(default)s)."
    )
    parser.add_argument(
        "--split", default="validation", help="Split to score: train, validation or test (default: %(default)s)."
    )
    parser.add_argument("--revision", help="Branch, tag or commit of a single model on the Hub (default: main).")
    parser.add_argument("--output", type=Path, help="JSON file to write the scores to.")
    parser.add_argument(
        "--report", type=Path, help="HTML file to write a report to. It needs no network and holds no recording."
    )
    parser.add_argument(
        "--report_audio",
        action="store_true",
        help="Put players of the worst clips into the report. Publish it only if you may publish the recordings.",
    )
    parser.add_argument(
        "--submission", type=Path, help="CSV file to write predictions to, as the challenge takes them."
    )
    parser.add_argument(
        "--batch_seconds",
        type=float,
        help="Seconds of audio per batch (default: 30; on a GPU up to 1000, as its memory allows).",
    )
    parser.add_argument(
        "--num_workers",
        type=int,
        help="Processes that decode (default: the cores but one beside a GPU, an eighth of the cores beside a CPU).",
    )
    add_device_options(parser)
    return parser.parse_args(argv)


def report(
    arguments: argparse.Namespace,
    clips: Dataset,
    dataset: MultiTaskDataset,
    rows: dict[str, dict[str, np.ndarray]],
    seconds: float,
) -> None:
    """Writes the report of the last of the rows, and prints where it is."""
    titles = dict(zip(arguments.models, model_titles(arguments.models), strict=True))
    scored = ScoredSplit(
        models=list(titles.values()),
        corpus=Path(arguments.data_dir).absolute().name,
        split=arguments.split,
        tasks=dataset.tasks,
        rows={titles.get(row, row): predictions for row, predictions in rows.items()},
        labels=dataset.labels,
        speakers=dataset.speakers,
        files=dataset.files,
        groups=groups_of_columns(clips, dataset.tasks),
        seconds=seconds,
    )
    write_score_report(arguments.report, scored, partial(player_of_clip, dataset) if arguments.report_audio else None)
    print(f"report written to {arguments.report}")


def check_submission(clips: Dataset, tasks: list[Task]) -> None:
    """Raises [`ConfigError`] if the clips are not from ExVo, or the tasks are not those of the challenge."""
    labels = {task.name: task.labels for task in tasks}
    fits = {
        "the exvo corpus": "file_id" in clips.column_names,
        "emotion": set(labels.get("emotion", ())) == set(EMOTIONS),
        "age": labels.get("age") == (),
        "country": set(labels.get("country", ())) == set(COUNTRIES),
    }
    missing = [name for name, fit in fits.items() if not fit]
    if missing:
        raise ConfigError(
            "a submission needs the exvo corpus and a model with the tasks emotion (ten intensities), age and country "
            f"(four classes); missing here: {', '.join(missing)}"
        )


def write_submission(path: Path, clips: Dataset, tasks: list[Task], predictions: dict[str, np.ndarray]) -> None:
    """Writes the file of the challenge: File_ID in brackets, Country from 0 to 3, Age in years, and ten emotions.

    Args:
        path (`Path`): a CSV file.
        clips (`datasets.Dataset`): clips of ExVo.
        tasks (list of [`Task`]): with `emotion`, `age` and `country`; the labels may be in any order.
        predictions (`dict` of `np.ndarray`): per task, as a model predicts.
    """
    labels = {task.name: task.labels for task in tasks}
    table = pd.DataFrame({"File_ID": [f"[{file_id}]" for file_id in clips["file_id"]]})
    # The challenge numbers the countries; a model may list its labels in another order.
    numbers = np.array([COUNTRIES.index(country) for country in labels["country"]])
    table["Country"] = numbers[predictions["country"].argmax(axis=1)]
    table["Age"] = predictions["age"]
    for emotion in EMOTIONS:
        table[emotion] = predictions["emotion"][:, labels["emotion"].index(emotion)]
    with written_aside(path) as part:
        table.to_csv(part, index=False)


if __name__ == "__main__":
    run(main)
