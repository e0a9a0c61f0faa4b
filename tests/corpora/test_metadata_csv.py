"""A folder with metadata.csv: what is read, and one message for all that is wrong."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from paravox.corpora.metadata_csv import read_metadata_csv
from paravox.modeling.errors import CorpusError
from paravox.modeling.tasks import parse_tasks

TASKS = parse_tasks(
    [
        {"name": "emotion", "kind": "intensities", "labels": ["Awe", "Fear"]},
        {"name": "age", "kind": "scalar", "range": [7, 81], "unit": "years"},
        {"name": "origin", "kind": "classes", "labels": ["Dutch", "English"]},
    ]
)


@pytest.fixture
def rows():
    return [
        {
            "file_name": "a/0.wav",
            "speaker": "p",
            "split": "Train",
            "Awe": 1,
            "Fear": 0.5,
            "age": None,
            "origin": "Dutch",
        },
        {
            "file_name": "a/1.wav",
            "speaker": "q",
            "split": "train",
            "Awe": None,
            "Fear": None,
            "age": 30,
            "origin": "English",
        },
        {"file_name": "a/2.wav", "speaker": "r", "split": "dev", "Awe": 0, "Fear": 0, "age": 81, "origin": None},
        {"file_name": "a/3.wav", "speaker": "s", "split": "test", "Awe": 0, "Fear": 0, "age": 7, "origin": "Dutch"},
    ]


@pytest.fixture
def read(tmp_path):
    def run(rows, drop=()):
        (tmp_path / "a").mkdir(exist_ok=True)
        for number in range(len(rows)):
            soundfile.write(tmp_path / "a" / f"{number}.wav", np.zeros(800), 16_000)
        pd.DataFrame(rows).drop(columns=list(drop)).to_csv(tmp_path / "metadata.csv", index=False)
        return read_metadata_csv(tmp_path, TASKS)

    return run


def test_splits_paths_and_unknown_labels(read, rows, tmp_path):
    corpus = read(rows)
    assert {split: len(clips) for split, clips in corpus.items()} == {"train": 2, "validation": 1, "test": 1}
    assert corpus["train"]["path"][:] == [str(tmp_path / "a" / "0.wav"), str(tmp_path / "a" / "1.wav")]
    assert corpus["train"]["origin"][:] == ["Dutch", "English"] and corpus["validation"]["origin"][:] == [None]
    assert np.isnan(corpus["train"]["age"][0] or np.nan) and corpus["train"]["age"][1] == 30


def test_every_other_column_of_the_file_stays_as_text(read, rows):
    extra = [
        # A column without any value in Val, and names that mean something elsewhere.
        {"sex": "Female", "source": "studio", "take": "007", "session": "01", "path": "D:/0.wav", "kind": ""},
        {"sex": None, "source": "phone", "take": "NA", "session": "02", "path": "D:/1.wav", "kind": ""},
        {"sex": None, "source": "phone", "take": "1.50", "session": "03", "path": "D:/2.wav", "kind": ""},
        {"sex": "m", "source": "phone", "take": None, "session": "04", "path": "D:/3.wav", "kind": ""},
    ]
    with_extra = read([row | columns for row, columns in zip(rows, extra, strict=True)])
    for split, places in (("train", (0, 1)), ("validation", (2,)), ("test", (3,))):
        for name in ("sex", "source", "take", "session", "kind"):
            assert with_extra[split][name][:] == [extra[place][name] or None for place in places]
    # The clips and labels are those of the same file without these columns.
    assert all(
        with_extra[split].select_columns(clips.column_names)[:] == clips[:] for split, clips in read(rows).items()
    )


def test_without_splits_speakers_are_dealt_out(read, rows):
    many = [row | {"file_name": f"a/{n}.wav", "speaker": f"s{n // 2:02}"} for n, row in enumerate(rows * 10)]
    corpus = read(many, drop=["split"])
    speakers = {split: sorted(set(clips["speaker"])) for split, clips in corpus.items()}
    # As in test_splitting.py for the seed 0.
    assert speakers["validation"] == ["s14", "s17", "s18"] and speakers["test"] == ["s01", "s09", "s15"]
    assert len(speakers["train"]) == 14 and sum(map(len, corpus.values())) == 40


def test_without_speakers_every_clip_has_its_own(read, rows):
    many = [row | {"file_name": f"a/{n}.wav"} for n, row in enumerate(rows * 5)]
    corpus = read(many, drop=["split", "speaker"])
    assert {split: len(clips) for split, clips in corpus.items()} == {"train": 14, "validation": 3, "test": 3}
    clips = [clip for part in corpus.values() for clip in part]
    assert all(clip["path"].endswith(f"/{clip['speaker']}") for clip in clips)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"origin": "Danish"}, "label of 'origin' that is none of Dutch, English: 1 .Danish"),
        ({"age": 99}, "value of 'age' outside 7 to 81: 1 .99"),
        ({"age": "old"}, "value of 'age' that is not a number: 1 .old"),
        ({"Awe": 1.5}, "value of 'Awe' outside 0 to 1"),
        ({"file_name": "a/1.wav"}, "file listed twice: 1 .a/1.wav"),
        ({"file_name": "a/9.wav"}, "missing file: 1 .a/9.wav"),
        ({"file_name": "../0.wav"}, "path that leaves the folder: 1 .../0.wav"),
        ({"split": "holdout"}, "split that is none of train, validation, test: 1 .holdout"),
        ({"speaker": "r"}, "speaker in more than one split: 1 .r"),
        ({"origin": "English"}, "class of 'origin' that never occurs in Train: 1 .Dutch"),
    ],
)
def test_what_is_wrong_is_named(read, rows, change, message):
    rows[0] |= change
    with pytest.raises(CorpusError, match=message):
        read(rows)


def test_all_faults_come_in_one_message_with_three_offenders_each(read, rows):
    bad = rows + [rows[1] | {"file_name": f"a/x{n}.wav", "age": 100 + n} for n in range(5)]
    with pytest.raises(CorpusError, match=r"missing file: 5 \(a/x0.wav, a/x1.wav, a/x2.wav\); .*age.*: 5 \(100"):
        read(bad)


def test_a_missing_column_and_a_task_without_labels(read, rows):
    with pytest.raises(CorpusError, match="missing column of task 'age': 1 .age"):
        read(rows, drop=["age"])
    for row in rows:
        row["age"] = None
    with pytest.raises(CorpusError, match="task without labels in Train: 1 .age"):
        read(rows)


def test_train_without_clips(read, rows):
    for row in rows:
        row["split"] = "test"
    with pytest.raises(CorpusError, match="split without clips: 1 .train"):
        read(rows)


def test_a_folder_without_the_file(tmp_path):
    with pytest.raises(CorpusError, match="has no metadata.csv"):
        read_metadata_csv(tmp_path, TASKS)


def test_split_in_any_case_is_the_split_of_the_user(read, rows):
    """`Split` was ignored, and Test clips were dealt out to Train."""
    renamed = [{{"split": "Split", "speaker": "SPEAKER "}.get(name, name): row[name] for name in row} for row in rows]
    found = read(renamed)
    assert {split: clips[:] for split, clips in found.items()} == {
        split: clips[:] for split, clips in read(rows).items()
    }


@pytest.mark.parametrize("name", ["awe", "AWE ", "Age", " ORIGIN"])
def test_columns_of_labels_are_matched_whatever_their_case_and_blanks(read, rows, name):
    expected = {split: clips[:] for split, clips in read(rows).items()}
    renamed = [{name if name.strip().lower() == key.lower() else key: row[key] for key in row} for row in rows]
    assert {split: clips[:] for split, clips in read(renamed).items()} == expected


def test_a_column_of_splits_under_another_name_is_not_ignored(read, rows):
    renamed = [{"subset" if name == "split" else name: row[name] for name in row} for row in rows]
    with pytest.raises(CorpusError, match="no column 'split', but its column 'subset' holds names of splits"):
        read(renamed)


@pytest.mark.parametrize("blank", ["", " ", ",,,,,,"])
def test_blank_rows_of_a_spreadsheet_hold_no_clip(read, rows, blank, tmp_path):
    expected = read(rows)["train"][:]
    table = tmp_path / "metadata.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:2], blank, *lines[2:], blank, blank]))
    assert read_metadata_csv(tmp_path, TASKS)["train"][:] == expected


def test_an_empty_file_name_is_named_by_its_line(read, rows):
    rows[1]["file_name"] = None
    with pytest.raises(CorpusError, match="row without a file name: 1 .line 3"):
        read(rows)


def test_clips_of_unknown_speakers_train_where_speakers_are_dealt_out(read, rows):
    many = [row | {"file_name": f"a/{n}.wav", "speaker": f"s{n}" if n % 2 else None} for n, row in enumerate(rows * 5)]
    found = read(many, drop=["split"])
    assert found["train"]["speaker"][:].count(None) == 10
    assert None not in found["validation"]["speaker"][:] + found["test"]["speaker"][:]


@pytest.mark.parametrize("name", ["a/" + "x" * 300 + ".wav", "a/" + "y/" * 3000])
def test_a_name_that_is_too_long_for_the_system_is_a_missing_file(read, rows, name):
    rows[0]["file_name"] = name
    with pytest.raises(CorpusError, match="missing file: 1"):
        read(rows)


@pytest.mark.parametrize("name", ["path", "speaker", "split", "file_name"])
def test_a_task_cannot_have_the_name_of_a_column_that_means_something_else(read, rows, name, tmp_path):
    read(rows)
    with pytest.raises(CorpusError, match=f"a task has the label '{name}'"):
        read_metadata_csv(tmp_path, parse_tasks([{"name": name, "kind": "classes", "labels": ["a", "b"]}]))


def test_a_linked_file_keeps_the_name_that_the_table_gives_it(read, rows, tmp_path):
    read(rows)
    (tmp_path / "a" / "0.wav").rename(tmp_path / "5f3c")
    (tmp_path / "a" / "0.wav").symlink_to(tmp_path / "5f3c")
    assert read_metadata_csv(tmp_path, TASKS)["train"]["path"][0] == str(tmp_path / "a" / "0.wav")


def test_a_test_split_alone_is_a_corpus_where_nothing_will_be_trained(read, rows, tmp_path):
    for row in rows:
        row["split"] = "test"
    with pytest.raises(CorpusError, match="split without clips: 1 .train"):
        read(rows)
    assert list(read_metadata_csv(tmp_path, TASKS, to_train=False)) == ["test"]


def test_the_table_may_have_another_name(read, rows, tmp_path):
    read(rows)
    other = pd.DataFrame(rows)[:1]
    other.to_csv(tmp_path / "few.csv", index=False)
    clips = read_metadata_csv(tmp_path, TASKS, to_train=False, metadata="few.csv")
    assert {split: len(part) for split, part in clips.items()} == {"train": 1}
    with pytest.raises(CorpusError, match=r"has no other\.csv"):
        read_metadata_csv(tmp_path, TASKS, metadata="other.csv")
