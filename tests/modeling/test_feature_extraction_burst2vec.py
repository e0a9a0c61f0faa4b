"""The feature extractor against the stock ones, one clip at a time, and what it refuses."""

import io
import json

import numpy as np
import pytest
import soundfile
from transformers import AutoFeatureExtractor, BatchFeature, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from paravox.modeling.errors import AudioError, CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor, pad_features

RATE = 16_000


def noise(seconds, seed=0, level=0.1):
    samples = np.random.default_rng(seed).standard_normal(round(RATE * seconds))
    return (level * samples).astype(np.float32)


@pytest.fixture
def waveform(encoder_configs):
    return Burst2VecFeatureExtractor.for_config(encoder_configs["wav2vec2_layer"])


@pytest.fixture
def log_mel(encoder_configs):
    return Burst2VecFeatureExtractor.for_config(encoder_configs["whisper"])


def test_one_clip_gives_what_whispers_own_extractor_gives(log_mel):
    clip = noise(0.73)
    expected = WhisperFeatureExtractor()(clip, sampling_rate=RATE, padding=False, truncation=False, return_tensors="np")
    batch = log_mel((clip, RATE), return_tensors="np")
    assert batch["input_features"].shape == (1, 80, 73)
    np.testing.assert_allclose(batch["input_features"], expected["input_features"], atol=1e-6)


def test_one_clip_gives_what_wav2vec2s_own_extractor_gives(waveform):
    clip = noise(0.73) + 0.05
    expected = Wav2Vec2FeatureExtractor()(clip, sampling_rate=RATE, return_tensors="np")
    batch = waveform((clip, RATE), return_tensors="np")
    np.testing.assert_allclose(batch["input_values"], expected["input_values"], atol=1e-6)
    assert batch["input_values"].mean() == pytest.approx(0, abs=1e-5)
    assert batch["input_values"].std() == pytest.approx(1, abs=1e-3)


def test_a_waveform_batch_is_what_the_stock_extractor_pads(waveform):
    clips = [noise(0.5, 1), noise(0.2, 2, level=0.9), noise(0.33, 3)]
    stock = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    expected = stock(clips, sampling_rate=RATE, padding=True, return_tensors="np")
    batch = waveform([(clip, RATE) for clip in clips], return_tensors="np")
    np.testing.assert_allclose(batch["input_values"], expected["input_values"], atol=1e-6)
    np.testing.assert_array_equal(batch["attention_mask"], expected["attention_mask"])


@pytest.mark.parametrize("kind", ["waveform", "log_mel"])
def test_a_batch_equals_its_single_clips(kind, request):
    extractor = request.getfixturevalue(kind)
    clips = [(noise(seconds, seed), RATE) for seed, seconds in enumerate((0.5, 0.11, 0.333))]
    name, mask = extractor.model_input_names
    batch = extractor(clips, return_tensors="np")
    assert isinstance(batch, BatchFeature) and set(batch) == {name, mask}
    longest = extractor(clips[0], return_tensors="np")[name].shape[-1]
    assert batch[name].shape[-1] == batch[mask].shape[1] == longest  # never to 30 s
    for row, clip in enumerate(clips):
        alone = extractor([clip], return_tensors="np")
        length = alone[name].shape[-1]
        assert alone[mask].tolist() == [[1] * length]
        np.testing.assert_array_equal(batch[name][row][..., :length], alone[name][0])
        assert batch[mask][row].tolist() == [1] * length + [0] * (longest - length)
        assert np.all(batch[name][row][..., length:] == 0)


def test_tensors(waveform):
    batch = waveform((noise(0.1), RATE), return_tensors="pt")
    assert str(batch["input_values"].dtype) == "torch.float32" and str(batch["attention_mask"].dtype) == "torch.int64"


@pytest.mark.parametrize("kind", ["waveform", "log_mel"])
def test_all_kinds_of_input_give_the_same(kind, request, tmp_path):
    extractor = request.getfixturevalue(kind)
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(0.4), RATE, subtype="FLOAT")
    array, content = noise(0.4), path.read_bytes()
    expected = extractor((array, RATE), return_tensors="np")[extractor.model_input_names[0]]
    sources = {
        "path": path,
        "path as text": str(path),
        "bytes": content,
        "file object": io.BytesIO(content),
        "array": {"array": array, "sampling_rate": RATE},
        "datasets, bytes": {"bytes": content, "path": None},
        "datasets, path": {"bytes": None, "path": str(path)},
    }
    for name, source in sources.items():
        features = extractor([source], return_tensors="np")[extractor.model_input_names[0]]
        np.testing.assert_array_equal(features, expected, err_msg=name)
    bare = extractor([array, array], sampling_rate=RATE, return_tensors="np")[extractor.model_input_names[0]]
    np.testing.assert_array_equal(bare[1], expected[0])


