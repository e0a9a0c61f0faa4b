"""Class folders: labels and splits by the names of folders, and what is wrong with them."""

from collections import Counter
from pathlib import Path

import pytest
from little_corpora import write_clip

from paravox.corpora.labelled_clips import read_labelled_clips
from paravox.corpora.registry import load_corpus
from paravox.modeling.errors import CorpusError
from paravox.modeling.tasks import Task

MOOD = Task("mood", "classes", labels=("happy", "in pain"))


def write(folder, *names):
    for number, name in enumerate(names):
        write_clip(folder / name, 7 * len(name) + number)
    return folder


def rows(corpus, column):
    return {(split, Path(row["path"]).stem, row[column]) for split, clips in corpus.items() for row in clips}


def test_the_clips_of_each_label_are_dealt_out(tmp_path, caplog):
    names = [f"happy/{n}.wav" for n in range(20)] + [f"in pain/deep/{n + 20}.flac" for n in range(7)]
    write(tmp_path, *names, ".cache/x.wav")
    corpus = load_corpus("class_folders", tmp_path, [MOOD])
    counts = {split: Counter(clips["mood"]) for split, clips in corpus.items()}
    assert counts == {
        "train": {"happy": 14, "in pain": 5},
        "validation": {"happy": 3, "in pain": 1},
        "test": {"happy": 3, "in pain": 1},
    }
    paths = [path for clips in corpus.values() for path in clips["path"]]
    assert sorted(paths) == sorted(str(tmp_path / name) for name in names)
    assert "a voice may be in several of them" in caplog.text
    others = load_corpus("class_folders", tmp_path, [MOOD], seed=1)
    assert set(others["test"]["path"]) != set(corpus["test"]["path"])
    assert rows(load_corpus("class_folders", tmp_path, to_train=False), "label") == rows(corpus, "mood")


def test_folders_of_splits_are_kept(tmp_path, caplog):
    write(tmp_path, "train/happy/0.wav", "train/in pain/1.wav", "Val/happy/2.wav", "test/in pain/3.wav")
    found = {("train", "0", "happy"), ("train", "1", "in pain"), ("validation", "2", "happy"), ("test", "3", "in pain")}
    assert rows(load_corpus("class_folders", tmp_path, [MOOD]), "mood") == found and not caplog.text
    with pytest.raises(
        CorpusError, match=r"has folders of splits, such as train, .* give one of them, such as .*/train"
    ):
        read_labelled_clips(tmp_path)
    assert read_labelled_clips(tmp_path / "train").labels == ["happy", "in pain"]


def test_a_label_may_be_called_like_a_split(tmp_path):
    write(tmp_path, "train/0.wav", "train/1.wav", "ship/2.wav", "ship/3.wav")
    corpus = load_corpus("class_folders", tmp_path, [Task("noise", "classes", labels=("ship", "train"))])
    assert Counter(corpus["train"]["noise"]) == {"ship": 1, "train": 1}


@pytest.mark.parametrize(
    ("names", "tasks", "message"),
    [
        ([], [MOOD], "has no recording in a sub-folder per label"),
        (["x.wav", "happy/1.wav"], [MOOD], r"x\.wav lies beside the folders of the labels, and so do 0 more"),
        (["train/happy/1.wav", "sad/2.wav"], [MOOD], "folders of splits and beside them 'sad', which is none of train"),
        (["train/happy/1.wav", "test/2.wav"], [MOOD], "label of 'mood' that is none of happy, in pain: 2"),
        (["happy/1.wav", "sad/2.wav"], [MOOD], r"label of 'mood' that is none of happy, in pain: 1 \(sad\)"),
        (["happy/1.wav"], [MOOD], r"class of 'mood' that never occurs in Train: 1 \(in pain\)"),
        (["test/happy/1.wav"], [MOOD], r"split without clips: 1 \(train\)"),
        (["happy/1.wav", "Happy/2.wav"], [MOOD], "labels 'Happy' and 'happy', which look like one"),
        (
            ["a/1.wav"],
            [Task("age", "scalar", range=(0, 9))],
            r"the tasks are age \(scalar\): give the one task {name: la",
        ),
        (
            ["a/1.wav"],
            [MOOD, Task("b", "classes", labels=("c", "d"))],
            r"mood \(classes\), b \(classes\): give the one",
        ),
        (["a/1.wav"], [Task("split", "classes", labels=("a", "b"))], "a task is named 'split'"),
    ],
)
def test_what_cannot_be_read(tmp_path, names, tasks, message):
    with pytest.raises(CorpusError, match=message):
        load_corpus("class_folders", write(tmp_path, *names), tasks)
