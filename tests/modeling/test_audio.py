"""Recordings of every kind in, mono float32 out; and what is said about those that cannot be used."""

import io
import sys
import wave

import numpy as np
import pytest
import soundfile

from paravox.modeling.audio import duration_seconds, load_audio, scale_to_rms
from paravox.modeling.errors import AudioError, ConfigError

RATE = 16_000


def noise(samples=RATE, channels=None, seed=0):
    shape = (samples,) if channels is None else (samples, channels)
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def tone(rate, seconds=1.0, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def encode(samples, rate=RATE, **format):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **{"format": "WAV", "subtype": "FLOAT", **format})
    return file.getvalue()


def encode_av(samples, container, codec, rate, **options):
    """A file by PyAV, from samples (1, samples)."""
    av = pytest.importorskip("av", reason="needs PyAV, the extra av")
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout="mono")
        frame.rate = rate
        resampler = av.AudioResampler(format=stream.format, frame_size=stream.frame_size or 960)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture
def webm():
    """One second of 440 Hz as a browser would record it: Opus at 48 kHz in WebM."""
    return encode_av(tone(48_000)[None], "webm", "libopus", 48_000)


def test_every_kind_of_source_gives_the_same_samples(tmp_path):
    integers = (noise(800) * 32768).astype(np.int16)
    path = tmp_path / "clip.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(integers.tobytes())
    content = path.read_bytes()
    with open(path, "rb") as opened:
        opened.read(100)  # it is read from its start all the same
        sources = {
            "path": path,
            "text": str(path),
            "bytes": content,
            "file object": opened,
            "BytesIO": io.BytesIO(content),
            "datasets, path": {"bytes": None, "path": str(path)},
            "datasets, bytes": {"bytes": content, "path": "not/there.wav"},
            "int16": (integers, RATE),
            "int32": (integers.astype(np.int32) << 16, RATE),
            "floats": (integers / 32768, float(RATE)),
            "list": {"array": (integers / 32768).tolist(), "sampling_rate": np.int64(RATE)},
        }
        for name, source in sources.items():
            samples = load_audio(source)
            assert samples.dtype == np.float32 and samples.shape == (800,), name
            np.testing.assert_array_equal(samples, integers / 32768, err_msg=name)
            assert duration_seconds(source) == 800 / RATE, name


@pytest.mark.parametrize(
    "format, tolerance",
    [
        ({"format": "WAV", "subtype": "PCM_16"}, 1e-4),
        ({"format": "WAV", "subtype": "PCM_24"}, 1e-6),
        ({"format": "WAVEX", "subtype": "PCM_16"}, 1e-4),
        ({"format": "RF64", "subtype": "PCM_16"}, 1e-4),
        ({"format": "FLAC", "subtype": "PCM_16"}, 1e-4),
        ({"format": "AIFF", "subtype": "PCM_16"}, 1e-4),
        ({"format": "AU", "subtype": "PCM_16"}, 1e-4),
        ({"format": "OGG", "subtype": "VORBIS"}, 0.05),
        ({"format": "OGG", "subtype": "OPUS"}, 0.05),
        ({"format": "MP3", "subtype": "MPEG_LAYER_III"}, 0.05),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else None,
)
def test_formats(format, tolerance):
    expected = tone(RATE)
    content = encode(expected, **format)
    samples = load_audio(content)
    assert len(samples) == RATE
    # Lossy codecs take a moment to settle at the ends.
    np.testing.assert_allclose(samples[1000:-1000], expected[1000:-1000], atol=tolerance)
    assert duration_seconds(content) == 1.0


def test_the_length_comes_from_the_header(tmp_path):
    path = tmp_path / "long.flac"
    soundfile.write(path, noise(20 * RATE), RATE)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert duration_seconds(path) == 20.0
    with pytest.raises(AudioError, match="long.flac is damaged or truncated"):
        load_audio(path)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_channels_are_averaged(tmp_path, channels):
    samples = noise(1000, channels)
    soundfile.write(tmp_path / "clip.wav", samples, RATE, subtype="FLOAT")
    expected = np.array([sum(map(float, row)) / channels for row in samples])
    for source in (tmp_path / "clip.wav", (samples, RATE)):
        np.testing.assert_allclose(load_audio(source), expected, atol=1e-7)


@pytest.mark.parametrize("rate, wanted", [(44_100, 16_000), (48_000, 16_000), (8_000, 16_000), (16_000, 24_000)])
def test_resampling(rate, wanted):
    def chord(rate):
        return sum(tone(rate, hertz=hertz) for hertz in (90.0, 440.0, 1234.5, 3500.0))

    samples = load_audio((chord(rate), rate), sampling_rate=wanted)
    assert len(samples) == wanted
    # Where the filter reaches over neither end.
    inside = slice(wanted // 10, -wanted // 10)
    np.testing.assert_allclose(samples[inside], chord(wanted)[inside], atol=1e-4)


def test_what_is_above_the_new_nyquist_rate_is_gone():
    assert np.abs(load_audio((tone(48_000, hertz=12_000), 48_000)))[1000:-1000].max() < 1e-4


@pytest.mark.parametrize("target_rms_db", [-3.0, -26.0, 6.0])
@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e-42])
def test_level(target_rms_db, scale):
    samples = noise() * np.float32(scale)
    levelled = load_audio((samples, RATE), target_rms_db=target_rms_db)
    assert levelled.dtype == np.float32
    rms = np.linalg.norm(levelled.astype(np.float64)) / len(levelled) ** 0.5
    assert 20 * np.log10(rms) == pytest.approx(target_rms_db, abs=1e-3)
    # A denormal has few digits, so only where samples are precise is it one gain for all.
    if scale > 1e-30:
        ratio = levelled / samples
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


