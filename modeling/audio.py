"""Reading recordings: decode, mix down to mono, resample, and set the level."""

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr

from .audio_content import open_content
from .audio_decoding import MAX_DECODED_SECONDS, Limit, Part, read_parts
from .errors import AudioError, ConfigError

AudioSource = str | os.PathLike | bytes | BinaryIO | tuple[Any, int] | dict[str, Any]
"""The forms in which paravox takes a recording:

- a path;
- the bytes of an audio file, or a file object opened in binary mode (read from its start);
- `(array, rate)` or `{"array": array, "sampling_rate": rate}`: samples of shape `(samples,)` or `(samples, channels)`
  with their rate in hertz; floats are full scale at 1, int8, int16 and int32 are scaled by their type's range;
- `{"bytes": ..., "path": ...}`, as `datasets.Audio(decode=False)` gives it; the path is used if there are no bytes.

Files can be WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF and all else that libsndfile reads. WebM, M4A, MP4, 3GP, AAC, AMR
and Windows Media need the extra `av`. What a file is, its content tells, not its name.
"""

# How the names of recordings end, in lower case: what libsndfile reads, and what phones and browsers record, which
# needs the extra `av`. A headerless .raw has no rate, and a film is no recording.
AUDIO_SUFFIXES = frozenset(f".{name.lower()}" for name in soundfile.available_formats()) - {".raw"}
AUDIO_SUFFIXES |= {".aif", ".aifc", ".oga", ".opus", ".snd", ".sph", ".wave"}
AUDIO_SUFFIXES |= {".3gp", ".aac", ".amr", ".m4a", ".mka", ".weba", ".webm", ".wma"}

SAMPLING_RATES = (1_000, 768_000)  # hertz: a rate outside of this range comes from a broken header
MOST_CHANNELS = 8


def load_audio(
    source: AudioSource,
    sampling_rate: int = 16_000,
    target_rms_db: float | None = None,
    max_decoded_seconds: float = MAX_DECODED_SECONDS,
) -> np.ndarray:
    """Reads one recording as mono samples.

    A file that ends before the length in its header is refused. WAV, AIFF, FLAC, Ogg, MPEG-4 and most MP3 files have
    such a length, some other formats do not. Where the header only estimates a length, or states that of the first of
    several parts (MP3, Ogg), all of them are decoded; where it contradicts the file otherwise, it is refused.

    Args:
        source ([`AudioSource`]): a path, bytes, a file object, or an array with its rate.
        sampling_rate (`int`, *optional*, defaults to 16000): the rate of the result, in hertz.
        target_rms_db (`float`, *optional*): the root mean square level of the result in decibels of full scale. Samples
            may exceed 1, because nothing is clipped. Silence stays silence. By default the level is not changed.
        max_decoded_seconds (`float`, *optional*, defaults to 14400): a longer recording is an error. Its header is
            looked at before anything is decoded, and its samples are counted while they are decoded.

    Returns:
        `np.ndarray` of shape `(samples,)`, float32: the mean of the channels, resampled by soxr (HQ).

    Raises:
        AudioError: if the recording is missing, empty, truncated, not audio, of zero length, too long, not finite, or
            has an impossible rate.
        ConfigError: if `sampling_rate` or `target_rms_db` is outside its range.
    """
    return _load(source, sampling_rate, target_rms_db, Limit(max_decoded_seconds))


def load_clip(
    clip: Any,
    given_rate: int | None,
    sampling_rate: int,
    target_rms_db: float | None = None,
    max_seconds: float | None = None,
    advice: str = "cut it",
) -> np.ndarray:
    """Reads one clip for a feature extractor.

    Args:
        clip ([`AudioSource`] or `np.ndarray`): a recording; a bare array of samples needs `given_rate`.
        given_rate (`int`, *optional*): the rate of a bare array, in hertz.
        sampling_rate (`int`): the rate of the result, in hertz.
        target_rms_db (`float`, *optional*): as in [`load_audio`].
        max_seconds (`float`, *optional*): a longer clip is an error, before it is decoded if its header states a
            length.
        advice (`str`, *optional*, defaults to `"cut it"`): what the message says to do with a longer clip.

    Returns:
        `np.ndarray` of shape `(samples,)`, float32, as in [`load_audio`].

    Raises:
        AudioError: if the clip cannot be used or is longer than `max_seconds`.
    """
    if isinstance(clip, np.ndarray) and given_rate is not None:
        clip = (clip, given_rate)
    limit = None
    if max_seconds is not None and max_seconds < MAX_DECODED_SECONDS:
        limit = Limit(max_seconds, "max_seconds", advice)
    return _load(clip, sampling_rate, target_rms_db, limit or Limit())


