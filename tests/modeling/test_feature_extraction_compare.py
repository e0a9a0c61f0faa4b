"""The functionals against openSMILE's own, from every form of a clip, and what the feature extractor refuses."""

import io
import json
import sys

import numpy as np
import opensmile
import pytest
import soundfile
import soxr
from transformers import AutoFeatureExtractor, BatchFeature

from paravox.modeling.errors import AudioError, ConfigError
from paravox.modeling.feature_extraction_compare import ComParEFeatureExtractor, compare_2016_functionals, open_smile

RATE = 16_000


def noise(seconds, seed=0):
    return np.random.default_rng(seed).normal(scale=0.1, size=round(RATE * seconds)).astype(np.float32)


@pytest.fixture(scope="module")
def smile():
    return opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals)


def test_functionals_are_those_of_opensmile(smile, tmp_path):
    """Files of another rate are mixed down and resampled as everywhere in paravox, then openSMILE sees 16 kHz."""
    stereo = np.stack([noise(1.1, 1), noise(1.1, 2)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, 44_100, subtype="FLOAT")
    extractor = ComParEFeatureExtractor()
    batch = extractor([(noise(0.5), RATE), str(tmp_path / "stereo.wav")], return_tensors="np")
    assert isinstance(batch, BatchFeature) and list(batch) == extractor.model_input_names == ["functionals"]
    assert batch["functionals"].shape == (2, 6373) and batch["functionals"].dtype == np.float32
    mono = soxr.resample(stereo.mean(axis=1), 44_100, RATE)
    for row, samples in zip(batch["functionals"], (noise(0.5), mono), strict=True):
        expected = smile.process_signal(samples, RATE).to_numpy()[0]
        assert np.isfinite(expected).all() and len(np.unique(expected)) > 3000
        np.testing.assert_array_equal(row, expected)


def test_a_clip_may_have_any_form(tmp_path):
    samples, file = noise(0.3), io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    extractor = ComParEFeatureExtractor()
    clips = [(samples, RATE), file.getvalue(), {"array": samples, "sampling_rate": RATE}]
    first, *others = extractor(clips)["functionals"]
    for other in [*others, extractor(samples, sampling_rate=RATE)["functionals"][0]]:
        np.testing.assert_array_equal(other, first)


@pytest.mark.filterwarnings("error:Segment too short")
def test_a_clip_that_is_too_short_has_zeros(smile):
    with pytest.warns(UserWarning, match="Segment too short"):
        assert np.isnan(smile.process_signal(noise(0.02), RATE).to_numpy()).all()
    functionals = ComParEFeatureExtractor()([(noise(0.02), RATE), (noise(0.3), RATE)])["functionals"]
    assert (functionals[0] == 0).all() and functionals[1].any()


def test_infinite_functionals_are_zero(monkeypatch):
    class Wild:
        def process_signal(self, samples, rate):
            return type("Table", (), {"to_numpy": lambda self: np.array([[np.inf, -np.inf, np.nan, 3.0]])})()

    monkeypatch.setattr("paravox.modeling.feature_extraction_compare.open_smile", Wild)
    np.testing.assert_array_equal(compare_2016_functionals([noise(0.1)], RATE), [[0, 0, 0, 3]])


def test_what_it_refuses():
    extractor = ComParEFeatureExtractor(max_seconds=0.2)
    with pytest.raises(AudioError, match="a clip lasts 0.3 s, longer than max_seconds of 0.2: cut it"):
        extractor((noise(0.3), RATE))
    with pytest.raises(AudioError, match="an empty list holds no clip"):
        extractor([])
    with pytest.raises(AudioError, match="nowhere.wav"):
        extractor("nowhere.wav")
    with pytest.raises(AudioError, match="no sampling rate"):
        extractor(noise(0.1))


def test_without_opensmile_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    open_smile.cache_clear()
    with pytest.raises(ConfigError, match=r"needs opensmile, which is not installed: pip install 'paravox\[compare\]'"):
        ComParEFeatureExtractor()((noise(0.3), RATE))


def test_it_is_saved_and_opened(tmp_path):
    ComParEFeatureExtractor(max_seconds=4.0).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved["auto_map"] == {"AutoFeatureExtractor": "feature_extraction_compare.ComParEFeatureExtractor"}
    opened = ComParEFeatureExtractor.from_pretrained(tmp_path)
    assert (opened.max_seconds, opened.sampling_rate) == (4.0, RATE)
    assert type(AutoFeatureExtractor.from_pretrained(tmp_path)) is ComParEFeatureExtractor
