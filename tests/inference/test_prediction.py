"""One pass over files equals each file alone, in the order of the files; means and records, by hand."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from little_corpora import write_clip

from paravox.inference.prediction import mean_predictions, predict_dataset, predict_files
from paravox.modeling.errors import AudioError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.tasks import Task
from paravox.trainers.multi_task_dataset import MultiTaskDataset

TASKS = [
    Task("emotion", "intensities", labels=("awe", "fear")),
    Task("age", "scalar", range=(0, 100), unit="years"),
    Task("country", "classes", labels=("China", "USA")),
]


@pytest.fixture
def clips(tmp_path):
    """Seven files, neither short to long nor long to short."""
    paths = []
    for number, seconds in enumerate((0.4, 0.9, 0.2, 0.6, 0.3, 0.8, 0.5)):
        write_clip(tmp_path / f"{number}.wav", number, seconds)
        paths.append(str(tmp_path / f"{number}.wav"))
    return paths


@pytest.fixture
def model(make_model):
    model = make_model("wav2vec2_layer")
    for head in model.heads.values():
        torch.nn.init.normal_(head.weight, std=3.0, generator=torch.Generator().manual_seed(1))
        torch.nn.init.constant_(head.bias, 0.5)
    return model


def one_by_one(model, extractor, paths):
    with torch.no_grad():
        alone = [model(**extractor([path], return_tensors="pt")).predictions for path in paths]
    return {task: np.concatenate([predictions[task].numpy() for predictions in alone]) for task in alone[0]}


@pytest.mark.parametrize("batch_seconds", [0.1, 1.3, 30.0])
def test_predictions_are_those_of_each_clip_alone_in_the_given_order(model, clips, batch_seconds):
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    expected = one_by_one(model, extractor, clips)
    assert all(np.ptp(values, axis=0).max() > 0.02 for values in expected.values())
    found = predict_files(model, extractor, clips, batch_seconds)
    corpus = MultiTaskDataset(Dataset.from_dict({"path": clips[::-1]}), tasks=[])
    backwards = predict_dataset(model, extractor, corpus, batch_seconds)
    for task, values in expected.items():
        np.testing.assert_allclose(found[task], values, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(backwards[task], values[::-1], rtol=1e-4, atol=1e-5)


def test_a_batch_holds_no_more_than_the_given_seconds(model, clips, monkeypatch):
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    shapes = []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda **inputs: shapes.append(inputs["input_values"].shape) or forward(**inputs)
    )
    predict_files(model, extractor, clips, batch_seconds=1.3)
    seconds = [rows * samples / 16_000 for rows, samples in shapes]
    assert sum(rows for rows, _ in shapes) == 7 and max(seconds) <= 1.3 + 0.01 and len(shapes) < 7


def test_files_are_read_at_the_rate_of_the_feature_extractor(model, clips, monkeypatch):
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    extractor.sampling_rate = extractor._encoder_extractor.sampling_rate = 12_000
    shapes = []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda **inputs: shapes.append(inputs["input_values"].shape) or forward(**inputs)
    )
    predict_files(model, extractor, clips[:1])
    assert shapes == [(1, pytest.approx(0.4 * 12_000, abs=1))]


def test_a_clip_that_cannot_be_read_stops_the_prediction(model, clips):
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    with open(clips[2], "wb") as file:
        file.write(b"no audio")
    with pytest.raises(AudioError, match="2.wav"):
        predict_files(model, extractor, clips)


def test_means_are_over_models():
    members = [
        {"age": np.array([20.0, 30.0]), "country": np.array([[1.0, 0.0], [0.5, 0.5]])},
        {"age": np.array([50.0, 30.0]), "country": np.array([[0.0, 1.0], [0.9, 0.1]])},
        {"age": np.array([20.0, 60.0]), "country": np.array([[0.5, 0.5], [0.1, 0.9]])},
    ]
    found = mean_predictions(members)
    assert found["age"].tolist() == [30.0, 40.0]
    np.testing.assert_allclose(found["country"], [[0.5, 0.5], [0.5, 0.5]])
