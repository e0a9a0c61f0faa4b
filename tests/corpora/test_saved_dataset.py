"""Parquet, saved datasets, and what is said where there is none."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Audio, Dataset, DatasetDict
from little_corpora import write_clip

from paravox.corpora.registry import load_corpus
from paravox.corpora.saved_dataset import read_dataset
from paravox.modeling.errors import CorpusError
from paravox.modeling.tasks import Task
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.sampler import ClipDraw

AGE = Task("age", kind="scalar", range=(20, 40))


def make_corpus(clips, first=0):
    """Clips as bytes, as a dataset on the Hub holds them; clip n lasts (n + 1) / 10 seconds."""
    rows = {"audio": [], "age": []}
    for clip in range(first, first + clips):
        path = Path(f"source/{clip}.wav")
        write_clip(path, clip, seconds=(clip + 1) / 10)
        rows["audio"].append({"bytes": path.read_bytes(), "path": path.name})
        rows["age"].append(20.0 + clip)
    return Dataset.from_dict(rows).cast_column("audio", Audio(decode=False))


def check(splits, sizes):
    assert {split: len(clips) for split, clips in splits.items()} == sizes
    dataset = MultiTaskDataset(splits["train"], [AGE])
    clip = int(dataset.labels["age"][1]) - 20
    assert len(dataset[ClipDraw(1)]["clip"]) == 1600 * (clip + 1)


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00001", "dev", "test"),
        ("train/0", "validation/0", "test/0"),
        # Files of no split are Train.
        ("clips", "validation-00000-of-00001", "test-00000-of-00001"),
    ],
)
def test_parquet_splits_go_by_the_names_of_files_or_folders(names):
    for name, size in zip(names, (3, 2, 1), strict=True):
        Path(f"corpus/{name}.parquet").parent.mkdir(parents=True, exist_ok=True)
        make_corpus(size).to_parquet(f"corpus/{name}.parquet")
    check(read_dataset("corpus"), {"train": 3, "validation": 2, "test": 1})


def test_the_parts_of_a_split_are_joined_in_the_order_of_their_names():
    for part, first in (("00001", 2), ("00000", 0)):
        Path("corpus").mkdir(exist_ok=True)
        make_corpus(2, first).to_parquet(f"corpus/train-{part}-of-00002.parquet")
    clips = read_dataset("corpus")["train"]
    assert clips["age"][:] == [20.0, 21.0, 22.0, 23.0] and not clips.features["audio"].decode


def test_one_parquet_file_is_train():
    make_corpus(4).to_parquet("clips.parquet")
    check(read_dataset("clips.parquet"), {"train": 4})


def test_saved_datasets():
    make_corpus(3).save_to_disk("one")
    check(read_dataset("one"), {"train": 3})
    DatasetDict({"train": make_corpus(3), "val": make_corpus(2, first=3)}).save_to_disk("several")
    check(read_dataset("several"), {"train": 3, "validation": 2})


def test_other_columns_stay_and_do_not_reach_the_trainer():
    plain = make_corpus(3)
    sexes, places = ["female", None, "male"], [{"room": 1}, {"room": 2}, {"room": 3}]
    plain.add_column("sex", sexes).add_column("place", places).save_to_disk("saved")
    plain.add_column("sex", sexes).add_column("place", places).to_parquet("clips.parquet")
    for name in ("saved", "clips.parquet"):
        clips = load_corpus("dataset", name, [AGE])["train"]
        assert clips["sex"][:] == sexes and clips["place"][:] == places
        dataset, without = MultiTaskDataset(clips, [AGE]), MultiTaskDataset(plain, [AGE])
        for row in range(3):
            item, expected = dataset[ClipDraw(row)], without[ClipDraw(row)]
            assert item.keys() == expected.keys() and item["labels"] == expected["labels"] == {"age": 20 + row}
            np.testing.assert_array_equal(item["clip"], expected["clip"])


def test_paths_in_a_column_of_text():
    paths = [str(Path(f"source/{clip}.wav").resolve()) for clip in range(3)]
    make_corpus(3)
    Dataset.from_dict({"audio": paths, "age": [20.0, 21.0, 22.0]}).to_parquet("clips.parquet")
    check(read_dataset("clips.parquet"), {"train": 3})


def test_what_cannot_be_opened():
    Path("empty").mkdir()
    with pytest.raises(CorpusError, match="empty holds neither a saved dataset nor a Parquet file"):
        read_dataset("empty")
    DatasetDict({"train": make_corpus(1), "extra": make_corpus(1)}).save_to_disk("unknown")
    with pytest.raises(CorpusError, match="has a split 'extra': name its splits train, validation and test"):
        read_dataset("unknown")
    with pytest.raises(CorpusError, match="'nobody/nothing' holds no dataset that can be opened"):
        read_dataset("nobody/nothing")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 1, None], ("0", "1")),
        ([False, True, None], ("False", "True")),
        ([False, True, None], ("false", "true")),
        ([0.0, 1.0, float("nan")], ("0", "1")),
        (["0", "1", ""], ("0", "1")),
    ],
)
def test_numbers_and_truth_values_in_parquet_are_the_labels_that_they_are_written_as(values, labels):
    corpus = make_corpus(3).add_column("answer", values)
    corpus.to_parquet("answers.parquet")
    read = read_dataset("answers.parquet")["train"]
    task = Task("answer", "classes", labels=labels)
    assert MultiTaskDataset(read, [task]).labels["answer"].tolist() == [0, 1, -100]


@pytest.mark.parametrize("value", [2, 0.5, True])
def test_a_number_that_is_no_label_is_named(value):
    corpus = make_corpus(1).add_column("answer", [value])
    with pytest.raises(CorpusError, match=f"'{value}' is not one of its labels .'0', '1'"):
        MultiTaskDataset(corpus, [Task("answer", "classes", labels=("0", "1"))])


@pytest.mark.parametrize("names", [("train_0", "test_0"), ("train", "test0"), ("train-1-of-2", "Test 1")])
def test_parquet_of_test_never_becomes_train(names):
    for number, name in enumerate(names):
        make_corpus(1, first=number).to_parquet(f"corpus/{name}.parquet")
    splits = read_dataset("corpus")
    assert {split: clips["age"][:] for split, clips in splits.items()} == {"train": [20.0], "test": [21.0]}


def test_parquet_whose_split_is_unknown_is_no_part_of_train_beside_one_that_is_named(caplog):
    make_corpus(1).to_parquet("corpus/holdout.parquet")
    make_corpus(1, first=1).to_parquet("corpus/test.parquet")
    assert len(read_dataset("corpus")["train"]) == 1
    assert "Parquet files that name no split, which are Train: 1" in caplog.text
    make_corpus(1, first=2).to_parquet("corpus/train.parquet")
    with pytest.raises(CorpusError, match="others whose names begin with no split .corpus/holdout.parquet"):
        read_dataset("corpus")


def test_parquet_behind_a_link_to_a_folder_is_found():
    make_corpus(1).to_parquet("elsewhere/train.parquet")
    Path("corpus").mkdir()
    Path("corpus/linked").symlink_to(Path("elsewhere").absolute())
    assert len(read_dataset("corpus")["train"]) == 1


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"{}"])
def test_a_damaged_parquet_file_is_our_error(content):
    Path("damaged.parquet").write_bytes(content)
    with pytest.raises(CorpusError, match="holds no dataset that can be opened .*give a folder"):
        read_dataset("damaged.parquet")


def test_a_pointer_of_git_lfs_says_that_it_is_one():
    Path("corpus").mkdir()
    Path("corpus/train.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    for place in ("corpus", "corpus/train.parquet"):
        with pytest.raises(CorpusError, match="train.parquet is a pointer of Git LFS"):
            read_dataset(place)


def test_a_damaged_saved_dataset_is_our_error():
    make_corpus(2).save_to_disk("saved")
    Path("saved/state.json").write_text('{"_data_files": 3}')
    with pytest.raises(CorpusError, match="holds no dataset that can be opened"):
        read_dataset("saved")


def test_two_names_of_one_split_are_refused():
    DatasetDict({"dev": make_corpus(1), "validation": make_corpus(1)}).save_to_disk("saved")
    with pytest.raises(CorpusError, match="two splits that mean validation"):
        read_dataset("saved")


def test_speakers_in_two_splits_are_counted(caplog):
    parts = {split: make_corpus(1).add_column("speaker", ["s1"]) for split in ("train", "test")}
    DatasetDict(parts).save_to_disk("saved")
    read_dataset("saved")
    assert "speakers in more than one split, whom a model would know when it is tested: 1 (s1)" in caplog.text
