"""Labelled clips in folders by label and in tables, and what is wrong with them."""

import pytest
from little_corpora import write_clip

from paravox.corpora.labelled_clips import read_labelled_clips
from paravox.modeling.errors import CorpusError


def write_folders(folder, **counts):
    for label, count in counts.items():
        for number in range(count):
            write_clip(folder / label.replace("_", " ") / f"{number}.wav", number)
    return folder


def write_table(folder, text, clips=3):
    for number in range(clips):
        write_clip(folder / f"{number}.wav", number)
    (folder / "metadata.csv").write_text(text)
    return folder


def test_folders_are_labels(tmp_path):
    folder = write_folders(tmp_path, content=2, in_pain=1)
    write_clip(folder / "in pain/later/9.wav", 9)
    write_clip(folder / ".trash/9.wav", 9)
    (folder / "content/notes.txt").write_text("mine")
    clips = read_labelled_clips(folder)
    assert clips.labels == ["content", "content", "in pain", "in pain"] and clips.speakers is None
    assert [path.removeprefix(f"{folder}/") for path in clips.paths] == [
        "content/0.wav",
        "content/1.wav",
        "in pain/0.wav",
        "in pain/later/9.wav",
    ]
    assert clips.source == f"the sub-folders of {folder}"


def test_a_table_comes_before_folders_and_may_be_named_itself(tmp_path):
    folder = write_folders(tmp_path, a=1)
    write_table(folder, "file_name,label,speaker\n0.wav,happy,anna\n1.wav,sad,\n2.wav,happy,ben\n")
    for place in (folder, folder / "metadata.csv"):
        clips = read_labelled_clips(place)
        assert clips.labels == ["happy", "sad", "happy"] and clips.speakers == ["anna", "", "ben"]
        assert clips.paths == [str(folder / f"{number}.wav") for number in range(3)]
        assert clips.source == f"the table {folder / 'metadata.csv'}"
    (folder / "metadata.csv").rename(folder / "mine.tsv")
    assert read_labelled_clips(folder / "mine.tsv").labels == ["happy", "sad", "happy"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file_name,label\n0.wav,happy\n1.wav,\n", r"row without a label: 1 \(line 3\)"),
        ("file_name,label\n0.wav,happy\n9.wav,sad\n", "missing file: 1"),
        ("file_name,label\n", "lists no clip: add rows"),
        ("file_name,emotion\n0.wav,happy\n", "label"),
        ("file_name,label\n0.wav,Happy\n1.wav,happy\n", "labels 'Happy' and 'happy', which look like one"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, table, message):
    with pytest.raises(CorpusError, match=message):
        read_labelled_clips(write_table(tmp_path, table))


def test_what_is_neither_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"no recording in a sub-folder per label \(found nothing\): give a folder"):
        read_labelled_clips(tmp_path)
    with pytest.raises(CorpusError, match="no such folder"):
        read_labelled_clips(tmp_path / "nowhere")
    write_clip(tmp_path / "x.wav", 0)
    with pytest.raises(CorpusError, match=r"x\.wav is neither a folder nor a table"):
        read_labelled_clips(tmp_path / "x.wav")
    write_clip(tmp_path / "happy/1.wav", 1)
    with pytest.raises(CorpusError, match=r"x\.wav lies beside the folders of the labels"):
        read_labelled_clips(tmp_path)
