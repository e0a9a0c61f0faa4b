"""The file of predictions: what was written is read, by NumPy alone too, and nothing of this machine is in it."""

import zipfile

import numpy as np
import pytest

from paravox.evaluation.predictions_file import read_predictions, write_predictions
from paravox.modeling.errors import CheckpointError

PREDICTIONS = {
    "emotion": np.arange(12, dtype=np.float32).reshape(4, 3),
    "age": np.array([30.5, 20.0, 39.0, 25.25], np.float32),
    # A task may have the name of anything else in the file.
    "speaker": np.full((4, 2), 0.5, np.float32),
}
LABELS = {
    "emotion": np.array([[0.1, 0.2, np.nan]] * 4, np.float32),
    "age": np.array([30, np.nan, 39, 25], np.float32),
    "speaker": np.array([1, -100, 0, 1]),
}
SPEAKERS = ["anna", "Łukasz", "anna", "3"]
CLIPS = ["/data/of/mine/a.wav", "audio/b.wav", "c.wav", "d.wav"]


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, strict=True)


def test_what_was_written_is_read(tmp_path):
    file = tmp_path / "predictions" / "val.npz"
    write_predictions(file, PREDICTIONS, LABELS, SPEAKERS, CLIPS)
    found = read_predictions(file)
    assert_equal(found.predictions, PREDICTIONS)
    assert_equal(found.labels, LABELS)
    assert found.speakers == SPEAKERS
    assert found.clips == ["a.wav", "b.wav", "c.wav", "d.wav"]
    assert [path.name for path in file.parent.iterdir()] == ["val.npz"]


def test_numpy_alone_reads_the_file_and_finds_no_folder_of_this_machine(tmp_path):
    write_predictions(tmp_path / "val.npz", PREDICTIONS, LABELS, SPEAKERS, CLIPS)
    with np.load(tmp_path / "val.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["age"], PREDICTIONS["age"])
        np.testing.assert_array_equal(file["labels/age"], LABELS["age"])
        assert file["clip/file"].tolist() == ["a.wav", "b.wav", "c.wav", "d.wav"]
        assert not any("mine" in str(file[name]) for name in file.files)


def test_the_file_is_compressed(tmp_path):
    many = {"age": np.zeros(100_000, np.float32)}
    write_predictions(tmp_path / "val.npz", many, many, None, None)
    assert (tmp_path / "val.npz").stat().st_size < 10_000


def test_speakers_and_clips_may_be_unknown(tmp_path):
    write_predictions(tmp_path / "val.npz", PREDICTIONS, LABELS, None, None)
    found = read_predictions(tmp_path / "val.npz")
    assert found.speakers is None and found.clips is None


def test_an_old_file_still_gives_its_predictions(tmp_path):
    np.savez(tmp_path / "val.npz", **PREDICTIONS)
    found = read_predictions(tmp_path / "val.npz")
    assert_equal(found.predictions, PREDICTIONS)
    assert found.labels == {} and found.speakers is None and found.clips is None


def test_rows_that_do_not_belong_together_are_refused(tmp_path):
    with pytest.raises(ValueError, match="one row per clip"):
        write_predictions(tmp_path / "val.npz", PREDICTIONS, LABELS, SPEAKERS[:3], CLIPS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"no npz at all"])
def test_a_file_without_predictions_is_named(tmp_path, content):
    file = tmp_path / "test.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CheckpointError, match="test.npz holds no predictions .*finished run"):
        read_predictions(file)


def test_a_damaged_file_is_our_error_wherever_it_is_damaged(tmp_path):
    values = {"age": np.arange(40.0), "origin": np.eye(4).repeat(10, axis=0)}
    write_predictions(tmp_path / "sound.npz", values, {}, None, None)
    content = (tmp_path / "sound.npz").read_bytes()
    refused = 0
    for place in range(0, len(content), 7):
        damaged = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        (tmp_path / "damaged.npz").write_bytes(damaged)
        try:
            found = read_predictions(tmp_path / "damaged.npz")
        except CheckpointError:
            refused += 1
        else:  # only what says nothing about the values, such as a date, is damaged
            assert_equal(found.predictions, values)
    assert refused > len(content) / 7 / 2


def test_arrays_of_different_lengths_are_refused(tmp_path):
    np.savez(tmp_path / "mixed.npz", age=np.zeros(3), origin=np.zeros((4, 2)))
    with pytest.raises(CheckpointError, match="its arrays differ in length"):
        read_predictions(tmp_path / "mixed.npz")


def test_a_part_that_is_no_array_is_our_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "renamed.npz", "w") as archive:
        archive.writestr("age.np_", b"text")  # NumPy gives parts of unknown names as bytes
    with pytest.raises(CheckpointError, match="'age.np_' is no array"):
        read_predictions(tmp_path / "renamed.npz")
