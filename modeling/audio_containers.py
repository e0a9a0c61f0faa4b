"""What the containers of recordings say about their length, for the formats in which libsndfile does not compare it."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from .audio_content import Content
from .errors import AudioError

Order = Literal["little", "big"]

# The size of a streamed WAV is unknown when its header is written: it holds 0xFFFFFFFF or a number near 2**31 instead.
_STREAMED_BYTES = 0x7F000000
# Fewer bytes behind the samples than this are a tag or padding. They would last 8 ms at 16 kHz.
_TAG_BYTES = 256
_W64_HEADER = 40
# Where one of these stands in the place of a chunk, another recording begins.
_CONTAINERS: tuple[bytes, ...] = (
    b"RIFF",
    b"RIFX",
    b"RF64",
    b"FORM",
    b"caff",
    b"riff",
    b"fLaC",
    b"OggS",
    b"NIST",
    b".snd",
    b"dns.",
)
_CONTAINERS += (b"2BIT", b" paf", b"fap ", b"PVF1", b"Crea", b"ALaw")
_FLAC_START = b"fLaC\0\0\0\x22"


class Samples(NamedTuple):
    """Where a container says that its samples lie.

    Args:
        start (`int`): of the first one, in bytes from the start of the file.
        size (`int`, *optional*): in bytes; `None` if the header does not know it, because the file was streamed.
        behind (`int`, *optional*): where the chunks behind them end, for containers that may have some.
    """

    start: int
    size: int | None
    behind: int | None = None


def check_length(content: Content, samples: Samples | None, decoded_bytes: int) -> None:
    """Compares what a container states about its samples with the size of the file and with what libsndfile reads.

    Args:
        content ([`Content`]): the recording.
        samples ([`Samples`], *optional*): from [`stated_samples`].
        decoded_bytes (`int`): the size of the frames that libsndfile counts, or 0 if they are compressed.

    Raises:
        AudioError: if samples are missing, or there are more than the header states.
    """
    if samples is None or samples.size is None:
        return
    end = samples.start + samples.size
    if end > content.size:
        raise AudioError(
            f"{content.name} is truncated, its samples end at byte {content.size:,} but should end at {end:,}: copy it "
            "again"
        )
    behind = content.size - (end if samples.behind is None else samples.behind)
    if behind >= _TAG_BYTES and not _is_tag(content.at(content.size - behind, 2**16)):
        raise _more_than_stated(content, f"{behind:,} bytes lie behind them")
    # In some formats libsndfile takes a tag behind the samples for samples.
    excess = decoded_bytes - samples.size
    if decoded_bytes and not -_TAG_BYTES < excess < _TAG_BYTES + max(behind, 0):
        raise _more_than_stated(content, f"its samples take {decoded_bytes:,} bytes")


def _is_tag(rest: bytes) -> bool:
    """Whether what follows a recording may follow it: padding, or a tag as players write it."""
    return not any(rest) or rest.startswith((b"TAG", b"ID3", b"APETAGEX"))


def refuse_second_flac(content: Content) -> None:
    """Raises [`AudioError`] for several FLAC files one behind the other, of which libsndfile reads the first."""
    second = content.find(_FLAC_START, 1)
    if second >= 0:
        raise _more_than_stated(content, f"another recording begins at byte {second:,}")


def _more_than_stated(content: Content, found: str) -> AudioError:
    return AudioError(
        f"{content.name} has a header that states another length than the file has ({found}): cut it into its parts, "
        "or write it again as WAV"
    )


def stated_samples(content: Content) -> Samples | None:
    """Finds out where a container says that its samples lie, or `None` for formats that state no length in bytes."""
    head = content.at(0, 64)
    container = head[:4]
    if container in (b"RIFF", b"RIFX", b"RF64", b"FORM"):
        return _of_chunks(content, "big" if container in (b"RIFX", b"FORM") else "little")
    if container == b"caff":
        return _of_chunks(content, "big", position=8, size_bytes=8)
    if container in (b".snd", b"dns."):
        order: Order = "big" if container == b".snd" else "little"
        start, size = int.from_bytes(head[4:8], order), int.from_bytes(head[8:12], order)
        return Samples(start, None if size == 0xFFFFFFFF else size)
    if container == b"riff":
        return _of_w64(content)
    if container == b"NIST":
        return _of_nist(content)
    if head[:8] == b"Creative":
        return _of_voc(content)
    if container == b"2BIT":  # AVR
        channels, bits = 2 if head[12:14] != b"\0\0" else 1, int.from_bytes(head[14:16], "big")
        return Samples(128, int.from_bytes(head[26:30], "big") * channels * bits // 8)
    if head[:2] == b"\x01\x04":  # Akai MPC 2000
        return Samples(42, int.from_bytes(head[30:34], "little") * (2 if head[21] else 1) * 2)
    if head[:13] == b"ALawSoundFile":  # Psion
        return Samples(32, int.from_bytes(head[18:22], "big"))
    return None


def _chunks(content: Content, position: int, order: Order, size_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and size of each chunk whose header is whole."""
    while True:
        header = content.at(position, 4 + size_bytes)
        if len(header) < 4 + size_bytes:
            return
        size = int.from_bytes(header[4:], order)
        yield header[:4], position + len(header), size
        # Some writers forget the byte of padding behind an odd chunk. CAF has none.
        position += len(header) + size
        if size % 2 and size_bytes == 4 and not _is_name(content.at(position, 4)):
            position += 1