def test_another_rate_is_resampled(waveform, tmp_path):
    time = np.arange(48_000) / 48_000
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 48_000)
    values = waveform(tmp_path / "tone.wav", return_tensors="np")["input_values"][0]
    assert len(values) == RATE
    expected = np.sqrt(2) * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    np.testing.assert_allclose(values[200:-200], expected[200:-200], atol=0.01)


def test_the_level_is_set_where_it_is_asked_for(encoder_configs):
    settings = {"encoder_config": encoder_configs["whisper"]}
    levelled = Burst2VecFeatureExtractor.for_config(**settings, target_rms_db=-20.0)
    samples = levelled.load((noise(0.5, level=0.5), RATE))
    assert 20 * np.log10(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) == pytest.approx(-20, abs=1e-3)
    untouched = Burst2VecFeatureExtractor.for_config(**settings).load((noise(0.5, level=0.5), RATE))
    np.testing.assert_array_equal(untouched, noise(0.5, level=0.5))


def test_the_level_cancels_for_a_normalised_waveform_and_not_for_whisper(encoder_configs):
    # Whisper's frames are limited to a range below the loudest and then shifted and divided: x -> (x + 4) / 4.
    clip = (noise(0.5, level=0.05), RATE)
    changes = {}
    for name in ("wav2vec2_layer", "whisper"):
        plain = Burst2VecFeatureExtractor.for_config(encoder_configs[name])
        levelled = Burst2VecFeatureExtractor.for_config(encoder_configs[name], target_rms_db=-3.0)
        key = plain.model_input_names[0]
        changes[name] = np.abs(plain(clip)[key] - levelled(clip)[key]).max()
    assert changes["wav2vec2_layer"] < 1e-3
    # 23 dB are 2.3 powers of ten.
    assert changes["whisper"] == pytest.approx(23 / 10 / 4, abs=0.02)


@pytest.mark.parametrize("kind", ["waveform", "log_mel"])
@pytest.mark.parametrize("target_rms_db", [None, -3.0])
def test_silence_stays_finite(kind, target_rms_db, request):
    extractor = request.getfixturevalue(kind)
    extractor.target_rms_db = target_rms_db
    features = extractor((np.zeros(8_000, np.float32), RATE), return_tensors="np")[extractor.model_input_names[0]]
    assert np.isfinite(features).all() and features.std() == 0
    if kind == "waveform":
        assert not features.any()


@pytest.mark.parametrize("kind", ["waveform", "log_mel"])
def test_a_very_short_clip_is_padded_to_one_frame(kind, request, make_model):
    extractor = request.getfixturevalue(kind)
    batch = extractor((noise(0.001), RATE), return_tensors="pt")
    assert batch["attention_mask"].shape[1] == (400 if kind == "waveform" else 2)
    predictions = make_model("wav2vec2_layer" if kind == "waveform" else "whisper")(**batch).predictions
    assert all(values.isfinite().all() for values in predictions.values())


def test_the_settings_of_the_input_are_those_that_its_numbers_depend_on(encoder_configs):
    waveform = Burst2VecFeatureExtractor.for_config(encoder_configs["hubert_layer"], max_seconds=3.0).input_settings
    assert waveform == Burst2VecFeatureExtractor.for_config(encoder_configs["wav2vec2_group"]).input_settings
    assert (waveform["sampling_rate"], waveform["do_normalize"], waveform["target_rms_db"]) == (RATE, True, None)
    log_mel = Burst2VecFeatureExtractor.for_config(encoder_configs["whisper"], target_rms_db=-3.0).input_settings
    assert log_mel.keys() == waveform.keys()
    assert (log_mel["mel_bins"], log_mel["hop_length"], log_mel["target_rms_db"]) == (80, 160, -3.0)


def test_a_clip_that_is_too_long_is_an_error(encoder_configs, tmp_path):
    extractor = Burst2VecFeatureExtractor.for_config(encoder_configs["whisper"], max_seconds=0.5)
    extractor((noise(0.5), RATE))
    with pytest.raises(AudioError, match="a clip lasts 0.6 s, longer than max_seconds of 0.5: cut it"):
        extractor((noise(0.6), RATE))
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(0.7), RATE)
    for source in (path, str(path)):
        with pytest.raises(AudioError, match=r"long\.wav.* lasts 0.7 s, longer than"):
            extractor([source])


