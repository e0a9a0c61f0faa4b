"""Reading recordings: decode, mix down to mono, resample, and set the level."""

import io
import os
from typing import Any, BinaryIO, Literal

import numpy as np
import soundfile
import soxr

from .errors import AudioError, ConfigError, needs_extra

AudioSource = str | os.PathLike | bytes | BinaryIO | tuple[Any, int] | dict[str, Any]
"""The forms in which paravox takes a recording:

- a path;
- the bytes of an audio file, or a file object opened in binary mode (read from its start);
- `(array, rate)` or `{"array": array, "sampling_rate": rate}`: samples of shape `(samples,)` or `(samples, channels)`
  with their rate in hertz; floats are full scale at 1, int8, int16 and int32 are scaled by their type's range;
- `{"bytes": ..., "path": ...}`, as `datasets.Audio(decode=False)` gives it; the path is used if there are no bytes.

Files can be WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF and all else that libsndfile reads; WebM with the extra `av`.
"""

SAMPLING_RATES = (1_000, 768_000)  # hertz: a rate outside of this range comes from a broken header
MOST_CHANNELS = 8
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's answer for a FLAC that was streamed, which it then cannot read to its end
# The size of a streamed WAV is unknown when its header is written: it holds 0xFFFFFFFF or a number near 2**31 instead.
_STREAMED_BYTES = 0x7F000000
_MP3_FRAME = 1152  # samples
_WEBM_MAGIC = b"\x1a\x45\xdf\xa3"


def load_audio(source: AudioSource, sampling_rate: int = 16_000, target_rms_db: float | None = None) -> np.ndarray:
    """Reads one recording as mono samples.

    A file that ends before the length in its header is refused. WAV, AIFF, FLAC, Ogg and most MP3 files have such a
    length, other formats do not.

    Args:
        source ([`AudioSource`]): a path, bytes, a file object, or an array with its rate.
        sampling_rate (`int`, *optional*, defaults to 16000): the rate of the result, in hertz.
        target_rms_db (`float`, *optional*): the root mean square level of the result in decibels of full scale. Samples
            may exceed 1, because nothing is clipped. Silence stays silence. By default the level is not changed.

    Returns:
        `np.ndarray` of shape `(samples,)`, float32: the mean of the channels, resampled by soxr (HQ).

    Raises:
        AudioError: if the recording is missing, empty, truncated, not audio, of zero length, not finite, or has an
            impossible rate.
        ConfigError: if `sampling_rate` or `target_rms_db` is outside its range.
    """
    if not _is_rate(sampling_rate):
        raise ConfigError(f"sampling_rate is {sampling_rate!r}, {_EXPECTED_RATE}: the encoders take 16000")
    file, name = _open(source)
    if file is None:
        samples, rate = _check_array(source, name)
    else:
        with file:
            samples, rate = _decode(file, name)
    if not _is_rate(rate):
        raise AudioError(f"{name} has a sampling rate of {rate!r} Hz, {_EXPECTED_RATE}: correct it or leave it out")
    if not samples.size:
        raise AudioError(f"{name} lasts zero seconds, at least one sample is needed: leave it out")
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if rate != sampling_rate:
        resampled = soxr.resample(samples, rate, sampling_rate)
        if not resampled.size:
            raise AudioError(
                f"{name} has only {len(samples)} samples at {rate} Hz, not one at {sampling_rate} Hz: leave it out"
            )
        samples = resampled
    # Checked after resampling, which keeps every NaN and may turn very large samples into infinities.
    if not np.isfinite(samples).all():
        raise AudioError(f"{name} holds samples that are NaN or infinite: export it again or leave it out")
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    return samples if target_rms_db is None else scale_to_rms(samples, target_rms_db)


