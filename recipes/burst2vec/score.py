"""Score one or several saved models on a corpus; several are averaged.

    python recipes/burst2vec/score.py runs/wl/model --data_dir EXVO --corpus exvo --split validation
    python recipes/burst2vec/score.py runs/wl/model runs/hl/model --data_dir EXVO --corpus exvo --split test \
        --submission ExVo-Multi_team_1.csv

Prints a table with each model, their ensemble and a constant prediction, and writes it as JSON where --output says so.
The submission file is the challenge's; it needs a split of ExVo, but no labels.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset

from paravox.corpora.exvo import EMOTIONS
from paravox.corpora.registry import load_corpus
from paravox.evaluation.baselines import constant_predictions
from paravox.evaluation.score_tables import print_scores
from paravox.inference.prediction import mean_predictions, open_model, predict_dataset, same_tasks
from paravox.modeling.errors import AudioError, CheckpointError, ConfigError, CorpusError
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.scoring import score_split


def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Scores and prints; gives the scores by row of the table."""
    arguments = parse_arguments(argv)
    if arguments.revision is not None and len(arguments.models) > 1:
        raise ConfigError("revision is given for several models: download the others, or leave it out")
    opened = [open_model(name, arguments.revision) for name in arguments.models]
    tasks = same_tasks([model for model, _ in opened], arguments.models)
    corpus = load_corpus(arguments.corpus, arguments.data_dir, tasks, arguments.audio)
    if arguments.split not in corpus:
        raise CorpusError(f"split {arguments.split!r} is not in {arguments.data_dir}: it has {', '.join(corpus)}")
    clips = corpus[arguments.split]
    members = []
    for model, extractor in opened:
        dataset = MultiTaskDataset(clips, tasks, sampling_rate=extractor.sampling_rate)
        members.append(predict_dataset(model, extractor, dataset, arguments.batch_seconds))
    ensemble = mean_predictions(members)

    train_labels = MultiTaskDataset(corpus["train"], tasks).labels if "train" in corpus else dataset.labels
    rows = {"constant prediction": constant_predictions(tasks, train_labels, len(clips))}
    rows |= dict(zip(arguments.models, members, strict=True))
    if len(members) > 1:
        rows[f"mean of {len(members)} models"] = ensemble
    scores = {row: score_split(tasks, predictions, dataset.labels) for row, predictions in rows.items()}
    print_scores(
        f"{arguments.data_dir}, {arguments.split}", {row: {arguments.split: value} for row, value in scores.items()}
    )
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(scores, indent=2) + "\n")
    if arguments.submission:
        write_submission(arguments.submission, clips, ensemble)
        print(f"{len(clips)} predictions written to {arguments.submission}")
    return scores


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="folders that train.py or ensemble.py wrote, or names on the Hub")
    parser.add_argument("--data_dir", required=True, help="folder of the corpus")
    parser.add_argument("--corpus", default="metadata_csv", help="exvo, metadata_csv or dataset (default %(default)s)")
    parser.add_argument("--audio", default="provided", help="ExVo's files: provided or raw (default %(default)s)")
    parser.add_argument("--split", default="validation", help="train, validation or test (default %(default)s)")
    parser.add_argument("--revision", help="branch, tag or commit of one model on the Hub (default main)")
    parser.add_argument("--output", help="write the scores to this JSON file")
    parser.add_argument("--submission", help="write the challenge's csv file of predictions")
    parser.add_argument(
        "--batch_seconds", type=float, default=30.0, help="seconds of audio a batch (default %(default)s)"
    )
    return parser.parse_args(argv)


def write_submission(path: str, clips: Dataset, predictions: dict[str, np.ndarray]) -> None:
    """Writes the challenge's file: File_ID in brackets, Country 0 to 3, Age in years, ten emotions in the file's order.

    Raises:
        ConfigError: if the clips are not ExVo's or the model does not predict its three tasks.
    """
    missing = [task for task in ("emotion", "age", "country") if task not in predictions]
    if "file_id" not in clips.column_names or missing or predictions["emotion"].shape[1] != len(EMOTIONS):
        raise ConfigError(
            "a submission needs the exvo corpus and a model with the tasks emotion (ten intensities), age and country; "
            f"missing here: {', '.join(missing) or 'the corpus'}"
        )
    table = pd.DataFrame({"File_ID": [f"[{file_id}]" for file_id in clips["file_id"]]})
    # The order of a model's countries is that of its config; the recipe's configs list them as the challenge numbers them.
    table["Country"] = predictions["country"].argmax(axis=1)
    table["Age"] = predictions["age"]
    for column, emotion in enumerate(EMOTIONS):
        table[emotion] = predictions["emotion"][:, column]
    table.to_csv(path, index=False)


if __name__ == "__main__":
    try:
        main()
    except (AudioError, CheckpointError, ConfigError, CorpusError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
