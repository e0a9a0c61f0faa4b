"""Finding recordings."""

from pathlib import Path

import pytest

from paravox.inference.audio_files import find_audio_files
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
    with pytest.raises(
        AudioError, match=rf"folder {tmp_path} holds no audio file \(.3gp, .aac, .*\): give another one"
    ):
        find_audio_files([str(tmp_path)])


def test_linked_folders_circles_and_recordings_of_phones_are_found(tmp_path):
    for name in ("folder/a.m4a", "elsewhere/b.amr", "elsewhere/c.3gp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "folder")
    found = [path.relative_to(tmp_path / "folder") for path in find_audio_files([str(tmp_path / "folder")])]
    assert found == [Path("a.m4a"), Path("linked/b.amr"), Path("linked/c.3gp")]