def _is_name(name: bytes) -> bool:
    return re.fullmatch(rb"[\x20-\x7e]{4}", name) is not None and name not in _CONTAINERS


def _of_chunks(content: Content, order: Order, position: int = 12, size_bytes: int = 4) -> Samples | None:
    long_size, samples, behind = None, None, 0
    for name, start, size in _chunks(content, position, order, size_bytes):
        if samples is not None:
            if not _is_name(name):
                break
            # The last one may be cut: it holds no samples.
            behind = min(start + size, content.size)
        elif name == b"ds64":
            long_size = int.from_bytes(content.at(start + 8, 8), "little")
        elif name in (b"data", b"SSND", b"BODY"):
            unknown = 2 ** (8 * size_bytes) - 1
            if size_bytes == 4 and name == b"data" and size >= _STREAMED_BYTES:
                size = unknown if long_size is None else long_size
                unknown = 0xFFFFFFFF if long_size is None else 2**64 - 1
            if size == unknown or (size == 0 and name == b"SSND"):
                return Samples(start, None)
            samples, behind = Samples(start, size), start + size + (size % 2 if size_bytes == 4 else 0)
    return samples and samples._replace(behind=behind)


def _of_w64(content: Content) -> Samples | None:
    position, samples, behind = _W64_HEADER, None, 0
    while len(header := content.at(position, 24)) == 24:
        size = int.from_bytes(header[16:], "little")
        if size < 24 or (samples is not None and not _is_name(header[:4])):
            break
        if header[:4] == b"data":
            samples = Samples(position + 24, size - 24)
        position += (size + 7) // 8 * 8
        behind = position
    return samples and samples._replace(behind=behind)


def _of_nist(content: Content) -> Samples | None:
    text = content.at(0, 4096)
    numbers = dict(re.findall(rb"^(\w+) -i (\d+)", text, re.MULTILINE))
    start = re.match(rb"NIST_1A\s+(\d+)", text)
    try:
        frame = int(numbers.get(b"sample_n_bytes", 1)) * int(numbers.get(b"channel_count", 1))
        return Samples(int(start[1]), int(numbers[b"sample_count"]) * frame)
    except (KeyError, TypeError):
        return None


