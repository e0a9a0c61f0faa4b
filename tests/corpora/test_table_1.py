"""Table 1 of the paper: speakers counted again by pandas, durations by the standard library, and files read back."""

import csv
import datetime
import io
import logging
import re

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset
from little_corpora import write_clip, write_exvo_corpus

from paravox.corpora.registry import load_corpus
from paravox.corpora.table_1 import (
    describe_speakers,
    format_duration,
    paper_table,
    tasks_of_speakers,
    warn_of_disagreement,
)
from paravox.modeling.tasks import Task, parse_tasks
from paravox.trainers.multi_task_dataset import MultiTaskDataset

COUNTRIES = ["China", "South Africa", "USA", "Venezuela"]
TASKS = parse_tasks(
    [
        {"name": "country", "kind": "classes", "labels": COUNTRIES},
        {"name": "age", "kind": "scalar", "range": [20, 40]},
        {"name": "mood", "kind": "classes", "labels": ["good", "bad"]},
    ]
)
SPLITS = {"train": "Train", "validation": "Validation", "test": "Test"}


def table_of(corpus, tasks):
    speakers = {split: describe_speakers(clips, MultiTaskDataset(clips, tasks)) for split, clips in corpus.items()}
    by_speaker = tasks_of_speakers(speakers, tasks)
    warn_of_disagreement(speakers, by_speaker)
    return paper_table(speakers, by_speaker)


def cells(table):
    """From the title of a row to its cells by split."""
    return {row[0]: dict(zip(table.header[1:], row[1:], strict=True)) for row in table.rows}


def write_corpus(folder, tasks=TASKS, seed=0):
    """A metadata.csv of 40 speakers, three clips each, in which every fifth speaker is of two sexes."""
    random = np.random.default_rng(seed)
    clips = pd.DataFrame({"speaker": np.repeat([f"s{number:02}" for number in range(40)], 3)})
    clips["file_name"] = [f"{number}.wav" for number in range(len(clips))]
    number = clips["speaker"].str[1:].astype(int)
    clips["split"] = np.select([number < 20, number < 30], ["train", "dev"], "test")
    clips["country"] = random.choice(COUNTRIES, 40)[number]
    clips["sex"] = random.choice(["f", "M", " Female", "male"], 40)[number]
    clips.loc[number % 5 == 0, "sex"] = random.choice(["F", "m"], (number % 5 == 0).sum())
    clips.loc[random.random(len(clips)) < 0.4, "sex"] = random.choice(["", "other", "Unknown"])
    clips.loc[(random.random(len(clips)) < 0.4) & (number > 7), "country"] = ""
    clips["mood"] = ["good", "bad", "good"] * 40
    clips["age"] = 30
    for place, name in enumerate(clips["file_name"]):
        write_clip(folder / name, place, seconds=0.05 * (1 + place % 7))
    clips.to_csv(folder / "metadata.csv", index=False)
    return clips


def counted_by_pandas(clips, column):
    """The speakers of each split by the one value of their clips; those with none or with two are left out."""
    values = clips.dropna(subset=[column]).groupby(["split", "speaker"])[column]
    return values.first()[values.nunique() == 1].groupby("split").value_counts()


