"""Decodes recordings block by block, by libsndfile or PyAV, and never more than a limit allows."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import soundfile

from .audio_containers import check_boxes, check_length, ogg_links, refuse_second_flac, stated_samples
from .audio_content import Content
from .audio_mpeg import after_tags, count_frames, frame_with_length
from .errors import AudioError, needs_extra

MAX_DECODED_SECONDS = 4 * 3600.0
"""The longest recording that is decoded, in seconds, unless another limit is given."""

_BLOCK = 2**19  # samples of all channels, 2 MB
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's answer for a FLAC that was streamed
_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_BYTES |= {"ULAW": 1, "ALAW": 1}
_WITHOUT_END = ("MAT4", "MAT5", "SDS", "XI")
# What PyAV decodes: FFmpeg's name of the container, what people call it, and a suffix. The container is always named to
# FFmpeg, because some of those that it would guess open other files and addresses.
_PYAV = {
    "matroska": ("WebM", "webm"),
    "mov": ("MPEG-4", "m4a"),
    "aac": ("AAC", "aac"),
    "amr": ("AMR", "amr"),
    "asf": ("Windows Media", "wma"),
    "caf": ("a streamed CAF", "caf"),
}
_STARTS = {
    b"\x1a\x45\xdf\xa3": "matroska",
    b"#!AMR": "amr",
    b"\x30\x26\xb2\x75": "asf",
    **dict.fromkeys((b"\xff\xf0", b"\xff\xf1", b"\xff\xf8", b"\xff\xf9"), "aac"),
}
# A container whose header states a length may hold this much less, in seconds, because the encoder's delay is left out.
_ENCODER_DELAY = 0.25


class Limit(NamedTuple):
    """The longest recording that is taken.

    Args:
        seconds (`float`): its length.
        name (`str`): of the setting.
        advice (`str`): what to do with a longer one.
    """

    seconds: float = MAX_DECODED_SECONDS
    name: str = "max_decoded_seconds"
    advice: str = "cut it"

    def check(self, name: str, seconds: float, at_least: bool = False) -> None:
        """Raises [`AudioError`] for a recording that is longer."""
        if seconds > self.seconds:
            lasts = f"lasts at least {seconds:.1f} s" if at_least else f"lasts {seconds:.1f} s"
            raise AudioError(f"{name} {lasts}, longer than {self.name} of {self.seconds:g}: {self.advice}")


class Part(NamedTuple):
    """A recording, or one of several that a file holds one behind the other.

    Args:
        rate (`int`): in hertz, as the file has it.
        frames (`int`, *optional*): how many there are; `None` if only decoding tells.
        blocks (iterator of `np.ndarray` of shape `(frames, channels)`): the samples, float32.
        stated_seconds (`float`, *optional*): about how long it is, where only decoding tells exactly.
    """

    rate: int
    frames: int | None
    blocks: Iterator[np.ndarray]
    stated_seconds: float | None = None


class _SequentialSoundFile(soundfile.SoundFile):
    """A sound file that is read from its start to its end.

    After each block, soundfile seeks to where the file already is, which is not exact for MP3 and slow for others.
    """

    # Python drops an exception that is raised in a finaliser, such as the KeyboardInterrupt of a Ctrl-C that arrives
    # there. So this one runs no Python code. `with` closes the file.
    __del__ = object.__init__

    def seekable(self) -> bool:
        return False


def read_parts(content: Content) -> Iterator[Part]:
    """The parts of a recording, each to be decoded before the next one is asked for.

    Raises:
        AudioError: if it is not audio, is damaged, or needs a decoder that is not installed.
    """
    container = _container_of_pyav(content)
    if container is not None:
        yield from _pyav_parts(content, container)
    elif content.at(0, 4) == b"OggS":
        links = ogg_links(content)
        for start, end in links:
            if len(links) == 1:
                yield from _soundfile_parts(content)
            else:
                with content.part(start, end) as link:
                    yield from _soundfile_parts(link)
    else:
        yield from _soundfile_parts(content)


def _container_of_pyav(content: Content) -> str | None:
    """The container of a recording that libsndfile cannot read, one of `_PYAV`."""
    head = content.at(0, 16)
    if head[:3] == b"ID3":
        head = content.at(after_tags(content), 16)
    if head[:4] == b"caff":
        samples = stated_samples(content)
        return "caf" if samples is not None and samples.size is None else None
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    return next((container for start, container in _STARTS.items() if head.startswith(start)), None)


def _soundfile_parts(content: Content) -> Iterator[Part]:
    with _open_soundfile(content) as opened:
        if opened.format == "MP3":
            yield from _mp3_parts(content, opened)
            return
        frames = opened.frames
        if opened.format in _WITHOUT_END:
            raise AudioError(
                f"{content.name} is of the format {opened.format}, in which nothing tells a whole recording from a cut "
                "one: convert it to WAV"
            )
        if opened.format == "FLAC":
            refuse_second_flac(content)
        samples = stated_samples(content)
        frame = _BYTES.get(opened.subtype, 0) * opened.channels
        check_length(content, samples, frame and frames * frame)
        if frame and samples is not None and samples.size is not None:
            # libsndfile takes a tag behind the samples for samples in some formats.
            frames = min(frames, samples.size // frame)
        yield Part(opened.samplerate, None if frames == _UNKNOWN_FRAMES else frames, _blocks(opened, content, frames))


def _mp3_parts(content: Content, opened: soundfile.SoundFile) -> Iterator[Part]:
    frames = count_frames(content)
    missing = 0 if frames.stated is None else frames.stated - frames.whole
    # Some encoders also count the frame that holds the header.
    if missing > 1 or (missing == 1 and frames.cut):
        raise AudioError(
            f"{content.name} is truncated, it ends after {frames.whole:,} of {frames.stated:,} frames: copy it again"
        )
    exact = frames.whole * frames.samples
    if frames.stated is not None and missing >= -1:
        yield Part(opened.samplerate, opened.frames, _blocks(opened, content, opened.frames, 2 * frames.samples))
    elif frames.stated is None and opened.frames >= exact:
        yield Part(opened.samplerate, exact, _blocks(opened, content, exact, 2 * frames.samples))
    else:
        # libsndfile would stop at its estimate, so it gets a first frame that states the length.
        with (
            content.part(frames.start, content.size, before=frame_with_length(content, frames)) as whole,
            _open_soundfile(whole) as corrected,
        ):
            blocks = _blocks(corrected, content, exact, 3 * frames.samples)
            yield Part(corrected.samplerate, corrected.frames, blocks)


@contextmanager
def _open_soundfile(content: Content) -> Iterator[soundfile.SoundFile]:
    content.file.seek(0)
    try:
        opened = _SequentialSoundFile(content.file.fileno(), closefd=False)
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{content.name} is not audio that can be read ({_reason(error)}): convert it to WAV or leave it out"
        ) from None
    with opened:
        yield opened


def _blocks(opened: soundfile.SoundFile, content: Content, frames: int, may_miss: int = 0) -> Iterator[np.ndarray]:
    """Decodes up to a number of frames, or to the end if it is not known."""
    size = max(1, _BLOCK // opened.channels)
    decoded = 0
    try:
        while decoded < frames:
            block = opened.read(min(size, frames - decoded), dtype="float32", always_2d=True)
            decoded += len(block)
            if not len(block):
                break
            yield block
    except (soundfile.SoundFileError, MemoryError) as error:
        raise AudioError(
            f"{content.name} is damaged or truncated ({_reason(error)}): copy it again or leave it out"
        ) from None
    if frames != _UNKNOWN_FRAMES and frames - decoded > may_miss:
        raise AudioError(
            f"{content.name} is truncated, it ends after {decoded} samples but should have {frames}: copy it again"
        )


def _reason(error: Exception) -> str:
    return str(error).split(": ")[-1].strip(" .") or "unknown format"


def _import_pyav() -> Any:
    # By name, because Transformers refuses remote code that has an `import` of a package that is not installed.
    return import_module("av")


def _pyav_parts(content: Content, container: str) -> Iterator[Part]:
    title, suffix = _PYAV[container]
    conversion = f"convert it with ffmpeg -i CLIP.{suffix} CLIP.wav"
    try:
        av = _import_pyav()
    except ImportError:
        raise AudioError(f"{needs_extra(f'{content.name} is {title}, which', 'PyAV', 'av')}, or {conversion}") from None
    content.file.seek(0)
    with _pyav_errors(content, title), av.open(content.file, mode="r", format=container) as opened:
        streams = opened.streams.audio
        if not streams:
            raise AudioError(f"{content.name} is {title} without a sound track: leave it out")
        if streams[0].codec_context is None:
            raise AudioError(f"{content.name} is {title} in a coding that PyAV cannot decode: {conversion}")
        check_boxes(content)
        frames = opened.decode(streams[0])
        first = next(frames, None)
        # The header of some AAC states half of the rate at which it is decoded.
        rate = streams[0].rate if first is None else first.sample_rate
        stated = _stated_seconds(opened, streams[0], container)
        frames = frames if first is None else chain([first], frames)
        yield Part(rate, None, _pyav_blocks(frames, rate, stated, content, title), stated)


def _stated_seconds(opened: Any, stream: Any, container: str) -> float | None:
    """The length in the header of a container that has one; FFmpeg estimates that of others from the size."""
    if container not in ("matroska", "mov"):
        return None
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return opened.duration / 1e6 if opened.duration else None


def _pyav_blocks(
    frames: Iterator[Any], rate: int, stated: float | None, content: Content, title: str
) -> Iterator[np.ndarray]:
    decoded = 0
    with _pyav_errors(content, title):
        to_floats = _import_pyav().AudioResampler(format="fltp", rate=rate)
        for frame in chain(frames, [None]):
            for part in to_floats.resample(frame):
                block = part.to_ndarray().T  # (samples, channels)
                decoded += len(block)
                yield block
    if stated is not None and decoded / rate < stated - _ENCODER_DELAY:
        raise AudioError(
            f"{content.name} is truncated, it ends after {decoded / rate:.2f} s but should last {stated:.2f} s: copy "
            "it again"
        )


@contextmanager
def _pyav_errors(content: Content, title: str) -> Iterator[None]:
    """Turns what PyAV raises for a damaged file into an error of ours."""
    av = _import_pyav()
    try:
        yield
    except AudioError:
        raise
    except (av.FFmpegError, ValueError, OverflowError, MemoryError) as error:
        raise AudioError(
            f"{content.name} is not {title} audio that can be read ({error}): convert it to WAV or leave it out"
        ) from None
