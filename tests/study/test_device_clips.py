"""Batches on the device hold the features that the feature extractor gives for each clip, whatever was held before."""

import numpy as np
import pytest
import torch
from little_corpora import write_clip

from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.study.clips import StudyClips
from paravox.study.device_clips import DeviceClips

SECONDS = [0.2 + 0.07 * (number % 5) for number in range(12)]


@pytest.fixture(params=["whisper", "wav2vec2"])
def clips(request, saved_encoders, tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(12)]
    for number, path in enumerate(paths):
        write_clip(path, number, seconds=SECONDS[number])
    return StudyClips(
        [str(path) for path in paths], Burst2VecFeatureExtractor.from_encoder(saved_encoders[request.param])
    )


def alone(clips, row):
    return clips.extractor([clips.paths[row]])[clips.extractor.model_input_names[0]][0]


def assert_holds(inputs, clips, rows):
    """Each clip of a batch is that clip alone, and silence behind it."""
    features, mask = (values.float().numpy() for values in inputs.values())
    for number, row in enumerate(rows):
        expected = alone(clips, row)
        length = expected.shape[-1]
        np.testing.assert_array_equal(features[number, ..., :length], expected)
        assert not features[number, ..., length:].any()
        np.testing.assert_array_equal(mask[number], np.arange(mask.shape[1]) < length)


def test_a_training_batch_is_padded_to_a_quarter_of_a_second(clips):
    held = DeviceClips(clips)
    held.hold(np.array([7, 0]))
    held.hold(np.array([0, 4, 2]))  # longer ones than before, and one that is there
    rows = np.array([2, 7, 4])
    length = held.training_length(rows)
    assert length == {"input_features": 50, "input_values": 8000}[clips.extractor.model_input_names[0]]
    inputs = held.batch(held.places(rows), torch.from_numpy(held.lengths(rows)), length)
    assert_holds(inputs, clips, rows)
    assert [values.shape[-1] for values in inputs.values()] == [length, length]


def test_a_part_is_batched_by_length_and_comes_back_in_its_order(clips, monkeypatch):
    monkeypatch.setattr("paravox.study.device_clips.EVALUATION_CLIPS", 4)
    held = DeviceClips(clips)
    rows = np.array([3, 11, 0, 9, 5, 2, 8, 1, 4])
    held.hold(rows)
    part = held.part(rows)
    assert len(part.batches) > 2 and held.part(rows.copy()) is part
    name = clips.extractor.model_input_names[0]
    # The sums of all clips, as the batches have them, and in the order of the part.
    sums = torch.cat([inputs[name].double().abs().flatten(1).sum(dim=1) for inputs in part.batches])[part.order]
    np.testing.assert_allclose(sums, [np.abs(alone(clips, row).astype(np.float64)).sum() for row in rows])
    # No batch is padded further than to its longest clip.
    assert all(
        inputs["attention_mask"].sum(dim=1).max() == inputs["attention_mask"].shape[1] for inputs in part.batches
    )
    assert held.part(rows[:3]) is not part


def test_features_are_kept_in_the_type_that_the_encoder_takes_and_in_no_other_place(clips):
    held = DeviceClips(clips, dtype=torch.bfloat16)
    rows = np.arange(3)
    held.hold(rows)
    (inputs,) = held.part(rows[:1]).batches
    assert inputs[clips.extractor.model_input_names[0]].dtype == torch.bfloat16
    assert not clips._features