def test_speakers_are_those_that_pandas_counts(tmp_path, caplog):
    clips = write_corpus(tmp_path)
    table = table_of(load_corpus("metadata_csv", tmp_path, TASKS), TASKS)
    assert table.header == ["", *SPLITS.values()]
    # The mood differs from clip to clip, so that speakers have none.
    assert [row[0] for row in table.rows] == ["HH:MM:SS", "No.", "Speakers", "F:M", *COUNTRIES]
    clips["split"] = clips["split"].replace("dev", "validation").map(SPLITS)
    clips["sex"] = (
        clips["sex"].str.strip().str.lower().str[:1].where(clips["sex"].str.strip().str.len().isin([1, 4, 6]))
    )
    clips["sex"] = clips["sex"].where(clips["sex"].isin(["f", "m"]))
    clips["country"] = clips["country"].replace("", None)
    sexes, countries = counted_by_pandas(clips, "sex"), counted_by_pandas(clips, "country")
    found = cells(table)
    for split, part in clips.groupby("split"):
        assert found["No."][split] == str(len(part)) and found["Speakers"][split] == str(part["speaker"].nunique())
        assert found["F:M"][split] == f"{sexes[split].get('f', 0)}:{sexes[split].get('m', 0)}"
        for country in COUNTRIES:
            assert found[country][split] == str(countries[split].get(country, 0))
        differing = part.groupby("speaker")["sex"].nunique().gt(1).sum()
        assert differing, "the corpus does not test what it should"
        assert f"{split}: speakers whose clips differ in sex, counted as unknown: {differing} (" in caplog.text
        unknown = part["speaker"].nunique() - sexes[split].sum()
        many = part["speaker"].nunique()
        note = f"{unknown} of {many} speakers in {split} (the clips of {differing} of them differ)"
        assert note in table.notes[0] and table.notes[0].startswith("Unknown sex: ")
    assert "differ in country" not in caplog.text and "mood" not in caplog.text


def test_exvo_has_no_sexes_and_knows_nothing_of_test(tmp_path):
    corpus = load_corpus("exvo", write_exvo_corpus(tmp_path, clips_per_speaker=2))
    table = table_of(corpus, parse_tasks([TASKS[0].to_dict()]))
    # 8, 6 and 6 clips of 0.2, 0.22, ... seconds: 2.16, 1.5 and 1.5 seconds.
    assert cells(table) == {
        "HH:MM:SS": {"Train": "00:00:02", "Validation": "00:00:02", "Test": "00:00:02"},
        "No.": {"Train": "8", "Validation": "6", "Test": "6"},
        "Speakers": {"Train": "4", "Validation": "3", "Test": "-"},
        "F:M": dict.fromkeys(SPLITS.values(), "not in its files"),
        "China": {"Train": "1", "Validation": "1", "Test": "-"},
        "South Africa": {"Train": "1", "Validation": "1", "Test": "-"},
        "USA": {"Train": "1", "Validation": "1", "Test": "-"},
        "Venezuela": {"Train": "1", "Validation": "0", "Test": "-"},
    }
    assert table.notes == ["Unknown speaker: 6 of 6 clips in Test."]


@pytest.fixture
def described(tmp_path):
    """Describes clips that are given by their columns, as one split or several of equal length."""

    def run(columns, tasks, splits=("train",), features=()):
        clips = Dataset.from_dict(columns)
        for name, feature in features:
            clips = clips.cast_column(name, feature)
        for place in range(len(clips)):
            write_clip(tmp_path / f"{place}.wav", place, seconds=0.05)
        clips = clips.add_column("path", [str(tmp_path / f"{place}.wav") for place in range(len(clips))])
        share = len(clips) // len(splits)
        corpus = {name: clips.select(range(n * share, (n + 1) * share)) for n, name in enumerate(splits)}
        return table_of(corpus, [Task(**task) for task in tasks])

    return run


ORIGIN = {"name": "origin", "kind": "classes", "labels": ["North_1", "South & East|West"]}
SOUND = {"name": "sound_kind", "kind": "classes", "labels": ["North_1", "50%"]}


def test_a_speaker_whose_clips_disagree_is_unknown(described, caplog):
    columns = {
        "speaker": ["a", "a", "b", "b", "c", "c", "d", "d", "e", None, ""],
        "origin": ["North_1", ORIGIN["labels"][1], *["North_1"] * 9],
    }
    with caplog.at_level(logging.WARNING):
        table = described(columns, [ORIGIN])
    # b, c, d and e; one of four with two clips disagrees.
    assert cells(table)["North_1"] == {"Train": "4"} and cells(table)[ORIGIN["labels"][1]] == {"Train": "0"}
    assert cells(table)["Speakers"] == {"Train": "5"}
    assert table.notes == [
        "Unknown speaker: 2 of 11 clips in Train.",
        "Unknown origin: 1 of 5 speakers in Train (the clips of 1 of them differ).",
    ]
    assert "Train: speakers whose clips differ in origin, counted as unknown: 1 (a)" in caplog.text


