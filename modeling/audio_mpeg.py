"""Counts the frames of an MP3, because libsndfile only estimates its length where the first frame does not state it."""

import re
import struct
from typing import NamedTuple

from .audio_content import Content
from .errors import AudioError

# By version (1, or 2 for both 2 and 2.5) and layer: kilobits per second of the indices 1 to 14.
_BIT_RATES = {
    (1, 1): range(32, 449, 32),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)
_SAMPLES = {(1, 1): 384, (2, 1): 384, (1, 2): 1152, (2, 2): 1152, (1, 3): 1152, (2, 3): 576}
_BLOCK = 2**16


class Frame(NamedTuple):
    """What the four bytes at the start of a frame say.

    Args:
        kind (`tuple`): what is the same in all frames of a recording: version, layer, rate in hertz, whether mono.
        size (`int`): of the whole frame, in bytes.
        samples (`int`): per channel.
    """

    kind: tuple[int, int, int, bool]
    size: int
    samples: int


class MpegFrames(NamedTuple):
    """The frames of an MP3.

    Args:
        start (`int`): of the first frame that holds sound, in bytes from the start of the file.
        whole (`int`): how many whole frames hold sound.
        samples (`int`): per frame and channel.
        rate (`int`): in hertz.
        stated (`int`, *optional*): how many frames hold sound according to the first one.
        cut (`bool`): whether the file ends within a frame.
    """

    start: int
    whole: int
    samples: int
    rate: int
    stated: int | None
    cut: bool


def count_frames(content: Content) -> MpegFrames:
    """Counts the frames of an MP3 by their headers, without decoding them.

    Raises:
        AudioError: if there are none, or the recording changes its rate or its channels.
    """
    position = _next_frame(content, 0, None)
    if position is None:
        raise AudioError(f"{content.name} is MP3 whose frames cannot be counted: convert it to WAV")
    first = _frame_at(content, position)
    stated = _stated_frames(content.at(position, 192))
    start = position = position if stated is None else position + first.size
    count = 0
    while position is not None and position < content.size:
        frame = _frame_at(content, position)
        if frame is None or frame.kind != first.kind:
            if frame is not None and _follows(content, position + frame.size, frame.kind):
                raise AudioError(
                    f"{content.name} changes its sampling rate or its channels at byte {position:,}: cut it into its "
                    "parts, or convert it to WAV"
                )
            position = _next_frame(content, position, first.kind)
        elif position + frame.size > content.size:
            return MpegFrames(start, count, first.samples, first.kind[2], stated, cut=True)
        else:
            count += 1
            position += frame.size
    return MpegFrames(start, count, first.samples, first.kind[2], stated, cut=False)


def after_tags(content: Content, position: int = 0) -> int:
    """The position behind the tags (ID3v2) that begin at `position`."""
    while (head := content.at(position, 10))[:3] == b"ID3":
        # Four bytes of seven bits each.
        position += 10 + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=False))
    return position


def frame_with_length(content: Content, frames: MpegFrames) -> bytes:
    """Makes a first frame that states how many frames follow, as encoders do that know it ("Xing")."""
    header = bytearray(content.at(frames.start, 4))
    header[1] |= 1  # no checksum
    version, mono = 1 if header[1] & 8 else 2, header[3] >> 6 == 3
    side_info = {(1, False): 32, (1, True): 17, (2, False): 17, (2, True): 9}[version, mono]
    content_of_frame = bytes(side_info) + b"Xing" + struct.pack(">II", 1, frames.whole)
    for index in range(1, 15):
        header[2] = index << 4 | header[2] & 0x0D
        size = _parse(bytes(header)).size
        if size >= 4 + len(content_of_frame):
            break
    return (bytes(header) + content_of_frame).ljust(size, b"\0")


def _parse(header: bytes) -> Frame | None:
    """A frame's header, or None for bytes that are none, or one without a bit rate."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version_bits, layer_bits, rate_index = header[1] >> 3 & 3, header[1] >> 1 & 3, header[2] >> 2 & 3
    bit_rate_index = header[2] >> 4
    if version_bits == 1 or layer_bits == 0 or rate_index == 3 or bit_rate_index in (0, 15):
        return None
    version, layer = 1 if version_bits == 3 else 2, 4 - layer_bits
    rate = _RATES[rate_index] >> {3: 0, 2: 1, 0: 2}[version_bits]
    samples = _SAMPLES[version, layer]
    slot = 4 if layer == 1 else 1  # bytes
    slots = samples // 8 // slot * 1000 * _BIT_RATES[version, layer][bit_rate_index - 1] // rate
    return Frame((version, layer, rate, header[3] >> 6 == 3), (slots + (header[2] >> 1 & 1)) * slot, samples)


def _frame_at(content: Content, position: int) -> Frame | None:
    return _parse(content.at(position, 4))


def _follows(content: Content, position: int, kind: tuple[int, int, int, bool]) -> bool:
    """Whether a frame of this kind begins here, or the file ends."""
    frame = _frame_at(content, position)
    return position >= content.size or (frame is not None and frame.kind == kind)


def _next_frame(content: Content, position: int, kind: tuple[int, int, int, bool] | None) -> int | None:
    """The next position of a frame, of a given kind or any, that another one follows. Tags are left out."""
    while position < content.size:
        block = content.at(position, _BLOCK)
        if block[:3] == b"ID3":
            position = after_tags(content, position)
            continue
        tag = block.find(b"ID3", 1)
        for found in re.finditer(rb"\xff[\xe0-\xff]", block if tag < 0 else block[:tag]):
            at = position + found.start()
            frame = _frame_at(content, at)
            if frame is None or (kind is not None and frame.kind != kind):
                continue
            if _follows(content, at + frame.size, frame.kind):
                return at
        # A frame may begin with the last byte of a block.
        position += tag if tag > 0 else max(1, len(block) - 1)
    return None


def _stated_frames(frame: bytes) -> int | None:
    """How many frames follow, according to the first one; `None` if it holds sound."""
    name = re.search(rb"Xing|Info", frame[:64])
    if name is not None:
        flags, count = struct.unpack(">II", frame[name.end() : name.end() + 8].ljust(8, b"\0"))
        return count if flags & 1 else 0
    return int.from_bytes(frame[50:54], "big") if frame[36:40] == b"VBRI" else None