def test_bad_clips_are_refused(waveform, tmp_path):
    with pytest.raises(AudioError, match="an empty list holds no clip"):
        waveform([])
    with pytest.raises(AudioError, match="nowhere.wav"):
        waveform(tmp_path / "nowhere.wav")
    with pytest.raises(AudioError):
        waveform((np.full(800, np.nan, np.float32), RATE))
    with pytest.raises(AudioError):
        waveform((np.zeros(0, np.float32), RATE))


def test_an_array_without_a_rate_is_refused(waveform):
    with pytest.raises(AudioError, match="rate"):
        waveform(noise(0.1))


@pytest.mark.parametrize("name", ["wav2vec2_group", "whisper"])
def test_round_trip(encoder_configs, tmp_path, name):
    extractor = Burst2VecFeatureExtractor.for_config(encoder_configs[name], target_rms_db=-3.0, max_seconds=12.0)
    extractor.save_pretrained(tmp_path)
    loaded = Burst2VecFeatureExtractor.from_pretrained(tmp_path)
    assert (loaded.target_rms_db, loaded.max_seconds, loaded.minimum_samples) == (-3.0, 12.0, 400)
    assert loaded.sampling_rate == RATE and loaded.model_input_names == extractor.model_input_names
    clips = [(noise(0.2), RATE), (noise(0.3, 1), RATE)]
    first, second = extractor(clips), loaded(clips)
    for key in extractor.model_input_names:
        np.testing.assert_array_equal(first[key], second[key])
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved["auto_map"] == {"AutoFeatureExtractor": "feature_extraction_burst2vec.Burst2VecFeatureExtractor"}
    assert {path.name for path in tmp_path.iterdir()} >= {"feature_extraction_burst2vec.py", "audio.py", "errors.py"}
    assert str(tmp_path) not in json.dumps(saved)
    again = Burst2VecFeatureExtractor.from_dict(loaded.to_dict())
    assert again.to_dict() == loaded.to_dict()


def test_the_auto_class_opens_it(encoder_configs, tmp_path):
    Burst2VecFeatureExtractor.for_config(encoder_configs["whisper"], target_rms_db=-3.0).save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path, trust_remote_code=True)
    assert type(loaded).__name__ == "Burst2VecFeatureExtractor" and loaded.target_rms_db == -3.0
    assert loaded((noise(0.2), RATE), return_tensors="np")["input_features"].shape == (1, 80, 20)


def test_the_settings_beside_an_encoder_are_used(encoder_configs, tmp_path):
    # Whether an encoder was trained on normalised input is a setting beside its weights, not a matter of its class.
    encoder_configs["hubert_layer"].save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path)
    extractor = Burst2VecFeatureExtractor.from_encoder(str(tmp_path), max_seconds=4.0)
    assert extractor.max_seconds == 4.0
    clip = noise(0.2)
    np.testing.assert_array_equal(extractor((clip, RATE))["input_values"][0], clip)


def test_an_encoder_without_settings_is_an_error(encoder_configs, tmp_path):
    encoder_configs["hubert_layer"].save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="has no preprocessor_config.json.*save its feature extractor beside it"):
        Burst2VecFeatureExtractor.from_encoder(str(tmp_path))
    with pytest.raises(CheckpointError, match="no encoder could be opened"):
        Burst2VecFeatureExtractor.from_encoder(str(tmp_path / "nowhere"))


def test_another_front_end_is_refused():
    with pytest.raises(ConfigError, match="front end 'SeamlessM4TFeatureExtractor' is not supported: use Wav2Vec2"):
        Burst2VecFeatureExtractor({"feature_extractor_type": "SeamlessM4TFeatureExtractor"})


@pytest.mark.parametrize("bins", [(), (3,)])
def test_features_are_padded_at_their_end(bins):
    clips = [np.ones((*bins, length), np.float32) for length in (2, 5, 1)]
    batch, mask = pad_features(clips, padding_value=-7.0)
    assert batch.shape == (3, *bins, 5) and batch.dtype == np.float32
    assert mask.tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]] and mask.dtype == np.int64
    for row in range(3):
        for frame in range(5):
            assert (batch[row, ..., frame] == (1 if mask[row, frame] else -7)).all()
    assert (pad_features(clips)[0][2, ..., 1:] == 0).all()
