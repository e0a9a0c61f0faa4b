"""MP3: every frame counts, whatever the first one states."""

import io

import numpy as np
import pytest

from paravox.modeling.audio import duration_seconds, load_audio
from paravox.modeling.audio_content import open_content
from paravox.modeling.audio_mpeg import count_frames
from paravox.modeling.errors import AudioError

av = pytest.importorskip("av", reason="needs PyAV, the extra av")
RATE = 16_000
FRAME = 576  # samples of a frame at this rate


def sweep(seconds, start=300.0):
    time = np.arange(int(RATE * seconds)) / RATE
    return 0.4 * np.sin(2 * np.pi * (start + 100 * time) * time)


def mp3(samples, rate=RATE, layout="mono", bit_rate=32_000, **options):
    file = io.BytesIO()
    with av.open(file, "w", format="mp3", options={"id3v2_version": "0", **options}) as output:
        stream = output.add_stream("libmp3lame", rate=rate)
        stream.layout, stream.bit_rate = layout, bit_rate
        rows = np.tile(samples.astype(np.float32), (2 if layout == "stereo" else 1, 1))
        frame = av.AudioFrame.from_ndarray(rows, format="fltp", layout=layout)
        frame.rate = rate
        resampler = av.AudioResampler(format=stream.format, frame_size=stream.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()


def by_ffmpeg(content):
    with av.open(io.BytesIO(content), format="mp3") as opened:
        return np.concatenate([frame.to_ndarray()[0] for frame in opened.decode(opened.streams.audio[0])])


def counted(content):
    with open_content(content, "x.mp3") as opened:
        return count_frames(opened)


@pytest.fixture
def without_length():
    """Silence first, in small frames, and then noise in large ones: libsndfile's estimate is half of the length."""
    samples = np.concatenate([np.zeros(RATE), sweep(3.0)])
    quiet = mp3(np.zeros(RATE), bit_rate=8_000, write_xing="0")
    loud = mp3(samples, bit_rate=64_000, write_xing="0")
    return loud[:0] + loud + quiet * 6


def test_an_mp3_without_its_length_is_decoded_to_its_end(without_length):
    expected = by_ffmpeg(without_length)
    assert counted(without_length).whole * FRAME == len(expected)
    for source in (without_length, io.BytesIO(without_length)):
        samples = load_audio(source)
        # libmpg123 leaves out the 529 samples of the decoder's own delay where a first frame states the length.
        assert len(samples) in (len(expected), len(expected) - 529)
        np.testing.assert_allclose(samples, expected[-len(samples) :], atol=1e-4)
        assert duration_seconds(source) == len(samples) / RATE


@pytest.mark.parametrize("xing", ["0", "1"])
@pytest.mark.parametrize("tagged", [False, True])
def test_every_part_of_joined_mp3_files_is_decoded(xing, tagged):
    options = {"id3v2_version": "3"} if tagged else {}
    one, two = (mp3(sweep(1.0, start), write_xing=xing, **options) for start in (300, 900))
    found = load_audio(one + two)
    frames = [counted(part) for part in (one, two)]
    assert len(found) / FRAME == pytest.approx(sum(part.whole for part in frames), abs=2)
    # The second part is there, not only the length.
    alone = load_audio(two)
    ends = found[-8 * FRAME : -3 * FRAME], alone[-8 * FRAME :]
    assert max(np.correlate(ends[1], ends[0], "valid")) > 0.95 * np.dot(ends[0], ends[0])
    assert duration_seconds(one + two) == len(found) / RATE


def test_a_length_that_lies_is_corrected_or_refused():
    content = mp3(sweep(2.0))
    whole = load_audio(content)
    place = content.index(b"Xing" if b"Xing" in content else b"Info") + 8
    stated = int.from_bytes(content[place : place + 4], "big")
    assert counted(content).stated == stated == counted(content).whole
    fewer = content[:place] + (stated // 2).to_bytes(4, "big") + content[place + 4 :]
    assert len(load_audio(fewer)) >= len(whole)
    more = content[:place] + (2 * stated).to_bytes(4, "big") + content[place + 4 :]
    for read in (load_audio, duration_seconds):
        with pytest.raises(AudioError, match=f"truncated, it ends after {stated} of {2 * stated} frames"):
            read(more)


@pytest.mark.parametrize("layout, rate", [("mono", 16_000), ("stereo", 16_000), ("mono", 44_100), ("stereo", 44_100)])
def test_frames_are_counted_at_every_rate_and_layout(layout, rate):
    content = mp3(np.random.default_rng(0).uniform(-0.3, 0.3, rate), rate, layout, 64_000, write_xing="0")
    frames = counted(content)
    assert frames.whole * frames.samples == len(by_ffmpeg(content)) and frames.rate == rate and not frames.cut
    assert counted(content[:-1]).whole == frames.whole - 1 and counted(content[:-1]).cut
    # Junk and tags before, between and behind.
    assert counted(b"ID3\4\0\0\0\0\1\0" + bytes(128) + content + b"TAG" + bytes(125)).whole == frames.whole
    joined = content + bytes(500) + content
    assert counted(joined).whole == counted(content + bytes(70_000) + content).whole == 2 * frames.whole
    # libmpg123 gives up behind so much junk: refused, not cut.
    with pytest.raises(AudioError, match="damaged or truncated"):
        load_audio(content + bytes(70_000) + content)
    # A length that the first frame then states.
    assert len(load_audio(joined)) == pytest.approx(2 * frames.whole * frames.samples * RATE / rate, abs=3 * 1152)


def test_another_rate_in_the_middle_is_refused():
    joined = mp3(sweep(0.5), write_xing="0") + mp3(sweep(0.5), 44_100, bit_rate=64_000, write_xing="0")
    with pytest.raises(AudioError, match="changes its sampling rate or its channels at byte"):
        load_audio(joined)
