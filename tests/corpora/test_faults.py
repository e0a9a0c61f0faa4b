"""One message for everything that is wrong with a corpus."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paravox.corpora.faults import Faults, check_files, check_labels, check_splits
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
