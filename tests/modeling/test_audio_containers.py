"""Headers that state another length than the file has: decoded to the real end, or refused, but never cut silently."""

import io

import numpy as np
import pytest
import soundfile

from paravox.modeling.audio import duration_seconds, load_audio
from paravox.modeling.errors import AudioError

RATE = 16_000


def noise(samples=RATE, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def encode(samples, container, coding="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=container, subtype=coding)
    return file.getvalue()


def with_number(content, place, value, width, order):
    return content[:place] + value.to_bytes(width, order) + content[place + width :]


def place_of_size(content, container):
    """Where the size of the samples stands, its width and order, and what it counts beside the samples."""
    if container in ("WAV", "WAVEX"):
        return content.index(b"data") + 4, 4, "little", 0
    if container == "RF64":
        return content.index(b"ds64") + 16, 8, "little", 0
    if container == "AIFF":
        return content.index(b"SSND") + 4, 4, "big", 8
    if container == "SVX":
        return content.index(b"BODY") + 4, 4, "big", 0
    if container == "CAF":
        return content.index(b"data") + 4, 8, "big", 4
    if container == "W64":
        return content.index(b"data", 40) + 16, 8, "little", 24
    if container == "AVR":
        return 26, 4, "big", 0
    if container == "MPC2K":
        return 30, 4, "little", 0
    if container == "VOC":
        return 27, 3, "little", 12
    return 8, 4, "big", 0  # AU


CONTAINERS = ("WAV", "WAVEX", "RF64", "AIFF", "SVX", "CAF", "W64", "AU", "AVR", "MPC2K", "VOC")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("lie", ["half", "nothing", "double"])
def test_a_container_that_states_another_length_is_refused(container, lie):
    content = encode(noise(), container)
    assert len(load_audio(content)) == RATE
    place, width, order, beside = place_of_size(content, container)
    stated = int.from_bytes(content[place : place + width], order)
    frame = 1 if container in ("AVR", "MPC2K") else 2  # these count frames
    assert stated == RATE * frame + beside
    factor = {"half": 0.5, "nothing": 0, "double": 2}[lie]
    lying = with_number(content, place, int(RATE * frame * factor) + beside, width, order)
    for read in (load_audio, duration_seconds):
        with pytest.raises(AudioError, match="truncated|states another length than the file has|not audio that can"):
            read(lying)


@pytest.mark.parametrize("container", [*CONTAINERS, "NIST", "FLAC"])
def test_every_cut_of_a_container_is_refused(container):
    content = encode(noise(2_000), container)
    for kept in (len(content) - 2, len(content) - 64, len(content) // 2, len(content) // 3):
        with pytest.raises(AudioError):
            load_audio(content[:kept])


@pytest.mark.parametrize("container", [*CONTAINERS, "NIST", "FLAC"])
@pytest.mark.parametrize("behind", ["itself", "a FLAC", "junk"])
def test_another_recording_behind_the_first_is_refused(container, behind):
    content = encode(noise(), container)
    if container == "FLAC" and behind == "junk":
        pytest.skip("FLAC does not say where its last frame ends")
    more = {"itself": content, "a FLAC": encode(noise(seed=1), "FLAC"), "junk": noise().tobytes()}[behind]
    for read in (load_audio, duration_seconds):
        with pytest.raises(AudioError, match="another length|not audio that can be read|truncated"):
            read(content + more)


@pytest.mark.parametrize("container", ["WAV", "AIFF", "AU", "W64", "NIST"])
@pytest.mark.parametrize(
    "tag", [bytes(1_000), b"TAG" + b"x" * 125, b"ID3\4" + b"x" * 500], ids=["zeros", "ID3", "ID3v2"]
)
def test_a_tag_or_padding_behind_the_samples_is_left_out(container, tag):
    samples = noise()
    found = load_audio(encode(samples, container) + tag)
    np.testing.assert_allclose(found, samples, atol=1e-4)


def test_an_unknown_size_reads_to_the_end():
    samples = noise()
    for container, unknown in (("AU", 0xFFFFFFFF), ("AIFF", 0xFFFFFFFF), ("WAV", 0xFFFFFFFF)):
        content = encode(samples, container)
        place, width, order, _ = place_of_size(content, container)
        streamed = with_number(content, place, unknown, width, order)
        np.testing.assert_allclose(load_audio(streamed), samples, atol=1e-4)
        assert duration_seconds(streamed) == 1.0


def test_a_streamed_caf_is_read_by_pyav():
    pytest.importorskip("av", reason="needs PyAV, the extra av")
    samples = noise()
    content = encode(samples, "CAF")
    place, width, order, _ = place_of_size(content, "CAF")
    streamed = with_number(content, place, 2 ** (8 * width) - 1, width, order)
    np.testing.assert_allclose(load_audio(streamed)[:RATE], samples, atol=1e-4)
    assert duration_seconds(streamed) == len(load_audio(streamed)) / RATE


def test_every_link_of_a_chained_ogg_is_read():
    for coding in ("VORBIS", "OPUS"):
        links = [encode(noise(length, seed=length), "OGG", coding) for length in (RATE, 3_200, 8_000)]
        found = load_audio(b"".join(links))
        np.testing.assert_array_equal(found, np.concatenate([load_audio(link) for link in links]))
        assert duration_seconds(b"".join(links)) == len(found) / RATE == (RATE + 11_200) / RATE


def test_a_chained_ogg_that_lacks_a_page_or_its_end_is_refused():
    content = encode(noise(20 * RATE), "OGG", "VORBIS")
    starts = [place for place in range(len(content)) if content[place : place + 5] == b"OggS\0"]
    third, fourth = starts[2:4]
    for damaged, message in (
        (content[:third] + content[fourth:], "damaged, pages are missing"),
        (content + content[: starts[-1]], "truncated, it ends after"),
        (content + content[:10], "truncated, it ends after"),
    ):
        for read in (load_audio, duration_seconds):
            with pytest.raises(AudioError, match=message):
                read(damaged)


def test_a_voc_of_several_parts_is_refused():
    content = encode(noise(), "VOC")
    block = content[26:-1]
    with pytest.raises(AudioError, match="a second part begins at byte"):
        load_audio(content[:26] + block + block + b"\0")


@pytest.mark.parametrize("container", ["SDS", "MAT4", "MAT5", "XI"])
def test_formats_that_do_not_tell_a_cut_are_refused(container):
    coding = "DPCM_16" if container == "XI" else "PCM_16"
    with pytest.raises(AudioError, match=f"is of the format {container}, in which nothing tells .*convert it to WAV"):
        load_audio(encode(noise(), container, coding))
