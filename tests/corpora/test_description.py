"""What a corpus holds, counted by hand."""

import numpy as np
import pytest
from datasets import Dataset
from little_corpora import write_clip
from rich.console import Console

from paravox.corpora.description import describe_labels, describe_split, description_tables
from paravox.modeling.tasks import Task, parse_tasks
from paravox.trainers.multi_task_dataset import MultiTaskDataset

EMOTION = Task("emotion", "intensities", labels=("awe", "fear", "joy"))
AGE = Task("age", "scalar", range=(20, 40), unit="years")
COUNTRY = Task("country", "classes", labels=("USA", "China", "Peru"))


def test_classes_are_counted_by_label():
    assert describe_labels(COUNTRY, np.array([1, 1, 0, -100, 1])) == {
        "known": 4,
        "counts": {"USA": 1, "China": 3, "Peru": 0},
    }


def test_a_scalar_has_quantiles_of_its_known_values():
    ages = np.array([40, 20, 22, np.nan, 30, 26], dtype=np.float32)
    assert describe_labels(AGE, ages) == {
        "known": 5,
        **{"min": 20, "quarter": 22, "median": 26, "three_quarters": 30, "max": 40},
    }
    assert describe_labels(AGE, np.full(3, np.nan)) == {"known": 0}


def test_intensities_have_means_and_strongest_labels():
    intensities = np.array([[1, 0, 0.5], [0, 0.2, 1], [0.5, 0.1, 1], [np.nan, 1, 0], [np.nan] * 3], dtype=np.float32)
    assert describe_labels(EMOTION, intensities) == {
        "known": 3,
        "mean": {"awe": 0.5, "fear": 0.1, "joy": pytest.approx(2.5 / 3, abs=5e-5)},
        "strongest": {"awe": 1, "fear": 0, "joy": 2},
    }
    nothing = describe_labels(EMOTION, np.full((2, 3), np.nan))
    assert nothing == {"known": 0, "mean": {}, "strongest": {"awe": 0, "fear": 0, "joy": 0}}


@pytest.fixture
def clips(tmp_path):
    rows = {"path": [], "speaker": ["a", "a", "b", None, ""], "country": ["China", "USA", None, "China", "China"]}
    for number in range(5):
        rows["path"].append(str(tmp_path / f"{number}.wav"))
        write_clip(tmp_path / f"{number}.wav", seed=number, seconds=0.9 * (number + 1))
    return Dataset.from_dict(rows)


def test_a_split_has_clips_hours_speakers_and_lengths(clips):
    described = describe_split(clips, MultiTaskDataset(clips, [COUNTRY]))
    # 0.9 + 1.8 + 2.7 + 3.6 + 4.5 seconds.
    assert described.pop("hours") == round(13.5 / 3600, 3) == 0.004
    assert described.pop("seconds") == {"min": 0.9, "quarter": 1.8, "median": 2.7, "three_quarters": 3.6, "max": 4.5}
    counts = {"known": 4, "counts": {"USA": 1, "China": 3, "Peru": 0}}
    assert described == {"clips": 5, "speakers": 2, "labels": {"country": counts}}
    without = clips.remove_columns(["speaker", "country"])
    assert describe_split(without, MultiTaskDataset(without, []))["speakers"] == 0


def printed(tables):
    console = Console(width=120, record=True)
    for table in tables:
        console.print(table)
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]


def test_tables_have_every_number_in_its_place(capsys):
    seconds = {"min": 0.5, "quarter": 1, "median": 1.25, "three_quarters": 2, "max": 3.5}
    labels = {
        "country": {"known": 1000, "counts": {"USA": 999, "China": 1, "Peru": 0}},
        "age": {"known": 3, "min": 20, "quarter": 21, "median": 25.5, "three_quarters": 30, "max": 39},
        "emotion": {"known": 7, "mean": {}, "strongest": {"awe": 4, "fear": 0, "joy": 3}},
    }
    nothing = {
        "country": {"known": 0, "counts": {"USA": 0, "China": 0, "Peru": 0}},
        "age": {"known": 0},
        "emotion": {"known": 0, "mean": {}, "strongest": {"awe": 0, "fear": 0, "joy": 0}},
    }
    description = {
        "train": {"clips": 12_000, "hours": 1.5, "speakers": 11, "seconds": seconds, "labels": labels},
        "test": {"clips": 1, "hours": 0.001, "speakers": 0, "seconds": seconds, "labels": nothing},
    }
    rows = printed(description_tables(description, parse_tasks([COUNTRY, AGE, EMOTION])))
    for row in (
        ["train", "12,000", "1.50", "11", "0.50", "1.25", "3.50"],
        ["test", "1", "0.00", "0", "0.50", "1.25", "3.50"],
        ["labelled clips", "1,000", "0"],
        ["USA", "999", "0"],
        ["China", "1", "0"],
        ["median", "25.5", ""],
        ["three quarters", "30", ""],
        ["awe", "4", "0"],
        ["joy", "3", "0"],
    ):
        assert row in rows
    # A title that is wider than its table is wrapped.
    titles = " ".join(capsys.readouterr().out.split())
    for title in ("country (clips)", "age (years)", "emotion (clips in which it is strongest)"):
        assert title in titles


def test_brackets_in_labels_are_no_markup():
    task = {"name": "sound", "kind": "classes", "labels": ["[laugh]", "[/b]", "gasp [final]"]}
    counts = {"[laugh]": 2, "[/b]": 1, "gasp [final]": 3}
    labels = {"sound": {"known": 6, "counts": counts}}
    seconds = dict.fromkeys(("min", "median", "max"), 1.0)
    description = {"train": {"clips": 6, "hours": 1, "speakers": 1, "seconds": seconds, "labels": labels}}
    rows = printed(description_tables(description, parse_tasks([task])))
    for label, count in counts.items():
        assert [label, str(count)] in rows
