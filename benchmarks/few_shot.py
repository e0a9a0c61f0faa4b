"""Measure the rows few_shot_encoding, few_shot_encoding_wav, few_shot_heads and few_shot_full: the engine of the study
against the plain way to do the same.

    python benchmarks/few_shot.py --encoder WHISPER_BASE --data_dir NEMO

- encoding: from the files of all clips of a speaker to their pooled states, against the forward pass of the bare
  encoder on the same batches, decoded and turned into features beforehand. Measured for the corpus's files and for WAV.
- heads: all logistic regressions of a checkpoint at once, against those of scikit-learn one by one on the same
  features.
- full: trials that train the whole encoder, one after the other, against one `transformers.Trainer` per trial with the
  same model at the clips' own length. Beside it, for one epoch, the stock class, which pads to 30 s.

With `--device cuda`, both sides run there, and the names of the rows end in `_cuda`. How many trials an hour several
processes run on one GPU is what `few_shot.py --trials_per_device` prints.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from timing import record, side_by_side
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainingArguments,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

from paravox.modeling.audio import load_audio
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.runs.device_options import add_device_options, chosen_device
from paravox.study.checkpoints import TRIAL_TASK, open_checkpoint_model
from paravox.study.clips import STUDY_PASS, StudyClips
from paravox.study.device_clips import DeviceClips
from paravox.study.draws import TrialClips, draw_clips, read_speakers, trial_seed
from paravox.study.encoding import LayerStates
from paravox.study.grid import StudySettings
from paravox.study.trials import run_head_trials, run_trained_trial, standardise, trial_model
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.sampler import EvaluationBatchSampler

EMOTIONS = ["angry", "happy", "neutral", "sad", "surprise"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True, help="folder or name of a Whisper")
    parser.add_argument("--data_dir", required=True, help="a corpus laid out as ESD")
    parser.add_argument("--speakers", nargs="+", default=["0021", "0022"], help="whose clips and trials are used")
    parser.add_argument("--repeats", type=int, default=3, help="of the encoding")
    parser.add_argument("--trials", type=int, default=6, help="in mode full")
    parser.add_argument("--max_epochs", type=int, default=10, help="of a trial in mode full")
    parser.add_argument("--rows", nargs="+", default=["encoding", "heads", "full"], help="which to measure")
    add_device_options(parser)
    arguments = parser.parse_args()
    device, dtype = chosen_device(arguments.device, arguments.dtype)
    place = Place(device, dtype)
    # A speaker of the default study, at the settings of its grid.
    study = StudySettings(
        corpora=["none_needed"], speakers=arguments.speakers, emotions=EMOTIONS, shots=[2, 4, 8, 16, 24, 32, 64]
    )
    study.max_epochs = study.patience = arguments.max_epochs
    table = read_speakers(study, arguments.data_dir)
    extractor = Burst2VecFeatureExtractor.from_encoder(arguments.encoder)
    model = open_checkpoint_model("none", None, arguments.encoder).to(device)
    paths = table["path"].tolist()
    if "encoding" in arguments.rows:
        measure_encoding("few_shot_encoding", model, paths, extractor, arguments.repeats, place)
        with tempfile.TemporaryDirectory() as folder:
            measure_encoding("few_shot_encoding_wav", model, as_wav(paths, folder), extractor, arguments.repeats, place)
    drawn = [
        (trial, draw_clips(table, trial, study.corpus, study.seed))
        for trial in study.grid()
        if trial.checkpoint == "none"
    ]
    drawn = [(trial, clips) for trial, clips in drawn if isinstance(clips, TrialClips)]
    clips = StudyClips(paths, extractor)
    if "heads" in arguments.rows:
        states = LayerStates(clips, settings=place.pass_settings).encode(model.encoder, "encoding")
        features = standardise(states[:, -1], np.flatnonzero(table["split"] == "train"))
        measure_heads(features, drawn, place)
    if "full" in arguments.rows:
        few = [(trial, rows) for trial, rows in drawn if trial.k == 8 and trial.repetition == 0]
        measure_full(model, clips, few[: arguments.trials], study, arguments.encoder, place)


class Place(NamedTuple):
    """Where both sides run, and in which precision."""

    device: torch.device
    dtype: torch.dtype

    @property
    def pass_settings(self) -> PassSettings:
        return dataclasses.replace(STUDY_PASS, device=self.device, dtype=self.dtype)

    def record(self, row: str, values: dict) -> None:
        record(row if self.device.type == "cpu" else f"{row}_{self.device.type}", values)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def as_wav(paths: list[str], folder: str) -> list[str]:
    """The same clips as ESD is distributed: 16-bit WAV at their own rate."""
    copies = [f"{folder}/{number}.wav" for number in range(len(paths))]
    for path, copy in zip(paths, copies, strict=True):
        samples, rate = soundfile.read(path)
        soundfile.write(copy, samples, rate, subtype="PCM_16")
    return copies


def measure_encoding(
    row: str, model, paths: list[str], extractor: Burst2VecFeatureExtractor, repeats: int, place: Place
) -> None:
    ready = StudyClips(paths, extractor)
    sampler = EvaluationBatchSampler(ready.seconds, STUDY_PASS.batch_size, STUDY_PASS.max_batch_seconds)
    batches = [
        tuple(values.to(place.device) for values in ready.collate([ready.read(draw.index) for draw in draws]).values())
        for draws in sampler
    ]

    def ours() -> None:
        LayerStates(StudyClips(paths, extractor), settings=place.pass_settings).encode(model.encoder, "encoding")

    @torch.inference_mode()
    def bare() -> None:
        with torch.autocast(place.device.type, place.dtype, enabled=place.dtype != torch.float32):
            for inputs, mask in batches:
                model.encoder.last_state(inputs, mask)
        place.wait()

    seconds, bare_seconds = side_by_side(ours, bare, repeats)
    values = {
        "ratio": round(seconds / bare_seconds, 3),
        "ours": round(seconds, 2),
        "alternative": round(bare_seconds, 2),
    }
    place.record(row, values | {"unit": "seconds", "clips": len(paths)})


def measure_heads(features: np.ndarray, drawn: list, place: Place) -> None:
    run_head_trials(features, drawn, place.device)
    start = time.perf_counter()
    rows = run_head_trials(features, drawn, place.device)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    scores = []
    for _, clips in drawn:
        head = LogisticRegression(tol=1e-8, max_iter=10_000).fit(features[clips.train], clips.train_labels)
        predicted = head.predict(features[clips.test])
        scores.append(f1_score(clips.test_labels, predicted, labels=[False, True], average="macro", zero_division=0))
    alone = time.perf_counter() - start
    values = {
        "ratio": round(alone / seconds, 1),
        "ours": round(len(drawn) / seconds),
        "alternative": round(len(drawn) / alone),
        "unit": "trials a second",
        "mean_macro_f1": {
            "ours": round(float(np.mean([row["macro_f1"] for row in rows])), 4),
            "scikit-learn": round(float(np.mean(scores)), 4),
        },
    }
    place.record("few_shot_heads", values)


def measure_full(model, clips: StudyClips, drawn: list, study: StudySettings, encoder: str, place: Place) -> None:
    held = DeviceClips(clips, place.device, place.dtype)
    for _, rows in drawn:  # decoded only once for both sides
        for row in (*rows.train, *rows.evaluation, *rows.test):
            clips.read(int(row))
        held.hold(np.concatenate([rows.train, rows.evaluation, rows.test]))
    ours, theirs = [], []
    for trial, rows in drawn:  # in turn, so that a slow minute of the machine affects both
        start = time.perf_counter()
        ours.append((run_trained_trial(model, held, trial, rows, study)["macro_f1"], time.perf_counter() - start))
        start = time.perf_counter()
        theirs.append((trainer_trial(model, clips, trial, rows, study, place), time.perf_counter() - start))
        print(f"{trial.speaker} {trial.emotion}: ours {ours[-1]}, Trainer {theirs[-1]}")
    per_hour = [3600 * len(side) / sum(seconds for _, seconds in side) for side in (ours, theirs)]
    epoch = padded_epoch_seconds(clips, drawn[0][1], study, encoder, place)
    differences = [first - second for (first, _), (second, _) in zip(ours, theirs, strict=True)]
    values = {
        "ratio": round(per_hour[0] / per_hour[1], 2),
        "ours": round(per_hour[0], 1),
        "alternative": round(per_hour[1], 1),
        "unit": "trials an hour",
        "trials": len(drawn),
        "max_epochs": study.max_epochs,
        "padded_to_30_s": round(3600 / (epoch * study.max_epochs), 1),
        "mean_macro_f1": {
            "ours": round(statistics.mean(score for score, _ in ours), 4),
            "Trainer": round(statistics.mean(score for score, _ in theirs), 4),
            "standard_error_of_difference": round(statistics.stdev(differences) / len(differences) ** 0.5, 4),
        },
    }
    place.record("few_shot_full", values)


class FeatureDataset(torch.utils.data.Dataset):
    """The clips of a trial for the Trainer."""

    def __init__(self, features: list, labels: np.ndarray) -> None:
        self.features, self.labels = features, labels

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> dict:
        return {"features": self.features[index], "label": int(self.labels[index])}


class TrialTrainer(Trainer):
    """What a user writes to train our model with the stock Trainer."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        logits = model(**inputs).logits
        logits = logits[TRIAL_TASK.name] if isinstance(logits, dict) else logits
        loss = torch.nn.functional.cross_entropy(logits, labels)
        return (loss, {"logits": logits}) if return_outputs else loss

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        labels = inputs["labels"]
        with torch.no_grad():
            loss, output = self.compute_loss(model, dict(inputs), return_outputs=True)
        return loss, output["logits"], labels


