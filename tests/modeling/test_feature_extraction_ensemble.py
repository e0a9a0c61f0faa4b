"""The ensemble's feature extractor against its members' own, and what it refuses."""

import json

import numpy as np
import pytest
import soundfile
from transformers import AutoFeatureExtractor, BatchFeature, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from paravox.modeling import audio
from paravox.modeling.errors import AudioError, CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor

RATE = 16_000
BOTH = ["input_values", "attention_mask", "input_features", "feature_attention_mask"]


def noise(seconds, seed=0, level=0.1):
    samples = np.random.default_rng(seed).standard_normal(round(RATE * seconds))
    return (level * samples).astype(np.float32)


def waveform(do_normalize=True, sampling_rate=RATE, **settings):
    stock = Wav2Vec2FeatureExtractor(do_normalize=do_normalize, sampling_rate=sampling_rate)
    return Burst2VecFeatureExtractor(stock.to_dict(), **settings)


def log_mel(mel_bins=80, hop_length=160, **settings):
    stock = WhisperFeatureExtractor(feature_size=mel_bins, hop_length=hop_length)
    return Burst2VecFeatureExtractor(stock.to_dict(), **{"max_seconds": 30.0, **settings})


def join(*extractors):
    names = [f"runs/{letter}" for letter in "abcdef"[: len(extractors)]]
    return Burst2VecEnsembleFeatureExtractor.joined(names, list(extractors))


CLIPS = [(noise(seconds, seed), RATE) for seed, seconds in enumerate((0.5, 0.11, 0.333, 0.001))]


def test_each_kind_of_input_is_what_a_members_own_extractor_gives():
    extractor = join(waveform(), log_mel(), waveform())
    batch = extractor(CLIPS, return_tensors="np")
    assert isinstance(batch, BatchFeature) and list(batch) == extractor.model_input_names == BOTH
    own = waveform()(CLIPS, return_tensors="np")
    np.testing.assert_array_equal(batch["input_values"], own["input_values"])
    np.testing.assert_array_equal(batch["attention_mask"], own["attention_mask"])
    own = log_mel()(CLIPS, return_tensors="np")
    np.testing.assert_array_equal(batch["input_features"], own["input_features"])
    np.testing.assert_array_equal(batch["feature_attention_mask"], own["attention_mask"])


@pytest.mark.parametrize("make", [waveform, log_mel])
def test_members_of_one_kind_need_one_input(make):
    extractor = join(make(), make())
    assert extractor.model_input_names == make().model_input_names
    batch, own = extractor(CLIPS, return_tensors="np"), make()(CLIPS, return_tensors="np")
    assert batch.keys() == own.keys()
    for name in own:
        np.testing.assert_array_equal(batch[name], own[name])


def test_tensors_and_plain_arrays():
    for kind, expected in (("pt", "Tensor"), ("np", "ndarray"), (None, "ndarray")):
        batch = join(waveform(), log_mel())(CLIPS, return_tensors=kind)
        assert {type(values).__name__ for values in batch.values()} == {expected}


def test_a_clip_is_decoded_once(tmp_path, monkeypatch):
    paths = [str(tmp_path / f"{number}.wav") for number in range(3)]
    for number, path in enumerate(paths):
        soundfile.write(path, noise(0.2, number), 22_050)
    opened, resampled = [], []
    open_content, resample = audio.open_content, audio.soxr.ResampleStream
    monkeypatch.setattr(audio, "open_content", lambda path, name: opened.append(path) or open_content(path, name))
    monkeypatch.setattr(
        audio.soxr, "ResampleStream", lambda *given, **more: resampled.append(given) or resample(*given, **more)
    )
    join(waveform(), log_mel(), log_mel())(paths)
    assert opened == paths and len(resampled) == 3


def test_all_kinds_of_input_give_the_same(tmp_path):
    path, array = tmp_path / "clip.wav", noise(0.4)
    soundfile.write(path, array, RATE, subtype="FLOAT")
    extractor = join(waveform(), log_mel())
    expected = extractor((array, RATE))
    for source in (path, [str(path)], path.read_bytes(), {"array": array, "sampling_rate": RATE}):
        found = extractor(source)
        for name in BOTH:
            np.testing.assert_array_equal(found[name], expected[name])
    bare = extractor([array, array], sampling_rate=RATE)
    np.testing.assert_array_equal(bare["input_features"][1], expected["input_features"][0])


def test_the_kinds_may_differ_in_level():
    extractor = join(waveform(do_normalize=False), log_mel(target_rms_db=-3.0))
    batch = extractor([CLIPS[0]], return_tensors="np")
    np.testing.assert_array_equal(batch["input_values"][0], CLIPS[0][0])
    levelled = log_mel(target_rms_db=-3.0)([CLIPS[0]], return_tensors="np")
    np.testing.assert_array_equal(batch["input_features"], levelled["input_features"])
    np.testing.assert_array_equal(extractor.load(CLIPS[0]), CLIPS[0][0])
    np.testing.assert_array_equal(extractor.load(CLIPS[0][0], RATE), CLIPS[0][0])


