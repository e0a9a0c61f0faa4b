"""The same recording under two names and the same speaker under two spellings, by what they are."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import Audio, Dataset, DatasetDict
from little_corpora import write_clip

from paravox.corpora.doubles import check_doubles
from paravox.corpora.registry import load_corpus
from paravox.modeling.errors import CorpusError
from paravox.modeling.tasks import Task

TASKS = [Task("origin", "classes", labels=("Dutch", "English")), Task("age", "scalar", range=(7, 81))]


def clips(names, speakers=None, origins=None, ages=None):
    columns = {"path": [os.path.abspath(name) for name in names]}
    columns |= {"speaker": speakers or [f"s {name}" for name in names], "origin": origins or ["Dutch"] * len(names)}
    return Dataset.from_dict(columns | {"age": ages or [30] * len(names)})


@pytest.fixture(autouse=True)
def recordings():
    for number in range(4):
        write_clip(Path(f"{number}.wav"), number)  # all of one size
    Path("copy.wav").write_bytes(Path("0.wav").read_bytes())
    Path("linked.wav").symlink_to("0.wav")
    Path("hard.wav").hardlink_to("0.wav")
    # Larger than what is sampled, with the same beginning, middle and end.
    for number in range(2):
        samples = np.zeros(50_000)
        samples[15_000] = 0.1 * number
        soundfile.write(f"large_{number}.wav", samples, 16_000)


@pytest.mark.parametrize("other", ["copy.wav", "linked.wav", "hard.wav", "../{}/0.wav"])
def test_the_same_recording_in_two_splits_is_an_error(other):
    other = other.format(Path.cwd().name)
    with pytest.raises(CorpusError, match="the same recording in two splits: 1 .0.wav and "):
        check_doubles(Path.cwd(), {"train": clips(["0.wav", "1.wav"]), "test": clips([other, "2.wav"])}, TASKS)


def test_the_same_recording_twice_in_one_split_is_a_warning_with_the_count(caplog):
    check_doubles(Path.cwd(), {"train": clips(["0.wav", "copy.wav", "1.wav", "linked.wav"])}, TASKS)
    assert "recordings that are in the corpus more than once: 2 (copy.wav, linked.wav)" in caplog.text


@pytest.mark.parametrize("labels", [{"origins": ["Dutch", "English"]}, {"ages": [30, 31]}])
def test_the_same_recording_with_different_labels_is_an_error(labels):
    with pytest.raises(CorpusError, match="the same recording with different labels: 1 .0.wav and copy.wav"):
        check_doubles(Path.cwd(), {"train": clips(["0.wav", "copy.wav"], **labels)}, TASKS)


def test_an_unknown_label_contradicts_no_other_one(caplog):
    check_doubles(Path.cwd(), {"train": clips(["0.wav", "copy.wav"], ages=[None, 31], origins=["", "Dutch"])}, TASKS)
    assert "more than once: 1" in caplog.text


def test_recordings_of_one_size_are_told_apart_to_their_last_byte(caplog):
    check_doubles(
        Path.cwd(), {"train": clips(["0.wav", "2.wav", "large_0.wav"]), "test": clips(["large_1.wav"])}, TASKS
    )
    assert not caplog.text


def test_damaged_files_that_are_alike_are_left_to_those_who_decode_them(caplog):
    for name in ("x.wav", "y.wav"):
        Path(name).write_text("<html>404</html>")
    check_doubles(Path.cwd(), {"train": clips(["x.wav"]), "test": clips(["y.wav"])}, TASKS)
    assert not caplog.text


def test_files_are_only_opened_where_two_have_one_size(monkeypatch):
    write_clip(Path("short.wav"), 0, seconds=0.1)
    write_clip(Path("long.wav"), 0, seconds=0.2)
    monkeypatch.setattr("builtins.open", lambda *given, **options: pytest.fail("a file was opened"))
    check_doubles(Path.cwd(), {"train": clips(["short.wav", "long.wav", "missing.wav"])}, TASKS)


def test_bytes_in_a_dataset_are_compared_with_each_other_and_with_files():
    content = Path("0.wav").read_bytes()
    sources = [{"bytes": content, "path": "x.wav"}, {"bytes": None, "path": str(Path("1.wav").absolute())}]
    train = Dataset.from_dict({"sound": sources}).cast_column("sound", Audio(decode=False))
    test = Dataset.from_dict({"sound": [{"bytes": content, "path": None}]}).cast_column("sound", Audio(decode=False))
    with pytest.raises(CorpusError, match="the same recording in two splits: 1 .x.wav and row 0 of test"):
        check_doubles("hub/name", {"train": train, "test": test}, [])
    check_doubles("hub/name", {"train": train, "test": clips(["2.wav"])}, [])
    with pytest.raises(CorpusError, match="two splits"):
        check_doubles("hub/name", {"train": train, "test": clips(["copy.wav"])}, [])


@pytest.mark.parametrize("other", ["s1 ", "S1", "s1", " s1"])
def test_a_speaker_in_two_spellings_in_two_splits_is_an_error(other):
    splits = {"train": clips(["0.wav"], ["s1"]), "test": clips(["1.wav"], ["s\u200b1" if other == "s1" else other])}
    with pytest.raises(CorpusError, match="the same speaker in two splits under two spellings: 1 "):
        check_doubles(Path.cwd(), splits, [])


def test_a_blank_that_matters_is_shown():
    splits = {"train": clips(["0.wav"], ["s1"]), "test": clips(["1.wav"], ["s1 "])}
    with pytest.raises(CorpusError, match="s1 and 's1 ' with a blank at its end"):
        check_doubles(Path.cwd(), splits, [])


def test_two_spellings_are_a_warning_in_one_split_and_where_splits_share_speakers(caplog):
    check_doubles(Path.cwd(), {"train": clips(["0.wav", "1.wav"], ["Zoe\u0308", "Zo\u00eb"])}, [])
    assert "speakers who are spelled in more than one way: 1" in caplog.text and "two signs" in caplog.text
    caplog.clear()
    splits = {"train": clips(["0.wav", "1.wav"], ["s", "t"]), "test": clips(["2.wav", "3.wav"], ["S", "t"])}
    check_doubles(Path.cwd(), splits, [])
    assert "spelled in more than one way: 1 (S and s)" in caplog.text


def test_every_reader_looks_for_doubles(open_corpora, tmp_path):
    """RAVDESS as two copies of the same folders: with a random split, the copies lie in Train and Test."""
    for part in ("one", "two"):
        for number in range(20):
            emotion, actor = number % 8 + 1, number // 8 + 1
            write_clip(tmp_path / "ravdess" / part / f"03-01-{emotion:02}-01-01-01-{actor:02}.wav", number, 0.05)
    with pytest.raises(CorpusError, match="the same recording in two splits: "):
        load_corpus("ravdess", tmp_path / "ravdess", split_by="random")
    DatasetDict({"train": clips(["0.wav"]), "test": clips(["copy.wav"])}).save_to_disk("saved")
    with pytest.raises(CorpusError, match="the same recording in two splits: "):
        load_corpus("dataset", "saved", TASKS)
    Path("metadata.csv").write_text("file_name,split\n0.wav,train\n./0.wav,test\n")
    with pytest.raises(CorpusError, match="the same recording in two splits: 1 .0.wav and 0.wav"):
        load_corpus("metadata_csv", Path.cwd(), [])
