"""One message for everything that is wrong with a corpus."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paravox.corpora.faults import Faults, check_files, check_labels, check_splits, visible
from paravox.modeling.errors import CorpusError
from paravox.modeling.tasks import Task


def test_each_sort_has_its_count_and_its_first_three_offenders():
    faults = Faults(Path("corpus"))
    faults.raise_if_any()
    faults.add("nothing of the sort", [])
    faults.raise_if_any()
    faults.add("wrong name", ["d", "a"])
    faults.add("wrong age", [7])
    faults.add("wrong name", ["b", "c"])
    with pytest.raises(CorpusError, match=r"^corpus cannot be used: wrong name: 4 \(d, a, b\); wrong age: 1 \(7\)\. C"):
        faults.raise_if_any()


def test_files_that_are_listed_twice_missing_or_outside(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for path in (folder / "a.wav", tmp_path / "b.wav"):
        path.touch()
    (folder / "folder.wav").mkdir()
    faults = Faults(folder)
    names = ["a.wav", "a.wav", "a.wav", "../b.wav", "c.wav", "folder.wav", str(tmp_path / "b.wav")]
    check_files(faults, folder, pd.Series(names))
    assert faults.offenders == {
        "file listed twice": ["a.wav"],
        "path that leaves the folder": ["../b.wav", str(tmp_path / "b.wav")],
        "missing file": ["c.wav", "folder.wav"],
    }


def test_a_link_inside_the_folder_may_point_outside(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (tmp_path / "annex.wav").touch()
    (folder / "linked.wav").symlink_to(tmp_path / "annex.wav")
    (folder / "broken.wav").symlink_to(tmp_path / "gone.wav")
    faults = Faults(folder)
    check_files(faults, folder, pd.Series(["linked.wav", "broken.wav"]))
    assert faults.offenders == {"missing file": ["broken.wav"]}


def test_speakers_in_two_splits_and_no_train():
    faults = Faults(Path("corpus"))
    speakers = ["a", "a", "b", "b", None, None]
    clips = pd.DataFrame({"speaker": speakers, "split": ["test", "test", "test", "validation", "test", "validation"]})
    check_splits(faults, clips)
    assert faults.offenders == {"split without clips": ["train"], "speaker in more than one split": ["b"]}


def test_labels_by_kind():
    clips = pd.DataFrame(
        {
            "split": ["train", "train", "train", "test"],
            "awe": ["0", "1", "1.01", None],
            "age": ["20", "41", "nan", "inf"],
            "height": [None, None, None, "170"],
            "sex": ["female", None, "females", "male"],
        }
    )
    tasks = [
        Task("emotion", "intensities", labels=("awe",)),
        Task("joy", "intensities", labels=("joy", "awe")),
        Task("age", "scalar", range=(20, 40)),
        Task("height", "scalar", range=(100, 200)),
        Task("sex", "classes", labels=("female", "male")),
    ]
    faults = Faults(Path("corpus"))
    check_labels(faults, clips, tasks)
    assert faults.offenders == {
        "value of 'awe' outside 0 to 1": ["1.01"],
        "missing column of task 'joy'": ["joy"],
        "value of 'age' that is not a number": ["nan", "inf"],
        "value of 'age' outside 20 to 40": ["41.0", "inf"],
        "task without labels in Train": ["height"],
        "label of 'sex' that is none of female, male": ["females"],
        "class of 'sex' that never occurs in Train": ["male"],
    }
    assert clips["awe"].dtype == clips["height"].dtype == np.float64 and clips["sex"][3] == "male"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Dutch", "Dutch"),
        ("São Paulo", "São Paulo"),
        ("नमस्ते", "नमस्ते"),
        ("Dutch ", "'Dutch ' with a blank at its end"),
        (" Dutch", "' Dutch' with a blank at its beginning"),
        ("a  b", "'a  b' with several blanks in a row"),
        ("Dutch\u00a0", "'Dutch\\xa0' with a blank at its end"),
        ("Du\u200btch", "'Du\\u200btch'"),
        ("e\u0301", "'e\\u0301' with a letter that is made of two signs"),
        ("a\nb", "'a\\nb'"),
        (None, "an empty cell"),
        (float("nan"), "an empty cell"),
        (41.5, "41.5"),
    ],
)
def test_blanks_and_unicode_forms_that_matter_are_shown(value, shown):
    assert visible(value) == shown


def test_a_value_of_any_length_is_shown_in_a_line():
    assert len(visible("x" * 100_000)) == 200


def test_a_label_that_differs_in_blanks_case_or_form_is_named_beside_what_was_meant():
    clips = pd.DataFrame({"split": "train", "origin": ["Dutch", "Dutch ", "english", "Zo\u0308e", "Greek"]})
    faults = Faults(Path("corpus"))
    check_labels(faults, clips, [Task("origin", "classes", labels=("Dutch", "English", "Z\u00f6e"))])
    (found,) = [offenders for sort, offenders in faults.offenders.items() if sort.startswith("label of")]
    assert found == [
        "'Dutch ' with a blank at its end, where the label is Dutch",
        "english, where the label is English",
        "'Zo\\u0308e' with a letter that is made of two signs, where the label is Zöe",
        "Greek",
    ]


def test_a_missing_file_is_named_beside_what_was_meant(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("0.WAV", "Zo\u00eb.wav", "1.wav"):
        (tmp_path / "a" / name).touch()
    faults = Faults(tmp_path)
    names = ["a/0.wav", "a/Zoe\u0308.wav", "a\\1.wav", "x" * 5000]
    check_files(faults, tmp_path, pd.Series(names))
    found = faults.offenders["missing file"]
    assert found[0] == "a/0.wav, but there is a/0.WAV" and found[1].endswith(", but there is a/Zoë.wav")
    assert found[2] == "a\\1.wav, but there is a/1.wav" and len(found) == 4


def test_a_row_without_a_file_name_is_named_by_its_line(tmp_path):
    faults = Faults(tmp_path)
    check_files(faults, tmp_path, pd.Series([None], index=[7]))
    assert faults.offenders == {"row without a file name": ["line 7"]}


def test_a_column_that_is_missing_is_named_beside_the_nearest_one():
    faults = Faults(Path("corpus"))
    check_labels(faults, pd.DataFrame({"split": [], "orign": []}), [Task("origin", "classes", labels=("a", "b"))])
    assert faults.offenders == {"missing column of task 'origin'": ["origin, but there is orign"]}


def test_a_comma_in_the_place_of_a_point_is_explained():
    faults = Faults(Path("corpus"))
    clips = pd.DataFrame({"split": ["train", "train"], "age": ["0,5", "old"]})
    check_labels(faults, clips, [Task("age", "scalar", range=(0, 1))])
    assert faults.offenders["value of 'age' that is not a number"] == [
        "0,5, which needs a point in the place of its comma",
        "old",
    ]


def test_two_spellings_of_a_speaker_in_two_splits_are_one_speaker():
    faults = Faults(Path("corpus"))
    check_splits(faults, pd.DataFrame({"speaker": ["s1", "s1 "], "split": ["train", "test"]}))
    assert faults.offenders == {"speaker in more than one split": ["s1 and 's1 ' with a blank at its end"]}


def test_nothing_of_train_is_needed_where_nothing_will_be_trained():
    faults = Faults(Path("corpus"))
    clips = pd.DataFrame({"speaker": ["a", "b"], "split": ["test", "train"], "origin": ["x", "x"]})
    task = Task("origin", "classes", labels=("x", "y"))
    check_splits(faults, clips[:1], to_train=False)
    check_labels(faults, clips, [task], to_train=False)
    assert not faults.offenders
    check_labels(faults, clips, [task])
    assert faults.offenders == {"class of 'origin' that never occurs in Train": ["y"]}
