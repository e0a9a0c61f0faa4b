"""Augmentation: equal to audiomentations by hand, repeatable everywhere, and wrong settings said in one sentence."""

import os
import pickle
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile
import torch
from datasets import Dataset
from little_corpora import write_clip
from torch.utils.data import DataLoader

from paravox.modeling.errors import ConfigError
from paravox.trainers.augmentation import ClipAugmentation, seeded_generators
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.sampler import ClipDraw

RATE = 16_000
NOISE = {"transform": "AddGaussianNoise", "p": 0.5, "min_amplitude": 0.001, "max_amplitude": 0.01}
GAIN = {"transform": "Gain", "p": 0.5}
SHIFT = {"transform": "Shift", "p": 0.5}


@pytest.fixture
def clip():
    return np.random.default_rng(1).normal(scale=0.1, size=4_000).astype(np.float32)


def global_states():
    return random.getstate(), [np.asarray(part).tolist() for part in np.random.get_state()]


@pytest.mark.parametrize("numbers", [(0, 0, 0), (0, 0, 1), (0, 1, 0), (3, 0, 0), (2**40, 7, 123_456)])
def test_a_clip_comes_out_as_by_hand(clip, numbers):
    from audiomentations import AddGaussianNoise, Gain, Shift

    word, *words = [int(word) for word in np.random.SeedSequence(numbers).generate_state(5)]
    random.seed(word)
    np.random.seed(words)
    expected = clip.copy()
    for transform in (AddGaussianNoise(min_amplitude=0.001, max_amplitude=0.01, p=0.5), Gain(p=0.5), Shift(p=0.5)):
        expected = transform(expected, RATE)
    found = ClipAugmentation([NOISE, GAIN, SHIFT])(clip, RATE, numbers)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_draws_depend_on_every_seed_number_and_on_nothing_before_them(clip):
    augment = ClipAugmentation([NOISE | {"p": 1}])
    numbers = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    first = [augment(clip, RATE, each) for each in numbers]
    assert len({each.tobytes() for each in first}) == 4
    random.seed(5)
    np.random.seed(5)
    again = [pickle.loads(pickle.dumps(augment))(clip, RATE, each) for each in reversed(numbers)]
    np.testing.assert_array_equal(again[::-1], first)


def test_the_two_generators_do_not_draw_the_same_numbers():
    with seeded_generators((1, 2, 3)):
        assert random.random() != np.random.random_sample()


def test_the_global_generators_are_left_as_they_were(clip):
    before = global_states()
    augment = ClipAugmentation([NOISE, GAIN])
    augment(clip, RATE, (0, 0, 0))
    assert global_states() == before
    with pytest.raises(ConfigError, match="Trim"):
        ClipAugmentation([{"transform": "Trim"}])
    with pytest.raises(RuntimeError), seeded_generators((1, 2, 3)):
        assert np.random.random_sample() != random.random()
        raise RuntimeError
    assert global_states() == before


def test_without_a_chance_a_clip_stays_as_it_is_and_the_callers_array_always_does(clip):
    kept = clip.copy()
    clip.flags.writeable = False
    idle = ClipAugmentation([NOISE | {"p": 0}, GAIN | {"p": 0.0}])
    for row in range(8):
        np.testing.assert_array_equal(idle(clip, RATE, (0, 0, row)), kept)
    # The first needs an array that can be written, the second gives a view.
    busy = ClipAugmentation([{"transform": "PitchShift", "p": 1}, {"transform": "Reverse", "p": 1}])
    found = torch.from_numpy(busy(clip, RATE, (0, 0, 0))).numpy()
    assert not np.array_equal(found, kept) and not np.array_equal(found[::-1], kept)
    np.testing.assert_array_equal(clip, kept)


def test_numbers_that_yaml_reads_as_text_are_numbers(clip):
    texts = NOISE | {"min_amplitude": "1e-3", "max_amplitude": "1e-2", "p": 1}
    found = ClipAugmentation([texts])(clip, RATE, (0, 0, 0))
    np.testing.assert_array_equal(found, ClipAugmentation([NOISE | {"p": 1}])(clip, RATE, (0, 0, 0)))


