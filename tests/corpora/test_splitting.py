"""Corpora by name: their combinations, their splits, and how they become one."""

import pytest
from datasets import Dataset

from paravox.corpora.combinations import combination_name, merge_corpora, power_set
from paravox.corpora.registry import read_corpus
from paravox.corpora.splitting import split_clips
from paravox.modeling.errors import ConfigError, CorpusError


def test_the_power_set_of_four_has_sixteen_members():
    combinations = power_set(["d", "a", "c", "b"])
    assert len(combinations) == 16 and combinations[0] == () and combinations[-1] == ("d", "a", "c", "b")
    assert len({combination_name(combination) for combination in combinations}) == 16
    assert combination_name(()) == "none" and combination_name(("d", "a")) == combination_name(["a", "d"]) == "a+d"


def test_a_corpus_is_opened_by_its_name(open_corpora):
    clips, task = read_corpus("turev", open_corpora / "turev")
    assert len(clips) == 32 and task.name == "turev" and task.labels == ("angry", "calm", "happy", "sad")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("emo_db", {}, "corpus 'emo_db' is not known: did you mean 'emodb'"),
        ("turev", {"no_majority": "drop"}, "corpus 'turev' has no option 'no_majority': it has none"),
    ],
)
def test_what_is_not_there_is_named(open_corpora, name, options, message):
    with pytest.raises(ConfigError, match=message):
        read_corpus(name, open_corpora / "turev", **options)


def speakers_of(splits):
    return {split: set(clips["speaker"]) for split, clips in splits.items()}


def test_no_speaker_is_in_two_parts(open_corpora):
    clips, _ = read_corpus("ravdess", open_corpora / "ravdess")
    splits = split_clips(clips, folds=10, seed=3)
    parts = speakers_of(splits)
    assert set().union(*parts.values()) == {"01", "02", "03", "04"}
    assert sum(map(len, parts.values())) == 4 and sum(map(len, splits.values())) == len(clips)
    assert {split: len(speakers) for split, speakers in parts.items()} == {"train": 2, "validation": 1, "test": 1}


def test_over_all_folds_each_speaker_is_test_once(open_corpora):
    clips, _ = read_corpus("ravdess", open_corpora / "ravdess")
    tested = [speakers_of(split_clips(clips, folds=4, fold=fold))["test"] for fold in range(4)]
    assert sorted(speaker for part in tested for speaker in part) == ["01", "02", "03", "04"]


def test_sessions_stay_together_and_unknown_speakers_train():
    rows = [(f"{n}.wav", None if n == 0 else f"s{n % 6}", "x", f"session{n % 6 // 2}") for n in range(60)]
    columns = dict(zip(("path", "speaker", "emotion", "session"), map(list, zip(*rows, strict=True)), strict=True))
    splits = split_clips(Dataset.from_dict(columns), folds=3)
    sessions = {split: set(clips["session"]) for split, clips in splits.items()}
    assert sum(map(len, sessions.values())) == 3
    del columns["session"]
    assert None in split_clips(Dataset.from_dict(columns))["train"]["speaker"]


def test_random_splits_share_speakers(open_corpora):
    clips, _ = read_corpus("ravdess", open_corpora / "ravdess")
    splits = split_clips(clips, split_by="random", seed=123)
    assert {split: len(part) for split, part in splits.items()} == {"train": 51, "validation": 7, "test": 6}
    assert speakers_of(splits)["train"] & speakers_of(splits)["test"]
    paths = [path for part in splits.values() for path in part["path"]]
    assert sorted(paths) == sorted(clips["path"])


def test_a_split_of_the_corpus_stays(esd_folder):
    clips, _ = read_corpus("esd", esd_folder)
    splits = split_clips(clips)
    assert {split: len(part) for split, part in splits.items()} == {"train": 24, "validation": 12, "test": 18}


def test_impossible_splits(open_corpora):
    clips, _ = read_corpus("ravdess", open_corpora / "ravdess")
    with pytest.raises(ConfigError, match="split_by 'speakers': use speaker or random"):
        split_clips(clips, split_by="speakers")
    with pytest.raises(ConfigError, match="fold 4 of 10 with 4 speakers: give at least 3 folds, and a fold from 0 to 3"):
        split_clips(clips, fold=4)
    two = clips.filter(lambda clip: clip["speaker"] in ("01", "02"))
    with pytest.raises(CorpusError, match="2 speakers cannot be dealt out"):
        split_clips(two)


def test_merged_corpora_keep_their_labels_apart(open_corpora):
    corpora = {name: split_clips(read_corpus(name, open_corpora / name)[0]) for name in ("turev", "emodb")}
    merged = merge_corpora(corpora)
    for split, clips in merged.items():
        assert len(clips) == len(corpora["turev"][split]) + len(corpora["emodb"][split])
        # The clips of the first corpus, in their order, then those of the second.
        assert clips["path"][:] == [*corpora["turev"][split]["path"], *corpora["emodb"][split]["path"]]
        for turev, emodb, path in zip(clips["turev"], clips["emodb"], clips["path"], strict=True):
            assert (turev is None) == ("emodb" in path) and (emodb is None) == ("turev" in path)
