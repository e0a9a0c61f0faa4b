"""The study as data: how many trials there are, and which clips each is given."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from paravox.modeling.errors import ConfigError, CorpusError
from paravox.study import grid as study_module
from paravox.study.grid import StudySettings, Trial, draw_clips, read_speakers, trial_seed

CONFIGS = Path(study_module.__file__).parent / "configs"


def settings(**changes):
    fields = {
        "corpora": ["emodb", "turev"],
        "speakers": ["0001", "0011"],
        "emotions": ["neutral", "angry", "happy"],
        "shots": [2, 4, 8, 64],
    }
    return StudySettings(**(fields | changes))


def load(name):
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    return StudySettings(**{key: value for key, value in values.items() if key in StudySettings.__dataclass_fields__})


def test_the_paper_s_grid():
    grid = load("paper_few_shot").grid()
    assert len(grid) == len(set(grid)) == 33_600
    assert Counter(trial.k for trial in grid) == dict.fromkeys((2, 4, 8, 16, 24, 32, 64), 4_800)
    assert len({trial.checkpoint for trial in grid}) == 16
    languages = load("paper_few_shot").language_of
    assert languages["0010"] == "Mandarin" and languages["0011"] == "English" and len(languages) == 20


def test_the_open_grid():
    assert len(load("open_few_shot").grid()) == 15_120


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
        ({"shots": []}, "shots is .*give at least one"),
        ({"shots": [2, 2]}, "none twice"),
        ({"shots": [0]}, "each k is at least 1"),
        ({"repetitions": 0}, "repetitions is 0"),
        ({"mode": "heads"}, "mode 'heads'"),
        ({"mode": "top_layers"}, "top_layers .*goes with mode: top_layers"),
        ({"layer": "first"}, "layer 'first': use a number from 0"),
        ({"combinations": ["ased"]}, "combination 'ased' is none of none, emodb, turev, emodb\\+turev"),
    ],
)
def test_wrong_settings(changes, message):
    with pytest.raises(ConfigError, match=message):
        settings(**changes)


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