def test_level_is_not_clipped():
    click = np.zeros(1000, np.float32)
    click[500] = 0.1
    # Its root mean square is its peak over the root of 1000.
    assert load_audio((click, RATE), target_rms_db=0.0).max() == pytest.approx(1000**0.5)


@pytest.mark.filterwarnings("error")
def test_silence_stays_silence():
    for rate in (RATE, 44_100):
        samples = load_audio((np.zeros(rate, np.float32), rate), target_rms_db=-3.0)
        np.testing.assert_array_equal(samples, np.zeros(RATE))
    assert scale_to_rms(np.zeros(0, np.float32), -3.0).shape == (0,)


def test_the_given_array_is_not_changed():
    samples = noise(1000, 2)
    before = samples.copy()
    load_audio((samples, RATE), target_rms_db=-3.0)
    load_audio((samples[:, 0], 8_000), target_rms_db=-3.0)
    np.testing.assert_array_equal(samples, before)


def test_webm(webm, tmp_path):
    (tmp_path / "clip.webm").write_bytes(webm)
    # What it is, its content tells, not its name.
    (tmp_path / "clip.wav").write_bytes(webm)
    expected = tone(RATE)
    for source in (tmp_path / "clip.webm", tmp_path / "clip.wav", webm, io.BytesIO(webm)):
        samples = load_audio(source)
        assert samples.dtype == np.float32
        assert duration_seconds(source) == pytest.approx(1.0, abs=0.02)
        assert len(samples) == pytest.approx(RATE, abs=0.02 * RATE)
        np.testing.assert_allclose(samples[2000:14000], expected[2000:14000], atol=0.02)


def test_webm_without_pyav_names_the_extra_and_a_conversion(webm, tmp_path, monkeypatch):
    (tmp_path / "clip.webm").write_bytes(webm)
    monkeypatch.setitem(sys.modules, "av", None)
    for read in (load_audio, duration_seconds):
        with pytest.raises(AudioError, match=r"clip\.webm .*pip install 'paravox\[av\]'.*ffmpeg -i CLIP\.webm"):
            read(tmp_path / "clip.webm")


def test_damaged_webm(webm):
    with pytest.raises(AudioError, match="not WebM audio that can be read"):
        load_audio(webm[:40])


