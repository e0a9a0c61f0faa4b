"""Sounds are found where they were put: tones and noise at known places, over backgrounds that change."""

import numpy as np
import pytest
from scipy import signal

from paravox.inference.sound_settings import SoundSettings
from paravox.inference.sounds import background, find_sounds, frame_levels
from paravox.modeling.errors import ConfigError

RATE = 16_000
PLACES = [(1.0, 1.4), (3.02, 5.5), (8.0, 8.25)]


def noise(seconds, level_db, seed=0, rate=RATE):
    samples = np.random.default_rng(seed).normal(size=round(rate * seconds))
    return (samples * 10 ** (level_db / 20)).astype(np.float32)


def put(samples, places, level_db=-20.0, tone=None, rate=RATE):
    """Adds tones of a frequency, or noise, of a root mean square level at places in seconds."""
    for number, (start, end) in enumerate(places):
        at = np.arange(round(start * rate), round(end * rate))
        if tone is None:
            sound = np.random.default_rng(100 + number).normal(size=len(at))
        else:
            sound = np.sqrt(2) * np.sin(2 * np.pi * tone * at / rate)
        samples[at] += (10 ** (level_db / 20) * sound).astype(np.float32)
    return samples


def find(samples, rate=RATE, **settings):
    return find_sounds(samples, rate, SoundSettings(**settings))


def assert_found(samples, places, tolerance=0.035, **settings):
    found = find(samples, **settings)
    assert len(found) == len(places), found
    np.testing.assert_allclose(found, places, atol=tolerance)


@pytest.mark.parametrize("tone", [None, 120, 3000])
@pytest.mark.parametrize("floor", [-np.inf, -60.0, -40.0])
def test_bursts_are_found_at_their_places(tone, floor):
    assert_found(put(noise(10, floor), PLACES, tone=tone), PLACES, tolerance=0.05)


def test_places_are_in_seconds_at_any_rate():
    samples = put(noise(10, -60, rate=44_100), PLACES, rate=44_100)
    np.testing.assert_allclose(find(samples, 44_100), PLACES, atol=0.035)


def test_the_background_is_followed():
    """What is loud beside the quiet background at the start is background at the end, 25 dB above it."""
    floor = (noise(80, 0.0) * 10 ** (np.linspace(-60, -35, 80 * RATE) / 20)).astype(np.float32)
    places = [(5.0, 5.5), (12.0, 12.5)]
    quiet = put(floor, places, level_db=-38)
    assert_found(put(quiet, [(65.0, 65.5), (70.0, 71.0)], level_db=-18), [*places, (65.0, 65.5), (70.0, 71.0)])


def test_a_noise_that_sets_in_becomes_background():
    samples = np.concatenate([noise(40, -60), noise(40, -35, 1)])
    found = find(put(samples, [(60.0, 61.0)], level_db=-18))
    assert found[0].start == pytest.approx(40.0, abs=0.05) and 49 < found[-2].end < 51
    np.testing.assert_allclose(found[-1], (60.0, 61.0), atol=0.035)


@pytest.mark.parametrize("seconds", [0.0, 0.004, 0.5, 20.0])
def test_nothing_is_found_in_what_is_steady_or_silent(seconds):
    hum = 0.3 * np.sin(2 * np.pi * 25 * np.arange(round(RATE * seconds)) / RATE)
    for samples in (noise(seconds, -np.inf), noise(seconds, -30), noise(seconds, -np.inf) + 0.5):
        assert find(samples) == []
    # A rumble that comes and goes, and a background of digital silence with something below -60 dB.
    rumble = (hum * (np.arange(len(hum)) > len(hum) / 2) + noise(seconds, -40)).astype(np.float32)
    assert find(rumble) == []
    assert find(put(noise(max(seconds, 1), -np.inf), [(0.2, 0.6)], level_db=-63)) == []


def test_a_sound_must_be_so_far_above_the_background():
    samples = put(noise(10, -40), [(4.0, 5.0)], level_db=-33)  # together 7.8 dB above it
    assert find(samples) == []
    assert_found(samples, [(4.0, 5.0)], threshold_db=6.0)


def test_a_short_pause_belongs_to_the_sound():
    laugh = [(1.0, 1.2), (1.4, 1.6), (1.8, 2.0)]
    samples = put(noise(6, -60), [*laugh, (2.6, 3.0)])
    assert_found(samples, [(1.0, 2.0), (2.6, 3.0)])
    assert_found(samples, [(1.0, 2.0), (2.6, 3.0)], max_gap=0.2)
    assert_found(samples, [*laugh, (2.6, 3.0)], max_gap=0.1)
    assert_found(samples, [(1.0, 3.0)], max_gap=0.7)


def test_a_click_is_too_short():
    samples = put(noise(6, -60), [(1.0, 1.08), (3.0, 3.5)])
    assert_found(samples, [(3.0, 3.5)])
    assert_found(samples, [(1.0, 1.08), (3.0, 3.5)], min_seconds=0.05)


def test_a_long_sound_is_cut_where_it_is_quietest():
    samples = put(noise(30, -60), [(5.0, 17.0)])
    for start, end in ((9.5, 9.6), (13.1, 13.2)):
        samples[round(RATE * start) : round(RATE * end)] *= 0.2
    found = find(samples)
    assert len(found) == 3
    np.testing.assert_allclose([found[0].start, found[-1].end], [5.0, 17.0], atol=0.035)
    assert 9.5 <= found[0].end <= 9.6 and 13.1 <= found[1].end <= 13.2
    assert all(before.end == after.start for before, after in zip(found, found[1:], strict=False))
    pieces = find(samples, longest_seconds=1.0)
    assert max(end - start for start, end in pieces) <= 1.0
    assert sum(end - start for start, end in pieces) == pytest.approx(found[-1].end - found[0].start)


def test_levels_are_decibels_of_full_scale():
    seconds = 61  # more than one block
    tone = (0.1 * np.sin(2 * np.pi * 1000 * np.arange(RATE * seconds) / RATE) + 0.2).astype(np.float32)
    levels = frame_levels(tone, RATE)
    assert levels.shape == (6100,)
    np.testing.assert_allclose(levels[10:], -23.01, atol=0.01)
    samples = noise(seconds, -30)
    levels = frame_levels(samples, RATE)
    filtered = signal.sosfilt(signal.butter(4, 60, "highpass", fs=RATE, output="sos"), samples)
    for frame in (100, 5_999, 6_000, 6_098):
        power = np.mean(filtered[160 * (frame - 1) : 160 * (frame + 2)] ** 2)
        assert levels[frame] == pytest.approx(10 * np.log10(power), abs=1e-3)


def test_the_background_is_the_level_of_the_quiet_frames():
    # Half of each second is at -50 dB, and three of 40 seconds are silent.
    levels = np.tile(np.repeat([-50.0, -10.0], 50), 40)
    levels[::1_000] = -120.0
    levels[2_000:2_300] = -120.0
    np.testing.assert_allclose(background(levels), -50.0)
    assert background(np.array([-30.0])).tolist() == [-30.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold_db": 0.5}, "threshold_db is 0.5: give a number of at least 1"),
        ({"max_gap": -1.0}, "max_gap is -1.0: give a number of at least 0"),
        ({"longest_seconds": float("nan")}, "longest_seconds is nan"),
        ({"longest_seconds": 1.0, "min_seconds": 0.6}, "longest_seconds is 1 and min_seconds 0.6"),
    ],
)
def test_settings_have_ranges(settings, message):
    with pytest.raises(ConfigError, match=message):
        find(noise(1, -30), **settings)
