"""Who is in Train, Val and Test. The expected speakers were drawn by the version that made the published results."""

from collections import Counter

import pandas as pd
import pytest
from datasets import Dataset

from paravox.corpora.splitting import SPLIT_NAMES, datasets_by_split, split_by_speaker, split_clips
from paravox.modeling.errors import ConfigError, CorpusError

SPEAKERS = [f"s{number:02}" for number in range(12)]
# Two clips of each of twelve speakers.
CLIPS = Dataset.from_dict(
    {"path": [f"{n}.wav" for n in range(24)], "speaker": SPEAKERS * 2, "emotion": [f"e{n}" for n in range(24)]}
)


def speakers_of(splits):
    return {split: set(clips["speaker"]) for split, clips in splits.items()}


def test_other_names_of_the_splits():
    assert SPLIT_NAMES == {
        **{name: "train" for name in ("train", "training")},
        **{name: "validation" for name in ("val", "valid", "validation", "dev", "development", "eval", "evaluation")},
        "test": "test",
    }


def test_a_table_becomes_one_dataset_per_split_in_its_order():
    table = pd.DataFrame({"path": list("abcde"), "split": ["test", "train", "test", "train", "other"]})
    splits = datasets_by_split(table)
    assert {split: clips["path"][:] for split, clips in splits.items()} == {"train": ["b", "d"], "test": ["a", "c"]}
    assert splits["train"].column_names == ["path", "split"]


@pytest.mark.parametrize(
    ("seed", "validation", "test"),
    [(0, ["s14", "s17", "s18"], ["s01", "s09", "s15"]), (1, ["s00", "s09", "s14"], ["s06", "s13", "s19"])],
)
def test_speakers_are_dealt_out_70_15_15(seed, validation, test):
    speakers = pd.Series([f"s{number % 20:02}" for number in range(100)])
    splits = split_by_speaker(speakers, seed)
    found = {split: sorted(speakers[splits == split].unique()) for split in ("train", "validation", "test")}
    assert found["validation"] == validation and found["test"] == test
    assert found["train"] == sorted(set(speakers) - {*validation, *test})
    # The order of the clips changes nothing.
    assert split_by_speaker(speakers[::-1], seed)[::-1].tolist() == splits.tolist()


@pytest.mark.parametrize(
    ("options", "validation", "test"),
    [
        ({}, {"s01", "s02"}, {"s08", "s09"}),
        ({"fold": 1}, {"s07"}, {"s01", "s02"}),
        ({"seed": 5}, {"s08", "s11"}, {"s05", "s09"}),
        ({"folds": 3}, {"s02", "s03", "s05", "s08"}, {"s00", "s04", "s09", "s10"}),
    ],
)
def test_one_fold_is_test_and_the_next_one_val(options, validation, test):
    splits = split_clips(CLIPS, **options)
    assert speakers_of(splits) == {
        "train": set(SPEAKERS) - validation - test,
        "validation": validation,
        "test": test,
    }
    # Every clip is there once, with its own emotion.
    found = sorted((clip["path"], clip["emotion"]) for clips in splits.values() for clip in clips)
    assert found == sorted((f"{n}.wav", f"e{n}") for n in range(24))


def test_over_all_folds_each_speaker_is_once_in_test_and_once_in_val():
    splits = [speakers_of(split_clips(CLIPS, folds=4, fold=fold, seed=3)) for fold in range(4)]
    for role in ("test", "validation"):
        assert sorted(speaker for fold in splits for speaker in fold[role]) == SPEAKERS
        assert {len(fold[role]) for fold in splits} == {3}
    # Val of a fold is Test of the next one.
    assert [fold["validation"] for fold in splits] == [splits[(number + 1) % 4]["test"] for number in range(4)]


def test_there_are_never_more_folds_than_speakers():
    splits = split_clips(CLIPS, folds=100, fold=11)
    assert {split: len(speakers) for split, speakers in speakers_of(splits).items()} == {
        "train": 10,
        "validation": 1,
        "test": 1,
    }


def test_sessions_stay_together_and_unknown_speakers_train():
    rows = [(f"{n}.wav", None if n == 0 else f"s{n % 6}", "x", f"session{n % 6 // 2}") for n in range(60)]
    columns = dict(zip(("path", "speaker", "emotion", "session"), map(list, zip(*rows, strict=True)), strict=True))
    splits = split_clips(Dataset.from_dict(columns), folds=3)
    assert sorted(session for clips in splits.values() for session in set(clips["session"])) == [
        "session0",
        "session1",
        "session2",
    ]
    del columns["session"]
    for fold in range(6):
        splits = split_clips(Dataset.from_dict(columns), fold=fold)
        assert [split for split, clips in splits.items() if None in clips["speaker"]] == ["train"]


def test_random_splits_deal_out_clips():
    splits = split_clips(CLIPS, split_by="random", seed=123)
    assert splits["validation"]["path"][:] == ["5.wav", "14.wav", "17.wav"]
    assert splits["test"]["path"][:] == ["3.wav", "13.wav"]
    paths = Counter(path for clips in splits.values() for path in clips["path"])
    assert set(paths.values()) == {1} and len(paths) == 24
    # Speakers are on both sides.
    assert speakers_of(splits)["train"] & speakers_of(splits)["test"]


def test_a_split_of_the_corpus_stays():
    own = CLIPS.add_column("split", ["test", "train", "validation"] * 8)
    splits = split_clips(own, fold=2, seed=9)
    for number, split in enumerate(("test", "train", "validation")):
        assert splits[split]["path"][:] == [f"{n}.wav" for n in range(number, 24, 3)]
    # Only a random split replaces it.
    assert len(split_clips(own, split_by="random")["train"]) == 19


def test_impossible_splits():
    with pytest.raises(ConfigError, match="split_by 'speakers': use speaker or random"):
        split_clips(CLIPS, split_by="speakers")
    for options in ({"fold": 10}, {"fold": -1}):
        with pytest.raises(ConfigError, match="of 10 with 12 speakers: give at least 3 folds, and a fold from 0 to 9"):
            split_clips(CLIPS, **options)
    with pytest.raises(ConfigError, match="fold 0 of 2 with 12 speakers: give at least 3 folds"):
        split_clips(CLIPS, folds=2)
    with pytest.raises(CorpusError, match="2 speakers cannot be dealt out"):
        split_clips(CLIPS.filter(lambda clip: clip["speaker"] in ("s01", "s02")))
    sessions = CLIPS.add_column("session", ["a", "b"] * 12)
    with pytest.raises(CorpusError, match="2 sessions cannot be dealt out .*: use split_by: random"):
        split_clips(sessions)


def test_two_spellings_of_a_speaker_are_dealt_out_together():
    names = [f"s{number:02}" for number in range(20)]
    both = pd.Series([*names, *(f" {name.upper()} " for name in names)])
    splits = split_by_speaker(both, seed=0)
    assert splits[:20].tolist() == splits[20:].tolist() == split_by_speaker(pd.Series(names), seed=0).tolist()


def test_clips_of_unknown_speakers_are_in_train():
    splits = split_by_speaker(pd.Series(["a", None, "b", "c", None, float("nan")]), seed=0)
    assert splits[[1, 4, 5]].tolist() == ["train"] * 3 and splits.notna().all()
