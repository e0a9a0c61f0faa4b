"""Files and folders that are written completely or not at all."""

import os

import numpy as np
import pytest

from paravox.trainers.files import keep_array, model_written_aside, whole_array, write_text, written_aside


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_its_block_ends(tmp_path):
    path = tmp_path / "new" / "results.json"
    with written_aside(path) as part:
        assert part.parent == path.parent and part.suffix == ".json" and part != path
        part.write_text("1")
        assert not path.exists()
    assert path.read_text() == "1" and names(path.parent) == ["results.json"]


def test_a_file_is_replaced_only_when_the_new_one_is_complete(tmp_path):
    path = tmp_path / "results.json"
    write_text(path, "old")
    with written_aside(path) as part:
        part.write_text("half")
        assert path.read_text() == "old"
        part.write_text("new")
    assert path.read_text() == "new"
    write_text(path, "newer")
    assert path.read_text() == "newer" and names(tmp_path) == ["results.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("is_folder", [False, True])
def test_a_block_that_fails_leaves_nothing_behind(tmp_path, error, is_folder):
    with pytest.raises(error), written_aside(tmp_path / "states") as part:
        if is_folder:
            part.mkdir()
            (part / "a").write_text("1")
        else:
            part.write_text("1")
        raise error
    assert names(tmp_path) == []


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(ValueError), written_aside(tmp_path / "a") as part:
        part.write_text("half")
        raise ValueError
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), written_aside(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


def test_of_two_writers_the_later_file_and_the_earlier_folder_stay(tmp_path):
    with written_aside(tmp_path / "file") as first, written_aside(tmp_path / "file") as second:
        assert first != second
        first.write_text("ended last")
        second.write_text("ended first")
    assert (tmp_path / "file").read_text() == "ended last"
    with written_aside(tmp_path / "folder") as first, written_aside(tmp_path / "folder") as second:
        for part, text in ((first, "ended last"), (second, "ended first")):
            part.mkdir()
            (part / "a").write_text(text)
    assert (tmp_path / "folder" / "a").read_text() == "ended first"
    assert names(tmp_path) == ["file", "folder"]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(OSError), written_aside(tmp_path / "a" / "b") as part:
        part.write_text("1")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError), written_aside(tmp_path / "folder" / "a") as part:
        (tmp_path / "folder").rmdir()
        part.write_text("1")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def save_model(folder, text, weights=("model.safetensors",), fail=None):
    with model_written_aside(folder) as part:
        for name in ("config.json", *weights):
            (part / name).write_text(text)
        if fail is not None:
            raise fail


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_model_is_never_made_of_two_saves(tmp_path, error, monkeypatch):
    folder = tmp_path / "model"
    save_model(folder, "old", ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"])
    (folder / "README.md").write_text("card")
    with pytest.raises(type(error)):
        save_model(folder, "new", fail=error)
    assert {path.read_text() for path in folder.iterdir()} == {"old", "card"} and names(tmp_path) == ["model"]
    # Killed between two files: without its config, no model is opened.
    moved = []
    replace = os.replace

    def stop_at_the_second(source, target):
        moved.append(target.name)
        if len(moved) == 2:
            raise error
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop_at_the_second)
        with pytest.raises(type(error)):
            save_model(folder, "new")
    assert moved == ["model.safetensors", "config.json"] and not (folder / "config.json").exists()
    save_model(folder, "new")
    # Weights of an earlier save in other files would be opened instead.
    assert names(folder) == ["README.md", "config.json", "model.safetensors"]
    assert (folder / "config.json").read_text() == "new" and names(tmp_path) == ["model"]


def test_a_damaged_array_of_a_cache_is_no_array(tmp_path, caplog):
    path = tmp_path / "states" / "a.npy"
    assert whole_array(path) is None and not caplog.messages
    keep_array(path, np.arange(100.0))
    np.testing.assert_array_equal(whole_array(path), np.arange(100.0))
    content = path.read_bytes()
    for damaged in (content[:-1], content[:300] + bytes([content[300] ^ 1]) + content[301:], b"", content[:-4]):
        path.write_bytes(damaged)
        assert whole_array(path) is None
        assert f"{path} is damaged" in caplog.messages[-1] and "made again" in caplog.messages[-1]
