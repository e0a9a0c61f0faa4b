"""The clips of the study: each decoded once, cut at the right place, in batches that do not change."""

import numpy as np
import pytest
from little_corpora import write_clip

from paravox.modeling.audio import load_audio
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.study.clips import STUDY_PASS, ClipsWithoutLabels, StudyClips
from paravox.trainers.sampler import ClipDraw

SECONDS = (0.3, 0.5, 0.2, 0.4)


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(4)]
    for number, path in enumerate(paths):
        write_clip(path, number, seconds=SECONDS[number])
    return [str(path) for path in paths]


@pytest.fixture
def extractor(saved_encoders):
    return Burst2VecFeatureExtractor.from_encoder(str(saved_encoders["wav2vec2"]))


def normalised(samples):
    return (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)


def test_clips_are_cut_before_they_are_normalised(paths, extractor):
    clips = StudyClips(paths, extractor, max_seconds=0.35)
    assert clips.seconds.tolist() == pytest.approx([0.3, 0.35, 0.2, 0.35]) and len(clips) == 4
    for row, length in enumerate((4800, 5600, 3200, 5600)):
        np.testing.assert_allclose(clips.read(row), normalised(load_audio(paths[row])[:length]), atol=1e-5)
    batch = clips.collate([clips.read(2), clips.read(0)])
    assert batch["attention_mask"].sum(dim=1).tolist() == [3200, 4800]
    np.testing.assert_array_equal(batch["input_values"][0, :3200], clips.read(2))
    assert (batch["input_values"][0, 3200:] == 0).all()


def test_a_clip_is_decoded_once_whoever_asks(paths, extractor, monkeypatch):
    loaded = []
    load = extractor.load
    monkeypatch.setattr(extractor, "load", lambda clip, *rate: loaded.append(clip) or load(clip, *rate))
    clips = StudyClips(paths, extractor)
    selection = clips.select(np.array([3, 1]))
    assert selection.seconds.tolist() == pytest.approx([0.4, 0.5])
    item = ClipsWithoutLabels(selection)[ClipDraw(0)]
    np.testing.assert_array_equal(item["clip"], clips.read(3))
    clips.read(3), selection.read(1), clips.read(1)
    assert [clip for clip in loaded if isinstance(clip, str)] == [paths[3], paths[1]]


def test_the_batches_of_the_study():
    """States in the results were made in these batches: their last bits depend on them."""
    assert (STUDY_PASS.batch_size, STUDY_PASS.max_batch_seconds, STUDY_PASS.num_workers) == (32, 60.0, 0)
