"""Finding recordings, and sorting out those that cannot be read."""

from pathlib import Path

import pytest
from little_corpora import write_clip

from paravox.inference.audio_files import as_dataset, find_audio_files, readable_files
from paravox.modeling.errors import AudioError


def test_a_folder_stands_for_the_audio_files_below_it(tmp_path):
    for name in ("b.wav", "a.FLAC", "inner/c.ogg", "notes.txt", "z.webm"):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).touch()
    found = find_audio_files(["z/given.wav", str(tmp_path / "folder"), "a/given.txt"])
    inside = [tmp_path / "folder" / name for name in ("a.FLAC", "b.wav", "inner/c.ogg", "z.webm")]
    assert found == [Path("z/given.wav"), *inside, Path("a/given.txt")]


def test_a_folder_without_audio_is_named(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(AudioError, match=rf"folder {tmp_path} holds no audio file \(.aiff, .*\): give another one"):
        find_audio_files([str(tmp_path)])


def test_files_that_cannot_be_read_are_sorted_out(tmp_path):
    names = ["3.wav", "1.wav", "2.wav", "5.wav", "4.wav"]
    for number, name in enumerate(names):
        write_clip(tmp_path / name, number)
    (tmp_path / "1.wav").write_bytes(b"no audio")
    (tmp_path / "5.wav").unlink()
    readable, messages = readable_files([tmp_path / name for name in names], 16_000)
    assert readable == [str(tmp_path / name) for name in ("3.wav", "2.wav", "4.wav")]
    assert len(messages) == 2 and "1.wav" in messages[0] and "5.wav" in messages[1]
    assert readable_files([], 16_000) == ([], [])
    assert readable_files([tmp_path / "1.wav"], 16_000) == ([], messages[:1])


def test_recordings_have_the_rate_of_the_model(tmp_path):
    write_clip(tmp_path / "a.wav", 0, seconds=0.5, rate=22_050)
    dataset = as_dataset([tmp_path / "a.wav"], 8_000)
    assert dataset.source.sampling_rate == 8_000 and dataset.seconds == pytest.approx([0.5], abs=1e-3)