def test_the_smallest_limit_and_the_largest_minimum_hold(tmp_path):
    extractor = join(waveform(minimum_samples=400), waveform(minimum_samples=720, max_seconds=4.0), log_mel())
    assert extractor.max_seconds == 4.0 and extractor.sampling_rate == RATE
    batch = extractor((noise(0.001), RATE), return_tensors="np")
    assert batch["input_values"].shape == (1, 720) and batch["input_features"].shape == (1, 80, 2)
    assert join(waveform(), log_mel(max_seconds=3.0), log_mel(max_seconds=2.0)).max_seconds == 2.0
    assert join(waveform(), log_mel()).max_seconds == 30.0 and join(waveform(), waveform()).max_seconds is None
    soundfile.write(tmp_path / "long.wav", noise(4.5), RATE)
    with pytest.raises(AudioError, match=r"long\.wav lasts 4.5 s, longer than max_seconds of 4: cut it"):
        extractor([tmp_path / "long.wav"])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (waveform(), waveform(do_normalize=False), "input_values, but with do_normalize of True and False"),
        (waveform(), waveform(sampling_rate=8_000), "input_values, but with sampling_rate of 16000 and 8000"),
        (waveform(target_rms_db=-3.0), waveform(), "input_values, but with target_rms_db of -3.0 and None"),
        (log_mel(), log_mel(mel_bins=128), "input_features, but with mel_bins of 80 and 128"),
        (log_mel(), log_mel(hop_length=80), "input_features, but with hop_length of 160 and 80"),
        (log_mel(), log_mel(target_rms_db=-3.0), "input_features, but with target_rms_db of None and -3.0"),
    ],
)
def test_two_that_disagree_are_named(first, second, message):
    other = log_mel() if first.model_input_names[0] == "input_values" else waveform()
    with pytest.raises(ConfigError, match=f"members 'runs/a' and 'runs/c' both take {message}: leave one out"):
        join(first, other, second)


def test_a_clip_is_read_at_one_rate():
    with pytest.raises(
        ConfigError, match="members take waveform at 8000 Hz and log_mel at 16000 Hz, but a clip is decoded only once"
    ):
        join(waveform(sampling_rate=8_000), log_mel())


def test_what_it_refuses():
    with pytest.raises(ConfigError, match="is empty: give at least one of waveform, log_mel, functionals"):
        Burst2VecEnsembleFeatureExtractor()
    with pytest.raises(
        ConfigError, match="waveform is a feature extractor that gives input_features, not input_values"
    ):
        Burst2VecEnsembleFeatureExtractor(waveform=log_mel())
    extractor = join(waveform(), log_mel())
    with pytest.raises(AudioError, match="an empty list holds no clip"):
        extractor([])
    with pytest.raises(AudioError, match="nowhere.wav"):
        extractor("nowhere.wav")
    with pytest.raises(AudioError, match="no sampling rate"):
        extractor(noise(0.1))


@pytest.mark.parametrize("kinds", ["both", "waveform", "log_mel"])
def test_round_trip(kinds, tmp_path):
    members = {"both": (waveform(max_seconds=5.0), log_mel(target_rms_db=-3.0)), "waveform": (waveform(), waveform())}
    extractor = join(*members.get(kinds, (log_mel(mel_bins=128), log_mel(mel_bins=128))))
    extractor.save_pretrained(tmp_path)
    loaded = Burst2VecEnsembleFeatureExtractor.from_pretrained(tmp_path)
    assert loaded.max_seconds == extractor.max_seconds and loaded.model_input_names == extractor.model_input_names
    first, second = extractor(CLIPS), loaded(CLIPS)
    for name in extractor.model_input_names:
        np.testing.assert_array_equal(first[name], second[name])
    assert Burst2VecEnsembleFeatureExtractor.from_dict(loaded.to_dict()).to_dict() == loaded.to_dict()
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    name = "feature_extraction_ensemble.Burst2VecEnsembleFeatureExtractor"
    assert saved["auto_map"] == {"AutoFeatureExtractor": name}
    assert {path.name for path in tmp_path.iterdir()} >= {"feature_extraction_burst2vec.py", "audio.py"}
    assert str(tmp_path) not in json.dumps(saved)


def test_the_auto_class_opens_it(tmp_path):
    join(waveform(), log_mel()).save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path, trust_remote_code=True)
    assert type(loaded) is Burst2VecEnsembleFeatureExtractor
    assert list(loaded(CLIPS, return_tensors="pt")) == BOTH


def test_from_saved_members(saved_members, tmp_path):
    extractor = Burst2VecEnsembleFeatureExtractor.from_members(saved_members)
    assert extractor.model_input_names == BOTH and extractor.max_seconds == 30.0
    assert "auto_map" not in json.dumps(extractor.to_dict())
    waveform(do_normalize=False).save_pretrained(tmp_path / "raw")
    with pytest.raises(
        ConfigError, match=r"members '.*hubert_layer' and '.*raw' both take input_values, but with do_no"
    ):
        Burst2VecEnsembleFeatureExtractor.from_members([saved_members[1], tmp_path / "raw"])
    with pytest.raises(CheckpointError, match="nowhere.* cannot be opened"):
        Burst2VecEnsembleFeatureExtractor.from_members([saved_members[0], tmp_path / "nowhere"])