@pytest.mark.parametrize("workers", [0, 2])
def test_clips_of_a_dataset_are_the_same_in_any_number_of_workers(tmp_path, workers):
    for row in range(4):
        write_clip(tmp_path / f"{row}.wav", row)
    corpus = Dataset.from_dict({"path": [str(tmp_path / f"{row}.wav") for row in range(4)]})
    augment = ClipAugmentation([NOISE, GAIN])
    plain = MultiTaskDataset(corpus, [], seed=3)
    dataset = MultiTaskDataset(corpus, [], seed=3, augmentation=augment)
    # The last batch repeats draws, as a resumed run does.
    batches = [[(0, 0), (1, 0)], [(2, 0), (3, 0)], [(3, 1), (2, 1)], [(1, 0), (3, 1)]]
    draws = [[ClipDraw(row, None, epoch) for row, epoch in batch] for batch in batches]
    loader = DataLoader(dataset, batch_sampler=draws, collate_fn=list, num_workers=workers)
    before = global_states()
    found = [item["clip"] for batch in loader for item in batch]
    assert global_states() == before
    expected = [augment(plain[draw]["clip"], RATE, (3, draw.epoch, draw.index)) for part in draws for draw in part]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(found[2], found[5])


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ("Gain", "augmentation is 'Gain', expected a list, each a mapping: correct it"),
        ([GAIN, "Gain"], r"augmentation 2 is 'Gain', expected a mapping such as \{transform: Gain, p: 0.5\}"),
        ([{"p": 1}], r"augmentation 1 has no key 'transform' \(found p\): name one"),
        (
            [{"transform": "Gian"}],
            r"augmentation 1: transform 'Gian' is not a waveform transform of .*: did you mean 'Gain'\?",
        ),
        (
            [{"transform": "Lambda"}],
            "transform 'Lambda' is not a waveform transform of audiomentations that settings can describe",
        ),
        ([{"transform": ["Gain"]}], r"transform \['Gain'\] is not a waveform transform of"),
        ([GAIN | {"min_gain": 1}], r"\(Gain\): unknown parameter 'min_gain': did you mean 'min_gain_db'\?"),
        (
            [{"transform": "TimeMask", "xyz": 1}],
            r"\(TimeMask\): unknown parameter 'xyz': use one of min_band_part",
        ),
        ([GAIN | {"min_gain_db": "loud"}], r"\(Gain\): min_gain_db is 'loud', expected a number: correct it"),
        ([GAIN | {"min_gain_db": True}], r"\(Gain\): min_gain_db is True, expected a number"),
        ([GAIN | {"p": 1.5}], r"augmentation 1 \(Gain\) refuses its parameters \(expected 0 <= p <= 1\): correct them"),
        ([GAIN | {"min_gain_db": 20}], r"refuses its parameters \(min_gain_db cannot be greater than max_gain_db\)"),
        ([SHIFT | {"rollover": "no"}], "rollover is 'no', expected true or false"),
        ([{"transform": "BitCrush", "min_bit_depth": 5.5}], "min_bit_depth is 5.5, expected a whole number"),
        ([SHIFT | {"shift_unit": "hours"}], "shift_unit is 'hours', expected one of fraction, samples, seconds"),
        ([{"transform": "ApplyImpulseResponse"}], "parameter 'ir_path' is missing and has no default: give it"),
        (
            [{"transform": "AddBackgroundNoise", "sounds_path": "nowhere"}],
            r"\(AddBackgroundNoise\): sounds_path is 'nowhere', expected an audio file, a folder of them, or a list",
        ),
        (
            [{"transform": "TimeStretch", "leave_length_unchanged": False}],
            r"length.*: set leave_length_unchanged: true",
        ),
        ([{"transform": "Trim"}], r"augmentation 1 \(Trim\) turns 52823 samples into \d+, but a clip must keep"),
        ([{"transform": "RepeatPart"}], r"\(RepeatPart\) turns 52823 samples into \d+.*: leave it out"),
        ([GAIN | {"max_gain_db": float("inf")}], r"\(Gain\) gives samples that are NaN or infinite"),
        ([{"transform": "TimeStretch", "min_rate": 0.3}], r"min_rate is 0.3, and below 0.5 .* cannot be seeded"),
        (
            [{"transform": "TimeStretch", "min_rate": 0.2, "max_rate": 0.3}],
            r"augmentation 1 \(TimeStretch\) draws from a generator that cannot be seeded",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_is_wrong_is_said_when_it_is_built(transforms, message):
    with pytest.raises(ConfigError, match=message) as raised:
        ClipAugmentation(transforms)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("RoomSimulator", "pyroomacoustics", "pyroomacoustics"),
        ("Mp3Compression", "fast_mp3_augment", "fast-mp3-augment"),
        ("Limiter", "numpy_audio_limiter", "numpy-audio-limiter"),
    ],
)
def test_the_package_that_a_transform_lacks_is_named(name, module, package, monkeypatch):
    # As if it were not installed, whether it is or not.
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"\({name}\) needs {package}, which cannot.*: pip install {package}"):
        ClipAugmentation([{"transform": name}])


def test_without_audiomentations_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "audiomentations", None)
    with pytest.raises(ConfigError, match="needs audiomentations, .*: pip install 'audiomentations>=0.43'"):
        ClipAugmentation([GAIN])


def test_the_library_is_imported_only_for_an_augmentation():
    code = "import sys, paravox.trainers.augmentation; sys.exit('audiomentations' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore::DeprecationWarning")
def test_what_goes_wrong_with_one_clip_names_the_transform(clip, tmp_path):
    soundfile.write(tmp_path / "noise.wav", clip, RATE)
    augment = ClipAugmentation([{"transform": "AddBackgroundNoise", "sounds_path": str(tmp_path), "p": 1}])
    assert not np.array_equal(augment(clip, RATE, (0, 0, 0)), clip)
    (tmp_path / "noise.wav").write_bytes(b"no audio")
    before = global_states()
    with warnings.catch_warnings(), pytest.raises(ConfigError, match=r"\(AddBackgroundNoise\) fails on a clip of 0.25"):
        warnings.simplefilter("ignore")
        augment(clip, RATE, (0, 0, 0))
    assert global_states() == before
    with pytest.raises(ConfigError, match="got samples of int16, expected float32 in -1..1: convert them"):
        augment(np.zeros(4_000, np.int16), RATE, (0, 0, 0))
    # A length that only some clips have.
    same = {"transform": "AdjustDuration", "duration_samples": 52_823, "p": 1}
    with pytest.raises(ConfigError, match=r"\(AdjustDuration\) turns 4000 samples into 52823, but a clip"):
        ClipAugmentation([same])(clip, RATE, (0, 0, 0))
    # 600 dB carry the trial's clip to 1e29, which a float32 still holds.
    loud = ClipAugmentation([GAIN | {"min_gain_db": 600, "max_gain_db": 600, "p": 1}])
    with pytest.raises(ConfigError, match=r"\(Gain\) gives samples that are NaN or infinite"):
        loud(np.full(4_000, 1e10, np.float32), RATE, (0, 0, 0))