def test_files_that_are_not_there_or_not_audio(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "notes.wav").write_text("a shopping list\n" * 100)
    (tmp_path / "samples.raw").write_bytes(bytes(3200))
    cases = {
        "nowhere.wav": "nowhere.wav does not exist.*check the path",
        "": f"{tmp_path} is a folder.*give a file",
        "empty.wav": "empty.wav is empty .*copy it again",
        "notes.wav": "notes.wav is not audio that can be read .*Format not recognised.*convert it to WAV",
        "samples.raw": "samples.raw is not audio that can be read",
        "notes.wav/clip.wav": "clip.wav cannot be opened .Not a directory",
        "x" * 300: "cannot be opened .File name too long",
        "nul\0.wav": "cannot be opened .embedded null byte",
    }
    for name, message in cases.items():
        for source in (f"{tmp_path}/{name}".rstrip("/"), {"bytes": None, "path": f"{tmp_path}/{name}".rstrip("/")}):
            for read in (load_audio, duration_seconds):
                with pytest.raises(AudioError, match=message):
                    read(source)


def test_bytes_and_file_objects_that_are_not_audio():
    for source, message in [
        (b"", "a recording in bytes is empty"),
        (b"not audio" * 50, "a recording in bytes is not audio"),
        (io.BytesIO(b""), "file object is empty"),
        (io.StringIO("text"), "file object was opened as text: open it with mode 'rb'"),
        ({"bytes": b"not audio" * 50, "path": "corpus/7.ogg"}, "corpus/7.ogg is not audio"),
        ({"bytes": None, "path": None}, "type dict is not understood, expected a path"),
        ({"audio": b""}, "type dict is not understood"),
        (7, "type int is not understood"),
    ]:
        for read in (load_audio, duration_seconds):
            with pytest.raises(AudioError, match=message):
                read(source)


