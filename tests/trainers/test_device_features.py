"""Features that are made in batches equal those of the feature extractor, which makes them clip by clip."""

import numpy as np
import pytest
import torch
from halving_front_end import HalvingFrontEnd
from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from paravox.modeling import audio
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_compare import ComParEFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.trainers.device_features import DeviceFeatures, scale_to_rms

RATE = 16_000
# One sample, less than a window, no multiple of the hop, a multiple of it, and silence.
LENGTHS = (1, 399, 8_123, 16_000, 4_801, 3_200)
FRONT_ENDS = {
    "whisper": WhisperFeatureExtractor(),
    "whisper_128_bins": WhisperFeatureExtractor(feature_size=128, padding_value=-1.5),
    "normalised": Wav2Vec2FeatureExtractor(do_normalize=True),
    "as_it_is": Wav2Vec2FeatureExtractor(do_normalize=False, padding_value=0.25),
}


@pytest.fixture
def clips():
    """Clips of very different levels and with an offset; the last one is silent."""
    generator = np.random.default_rng(3)
    levels = (0.1, 1e-4, 0.3, 2.0, 1e-30, 0.0)
    return [
        (level * (generator.normal(size=length) + 0.5)).astype(np.float32)
        for level, length in zip(levels, LENGTHS, strict=True)
    ]


def padded(clips):
    samples = np.zeros((len(clips), max(map(len, clips))), np.float32)
    for row, clip in enumerate(clips):
        samples[row, : len(clip)] = clip
    return torch.from_numpy(samples), torch.tensor([len(clip) for clip in clips])


def assert_equal(extractor, clips):
    expected = extractor([(clip, RATE) for clip in clips], return_tensors="pt")
    found = DeviceFeatures(extractor)(*padded(clips))
    assert list(found) == extractor.model_input_names == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.parametrize("level", [None, -3.0])
@pytest.mark.parametrize("front_end", list(FRONT_ENDS))
def test_they_equal_the_feature_extractor(clips, front_end, level):
    extractor = Burst2VecFeatureExtractor(FRONT_ENDS[front_end].to_dict(), target_rms_db=level)
    assert_equal(extractor, clips)
    assert_equal(extractor, clips[:1])  # shorter than the encoder takes, without a longer clip beside it


def test_an_ensemble_gets_the_inputs_of_all_its_members(clips):
    parts = {name: FRONT_ENDS[name].to_dict() for name in ("normalised", "whisper")}
    extractor = Burst2VecEnsembleFeatureExtractor(
        waveform=Burst2VecFeatureExtractor(parts["normalised"], target_rms_db=-20.0),
        log_mel=Burst2VecFeatureExtractor(parts["whisper"], minimum_samples=500, target_rms_db=-3.0),
    )
    assert_equal(extractor, clips)


def test_functionals_are_passed_on():
    functionals = torch.rand(2, 5)
    features = DeviceFeatures(ComParEFeatureExtractor())
    assert features.compare is not None
    found = features(torch.zeros(2, 4), torch.tensor([4, 2]), functionals)
    assert list(found) == ["functionals"] and found["functionals"] is functionals


def test_dither_is_left_to_the_stock_feature_extractor(clips):
    extractor = Burst2VecFeatureExtractor(WhisperFeatureExtractor(dither=0.1).to_dict())
    torch.manual_seed(0)
    expected = extractor([(clip, RATE) for clip in clips], return_tensors="pt")
    torch.manual_seed(0)
    found = DeviceFeatures(extractor)(*padded(clips))
    assert torch.equal(found["input_features"], expected["input_features"])


@pytest.mark.parametrize("level", [-3.0, 6.0])
def test_levels_are_those_of_one_clip(clips, level):
    samples, lengths = padded(clips)
    scaled = scale_to_rms(samples, lengths, level)
    for row, clip in enumerate(clips):
        expected = audio.scale_to_rms(clip, level)
        np.testing.assert_allclose(scaled[row, : len(clip)].numpy(), expected, rtol=1e-5)
        assert not scaled[row, len(clip) :].any()


def test_a_front_end_of_its_own_is_asked_clip_by_clip(clips):
    extractor = Burst2VecFeatureExtractor(FRONT_ENDS["normalised"].to_dict())
    extractor._encoder_extractor = HalvingFrontEnd(do_normalize=True)
    assert_equal(extractor, clips)
