"""Finds the sounds of a recording by their energy: the parts that are louder than the background around them."""

from typing import NamedTuple

import numpy as np
from scipy import signal
from scipy.ndimage import find_objects, label, maximum, percentile_filter, uniform_filter1d

from paravox.inference.sound_settings import SoundSettings

FRAME_SECONDS = 0.01
# Below this frequency, in hertz, is what a microphone picks up from steps, wind and hands, and no voice.
LOWEST_HERTZ = 60.0
# The level of a frame is that of this many frames around it, so that one period of a low voice does not matter.
SMOOTHED_FRAMES = 3
# The background of a second is the level that this percentage of its frames stay below, and of the seconds around it.
QUIET_FRAMES, QUIET_SECONDS, SECONDS_AROUND = 10, 20, 31
# Less than this is silence, whatever the background is, in decibels of full scale.
LEAST_LEVEL = -60.0
# A sound goes on as long as it is this share of the threshold above the background.
END_OF_SOUND = 0.5
_BLOCK_FRAMES = 6_000
_LOWEST_POWER = 1e-12


class Span(NamedTuple):
    """A part of a recording.

    Args:
        start (`float`): in seconds.
        end (`float`): in seconds.
    """

    start: float
    end: float


def find_sounds(samples: np.ndarray, sampling_rate: int, settings: SoundSettings) -> list[Span]:
    """The sounds of a recording, in their order. They do not overlap; parts of a sound that was cut touch.

    Args:
        samples (`np.ndarray` of shape `(samples,)`): mono, float32. A recording shorter than 10 ms has no sound.
        sampling_rate (`int`): in hertz.
        settings ([`SoundSettings`]).

    Raises:
        ConfigError: if a setting is out of its range.
    """
    settings.check()
    levels = frame_levels(samples, sampling_rate)
    if not len(levels):
        return []
    above = levels - np.maximum(background(levels), LEAST_LEVEL - settings.threshold_db)
    sounding = above >= END_OF_SOUND * settings.threshold_db
    numbers, count = label(sounding)
    loudest = np.zeros(count + 1)
    loudest[1:] = maximum(above, numbers, np.arange(1, count + 1)) if count else 0.0
    sounds = [
        (found[0].start, found[0].stop)
        for found, loudness in zip(find_objects(numbers), loudest[1:], strict=True)
        if loudness >= settings.threshold_db
    ]
    joined = _join(sounds, round(settings.max_gap / FRAME_SECONDS))
    least, most = (round(seconds / FRAME_SECONDS) for seconds in (settings.min_seconds, settings.longest_seconds))
    parts = [part for start, end in joined if end - start >= least for part in _cut(levels, start, end, most)]
    frame = _frame_samples(sampling_rate) / sampling_rate
    return [Span(start * frame, end * frame) for start, end in parts]


def frame_levels(samples: np.ndarray, sampling_rate: int) -> np.ndarray:
    """The level of each 10 ms of a recording `(frames,)`, in decibels of full scale; a rest of less is left out.

    What lies below 60 Hz does not count, so that neither a constant offset nor rumble is a sound.
    """
    size = _frame_samples(sampling_rate)
    whole = samples[: len(samples) // size * size]
    filters = signal.butter(4, LOWEST_HERTZ, "highpass", fs=sampling_rate, output="sos")
    # As if the first sample had lasted for ever, so that an offset does not begin with a step.
    state = signal.sosfilt_zi(filters) * (whole[0] if len(whole) else 0.0)
    blocks = []
    # In blocks, because float64 needs twice the memory of the recording.
    for start in range(0, len(whole), size * _BLOCK_FRAMES):
        block, state = signal.sosfilt(filters, whole[start : start + size * _BLOCK_FRAMES], zi=state)
        blocks.append(np.mean(block.reshape(-1, size) ** 2, axis=1))
    power = np.concatenate(blocks) if blocks else np.zeros(0)
    return 10 * np.log10(np.maximum(uniform_filter1d(power, SMOOTHED_FRAMES, mode="nearest"), _LOWEST_POWER))


def background(levels: np.ndarray) -> np.ndarray:
    """The level of the background at each frame `(frames,)`, which follows slow changes, in decibels.

    Args:
        levels (`np.ndarray` of shape `(frames,)`): from [`frame_levels`], at least one.
    """
    frames = round(1 / FRAME_SECONDS)
    starts = range(0, len(levels), frames)
    seconds = np.array([np.percentile(levels[start : start + frames], QUIET_FRAMES) for start in starts])
    quiet = percentile_filter(seconds, QUIET_SECONDS, size=SECONDS_AROUND, mode="reflect")
    return np.interp(np.arange(len(levels)), np.array(starts) + frames / 2, quiet)


def _frame_samples(sampling_rate: int) -> int:
    return round(sampling_rate * FRAME_SECONDS)


def _join(sounds: list[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sounds:
        if joined and start - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _cut(levels: np.ndarray, start: int, end: int, most: int) -> list[tuple[int, int]]:
    """Cuts frames into parts of at most `most`, at the quietest frame of their middle half, and these again."""
    waiting, parts = [(start, end)], []
    while waiting:
        start, end = waiting.pop()
        if end - start <= most:
            parts.append((start, end))
            continue
        quarter = (end - start) // 4
        cut = start + quarter + int(np.argmin(levels[start + quarter : end - quarter]))
        waiting += [(cut, end), (start, cut)]
    return parts
