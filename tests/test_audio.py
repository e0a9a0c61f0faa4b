"""Reading recordings: every kind of input gives the same samples, and what cannot be used is named."""

import io

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from paravox.modeling.audio import duration_seconds, load_audio, scale_to_rms
from paravox.modeling.errors import AudioError


def tone(rate, seconds=0.5, hertz=440):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, tone(16_000), 16_000, subtype="FLOAT")
    return path


def test_every_kind_of_input_gives_the_same(clip):
    expected = tone(16_000)
    content = clip.read_bytes()
    sources = [clip, str(clip), content, io.BytesIO(content), (expected, 16_000)]
    sources += [
        {"array": expected, "sampling_rate": 16_000},
        {"bytes": content, "path": None},
        {"bytes": None, "path": str(clip)},
    ]
    for source in sources:
        samples = load_audio(source)
        assert samples.dtype == np.float32
        np.testing.assert_array_equal(samples, expected)
        assert duration_seconds(source if not isinstance(source, io.BytesIO) else content) == pytest.approx(0.5)


def test_channels_are_averaged_and_integers_scaled():
    stereo = np.stack([tone(16_000), np.zeros(8000, np.float32)], axis=1)
    np.testing.assert_allclose(load_audio((stereo, 16_000)), tone(16_000) / 2, atol=1e-7)
    integers = np.array([-32768, 0, 16384], np.int16)
    assert load_audio((integers, 16_000)).tolist() == [-1.0, 0.0, 0.5]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampling_agrees_with_scipy(rate):
    ours = load_audio((tone(rate), rate))
    theirs = resample_poly(tone(rate), 320, rate // 50)
    assert len(ours) == 8000
    inside = slice(400, -400)  # the filters differ at the ends
    np.testing.assert_allclose(ours[inside], theirs[:8000][inside], atol=2e-3)


def test_the_level_is_the_root_mean_square():
    loud = load_audio((tone(16_000), 16_000), target_rms_db=-3.0)
    assert 20 * np.log10(np.sqrt(np.mean(loud**2))) == pytest.approx(-3.0, abs=1e-4)
    assert not scale_to_rms(np.zeros(100, np.float32), -3.0).any()


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "aiff"])
def test_other_formats_are_read(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, tone(16_000), 16_000)
    assert len(load_audio(path)) == pytest.approx(8000, abs=1)


def test_webm_is_read_by_pyav(tmp_path, monkeypatch):
    av = pytest.importorskip("av", reason="the extra webm is not installed")
    path = tmp_path / "clip.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48_000)
        frame = av.AudioFrame.from_ndarray(tone(48_000)[None], format="flt", layout="mono")
        frame.rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    samples = load_audio(path)
    assert len(samples) / 16_000 == pytest.approx(0.5, abs=0.03) == duration_seconds(path)
    assert np.abs(np.fft.rfft(samples)).argmax() / (len(samples) / 16_000) == pytest.approx(440, abs=3)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(AudioError, match=r"clip.webm is WebM.*paravox\[webm\].*ffmpeg"):
        load_audio(path)


def cut(path, share=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_truncated_file_is_named(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    noise = np.random.default_rng(0).normal(scale=0.1, size=32_000)
    soundfile.write(path, noise, 16_000)
    with pytest.raises(AudioError, match=f"clip.{suffix}.*(truncated|not audio that can be read)"):
        load_audio(cut(path))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.wav", "nowhere.wav does not exist"),
        (b"", "recording in bytes is empty"),
        (b"not audio at all, but some text", "not audio that can be read"),
        ((np.zeros(0, np.float32), 16_000), "lasts zero seconds"),
        ((np.array([0.0, np.nan], np.float32), 16_000), "NaN or infinite"),
        ((np.array([0.0, np.inf], np.float32), 16_000), "NaN or infinite"),
        ((np.zeros(9, np.float32), 0), "sampling rate of 0 Hz"),
        ((np.zeros(9, np.float32), 10**7), "sampling rate of 10000000 Hz"),
        ((np.zeros(9, np.float32), None), "sampling rate of None"),
        (np.zeros(9, np.float32), "has no sampling rate"),
        ((np.zeros((2, 16_000), np.float32), 16_000), "at most 8 channels"),
        (3, "type int is not understood"),
    ],
)
def test_what_cannot_be_used_is_named(source, message):
    with pytest.raises(AudioError, match=message):
        load_audio(source)


def test_an_empty_file_and_a_folder_are_named(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"empty.wav is empty \(0 bytes\)"):
        load_audio(tmp_path / "empty.wav")
    with pytest.raises(AudioError, match="is a folder"):
        load_audio(tmp_path)