def load_clip(
    clip: Any,
    given_rate: int | None,
    sampling_rate: int,
    target_rms_db: float | None = None,
    max_seconds: float | None = None,
) -> np.ndarray:
    """Reads one clip for a feature extractor.

    Args:
        clip ([`AudioSource`] or `np.ndarray`): a recording; a bare array of samples needs `given_rate`.
        given_rate (`int`, *optional*): the rate of a bare array, in hertz.
        sampling_rate (`int`): the rate of the result, in hertz.
        target_rms_db (`float`, *optional*): as in [`load_audio`].
        max_seconds (`float`, *optional*): a longer clip is an error.

    Returns:
        `np.ndarray` of shape `(samples,)`, float32, as in [`load_audio`].

    Raises:
        AudioError: if the clip cannot be used or is longer than `max_seconds`.
    """
    if isinstance(clip, np.ndarray) and given_rate is not None:
        clip = (clip, given_rate)
    samples = load_audio(clip, sampling_rate, target_rms_db)
    seconds = len(samples) / sampling_rate
    if max_seconds is not None and seconds > max_seconds:
        name = repr(str(clip)) if isinstance(clip, (str, os.PathLike)) else "a clip"
        raise AudioError(f"{name} lasts {seconds:.1f} s, longer than max_seconds of {max_seconds:g}: cut it")
    return samples


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
        AudioError: if it cannot be opened, or has an impossible rate.
    """
    file, name = _open(source)
    if file is None:
        samples, rate = _check_array(source, name)
        frames = len(samples)
    else:
        with file:
            if _is_webm(file, name):
                samples, rate = _decode_webm(file, name)
                frames = len(samples)
            else:
                with _open_soundfile(file, name) as opened:
                    frames, rate = opened.frames, opened.samplerate
    if not _is_rate(rate):
        raise AudioError(f"{name} has a sampling rate of {rate!r} Hz, {_EXPECTED_RATE}: correct it or leave it out")
    return frames / rate


_EXPECTED_RATE = f"expected a whole number from {SAMPLING_RATES[0]} to {SAMPLING_RATES[1]}"


def _is_rate(rate: Any) -> bool:
    number = isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool)
    return number and SAMPLING_RATES[0] <= rate <= SAMPLING_RATES[1] and rate == int(rate)


def _open(source: Any) -> tuple[BinaryIO | None, str]:
    """An encoded recording as a file that the caller closes, or None for an array; and its name for messages."""
    name = "a recording in bytes"
    if isinstance(source, dict):
        if "array" in source:
            return None, "an array"
        path = source.get("path")
        if source.get("bytes") is None:
            source = path
        else:
            name, source = path or name, source["bytes"]
    if isinstance(source, (str, os.PathLike)):
        return _open_path(source), str(source)
    if hasattr(source, "read"):
        name = f"file object {getattr(source, 'name', '')}".strip()
        if source.seekable():
            source.seek(0)
        source = source.read()
        if isinstance(source, str):
            raise AudioError(f"{name} was opened as text: open it with mode 'rb'")
    if isinstance(source, (bytes, bytearray)):
        return io.BytesIO(source), name
    return None, "an array"


def _open_path(path: str | os.PathLike) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise AudioError(f"{path} does not exist, expected an audio file: check the path") from None
    except IsADirectoryError:
        raise AudioError(f"{path} is a folder, expected an audio file: give a file in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(
            f"{path} cannot be opened ({reason}), expected an audio file: check the path and permissions"
        ) from None


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
        array = np.asarray(array)
    except ValueError:
        raise AudioError(f"{name} has rows of different lengths: give (samples,) or (samples, channels)") from None
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


def _decode(file: BinaryIO, name: str) -> tuple[np.ndarray, int]:
    """The samples `(samples,)` or `(samples, channels)` as float32, and their rate."""
    if _is_webm(file, name):
        return _decode_webm(file, name)
    content = file.read()
    with _open_soundfile(io.BytesIO(content), name) as opened:
        try:
            # The whole file, because MP3 cannot seek exactly, and by the number of frames, because some formats cannot
            # seek at all.
            samples = opened.read(opened.frames, dtype="float32")
        # A broken header can ask for more memory than there is.
        except (soundfile.SoundFileError, MemoryError) as error:
            raise AudioError(
                f"{name} is damaged or truncated ({_reason(error)}): copy it again or leave it out"
            ) from None
        missing = opened.frames - len(samples)
    if opened.format == "MP3":
        # Some encoders also count the frame that holds the header.
        cut = missing > 2 * _MP3_FRAME and _mp3_states_length(content)
    else:
        cut = missing > 0 or _is_cut(content)
    if cut:
        raise AudioError(
            f"{name} is truncated, it ends after {len(samples)} samples but should have more: copy it again"
        )
    return samples, opened.samplerate


def _open_soundfile(file: BinaryIO, name: str) -> soundfile.SoundFile:
    try:
        opened = soundfile.SoundFile(file)
    # libsndfile raises a TypeError for a file named .raw, which has no header.
    except (soundfile.SoundFileError, TypeError) as error:
        raise AudioError(
            f"{name} is not audio that can be read ({_reason(error)}): convert it to WAV or leave it out"
        ) from None
    if opened.frames == _UNKNOWN_FRAMES:
        raise AudioError(
            f"{name} is a stream whose header has no length: write it again with ffmpeg -i CLIP.flac CLIP.wav"
        )
    return opened


def _reason(error: Exception) -> str:
    return str(error).split(": ")[-1].strip(" .") or "unknown format"


def _is_webm(file: BinaryIO, name: str) -> bool:
    head = file.read(len(_WEBM_MAGIC))
    if not head:
        raise AudioError(f"{name} is empty (0 bytes), expected an audio file: copy it again or leave it out")
    file.seek(0)
    return head == _WEBM_MAGIC


def _mp3_states_length(content: bytes) -> bool:
    """Whether the first frame holds the length; otherwise libsndfile only estimates it from the file's size."""
    start = 0
    if content[:3] == b"ID3":
        # Four bytes of seven bits each.
        start = 10 + sum(byte << shift for byte, shift in zip(content[6:10], (21, 14, 7, 0), strict=True))
    head = content[start : start + 64]
    return b"Xing" in head or b"Info" in head