def scale_to_rms(samples: np.ndarray, target_rms_db: float) -> np.ndarray:
    """Scales samples to a root mean square level (Burst2Vec, section 4.1).

    Args:
        samples (`np.ndarray` of shape `(samples,)`): float32. Digital silence is returned unchanged.
        target_rms_db (`float`): the level in decibels of full scale, -200 to 200. A constant 1 is at 0 dB.

    Returns:
        `np.ndarray` of the same shape, float32, not clipped.

    Raises:
        ConfigError: if the level is outside that range.
    """
    if not -200 <= target_rms_db <= 200:
        raise ConfigError(f"target_rms_db is {target_rms_db}, expected -200 to 200 decibels: the paper uses -3")
    if not samples.any():
        return samples
    # In float64, because the squares of very quiet samples, and the gain that they need, do not fit into float32.
    samples = samples.astype(np.float64)
    gain = 10 ** (target_rms_db / 20) / np.sqrt(np.mean(samples**2))
    return (samples * gain).astype(np.float32)


def duration_seconds(source: AudioSource) -> float:
    """The length of a recording. It is read from the header if the format has it there, otherwise by decoding.

    Args:
        source ([`AudioSource`]): as for [`load_audio`].

    Returns:
        `float`: in seconds.

    Raises:
        AudioError: if it cannot be opened, its header contradicts the size of the file, or it has an impossible rate.
    """
    encoded, name = _encoded_and_name(source)
    if encoded is None:
        samples, rate = _check_array(source, name)
        return len(samples) / _checked_rate(rate, name)
    seconds = 0.0
    with open_content(encoded, name) as content:
        for part in read_parts(content):
            rate = _checked_rate(part.rate, name)
            if part.frames is not None:
                seconds += part.frames / rate
                continue
            Limit().check(name, seconds + (part.stated_seconds or 0.0))
            frames = 0
            for block in part.blocks:
                frames += len(block)
                Limit().check(name, seconds + frames / rate, at_least=True)
            seconds += frames / rate
    return seconds


def _load(source: AudioSource, sampling_rate: int, target_rms_db: float | None, limit: Limit) -> np.ndarray:
    if not _is_rate(sampling_rate):
        raise ConfigError(f"sampling_rate is {sampling_rate!r}, {_EXPECTED_RATE}: the encoders take 16000")
    encoded, name = _encoded_and_name(source)
    if encoded is None:
        array, rate = _check_array(source, name)
        samples = _join(iter([Part(rate, len(array), iter([array]))]), name, sampling_rate, limit)
    else:
        with open_content(encoded, name) as content:
            samples = _join(read_parts(content), name, sampling_rate, limit)
    # Checked after resampling, which keeps every NaN and may turn very large samples into infinities.
    if not np.isfinite(samples).all():
        raise AudioError(f"{name} holds samples that are NaN or infinite: export it again or leave it out")
    return samples if target_rms_db is None else scale_to_rms(samples, target_rms_db)


def _join(parts: Iterator[Part], name: str, sampling_rate: int, limit: Limit) -> np.ndarray:
    """Decodes the parts of a recording, mixes them down to mono and resamples them, `(samples,)`, float32."""
    blocks: list[np.ndarray] = []
    frames, seconds = 0, 0.0
    shown = "a clip" if name == _ARRAY else name
    for part in parts:
        rate = _checked_rate(part.rate, name)
        stated = part.stated_seconds if part.frames is None else part.frames / rate
        limit.check(shown, seconds + (stated or 0.0))
        resampler = None if rate == sampling_rate else soxr.ResampleStream(rate, sampling_rate, 1, dtype="float32")
        for block in part.blocks:
            frames += len(block)
            seconds += len(block) / rate
            limit.check(shown, seconds, at_least=True)
            mono = block if block.ndim == 1 else block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
            mono = np.ascontiguousarray(mono, np.float32)
            blocks.append(mono if resampler is None else resampler.resample_chunk(mono))
        if resampler is not None:
            blocks.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    if not frames:
        raise AudioError(f"{name} lasts zero seconds, at least one sample is needed: leave it out")
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    if not samples.size:
        raise AudioError(f"{name} has only {frames} samples at {rate} Hz, not one at {sampling_rate} Hz: leave it out")
    return samples


