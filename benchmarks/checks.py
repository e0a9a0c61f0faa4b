"""Measures what a run's look at its corpus costs before the first step, against one pass of the encoder over the clips.

    python benchmarks/checks.py --data_dir BURSTS --encoder WHISPER_BASE

The corpus is that of real_bursts.yaml, whose first epoch passes the encoder over the clips of Train and Val.
All times are those of the processor, so that other programs do not count.
"""

import argparse
import time

import numpy as np
import torch
import yaml
from timing import record

from paravox.corpora.class_weights import without_balanced_weights
from paravox.corpora.doubles import check_doubles
from paravox.corpora.metadata_csv import read_metadata_csv
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.tasks import parse_tasks
from paravox.runs.packaged_settings import find_settings
from paravox.trainers.multi_task_dataset import MultiTaskDataset

PASSED_CLIPS = 64  # the rest of the pass is computed from these


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="Folder of the corpus of real_bursts.yaml.")
    parser.add_argument("--encoder", required=True, help="Folder or Hub name of Whisper base.")
    arguments = parser.parse_args()
    settings = yaml.safe_load(find_settings("real_bursts").read_text(encoding="utf-8"))
    tasks = parse_tasks(without_balanced_weights(settings["tasks"]))
    extractor = Burst2VecFeatureExtractor.from_encoder(arguments.encoder)
    began = time.process_time()
    corpus = read_metadata_csv(arguments.data_dir, tasks)
    read = time.process_time()
    check_doubles(arguments.data_dir, corpus, tasks)
    compared = time.process_time()
    datasets = {split: MultiTaskDataset(clips, tasks) for split, clips in corpus.items()}
    for dataset in datasets.values():
        dataset.faults_of_clips(extractor.max_seconds)
    looked = time.process_time()
    clips = sum(len(datasets[split]) for split in ("train", "validation"))
    epoch = seconds_per_clip(arguments.encoder, extractor, datasets["train"], tasks) * clips
    values = {"table": read - began, "doubles": compared - read, "headers": looked - compared, "epoch": epoch}
    rounded = {name: round(seconds, 2) for name, seconds in values.items()}
    # Batches are made by the lengths in the headers, so these are read in any case.
    record("checks", rounded | {"unit": "seconds", "share": round((compared - read) / epoch, 4)})


def seconds_per_clip(
    encoder: str, extractor: Burst2VecFeatureExtractor, dataset: MultiTaskDataset, tasks: list
) -> float:
    """How long it takes to decode a clip and to pass the encoder over it, without learning from it."""
    model = Burst2VecForMultiTask.from_encoder(encoder, tasks=tasks).eval()
    rows = np.random.default_rng(0).choice(len(dataset), PASSED_CLIPS, replace=False)
    began = time.process_time()
    with torch.no_grad():
        for row in rows:
            clip = (dataset.source.read(int(row), 0), extractor.sampling_rate)
            model(**extractor([clip], return_tensors="pt"))
    return (time.process_time() - began) / PASSED_CLIPS


if __name__ == "__main__":
    main()