def test_a_label_that_differs_for_two_speakers_of_four_belongs_to_clips(described, caplog):
    # Speakers with one clip say nothing about it.
    origins = ["North_1", ORIGIN["labels"][1]] * 2 + ["North_1"] * 10
    table = described({"speaker": list("aabbccddefghij"), "origin": origins}, [ORIGIN])
    assert list(cells(table)) == ["HH:MM:SS", "No.", "Speakers", "F:M"] and "origin" not in table.caption
    assert not caplog.text


def test_a_split_without_known_sexes_has_a_dash(described):
    columns = {"speaker": list("aabbccdd"), "sex": [0, 0, 1, -1, -1, -1, None, None]}
    names = [("sex", ClassLabel(names=["F", "M"]))]
    found = cells(described(columns, [], ("train", "test"), names))
    assert found["F:M"] == {"Train": "1:1", "Test": "-"}
    found = cells(described({"speaker": list("aabb"), "sex": [None, "", "x", None]}, [], ("train", "test")))
    assert found["F:M"] == {"Train": "not in its files", "Test": "not in its files"}


@pytest.mark.parametrize("seconds", [0.4, 59.6, 3599.6, 44_346.2, 86_399, 360_000.5, 400_000])
def test_durations_are_those_of_the_standard_library(seconds):
    hours, minutes, rest = (int(part) for part in format_duration(seconds).split(":"))
    assert datetime.timedelta(hours=hours, minutes=minutes, seconds=rest) == datetime.timedelta(seconds=round(seconds))
    assert re.fullmatch(r"\d{2,}:[0-5]\d:[0-5]\d", format_duration(seconds))


def test_the_durations_of_the_paper():
    # Train and Validation of the paper's table 1.
    assert format_duration(12 * 3600 + 19 * 60 + 6.4) == "12:19:06" and format_duration(43_506) == "12:05:06"


def test_every_format_can_be_read_back(described):
    columns = {
        "speaker": list("abcdef"),
        "origin": ["North_1", ORIGIN["labels"][1], "North_1", None, "North_1", None],
        "sound_kind": ["50%", "50%", "North_1", "North_1", None, None],
        "sex": ["f", "m", "f", None, "m", "m"],
    }
    table = described(columns, [ORIGIN, SOUND], ("train", "validation"))
    # By hand. With two tasks, each row says whose label it is.
    expected = [
        ["", "Train", "Validation"],
        ["HH:MM:SS", "00:00:00", "00:00:00"],
        ["No.", "3", "3"],
        ["Speakers", "3", "3"],
        ["F:M", "2:1", "0:2"],
        ["origin: North_1", "2", "1"],
        ["origin: South & East|West", "1", "0"],
        ["sound_kind: North_1", "1", "1"],
        ["sound_kind: 50%", "2", "0"],
    ]
    assert list(csv.reader(io.StringIO(table.as_csv()))) == expected
    markdown = table.as_markdown()
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    parsed = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert parsed[:1] + parsed[2:] == expected and parsed[1] == ["---", "---:", "---:"]
    latex = table.as_latex()
    body = latex.split("\\toprule")[1].split("\\bottomrule")[0].replace("\\midrule", "")
    rows = [re.split(r"(?<!\\)&", row) for row in body.split("\\\\\n") if row.strip()]
    assert [[re.sub(r"\\([_%&])", r"\1", cell.strip()) for cell in row] for row in rows] == expected
    for text in ("South \\& East|West", "50\\%", "sound\\_kind: North\\_1", "\\caption{", "{lrr}", "by sound\\_kind"):
        assert text in latex
    assert "Unknown sound\\_kind: 2 of 3 speakers in Validation." in latex
    assert "Unknown sound_kind: 2 of 3 speakers in Validation." in markdown
