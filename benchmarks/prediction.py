"""Measures row e_whisper: predicting a folder of real bursts, with paravox and with the audio-classification pipeline.

    python benchmarks/prediction.py --model runs/real_bursts/model --encoder WHISPER_BASE --data_dir BURSTS

Both sides have the same Whisper encoder and decode the same files with soundfile. The classifier of the pipeline is
fitted on clips of Train, so that both sides have a score to print. The pipeline pads every clip to 30 s, which makes it
slow. It runs once per batch size, without a warm-up, and its best batch size counts; paravox runs several times after a
warm-up, and the median counts.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from timing import record
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForAudioClassification, pipeline

from paravox.inference.opening import open_model
from paravox.inference.prediction import predict_files
from paravox.modeling.audio import load_audio
from paravox.modeling.encoder_loading import load_encoder_weights
from paravox.modeling.encoders import WhisperClipEncoder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", required=True, help="Model that real_bursts.yaml trained.")
    parser.add_argument("--encoder", required=True, help="Folder or Hub name of the Whisper for the pipeline.")
    parser.add_argument("--data_dir", required=True, help="Folder with the bursts and their metadata.csv.")
    parser.add_argument(
        "--train_clips", type=int, default=400, help="Number of clips that the classifier of the pipeline is fitted on."
    )
    parser.add_argument("--clips", type=int, default=150, help="Number of clips of Val that both sides predict.")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 4, 8], help="Batch sizes of the pipeline.")
    parser.add_argument("--repeats", type=int, default=3, help="Number of runs of paravox.")
    arguments = parser.parse_args()
    model, extractor = open_model(arguments.model)
    labels = model.tasks["emotion"].labels
    train = read_clips(arguments.data_dir, "train", labels, arguments.train_clips)
    validation = read_clips(arguments.data_dir, "validation", labels, arguments.clips)
    paths, truth = zip(*validation, strict=True)

    ours_seconds = []
    for _ in range(arguments.repeats + 1):
        start = time.perf_counter()
        predictions = predict_files(model, extractor, list(paths))
        ours_seconds.append(time.perf_counter() - start)
    ours = len(paths) / float(np.median(ours_seconds[1:]))
    ours_uar = recall_score(truth, predictions["emotion"].argmax(axis=1), average="macro")

    stock = fitted_pipeline(arguments.encoder, labels, train)
    rates = {}
    for batch_size in arguments.batch_sizes:
        start = time.perf_counter()
        answers = list(stock(decoded(paths), batch_size=batch_size, top_k=1))
        rates[batch_size] = len(paths) / (time.perf_counter() - start)
        print(f"pipeline, batch size {batch_size}: {rates[batch_size]:.2f} clips a second")
    best = max(rates, key=rates.get)
    pipeline_uar = recall_score(truth, [labels.index(answer[0]["label"]) for answer in answers], average="macro")
    values = {
        "ratio": round(ours / rates[best], 2),
        "ours": round(ours, 2),
        "alternative": round(rates[best], 2),
        "unit": "clips a second",
        "clips": len(paths),
        "pipeline_batch_size": best,
        "pipeline_train_clips": len(train),
        "val_emotion_uar": {"ours": round(float(ours_uar), 3), "pipeline": round(float(pipeline_uar), 3)},
    }
    record("e_whisper", values)


def read_clips(data_dir: str, split: str, labels: list[str], count: int) -> list[tuple[str, int]]:
    """Paths and strongest emotions of clips that are drawn at random from a split."""
    with open(Path(data_dir) / "metadata.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split and row[labels[0]]]
    drawn = np.random.default_rng(0).permutation(len(rows))[:count]
    strongest = [int(np.argmax([float(rows[row][label]) for label in labels])) for row in drawn]
    return [(str(Path(data_dir) / rows[row]["file_name"]), label) for row, label in zip(drawn, strongest, strict=True)]


def decoded(paths: list[str]):
    for path in paths:
        yield {"raw": load_audio(path), "sampling_rate": 16_000}


def fitted_pipeline(encoder: str, labels: list[str], train: list[tuple[str, int]]):
    """The pipeline of Transformers, with a classifier that is fitted on the pooled output for padded Train clips."""
    torch.manual_seed(0)
    config = WhisperConfig.from_pretrained(encoder, num_labels=len(labels), id2label=dict(enumerate(labels)))
    model = WhisperForAudioClassification(config).eval()
    source = WhisperClipEncoder(config)
    load_encoder_weights(source, encoder)
    model.encoder.load_state_dict(source.model.state_dict())
    extractor = WhisperFeatureExtractor.from_pretrained(encoder)
    pooled = []
    with torch.inference_mode():
        for path, _ in train:
            features = extractor(load_audio(path), sampling_rate=16_000, return_tensors="pt").input_features
            pooled.append(model.projector(model.encoder(features).last_hidden_state).mean(dim=1))
    classifier = LogisticRegression(max_iter=2000).fit(torch.cat(pooled).numpy(), [label for _, label in train])
    with torch.no_grad():
        model.classifier.weight.copy_(torch.from_numpy(classifier.coef_))
        model.classifier.bias.copy_(torch.from_numpy(classifier.intercept_))
    return pipeline("audio-classification", model=model, feature_extractor=extractor)


if __name__ == "__main__":
    main()
