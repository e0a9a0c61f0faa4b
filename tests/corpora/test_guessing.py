"""What folders of clips can teach, as guessed from their tables and sub-folders."""

import pandas as pd
import pytest
from little_corpora import write_clip

from paravox.corpora.guessing import guess_corpus, judge_column
from paravox.modeling.errors import CorpusError


def write_table(folder, columns, name="metadata.csv", clips=12, sep=","):
    """A table of clips with these columns, each a list that is repeated, and the recordings."""
    for number in range(clips):
        write_clip(folder / f"audio/{number}.wav", number, 0.2)
    values = {column: [cells[number % len(cells)] for number in range(clips)] for column, cells in columns.items()}
    names = [f"audio/{number}.wav" for number in range(clips)]
    pd.DataFrame({"file_name": names} | values).to_csv(folder / name, index=False, sep=sep)
    return folder


def found(guess):
    return {task.name: (task.kind, task.labels or tuple(task.range)) for task in guess.tasks}


def test_columns_become_tasks_of_each_kind(tmp_path):
    table = {
        "speaker": [f"s{n}" for n in range(12)],
        "split": ["train"] * 8 + ["validation", "validation", "test", "test"],
        "awe": [0.5, 0.25, None, 1.0],
        "fear": [0, 1],
        "age": [21.5, 34, 67.25],
        "country": ["China", "USA"],
        "emotion": [0, 1, 2],
        "sex": ["f", "m"],
        "transcript": [f"what {n} said" for n in range(12)],
        "clip_id": [5, 6],
        "row": list(range(12)),
        "counter": list(range(100, 112)),
        "duration": [1.5, 2.5],
        "notes": [None],
        "place": ["A"],
        "source": ["tape", "phone"],
        "home town: (which?)": ["x", "y"],
        "of two\nlines": ["x", "y"],
    }
    guess = guess_corpus(write_table(tmp_path, table))
    assert guess.corpus == "metadata_csv" and guess.options == {} and not guess.notes
    assert guess.splits == {"train": 8, "validation": 2, "test": 2}
    assert found(guess) == {
        "emotions": ("intensities", ("awe", "fear")),
        "age": ("scalar", (21, 68)),
        "country": ("classes", ("China", "USA")),
        "emotion": ("classes", ("0", "1", "2")),
        "home town: (which?)": ("classes", ("x", "y")),
    }
    assert "all of them known in 9 clips" in guess.remarks["emotions"] and guess.tasks[1].unit == "years"
    assert "range: [0, 2]" in guess.remarks["emotion"] and "6 clips per label" in guess.remarks["country"]
    reasons = {
        "sex": "describes the speakers",
        "transcript": "12 values in 12 clips",
        "clip_id": "names things",
        "row": "names things",
        "counter": "whole numbers all differ",
        "duration": "describes the recordings",
        "notes": "empty",
        "place": "says A everywhere",
        "source": "where the recordings come from",
        "of two\nlines": "must be text of one line",
    }
    assert guess.unused.keys() == reasons.keys()
    assert all(words in guess.unused[column] for column, words in reasons.items()), guess.unused


@pytest.mark.parametrize(
    ("name", "cells", "kind", "words"),
    [
        ("valence", ["1", "2", "3"] * 4, "scalar", "Found 1 to 3 in 12 clips"),
        ("rater", ["1", "2", "3"] * 4, "classes", "taken for names"),
        ("rater", ["1", "2", "3", "1"], "scalar", ""),
        ("laughing", ["0", "1"] * 3, "flag", "0 or 1"),
        ("joy", ["0.5", "1"] * 3, "share", "0.5 to 1"),
        ("mood", ["0,5", "0,25"] * 3, "", "a point in the place of its comma"),
        ("age", ["30", "NA", "40"], "", "not all of its cells are numbers, such as NA; where that is unknown, empty"),
        ("mood", ["sad", "sad", "unknown", "glad"] * 2, "classes", "unknown counts as a label"),
        ("mood", ["sad", None, None, "glad"], "classes", "1 clip per label"),
        ("text", ["one two three four five six seven", "a b c d e f g"] * 3, "", "whole sentences"),
        ("place", [f"place {n % 61}" for n in range(200)], "", "61 values, more than 60"),
        ("speakerId", ["a", "b"] * 3, "", "names things"),
        ("video", ["a", "b"] * 3, "classes", ""),
        ("level", ["inf", "1"] * 3, "", "such as inf"),
    ],
)
def test_columns(name, cells, kind, words):
    column = judge_column(name, pd.Series(cells, dtype=object))
    assert column.kind == kind and words in column.remark, column


def test_a_class_that_is_not_in_train_cannot_be_learned(tmp_path):
    table = {"split": ["train"] * 8 + ["test"] * 4, "mood": ["sad"] * 4 + ["glad"] * 4 + ["mad"] * 4, "age": [20, 30]}
    guess = guess_corpus(write_table(tmp_path, table))
    assert list(found(guess)) == ["age"] and guess.unused == {"mood": "class of 'mood' that never occurs in Train: mad"}
    assert guess.notes == ["There is no column speaker, so each clip counts as a speaker of its own."]


def test_a_task_of_several_columns_has_a_name_that_no_column_has(tmp_path):
    table = {name: ["sad", "glad"] for name in ("emotion", "emotions", "intensities", "intensities_")}
    guess = guess_corpus(write_table(tmp_path, table | {"awe": [0.5, 0.25], "fear": [0.5, 1]}))
    assert [task.name for task in guess.tasks] == ["intensities__", *table]


def test_one_column_from_0_to_1_is_a_scalar_or_classes(tmp_path):
    assert found(guess_corpus(write_table(tmp_path, {"joy": [0.5, 0.25, 1.0]}))) == {"joy": ("scalar", (0, 1))}
    assert found(guess_corpus(write_table(tmp_path, {"laughs": [0, 1]}))) == {"laughs": ("classes", ("0", "1"))}


def test_the_table_is_found_or_must_be_named(tmp_path):
    write_table(tmp_path, {"mood": ["sad", "glad"]}, "labels.csv", sep=";")
    guess = guess_corpus(tmp_path)
    assert guess.options == {"metadata": "labels.csv"} and found(guess) == {"mood": ("classes", ("glad", "sad"))}
    assert len(guess.notes) == 2 and "no column split" in guess.notes[0]
    write_table(tmp_path, {"age": [20, 30]}, "other.tsv", sep="\t")
    with pytest.raises(CorpusError, match=r"several tables \(labels.csv, other.tsv\): name one by metadata"):
        guess_corpus(tmp_path)
    assert found(guess_corpus(tmp_path, "other.tsv")) == {"age": ("scalar", (20, 30))}
    write_table(tmp_path, {"age": [20, 40]})
    assert found(guess_corpus(tmp_path)) == {"age": ("scalar", (20, 40))}


def test_class_folders(tmp_path):
    for number in range(4):
        write_clip(tmp_path / "sad" / f"{number}.wav", number)
        write_clip(tmp_path / "so glad" / f"{number}.wav", 10 + number)
    guess = guess_corpus(tmp_path)
    assert guess.corpus == "class_folders" and found(guess) == {"label": ("classes", ("sad", "so glad"))}
    assert guess.splits == {"train": 6, "test": 2}
    for number in range(4):
        (tmp_path / "sad" / f"{number}.wav").unlink()
    with pytest.raises(CorpusError, match="has the one label 'so glad', and a model needs two"):
        guess_corpus(tmp_path)
    with pytest.raises(CorpusError, match="nowhere is no folder"):
        guess_corpus(tmp_path / "nowhere")
