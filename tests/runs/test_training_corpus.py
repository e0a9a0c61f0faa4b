"""What a run looks at before its first step: every clip of every split, and the labels of each."""

import numpy as np
import pytest
import soundfile
from little_corpora import write_clip, write_metadata_corpus

from paravox.modeling.errors import AudioError, CorpusError
from paravox.modeling.tasks import parse_tasks
from paravox.runs.program_settings import DataSettings
from paravox.runs.training_corpus import read_splits

TASKS = [
    {"name": "age", "kind": "scalar", "range": [20, 40]},
    {"name": "origin", "kind": "classes", "labels": ["Dutch", "English"]},
]


@pytest.fixture
def data(tmp_path):
    return write_metadata_corpus(tmp_path / "data", TASKS)


def read(data, longest_seconds=None, decode=False, max_seconds=None, **settings):
    return read_splits(
        DataSettings(str(data), **settings),
        parse_tasks(TASKS),
        0,
        16_000,
        max_seconds=max_seconds,
        longest_seconds=longest_seconds,
        decode=decode,
    )


def test_a_clip_of_val_or_test_that_the_encoder_cannot_take_is_named_before_the_first_step(data, capsys):
    # 8 Train clips, then 6 of Val and 6 of Test.
    for number in (9, 15):
        write_clip(data / "audio" / f"{number}.wav", number, seconds=1.5)
    with pytest.raises(AudioError, match=r"2 clips .*1 of validation, 1 of test.: 9.wav lasts 1.5 s, .* at most 1 s"):
        read(data, longest_seconds=1.0)
    splits = read(data, longest_seconds=1.0, skip_bad=True)
    assert {split: len(clips) for split, clips in splits.items()} == {"train": 8, "validation": 5, "test": 5}
    assert "validation: 1 clip skipped" in capsys.readouterr().out
    assert {len(clips.labels["age"]) for clips in splits.values()} == {8, 5}
    assert [len(clips) for clips in read(data, longest_seconds=1.5).values()] == [8, 6, 6]


def test_a_train_clip_that_is_cropped_is_not_too_long(data):
    write_clip(data / "audio" / "0.wav", 0, seconds=1.5)
    with pytest.raises(AudioError, match="1 of train.: 0.wav lasts 1.5 s"):
        read(data, longest_seconds=1.0)
    assert read(data, longest_seconds=1.0, max_seconds=1.0)["train"].seconds.max() == 1.0


def test_resampling_makes_no_clip_too_long(data):
    noise = np.random.default_rng(0).normal(scale=0.1, size=22_051)  # one sample more than a second
    soundfile.write(data / "audio" / "0.wav", noise, 22_050)
    assert len(read(data, longest_seconds=1.0)["train"]) == 8


def test_a_header_that_cannot_be_read_is_named_in_any_split(data):
    (data / "audio" / "16.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"1 clips cannot be used .1 of test.: .*16.wav is not audio"):
        read(data)


def test_samples_are_only_looked_at_where_that_is_asked_for(data):
    soundfile.write(data / "audio" / "16.wav", np.full(4800, np.nan), 16_000, subtype="FLOAT")
    assert len(read(data)["test"]) == 6
    with pytest.raises(AudioError, match=r"1 of test.: .*16.wav holds samples that are NaN"):
        read(data, decode=True)


def test_headers_are_read_once(data, monkeypatch):
    counted = []
    from paravox.trainers import clip_sources

    real = clip_sources.duration_seconds
    monkeypatch.setattr(clip_sources, "duration_seconds", lambda source: counted.append(source) or real(source))
    splits = read(data, longest_seconds=1.0)
    assert len(counted) == 20 and [len(clips.seconds) for clips in splits.values()] == [8, 6, 6]
    read(data, skip_bad=True)["train"].seconds.sum()
    assert len(counted) == 40


def test_a_task_without_labels_in_val_is_said_before_the_first_step(data, capsys):
    table = data / "metadata.csv"
    header, *rows = table.read_text().splitlines()
    rows = [
        row if ",validation," not in row else ",".join([*row.split(",")[:3], "", row.split(",")[4]]) for row in rows
    ]
    table.write_text("\n".join([header, *rows]) + "\n")
    read(data)
    assert capsys.readouterr().out == "validation has no labels of age, so its scores are left out\n"


def test_train_that_lacks_the_labels_of_a_task_is_refused_in_every_corpus(data, tmp_path):
    """The reader of metadata.csv says so itself, that of saved datasets does not know the tasks."""
    from paravox.corpora.metadata_csv import read_metadata_csv

    corpus = read_metadata_csv(data, parse_tasks(TASKS))
    corpus["train"] = corpus["train"].remove_columns("age").add_column("age", [None] * 8)
    corpus.save_to_disk(tmp_path / "saved")
    with pytest.raises(CorpusError, match="Train has no clip with a label of task 'age'"):
        read(tmp_path / "saved", corpus="dataset")


def test_a_split_of_which_nothing_can_be_read_is_named(data):
    for number in range(14, 20):
        (data / "audio" / f"{number}.wav").write_bytes(b"no audio")
    with pytest.raises(CorpusError, match="no clip of test can be used"):
        read(data, skip_bad=True)
