"""Where a recording comes from: names of any bytes, streams, devices, pointers, and what fails while it is read."""

import gzip
import io
import os
import sys

import numpy as np
import pytest
import soundfile

from paravox.modeling import audio_content
from paravox.modeling.audio import duration_seconds, load_audio
from paravox.modeling.errors import AudioError

RATE = 16_000
SAMPLES = np.random.default_rng(0).uniform(-0.5, 0.5, 800).astype(np.float32)


@pytest.fixture
def clip(tmp_path):
    soundfile.write(tmp_path / "clip.wav", SAMPLES, RATE, subtype="FLOAT")
    return tmp_path / "clip.wav"


class Stream(io.RawIOBase):
    """Bytes that come once, in small pieces, as from a pipe."""

    def __init__(self, content, fails_at=None):
        self.content, self.place, self.fails_at = content, 0, fails_at

    def readable(self):
        return True

    def readinto(self, buffer):
        if self.fails_at is not None and self.place >= self.fails_at:
            raise OSError(5, "Input/output error")
        block = self.content[self.place : self.place + min(len(buffer), 1_000)]
        buffer[: len(block)] = block
        self.place += len(block)
        return len(block)


@pytest.mark.skipif(os.name != "posix", reason="names of other systems are text")
def test_a_name_that_is_not_utf8_is_read_and_can_be_printed(clip, tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    os.rename(clip, name)
    for source in (name, {"bytes": None, "path": name}):
        np.testing.assert_array_equal(load_audio(source), SAMPLES)
        assert duration_seconds(source) == 0.05
    with open(name, "wb") as file:
        file.write(b"not audio" * 50)
    with pytest.raises(AudioError, match=r"caf\\udce9\.wav is not audio") as raised:
        load_audio(name)
    str(raised.value).encode("utf-8")
    with pytest.raises(AudioError, match=r"caf\\udce9\.wav is not audio"):
        load_audio({"bytes": b"not audio" * 50, "path": name})


def test_streams_that_cannot_seek_are_read(clip):
    content = clip.read_bytes()
    np.testing.assert_array_equal(load_audio(Stream(content)), SAMPLES)
    assert duration_seconds(Stream(content)) == 0.05
    np.testing.assert_array_equal(load_audio(io.BufferedReader(Stream(content))), SAMPLES)
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    with open(read, "rb") as pipe:
        np.testing.assert_array_equal(load_audio(pipe), SAMPLES)


def test_files_of_archives_are_read_as_their_content(clip, tmp_path):
    with gzip.open(tmp_path / "clip.wav.gz", "wb") as packed:
        packed.write(clip.read_bytes())
    with gzip.open(tmp_path / "clip.wav.gz") as file:
        np.testing.assert_array_equal(load_audio(file), SAMPLES)
    with gzip.open(tmp_path / "clip.wav.gz") as file, io.BufferedReader(file) as buffered:
        np.testing.assert_array_equal(load_audio(buffered), SAMPLES)
    (tmp_path / "cut.gz").write_bytes((tmp_path / "clip.wav.gz").read_bytes()[:-20])
    with gzip.open(tmp_path / "cut.gz") as file, pytest.raises(AudioError, match="file object .* cannot be read"):
        load_audio(file)


def test_a_file_object_on_the_disk_stays_where_it_was(clip):
    with open(clip, "rb") as file:
        head = file.read(100)
        np.testing.assert_array_equal(load_audio(file), SAMPLES)
        assert head + file.read() == clip.read_bytes()


def test_what_fails_while_a_file_object_is_read_is_an_error_of_ours(clip, tmp_path):
    content = clip.read_bytes()
    closed, on_disk = io.BytesIO(content), open(clip, "rb")
    closed.close()
    on_disk.close()
    write_only = open(tmp_path / "other.wav", "wb")

    class Waiting(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            return None

    for source, message in (
        (closed, "file object cannot be read .*closed file.*: open it again"),
        (on_disk, "clip.wav cannot be read .*closed file.*: open it again"),
        (Stream(content, fails_at=2_000), "file object cannot be read .Input/output error.: open it again"),
        (write_only, "other.wav cannot be read .*: open it again"),
        (Waiting(), "file object does not wait for its content: give its bytes, or a path"),
    ):
        for read in (load_audio, duration_seconds):
            with pytest.raises(AudioError, match=message):
                read(source)
    write_only.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs files of Linux")
def test_an_input_output_error_of_the_disk_is_an_error_of_ours():
    # A regular file whose first bytes cannot be read.
    for read in (load_audio, duration_seconds):
        with pytest.raises(AudioError, match="/proc/self/mem cannot be read .Input/output error.: check the disk"):
            read("/proc/self/mem")


@pytest.mark.skipif(os.name != "posix", reason="needs pipes with names")
def test_pipes_and_devices_are_refused_rather_than_read_for_ever(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path, kind in ((tmp_path / "pipe.wav", "a pipe"), ("/dev/zero", "a device"), ("/dev/null", "a device")):
        for read in (load_audio, duration_seconds):
            with pytest.raises(
                AudioError, match=f"{path} is {kind}, expected an audio file: save .* or give its bytes"
            ):
                read(path)


def test_a_stream_without_end_is_bounded(monkeypatch):
    monkeypatch.setattr(audio_content, "MAX_STREAM_BYTES", 5_000_000)
    with open("/dev/zero", "rb") as zeros, pytest.raises(AudioError, match="/dev/zero has more than 5,000,000 bytes"):
        load_audio(zeros)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer.*git lfs pull"),
        (b"/annex/objects/SHA256E-s12--4d7a.wav\n", "git-annex pointer.*git annex get"),
    ],
)
def test_a_pointer_in_the_place_of_a_recording_says_that_it_is_one(tmp_path, content, message):
    (tmp_path / "clip.wav").write_bytes(content)
    for source in (tmp_path / "clip.wav", content):
        with pytest.raises(AudioError, match=f"is a {message}"):
            load_audio(source)


def test_an_address_given_as_a_path_is_not_repeated():
    with pytest.raises(AudioError, match="an address was given, expected an audio file") as raised:
        load_audio("https://anna:secret@example.org/clip.wav")
    assert "secret" not in str(raised.value)


def test_no_file_stays_open(clip):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs the list of open files")
    before = len(os.listdir("/proc/self/fd"))
    content = clip.read_bytes()
    for source in (clip, content, io.BytesIO(content), content[:100], b"not audio" * 9, clip.parent):
        for read in (load_audio, duration_seconds):
            try:
                read(source)
            except AudioError:
                pass
    assert len(os.listdir("/proc/self/fd")) == before