def _is_cut(content: bytes) -> bool:
    """Whether the end of a file is missing, for formats of which libsndfile reads the rest without an error."""
    container = content[:4]
    if container == b"OggS":
        last_page = content.rfind(b"OggS\0")
        segments = content[last_page + 27 : last_page + 27 + content[last_page + 26]]
        # Bit 2 of a page's flags marks the end of the stream.
        return not content[last_page + 5] & 4 or last_page + 27 + len(segments) + sum(segments) > len(content)
    if container not in (b"RIFF", b"RIFX", b"RF64", b"FORM"):
        return False
    order: Literal["big", "little"] = "big" if container in (b"RIFX", b"FORM") else "little"
    position, long_size = 12, None
    while position + 8 <= len(content):
        chunk, size = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], order)
        if chunk == b"ds64":
            long_size = int.from_bytes(content[position + 16 : position + 24], order)
        if chunk in (b"data", b"SSND"):
            if size >= _STREAMED_BYTES:
                size = long_size or 0
            return position + 8 + size > len(content)
        position += 8 + size + size % 2
    return False


def _decode_webm(file: BinaryIO, name: str) -> tuple[np.ndarray, int]:
    try:
        import av
    except ImportError:
        advice = needs_extra(f"{name} is WebM, which", "PyAV", "av")
        raise AudioError(f"{advice}, or convert it with ffmpeg -i CLIP.webm CLIP.wav") from None
    try:
        with av.open(file, mode="r") as container:
            stream = container.streams.audio[0]
            rate = stream.rate
            to_floats = av.AudioResampler(format="fltp")
            # Each (channels, samples)
            blocks = [part.to_ndarray() for frame in container.decode(stream) for part in to_floats.resample(frame)]
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise AudioError(
            f"{name} is not WebM audio that can be read ({error}): convert it to WAV or leave it out"
        ) from None
    samples = np.concatenate(blocks, axis=1).T if blocks else np.zeros(0)
    return samples.astype(np.float32, copy=False), rate
