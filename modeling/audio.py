"""The one way in for recordings: decode, mix down, resample, level."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from .errors import AudioError

SAMPLING_RATES = (1_000, 768_000)  # hertz: anything outside is a broken header
MOST_CHANNELS = 8
_WEBM_MAGIC = b"\x1a\x45\xdf\xa3"
_NOT_REAL_SIZES = (0, 0xFFFFFFFF)  # what a WAV that was streamed has for the size of its data


def load_audio(source: Any, sampling_rate: int = 16_000, target_rms_db: float | None = None) -> np.ndarray:
    """Reads one recording as mono samples.

    Args:
        source: a path, bytes, a file object, `(array, rate)`, a dict with `array` and `sampling_rate`, or a dict with
            `bytes` and `path` as `datasets.Audio(decode=False)` gives it. An array is `(samples,)` or
            `(samples, channels)`; signed integers are scaled by their type's range.
        sampling_rate (`int`, *optional*, defaults to 16000): in hertz, of the result.
        target_rms_db (`float`, *optional*): root mean square level of the result in decibels of full scale. Samples may
            exceed 1, nothing is clipped; silence stays silence.

    Returns:
        `np.ndarray` of shape `(samples,)`, float32: the mean of the channels, resampled by soxr (HQ).

    Raises:
        AudioError: if the recording is missing, empty, truncated, not audio, of zero length, not finite, or has an
            impossible rate.
    """
    samples, rate, name = _decode(source)
    if not SAMPLING_RATES[0] <= rate <= SAMPLING_RATES[1]:
        low, high = SAMPLING_RATES
        raise AudioError(
            f"{name} has a sampling rate of {rate} Hz, expected {low} to {high} Hz: correct it or record again"
        )
    if not samples.size:
        raise AudioError(f"{name} lasts zero seconds: leave it out")
    if not np.isfinite(samples).all():
        raise AudioError(f"{name} holds samples that are NaN or infinite: export it again or leave it out")
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if rate != sampling_rate:
        samples = soxr.resample(samples, rate, sampling_rate)
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    return samples if target_rms_db is None else scale_to_rms(samples, target_rms_db)


def scale_to_rms(samples: np.ndarray, target_rms_db: float) -> np.ndarray:
    """Scales samples to a root mean square of `target_rms_db` decibels of full scale (Burst2Vec, section 4.1)."""
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return samples if rms == 0 else (samples * (10 ** (target_rms_db / 20) / rms)).astype(np.float32)


def duration_seconds(source: Any) -> float:
    """The length of a recording, from its header where its format has the length there.

    Args:
        source: as for [`load_audio`].

    Raises:
        AudioError: if it cannot be opened.
    """
    file, name = _as_file(source)
    if file is None or _is_webm(file):
        samples, rate, _ = _decode(source)
        return len(samples) / rate
    info = _read(soundfile.info, file, name)
    return info.frames / info.samplerate


def _decode(source: Any) -> tuple[np.ndarray, int, str]:
    """Samples `(samples,)` or `(samples, channels)`, their rate, and what to call the recording in a message."""
    file, name = _as_file(source)
    if file is None:
        return *_check_array(*_array_and_rate(source)), name
    if _is_webm(file):
        return *_decode_webm(file, name), name
    promised = _read(soundfile.info, file, name)
    samples, rate = _read(soundfile.read, file, name, dtype="float32")
    if len(samples) < promised.frames or _is_cut(file, promised.format):
        raise AudioError(
            f"{name} is truncated: {len(samples)} samples were read, fewer than it should have: copy or record it again"
        )
    return samples, rate, name


def _as_file(source: Any) -> tuple[Any, str]:
    """A path or a seekable file object, None for an array; and the recording's name."""
    if isinstance(source, dict) and "array" not in source:
        source = source["bytes"] if source.get("bytes") is not None else source.get("path")
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.is_dir():
            raise AudioError(f"{path} is a folder: give a file")
        if not path.is_file():
            raise AudioError(f"{path} does not exist: check the path")
        if not path.stat().st_size:
            raise AudioError(f"{path} is an empty file: copy it again or leave it out")
        return str(path), str(path)
    if isinstance(source, (bytes, bytearray)):
        if not source:
            raise AudioError("the bytes of a recording are empty: give a whole file")
        return io.BytesIO(source), "a recording in bytes"
    if hasattr(source, "read"):
        return io.BytesIO(source.read()), f"file object {getattr(source, 'name', '')}".strip()
    return None, "an array"