@pytest.mark.parametrize(
    "format",
    [
        {"format": "WAV", "subtype": "PCM_16"},
        {"format": "WAV", "subtype": "FLOAT"},
        {"format": "WAVEX", "subtype": "PCM_16"},
        {"format": "RF64", "subtype": "PCM_16"},
        {"format": "WAV", "subtype": "PCM_16", "endian": "BIG"},
        {"format": "AIFF", "subtype": "PCM_16"},
        {"format": "FLAC", "subtype": "PCM_16"},
        {"format": "OGG", "subtype": "VORBIS"},
        {"format": "OGG", "subtype": "OPUS"},
    ],
    ids=lambda format: "-".join(format.values()),
)
@pytest.mark.parametrize("kept", ["all but a byte", "half"])
def test_truncated_files(tmp_path, format, kept):
    content = encode(noise(3 * RATE), **format)
    load_audio(content)
    path = tmp_path / "cut"
    path.write_bytes(content[:-1] if kept == "all but a byte" else content[: len(content) // 2])
    # Half of a short Opus file is one page that is not whole: nothing in it can be opened.
    message = "truncated.*copy it again|not audio that can be read" if format["subtype"] == "OPUS" else "truncated"
    for source in (path, path.read_bytes()):
        with pytest.raises(AudioError, match=message):
            load_audio(source)


def test_an_ogg_that_ends_between_two_pages_is_truncated():
    content = encode(noise(20 * RATE), format="OGG", subtype="VORBIS")
    with pytest.raises(AudioError, match="truncated, it ends after"):
        load_audio(content[: content.rfind(b"OggS")])


@pytest.mark.parametrize("riff, data", [(0xFFFFFFFF, 0xFFFFFFFF), (0, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000)])
def test_a_wav_that_was_streamed_is_whole(riff, data):
    content = bytearray(encode(tone(RATE), subtype="PCM_16"))
    assert content[36:40] == b"data"
    content[4:8], content[40:44] = riff.to_bytes(4, "little"), data.to_bytes(4, "little")
    np.testing.assert_allclose(load_audio(bytes(content)), tone(RATE), atol=1e-4)


def test_a_wav_may_lack_what_comes_after_its_samples():
    content = encode(noise(1001), subtype="PCM_U8")
    assert len(content) % 2 == 0  # a byte of padding after an odd number of samples
    assert load_audio(content[:-1]).shape == (1001,)
    assert load_audio(content + b"LIST\x10\0\0\0INFO").shape == (1001,)


def test_a_flac_without_its_length_is_read_to_its_end():
    samples = noise(5 * RATE)
    content = bytearray(encode(samples, format="FLAC", subtype="PCM_16"))
    # The number of samples: the last 36 of the 64 bits that begin 18 bytes into the file.
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    np.testing.assert_allclose(load_audio(bytes(content)), samples, atol=1e-4)
    assert duration_seconds(bytes(content)) == 5.0


@pytest.mark.parametrize("xing", ["0", "1"])
def test_mp3_with_and_without_its_length(xing):
    content = encode_av(noise(3 * 44_100)[None], "mp3", "libmp3lame", 44_100, write_xing=xing)
    assert (b"Xing" in content or b"Info" in content) == (xing == "1")
    # Without it, what the header gives is an estimate, and a whole file must not seem cut.
    assert load_audio(content).size / RATE == pytest.approx(3.0, abs=0.06)
    half = content[: len(content) // 2]
    if xing == "1":
        with pytest.raises(AudioError, match="truncated"):
            load_audio(half)
    else:
        assert load_audio(half).size / RATE == pytest.approx(1.5, abs=0.06)


def test_zero_seconds():
    for source in (encode(np.zeros(0)), (np.zeros(0), RATE), (np.zeros((0, 2)), RATE)):
        with pytest.raises(AudioError, match="lasts zero seconds"):
            load_audio(source)
        assert duration_seconds(source) == 0.0
    with pytest.raises(AudioError, match="only 1 samples at 48000 Hz, not one at 16000 Hz"):
        load_audio((np.ones(1), 48_000))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate", [8_000, RATE, 48_000])
@pytest.mark.parametrize("position", [0, 500, -1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(rate, position, value):
    samples = noise(1000)
    samples[position] = value
    for source in (encode(samples, rate), (samples, rate), (np.stack([samples, noise(1000)], axis=1), rate)):
        with pytest.raises(AudioError, match="NaN or infinite"):
            load_audio(source, target_rms_db=-3.0)


@pytest.mark.filterwarnings("error")
def test_a_float64_that_does_not_fit_float32():
    with pytest.raises(AudioError, match="NaN or infinite"):
        load_audio((np.full(100, 1e300), RATE))


@pytest.mark.parametrize("rate", [0, -16_000, 999, 768_001, 16_000.5, np.nan, np.inf, None, "16000", True])
def test_impossible_rates(rate):
    for source in ((noise(10), rate), {"array": noise(10), "sampling_rate": rate}):
        for read in (load_audio, duration_seconds):
            with pytest.raises(AudioError, match=f"an array has a sampling rate of {rate!r} Hz, expected .* 1000 to"):
                read(source)
    with pytest.raises(ConfigError, match=f"sampling_rate is {rate!r}, expected"):
        load_audio((noise(10), RATE), sampling_rate=rate)


def test_an_impossible_rate_in_a_header():
    for rate in (1, 999, 1_000_000):
        with pytest.raises(AudioError, match=f"sampling rate of {rate} Hz, expected"):
            load_audio(encode(noise(100), rate))


def test_arrays_that_are_not_audio():
    for source, message in [
        (noise(100), "no sampling rate: give .array, rate."),
        ({"array": noise(100)}, "sampling rate of None Hz"),
        ((RATE, noise(100)), "a ndarray as its sampling rate: give .array, rate., in this order"),
        ((noise(100, 9), RATE), r"shape \(100, 9\), expected .* at most 8 channels"),
        ((noise(100, 2).T, RATE), r"shape \(2, 100\), expected .* transpose"),
        ((np.zeros((4, 4, 4)), RATE), r"shape \(4, 4, 4\)"),
        ((np.float32(0), RATE), r"shape \(\)"),
        (([[0.1, 0.2], [0.3]], RATE), "rows of different lengths"),
        # Python's integers come as int64, whose range says nothing about the recording's.
        (([1000, -1000], RATE), "type int64, expected floats, int8, int16 or int32: convert it to floats"),
        ((np.zeros(10, np.uint8), RATE), "type uint8"),
        ((np.zeros(10, np.complex64), RATE), "type complex64"),
        ((["a", "b"], RATE), "of type <U1"),
    ]:
        for read in (load_audio, duration_seconds):
            with pytest.raises(AudioError, match=message):
                read(source)


@pytest.mark.parametrize("target_rms_db", [np.nan, np.inf, 1000.0])
def test_an_impossible_level(target_rms_db):
    with pytest.raises(ConfigError, match=f"target_rms_db is {target_rms_db}, expected -200 to 200 decibels"):
        load_audio((noise(100), RATE), target_rms_db=target_rms_db)
