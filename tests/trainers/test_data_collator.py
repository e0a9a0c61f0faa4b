"""Batches: padded to their longest, labels of the batch's task alone, repeated clips hidden from the loss."""

import numpy as np
import torch
from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.trainers.clip_sources import PooledStates, Recordings
from paravox.trainers.data_collator import MultiTaskCollator
from paravox.trainers.lower_states import LowerStates
from paravox.trainers.sampler import ALL_TASKS, ClipDraw

EXTRACTOR = Burst2VecFeatureExtractor(Wav2Vec2FeatureExtractor(do_normalize=False).to_dict())
# No clip is read here: the source only says how clips become a batch.
COLLATE = MultiTaskCollator(Recordings(clips=None), EXTRACTOR)


def item(index, samples=800, task="age", counted=True, clip=None, padded=None):
    clip = np.full(samples, 0.1 * (index + 1), np.float32) if clip is None else clip
    labels = {"age": np.float32(20 + index), "country": np.int64(index), "emotion": np.float32([0.1, 0.2])}
    return {"draw": ClipDraw(index, task, 0, counted, padded), "labels": labels, "clip": clip}


def test_clips_are_padded_to_the_longest_of_their_batch():
    batch = COLLATE([item(0, 500), item(1, 800)])
    assert batch["input_values"].shape == (2, 800) and batch["attention_mask"].sum(dim=1).tolist() == [500, 800]
    assert (batch["input_values"][0, 500:] == 0).all() and (batch["input_values"][0, :500] == 0.1).all()
    assert batch["index"].tolist() == [0, 1] and batch["task"] == "age"
    assert batch["labels"]["age"].tolist() == [20, 21] and list(batch["labels"]) == ["age"]


def test_labels_of_repeated_clips_are_unknown():
    for task, unknown in (("age", torch.isnan), ("country", lambda labels: labels == -100), ("emotion", torch.isnan)):
        labels = COLLATE([item(0, task=task), item(1, task=task, counted=False)])["labels"][task]
        assert unknown(labels).reshape(2, -1).all(dim=1).tolist() == [False, True]


def test_without_a_task_there_are_no_labels():
    batch = COLLATE([item(0, task=None)])
    assert set(batch) == {"input_values", "attention_mask", "index"}


def test_pooled_states_are_stacked():
    states = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    batch = MultiTaskCollator(PooledStates(states))([item(n, clip=states[n]) for n in range(2)])
    np.testing.assert_array_equal(batch["pooled_states"].numpy(), states)
    assert "input_values" not in batch


def test_lower_states_are_padded_with_a_mask_of_their_frames():
    collate = MultiTaskCollator(LowerStates([], np.zeros((2, 3), np.int64), np.zeros((2, 3, 4)), layers=1))
    states = [np.ones((frames, 4), np.float32) for frames in (2, 5)]
    batch = collate([item(n, clip=(clip, None)) for n, clip in enumerate(states)])
    assert batch["lower_states"].shape == (2, 5, 4) and batch["lower_states"].sum(dim=(1, 2)).tolist() == [8, 20]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    assert "lower_pooled_states" not in batch
    pooled = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    batch = collate([item(n, clip=(clip, pooled[n])) for n, clip in enumerate(states)])
    np.testing.assert_array_equal(batch["lower_pooled_states"].numpy(), pooled)


def test_a_batch_of_all_tasks_has_the_labels_of_each():
    batch = COLLATE([item(0, task=ALL_TASKS), item(1, task=ALL_TASKS, counted=False)])
    assert "task" not in batch and set(batch["labels"]) == {"age", "country", "emotion"}
    assert batch["labels"]["age"][0] == 20 and batch["labels"]["country"].tolist() == [0, -100]
    assert torch.isnan(batch["labels"]["emotion"][1]).all() and torch.isnan(batch["labels"]["age"][1])


def test_clips_are_padded_to_the_length_that_their_draws_have():
    plain, longer = (COLLATE([item(0, 500, padded=padded), item(1, 800, padded=padded)]) for padded in (None, 0.1))
    # One sample more than the length says, because resampling rounds, must not give another shape.
    rounded = COLLATE([item(0, 500, padded=0.1), item(1, 1601, padded=0.1)])
    assert longer["input_values"].shape == longer["attention_mask"].shape == rounded["input_values"].shape
    assert 1600 < longer["input_values"].shape[1] < 1616
    assert torch.equal(longer["input_values"][:, :800], plain["input_values"])
    assert (longer["input_values"][:, 800:] == 0).all() and longer["attention_mask"].sum(dim=1).tolist() == [500, 800]
    assert COLLATE([item(0, 2000, padded=0.1)])["input_values"].shape == (1, 2000)  # nothing is cut off


def test_mel_frames_and_stored_states_are_padded_in_their_own_unit():
    collate = MultiTaskCollator(
        Recordings(clips=None), Burst2VecFeatureExtractor(WhisperFeatureExtractor().to_dict(), minimum_samples=400)
    )
    batch = collate([item(0, 3200, padded=0.5)])
    assert batch["input_features"].shape == (1, 80, 50) and batch["attention_mask"].sum() == 20
    assert torch.equal(batch["input_features"][..., :20], collate([item(0, 3200)])["input_features"])
    collate = MultiTaskCollator(LowerStates([], np.zeros((2, 3), np.int64), np.zeros((2, 1, 4)), layers=1))
    batch = collate([item(0, clip=(np.ones((10, 4), np.float32), None), padded=0.5)])
    assert batch["lower_states"].shape == (1, 25, 4) and (batch["lower_states"][:, 10:] == 0).all()
    assert batch["attention_mask"].tolist() == [[1] * 10 + [0] * 15]


def test_vectors_are_stacked_whatever_their_draws_say():
    states = np.ones((1, 3, 4), np.float32)
    batch = MultiTaskCollator(PooledStates(states))([item(0, clip=states[0], padded=0.0)])
    assert batch["pooled_states"].shape == (1, 3, 4)