def trainer_trial(checkpoint, clips: StudyClips, trial, rows: TrialClips, study: StudySettings, place: Place) -> float:
    """The same trial by one Trainer, at the clips' own length: its macro F1 on the test part."""
    model = trial_model(checkpoint, trial, trial_seed(trial, study.seed))

    def collate(items: list[dict]) -> dict:
        inputs = clips.collate([item["features"] for item in items])
        return inputs | {"labels": torch.tensor([item["label"] for item in items])}

    return run_trainer(model, collate, clips.read, rows, study, study.max_epochs, place)


def padded_epoch_seconds(
    clips: StudyClips, rows: TrialClips, study: StudySettings, encoder: str, place: Place
) -> float:
    """Seconds of one epoch, its evaluation included, of the stock class, which takes clips padded to 30 s."""
    config = WhisperConfig.from_pretrained(encoder, num_labels=2)
    config.dtype = torch.float32
    extractor = WhisperFeatureExtractor.from_pretrained(encoder)
    model = WhisperForAudioClassification(config)

    def features(row: int) -> np.ndarray:
        return extractor(load_audio(clips.paths[row]), sampling_rate=16_000).input_features[0]

    def collate(items: list[dict]) -> dict:
        inputs = torch.from_numpy(np.stack([item["features"] for item in items]))
        return {"input_features": inputs, "labels": torch.tensor([item["label"] for item in items])}

    # Without the test part, which is scored once per trial and not once per epoch.
    start = time.perf_counter()
    rows = rows._replace(test=rows.test[:1], test_labels=rows.test_labels[:1])
    run_trainer(model, collate, features, rows, study, 1, place)
    return time.perf_counter() - start