def _array_and_rate(source: Any) -> tuple[Any, Any]:
    if isinstance(source, dict):
        return source["array"], source.get("sampling_rate")
    if isinstance(source, tuple) and len(source) == 2:
        return source
    if isinstance(source, np.ndarray):
        raise AudioError("an array of samples has no sampling rate: give (array, rate) or sampling_rate")
    raise AudioError(
        f"a recording of type {type(source).__name__} is not understood: give a path, bytes, a file object or (array, rate)"
    )


def _check_array(array: Any, rate: Any) -> tuple[np.ndarray, int]:
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)):
        raise AudioError(f"an array of samples has sampling rate {rate!r}: give a number of hertz")
    array = np.asarray(array)
    if array.dtype.kind == "i":
        array = array / np.float32(-np.iinfo(array.dtype).min)
    if array.dtype.kind != "f" or array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] > MOST_CHANNELS):
        raise AudioError(
            f"an array of type {array.dtype} and shape {array.shape} is not audio: give (samples,) or (samples, channels) "
            f"with at most {MOST_CHANNELS} channels"
        )
    return array.astype(np.float32, copy=False), int(rate)


def _read(function: Any, file: Any, name: str, **options: Any) -> Any:
    if hasattr(file, "seek"):
        file.seek(0)
    try:
        return function(file, **options)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        reason = str(error).split(": ")[-1].strip().rstrip(".")
        raise AudioError(
            f"{name} is not audio that can be read ({reason}): convert it to WAV or leave it out"
        ) from None


def _head(file: Any, size: int) -> bytes:
    if isinstance(file, str):
        with open(file, "rb") as opened:
            return opened.read(size)
    file.seek(0)
    return file.read(size)


def _is_webm(file: Any) -> bool:
    return _head(file, len(_WEBM_MAGIC)) == _WEBM_MAGIC


def _is_cut(file: Any, container: str) -> bool:
    """Whether the end of a file is missing, in the containers whose readers do not tell."""
    content = Path(file).read_bytes() if isinstance(file, str) else file.getvalue()
    if container == "WAV" and content[:4] == b"RIFF":
        promised = int.from_bytes(content[4:8], "little")
        # An odd chunk may lack its byte of padding.
        return promised not in _NOT_REAL_SIZES and promised + 8 > len(content) + 1
    if container == "OGG":
        last_page = content.rfind(b"OggS")
        # Bit 2 of a page's header type marks the end of the stream.
        return not content[last_page + 5] & 4
    return False


def _decode_webm(file: Any, name: str) -> tuple[np.ndarray, int]:
    try:
        import av
    except ImportError:
        raise AudioError(
            f"{name} is WebM, which needs PyAV: pip install 'paravox[webm]', or convert it with "
            "ffmpeg -i CLIP.webm CLIP.wav"
        ) from None
    if hasattr(file, "seek"):
        file.seek(0)
    try:
        with av.open(file) as container:
            stream = container.streams.audio[0]
            rate = stream.rate
            planar = av.AudioResampler(format="fltp")
            frames = [part for frame in container.decode(stream) for part in planar.resample(frame)]
    except (av.FFmpegError, IndexError) as error:
        raise AudioError(
            f"{name} is not WebM audio that can be read ({error}): convert it to WAV or leave it out"
        ) from None
    if not frames:
        raise AudioError(f"{name} lasts zero seconds: leave it out")
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T.astype(np.float32), rate