def _of_voc(content: Content) -> Samples | None:
    position = int.from_bytes(content.at(20, 2), "little")
    samples = None
    while (header := content.at(position, 4)) and header[0]:
        size = int.from_bytes(header[1:], "little")
        if header[0] in (1, 2, 3, 9):
            if samples is not None:
                raise _more_than_stated(content, f"a second part begins at byte {position:,}")
            samples = Samples(position + 4, size)
        position += 4 + size
    return samples and samples._replace(behind=position + 1)


def ogg_links(content: Content) -> list[tuple[int, int]]:
    """The recordings of a chained Ogg file, of which libsndfile reads the first alone: where each starts and ends.

    Raises:
        AudioError: if a page is missing.
    """
    links: list[tuple[int, int]] = []
    numbers: dict[bytes, int] = {}
    position, only_starts, last, ended = 0, False, 0, False
    while (position := content.find(b"OggS\0", position)) >= 0:
        header = content.at(position, 27 + 255)
        if len(header) < 27 or len(header) < 27 + header[26]:
            ended = False
            break
        serial, number = header[14:18], int.from_bytes(header[18:22], "little")
        if header[5] & 2:
            if not only_starts:  # the first page of a recording, behind pages of another one
                links.append((position, 0))
                numbers = {}
            only_starts = True
        else:
            only_starts = False
            if number != numbers.get(serial, number - 1) + 1:
                raise AudioError(
                    f"{content.name} is damaged, pages are missing before byte {position:,}: copy it again"
                )
        numbers[serial] = number
        ended = bool(header[5] & 4)
        position += 27 + header[26] + sum(header[27 : 27 + header[26]])
        last = position
    # Bit 2 of the flags of a page marks the end of a recording.
    if not links or not ended or last > content.size:
        raise AudioError(f"{content.name} is truncated, it ends after byte {content.size:,}: copy it again")
    if content.size - last >= _TAG_BYTES and not _is_tag(content.at(last, 2**16)):
        raise _more_than_stated(content, f"{content.size - last:,} bytes lie behind it")
    starts = [start for start, _ in links]
    return list(zip(starts, [*starts[1:], content.size], strict=True))


def check_boxes(content: Content) -> None:
    """Raises [`AudioError`] for an MPEG-4 or WebM file whose outermost parts do not all lie within it."""
    head = content.at(0, 64)
    end = _end_of_webm(head) if head[:4] == b"\x1a\x45\xdf\xa3" else 0
    if end and content.size - end >= _TAG_BYTES and not _is_tag(content.at(end, 2**16)):
        raise _more_than_stated(content, f"{content.size - end:,} bytes lie behind it")
    while head[4:8].isalpha() and len(box := content.at(end, 16)) >= 8:  # MPEG-4
        if end and box[4:8] == b"ftyp":
            raise _more_than_stated(content, f"another recording begins at byte {end:,}")
        size = int.from_bytes(box[:4], "big")
        if size == 1:
            size = int.from_bytes(box[8:16], "big")
        if size < 8:  # 0 means until the end of the file
            break
        end += size
    if end > content.size:
        raise AudioError(
            f"{content.name} is truncated, it ends at byte {content.size:,} but should end at {end:,}: copy it again"
        )


def _end_of_webm(head: bytes) -> int:
    """Where the segment of a WebM file ends, or 0 if its header does not say so."""
    size, position = _ebml_size(head, 4)
    position += size or 0
    if head[position : position + 4] != b"\x18\x53\x80\x67":
        return 0
    size, position = _ebml_size(head, position + 4)
    return 0 if size is None else position + size


def _ebml_size(head: bytes, position: int) -> tuple[int | None, int]:
    """A size of one to eight bytes, `None` if it is unknown, and the position behind it."""
    if position >= len(head) or not head[position]:
        return None, position
    length = 9 - head[position].bit_length()
    size = int.from_bytes(head[position : position + length], "big") - (1 << 7 * length)
    return None if size == (1 << 7 * length) - 1 else size, position + length