def run_trainer(model, collate, features, rows: TrialClips, study: StudySettings, epochs: int, place: Place) -> float:
    datasets = {
        name: FeatureDataset([features(int(row)) for row in getattr(rows, name)], getattr(rows, f"{name}_labels"))
        for name in ("train", "evaluation", "test")
    }

    def macro_f1(prediction) -> dict[str, float]:
        answers = prediction.predictions.argmax(axis=1)
        return {"macro_f1": f1_score(prediction.label_ids, answers, labels=[0, 1], average="macro", zero_division=0)}

    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder,
            use_cpu=place.device.type == "cpu",
            bf16=place.dtype == torch.bfloat16,
            disable_tqdm=True,
            num_train_epochs=epochs,
            per_device_train_batch_size=study.batch_size,
            per_device_eval_batch_size=32,
            learning_rate=study.learning_rate,
            warmup_steps=study.warmup,
            max_grad_norm=0.0,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model="macro_f1",
            remove_unused_columns=False,
            label_names=["labels"],
        )
        trainer = TrialTrainer(
            model,
            args,
            data_collator=collate,
            train_dataset=datasets["train"],
            eval_dataset=datasets["evaluation"],
            compute_metrics=macro_f1,
            callbacks=[EarlyStoppingCallback(study.patience)],
        )
        trainer.train()
        return trainer.evaluate(datasets["test"])["eval_macro_f1"]


if __name__ == "__main__":
    main()
