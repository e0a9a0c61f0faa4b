"""What phones and browsers record, limits that hold before and while decoding, and Ctrl-C that always arrives."""

import io
import resource
import signal
import sys
import time

import numpy as np
import pytest
import soundfile
from little_recordings import written_by_pyav

from paravox.modeling import audio_decoding
from paravox.modeling.audio import duration_seconds, load_audio, load_clip
from paravox.modeling.errors import AudioError

RATE = 16_000
PHONES = {"m4a": ("mp4", "aac"), "3gp": ("3gp", "aac"), "aac": ("adts", "aac"), "webm": ("webm", "libopus")}


def tone(seconds=1.0):
    return 0.4 * np.sin(np.arange(int(RATE * seconds)) / 10)


def encode(samples, rate=RATE, container="FLAC"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container)
    return file.getvalue()


@pytest.mark.parametrize("suffix", PHONES)
def test_what_a_phone_records_is_read_by_pyav(suffix, tmp_path):
    content = written_by_pyav(tone(), *PHONES[suffix])
    (tmp_path / f"clip.{suffix}").write_bytes(content)
    for source in (content, tmp_path / f"clip.{suffix}", io.BytesIO(content)):
        samples = load_audio(source)
        assert len(samples) == pytest.approx(RATE, abs=2_100) and duration_seconds(source) == len(samples) / RATE
        spectrum = np.abs(np.fft.rfft(samples[4_000:12_000]))
        assert np.argmax(spectrum) == pytest.approx(8_000 / (2 * np.pi * 10), abs=1)


@pytest.mark.parametrize("start", [b"\0\0\0\x18ftypM4A ", b"#!AMR\n", b"\xff\xf1\x60\x40", b"\x30\x26\xb2\x75\x8e\x66"])
def test_without_pyav_the_message_names_the_extra(start, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for read in (load_audio, duration_seconds):
        with pytest.raises(
            AudioError, match=r"which needs PyAV.*pip install 'paravox\[av\]'.*or convert it with ffmpeg"
        ):
            read(start + bytes(500))


@pytest.mark.parametrize("suffix", ["m4a", "3gp", "webm"])
def test_every_cut_of_a_phone_recording_is_refused(suffix):
    content = written_by_pyav(tone(), *PHONES[suffix])
    for kept in (len(content) - 1, len(content) - 64, len(content) // 2, 100):
        for read in (load_audio, duration_seconds):
            with pytest.raises(AudioError):
                read(content[:kept])
    with pytest.raises(AudioError, match="states another length than the file has"):
        load_audio(content + content)


def test_a_webm_in_a_coding_that_cannot_be_decoded():
    content = written_by_pyav(tone(), "webm", "libopus").replace(b"A_OPUS", b"A_OPUX")
    for read in (load_audio, duration_seconds):
        with pytest.raises(AudioError, match="WebM in a coding that PyAV cannot decode: convert it with ffmpeg"):
            read(content)


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.fixture
def bomb():
    """Five hours of silence in a small file, which would take 1.2 GB at 16 kHz."""
    content = bytearray(encode(np.zeros(4096), rate=1_000))
    place = content.index(b"fLaC") + 18  # rate, channels, bits and the number of samples, in 64 bits
    bits = int.from_bytes(content[place : place + 8], "big")
    content[place : place + 8] = ((bits >> 36 << 36) | 5 * 3600 * 1_000).to_bytes(8, "big")
    return bytes(content)


def test_a_length_in_the_header_is_refused_before_decoding(bomb, tmp_path, monkeypatch):
    (tmp_path / "bomb.flac").write_bytes(bomb)
    monkeypatch.setattr(audio_decoding, "_blocks", lambda *given: (pytest.fail("decoded") for _ in "x"))
    for source in (bomb, tmp_path / "bomb.flac", io.BytesIO(bomb)):
        with pytest.raises(AudioError, match="lasts 18000.0 s, longer than max_decoded_seconds of 14400: cut it"):
            load_audio(source)
        with pytest.raises(AudioError, match="lasts 18000.0 s, longer than max_seconds of 30: give windows"):
            load_clip(source, None, RATE, max_seconds=30.0, advice="give windows")
    with pytest.raises(AudioError, match="lasts 18000.0 s, longer than max_decoded_seconds of 10"):
        load_audio(bomb, max_decoded_seconds=10.0)


def test_a_header_that_lies_is_found_while_decoding(monkeypatch):
    content = bytearray(encode(np.zeros(40 * 60 * 8_000, np.int16), rate=8_000))
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # a FLAC that states no length at all
    decoded = []
    blocks = audio_decoding._blocks
    monkeypatch.setattr(
        audio_decoding, "_blocks", lambda *given: (decoded.append(len(block)) or block for block in blocks(*given))
    )
    before = peak_megabytes()
    with pytest.raises(AudioError, match="lasts at least .* s, longer than max_decoded_seconds of 100"):
        load_audio(bytes(content), max_decoded_seconds=100.0)
    assert 100 * 8_000 < sum(decoded) < 250 * 8_000
    assert peak_megabytes() - before < 64


def test_a_limit_holds_for_what_pyav_decodes():
    content = written_by_pyav(tone(3.0), "webm", "libopus")
    with pytest.raises(AudioError, match=r"lasts (at least )?3\.\d s|lasts at least [12]\.\d s"):
        load_clip(content, None, RATE, max_seconds=1.0)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_give_the_samples_of_the_whole(rate, channels, monkeypatch):
    import soxr

    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (3 * rate + 17, channels)).astype(np.float32)
    expected = soxr.resample(samples.mean(axis=1), rate, RATE)
    for block in (2**19, 1_000):
        monkeypatch.setattr(audio_decoding, "_BLOCK", block)
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
        np.testing.assert_array_equal(load_audio(file.getvalue()), expected)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")
def test_ctrl_c_while_audio_decodes_always_arrives_and_no_good_clip_is_called_bad(tmp_path):
    content = encode(tone(0.5))
    path = tmp_path / "clip.flac"
    path.write_bytes(content)
    sources = [path, content, io.BytesIO(content)]
    generator = np.random.default_rng(0)
    dropped = []

    def interrupt(*_):
        raise KeyboardInterrupt

    hook, sys.unraisablehook = sys.unraisablehook, dropped.append
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(120):
            end = time.monotonic() + 5
            try:
                signal.setitimer(signal.ITIMER_REAL, generator.uniform(1e-3, 2e-2))
                while time.monotonic() < end:
                    assert len(load_audio(sources[number % 3])) == RATE // 2
            except KeyboardInterrupt:
                continue
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            pytest.fail("an interrupt was lost")
    finally:
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook
    assert not dropped
