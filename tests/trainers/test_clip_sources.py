"""Sources of clips: what is read, how it is cropped, what identifies it, and how clips become a batch."""

import numpy as np
import pytest
import soundfile
import soxr
import torch
from datasets import Audio, Dataset
from little_corpora import write_clip
from transformers import Wav2Vec2FeatureExtractor

from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.trainers.clip_sources import PooledStates, Recordings

RATE = 16_000
SECONDS = (0.5, 1.0, 1.5)


@pytest.fixture
def paths(tmp_path):
    for clip, seconds in enumerate(SECONDS):
        write_clip(tmp_path / f"{clip}.wav", clip, seconds=seconds)
    return [str(tmp_path / f"{clip}.wav") for clip in range(len(SECONDS))]


def recordings(paths, **settings):
    return Recordings(Dataset.from_dict({"path": paths}), **settings)


def as_bytes(paths):
    """The same clips in an undecoded column of audio, with their bytes."""
    content = [{"bytes": open(path, "rb").read(), "path": None} for path in paths]
    return Recordings(Dataset.from_dict({"audio": content}).cast_column("audio", Audio(decode=False)))


def test_clips_are_the_samples_of_their_files(paths):
    for source in (recordings(paths), as_bytes(paths)):
        assert len(source) == 3
        np.testing.assert_allclose(source.seconds, SECONDS)
        for row, path in enumerate(paths):
            np.testing.assert_array_equal(source.read(row, epoch=0), soundfile.read(path, dtype="float32")[0])


def test_another_loader_can_be_given(paths):
    asked = []
    source = recordings(paths, load=lambda value: asked.append(value) or np.zeros(7, np.float32))
    assert source.read(1, epoch=0).shape == (7,) and asked == [paths[1]]


def test_a_crop_is_a_part_of_the_clip_that_every_place_can_be(paths):
    source = recordings(paths, max_seconds=0.5)
    np.testing.assert_allclose(source.seconds, [0.5, 0.5, 0.5])
    whole = soundfile.read(paths[2], dtype="float32")[0]
    windows = np.lib.stride_tricks.sliding_window_view(whole, 8_000)
    starts = []
    for epoch in range(60):
        crop = source.read(2, epoch)
        (found,) = np.flatnonzero((windows[:, :50] == crop[:50]).all(axis=1))
        np.testing.assert_array_equal(windows[found], crop)
        starts.append(found)
    # Uniform over 0..16,000: the chance that 60 draws leave the first or the last fifth empty is 3 in a million.
    assert min(starts) < 3_200 and max(starts) > 12_800 and len(set(starts)) > 50
    # A clip that is as long as the limit or shorter is whole.
    np.testing.assert_array_equal(source.read(0, epoch=3), soundfile.read(paths[0], dtype="float32")[0])


def test_the_last_place_of_a_crop_is_the_end_of_the_clip(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.arange(1_001) / 2_000, 1_000, subtype="FLOAT")
    source = recordings([str(tmp_path / "a.wav")], load=lambda path: soundfile.read(path, dtype="float32")[0])
    source = Recordings(source.clips, source.load, sampling_rate=1_000, max_seconds=1.0)
    first_samples = {float(source.read(0, epoch)[0]) for epoch in range(40)}
    assert first_samples == {0.0, np.float32(1 / 2_000)}  # both of its two places


def test_runs_of_all_seeds_can_share_their_crops(paths):
    mine, yours = (recordings(paths, max_seconds=0.5, seed=seed) for seed in (3, 4))
    assert not np.array_equal(mine.read(2, 0), yours.read(2, 0))
    np.testing.assert_array_equal(mine.with_shared_crops().read(2, 0), yours.with_shared_crops().read(2, 0))
    # The seed of shared crops is part of published results.
    np.testing.assert_array_equal(
        mine.with_shared_crops().read(2, 0), recordings(paths, max_seconds=0.5, seed=1).read(2, 0)
    )


def test_equal_clips_are_cropped_at_places_of_their_own(paths):
    source = recordings([paths[2], paths[2]], max_seconds=0.5)
    assert not np.array_equal(source.read(0, 0), source.read(1, 0))


def test_content_changes_with_everything_that_changes_the_samples(paths):
    plain = recordings(paths)
    cropped = recordings(paths, max_seconds=1.2)
    contents = {
        "whole": plain.content(2),
        "cropped": cropped.content(2),
        "cropped elsewhere": recordings(paths, max_seconds=1.2, seed=1).content(2),
        "cropped shorter": recordings(paths, max_seconds=1.1).content(2),
        "another clip": plain.content(1),
        "cropped in another row": recordings(paths[::-1], max_seconds=1.2).content(0),
    }
    assert len(set(contents.values())) == len(contents)
    # Where nothing is cropped, neither the limit nor the seed nor the row matters, and bytes are as good as a file.
    assert plain.content(1) == cropped.content(1) == as_bytes(paths).content(1)
    assert plain.content(0) == recordings(paths[::-1], max_seconds=1.2, seed=9).content(2)
    assert open(paths[2], "rb").read() == contents["whole"]


def test_selected_clips_keep_their_order(paths):
    source = recordings(paths).select([2, 0])
    np.testing.assert_allclose(source.seconds, [1.5, 0.5])
    assert len(source) == 2 and len(source.read(0, 0)) == 24_000


def test_a_faulty_clip_is_named(paths):
    source = recordings([*paths, paths[0] + "nowhere"])
    assert source.check(0) is None
    assert source.check(3).startswith(f"{paths[0]}nowhere does not exist")


def test_recordings_become_what_the_feature_extractor_gives(paths):
    extractor = Burst2VecFeatureExtractor(Wav2Vec2FeatureExtractor(do_normalize=False).to_dict())
    source = recordings(paths)
    batch = source.collate([source.read(row, 0) for row in (1, 0)], extractor)
    assert batch["attention_mask"].sum(dim=1).tolist() == [16_000, 8_000]
    np.testing.assert_array_equal(batch["input_values"][1, :8_000], soundfile.read(paths[0], dtype="float32")[0])


def test_pooled_states_are_the_rows_of_an_array():
    states = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    source = PooledStates(states)
    assert len(source) == 4 and source.seconds.tolist() == [0, 0, 0, 0]
    batch = source.collate([source.read(row, epoch=5) for row in (3, 1)], None)
    assert list(batch) == ["pooled_states"]
    assert torch.equal(batch["pooled_states"], torch.from_numpy(states[[3, 1]]))


def test_augmentation_and_storing_exclude_each_other(paths):
    augmented = recordings(paths, augmentation=lambda samples, rate, numbers: -samples)
    np.testing.assert_array_equal(augmented.read(0, 0), -soundfile.read(paths[0], dtype="float32")[0])
    with pytest.raises(ConfigError, match="every epoch would see the same augmented clips: turn one of the two off"):
        augmented.refuse_augmentation()
    augmented.without_augmentation().refuse_augmentation()


def test_clips_are_resampled_to_the_rate_of_the_source(tmp_path):
    """Not only to 16 kHz, at which all encoders in use listen."""
    write_clip(tmp_path / "clip.wav", seed=0, seconds=0.5, rate=22_050)
    recordings = Recordings(Dataset.from_dict({"path": [str(tmp_path / "clip.wav")]}), sampling_rate=8_000)
    samples, rate = soundfile.read(tmp_path / "clip.wav", dtype="float32")
    assert len(recordings.read(0, epoch=0)) == 4_000
    np.testing.assert_allclose(recordings.read(0, epoch=0), soxr.resample(samples, rate, 8_000), atol=1e-6)