_ARRAY = "an array"
_EXPECTED_RATE = f"expected a whole number from {SAMPLING_RATES[0]} to {SAMPLING_RATES[1]}"


def _is_rate(rate: Any) -> bool:
    number = isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool)
    return number and SAMPLING_RATES[0] <= rate <= SAMPLING_RATES[1] and rate == int(rate)


def _checked_rate(rate: Any, name: str) -> int:
    if not _is_rate(rate):
        raise AudioError(f"{name} has a sampling rate of {rate!r} Hz, {_EXPECTED_RATE}: correct it or leave it out")
    return int(rate)


def _encoded_and_name(source: Any) -> tuple[Any, str]:
    """An encoded recording as a path, bytes or a file object, or None for an array; and its name for messages."""
    name = None
    if isinstance(source, dict):
        if "array" in source:
            return None, _ARRAY
        path = source.get("path")
        if source.get("bytes") is None:
            source = path
        else:
            name, source = _shown(path) if path else None, source["bytes"]
    if isinstance(source, (str, os.PathLike)):
        return source, _shown(source)
    if hasattr(source, "read"):
        own = getattr(source, "name", "")
        return source, name or f"file object {_shown(own) if isinstance(own, (str, os.PathLike)) else ''}".strip()
    if isinstance(source, (bytes, bytearray, memoryview)):
        return source, name or "a recording in bytes"
    return None, _ARRAY


def _shown(path: Any) -> str:
    """A path for messages. Bytes of a name that are not UTF-8 are shown by their numbers, because no terminal can."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def as_array(samples: Any) -> np.ndarray:
    """Samples as an array: also tensors on any device, in half precision, or with a gradient."""
    if hasattr(samples, "detach"):
        samples = samples.detach().cpu()
        samples = (samples.float() if samples.is_floating_point() else samples).numpy()
    return np.asarray(samples)


def _check_array(source: AudioSource, name: str) -> tuple[np.ndarray, Any]:
    """The samples `(samples,)` or `(samples, channels)` as float32, and their rate as it was given."""
    if isinstance(source, dict) and "array" in source:
        array, rate = source["array"], source.get("sampling_rate")
    elif isinstance(source, tuple) and len(source) == 2:
        array, rate = source
    elif isinstance(source, np.ndarray):
        raise AudioError("an array of samples has no sampling rate: give (array, rate) or sampling_rate")
    else:
        raise AudioError(
            f"a recording of type {type(source).__name__} is not understood, expected a path, bytes, a file object, "
            "(array, rate) or a dict with array and sampling_rate, or with bytes or path: give one of these"
        )
    if np.ndim(rate) != 0:
        raise AudioError(f"{name} has a {type(rate).__name__} as its sampling rate: give (array, rate), in this order")
    try:
        array = as_array(array)
    except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        reason = "rows of different lengths" if isinstance(error, ValueError) else f"no numbers to read ({error})"
        raise AudioError(f"{name} has {reason}: give (samples,) or (samples, channels)") from None
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] > MOST_CHANNELS):
        raise AudioError(
            f"{name} has shape {array.shape}, expected (samples,) or (samples, channels) with at most {MOST_CHANNELS} "
            "channels: transpose or split it"
        )
    if array.dtype in (np.int8, np.int16, np.int32):
        array = array / float(2 ** (8 * array.itemsize - 1))
    if array.dtype.kind != "f":
        raise AudioError(
            f"{name} is of type {array.dtype}, expected floats, int8, int16 or int32: convert it to floats"
        )
    with np.errstate(over="ignore"):  # becomes an infinity, which is refused
        return array.astype(np.float32, copy=False), rate
