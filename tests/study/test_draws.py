"""Which clips each trial is given."""

import zlib

import numpy as np
import pytest

from paravox.modeling.errors import CorpusError
from paravox.study.draws import draw_clips, read_speakers, trial_seed
from paravox.study.grid import StudySettings, Trial


def settings(**changes):
    fields = {
        "corpora": ["emodb", "turev"],
        "speakers": ["0001", "0011"],
        "emotions": ["neutral", "angry", "happy"],
        "shots": [2, 4, 8, 64],
    }
    return StudySettings(**(fields | changes))


@pytest.fixture
def clips(esd_folder):
    return read_speakers(settings(), esd_folder)


def test_the_parts_of_a_speaker(clips):
    drawn = draw_clips(clips, Trial("none", "0011", "angry", 4, 0), "esd", seed=0)
    rows = clips.loc[drawn.train]
    assert drawn.train_labels.tolist() == [True, True, False, False]
    assert (rows["emotion"] == "angry").tolist() == drawn.train_labels.tolist()
    assert set(rows["speaker"]) == {"0011"} and set(rows["split"]) == {"train"}
    for part, labels, split, count in (
        (drawn.evaluation, drawn.evaluation_labels, "validation", 6),
        (drawn.test, drawn.test_labels, "test", 9),
    ):
        rows = clips.loc[part]
        assert len(rows) == count and set(rows["split"]) == {split} and set(rows["speaker"]) == {"0011"}
        assert (rows["emotion"] == "angry").tolist() == labels.tolist()


def test_more_shots_are_the_fewer_ones_and_others(clips):
    for repetition in range(5):
        previous = set()
        for k in (2, 4, 8):
            drawn = set(draw_clips(clips, Trial("none", "0001", "happy", k, repetition), "esd", seed=0).train.tolist())
            assert previous < drawn and len(drawn) == k
            previous = drawn


def test_the_draw_depends_on_nothing_but_its_trial(clips, esd_folder, tmp_path):
    trial = Trial("none", "0001", "happy", 4, 1)
    drawn = clips.loc[draw_clips(clips, trial, "esd", seed=0).train, "name"].tolist()
    np.random.seed(7)
    # Other speakers or emotions in the study, another checkpoint, and the corpus in another place change nothing.
    (tmp_path / "elsewhere").symlink_to(esd_folder)
    other = read_speakers(settings(speakers=["0001"], emotions=["happy"]), str(tmp_path / "elsewhere"))
    again = other.loc[draw_clips(other, trial._replace(checkpoint="emodb"), "esd", seed=0).train, "name"].tolist()
    assert again == drawn
    draws = {
        tuple(draw_clips(clips, trial._replace(repetition=repetition), "esd", seed).train)
        for repetition in range(3)
        for seed in range(3)
    }
    assert len(draws) > 5
    assert trial_seed(trial, 0) == trial_seed(trial._replace(checkpoint="emodb"), 0) != trial_seed(trial, 1)


def test_a_trial_that_lacks_shots_says_which(clips):
    reason = draw_clips(clips, Trial("none", "0001", "happy", 64, 0), "esd", seed=0)
    assert reason == "32 clips of each needed, 4 positive and 8 negative in the train part"
    no_test = clips[(clips["split"] != "test") | (clips["emotion"] != "happy")]
    assert draw_clips(no_test, Trial("none", "0001", "happy", 2, 0), "esd", 0) == "no clip of happy in the test part"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speakers": ["0099"]}, "no clip of speaker '0099', found 0001, 0011: correct speakers"),
        ({"emotions": ["sad"]}, "no clip of emotion 'sad'"),
    ],
)
def test_what_the_corpus_lacks(changes, message, esd_folder):
    with pytest.raises(CorpusError, match=message):
        read_speakers(settings(**changes), esd_folder)


def test_the_draw_by_hand(clips):
    """As the documents describe it, so that anyone can tell which clips a published trial was given."""
    for trial in (Trial("none", "0011", "angry", 3, 2), Trial("emodb", "0001", "happy", 8, 0)):
        table = clips[(clips["speaker"] == trial.speaker) & (clips["split"] == "train")]
        generator = np.random.default_rng(
            [7, zlib.crc32(f"esd/{trial.speaker}/{trial.emotion}/{trial.repetition}".encode())]
        )
        needed = {3: 2, 8: 4}[trial.k]  # half of k, rounded up, of each
        positives = generator.permutation(table.index[table["emotion"] == trial.emotion].to_numpy())[:needed]
        negatives = generator.permutation(table.index[table["emotion"] != trial.emotion].to_numpy())[:needed]
        drawn = draw_clips(clips, trial, "esd", seed=7)
        assert drawn.train.tolist() == [*positives, *negatives]
        assert drawn.train_labels.tolist() == [True] * needed + [False] * needed


def test_the_seed_of_a_trial():
    trial = Trial("none", "0011", "angry", 3, 2)
    assert trial_seed(trial, 5) == zlib.crc32(b"5/0011/angry/3/2")


def test_clips_come_in_the_order_of_speaker_and_name(clips):
    assert clips["speaker"].is_monotonic_increasing and len(clips) == 54
    for _, own in clips.groupby("speaker"):
        assert own["name"].is_monotonic_increasing
    assert clips.loc[0, "name"] == "0001_000001" and clips.loc[0, "path"].endswith("/0001_000001.wav")
