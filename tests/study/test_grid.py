"""The study as data: which trials there are, and settings that are refused."""

import pytest

from paravox.modeling.errors import ConfigError
from paravox.study.grid import StudySettings, Trial


def settings(**changes):
    fields = {"corpora": ["turev", "emodb"], "speakers": ["0001", "0011"], "emotions": ["angry"], "shots": [2, 4]}
    return StudySettings(**(fields | changes))


def test_the_grid_is_the_product_of_its_parts():
    study = settings(repetitions=2, baselines=["compare_2016"], combinations=["emodb+turev", "none"])
    assert study.checkpoints == ["none", "emodb+turev"]
    expected = [
        Trial(checkpoint, speaker, "angry", k, repetition)
        for checkpoint in ("none", "emodb+turev", "compare_2016")
        for speaker in ("0001", "0011")
        for k in (2, 4)
        for repetition in (0, 1)
    ]
    assert study.grid() == expected
    assert settings().checkpoints == ["none", "turev", "emodb", "emodb+turev"]


def test_languages():
    assert settings().language_of == {"0001": "Mandarin", "0011": "English"}
    languages = {"Polish": ["0011", "0012"]}
    assert settings(languages=languages).language_of == {"0011": "Polish"}
    assert settings(corpus="another").language_of == {}


def test_the_description_holds_what_the_report_needs():
    description = settings(mode="top_layers", top_layers=3, seed=4).description()
    assert description["checkpoints"] == ["none", "turev", "emodb", "emodb+turev"]
    assert description["languages"] == {"0001": "Mandarin", "0011": "English"}
    # All that a single trial depends on: a file must not hold two studies that differ in one of these.
    for name in ("mode", "top_layers", "layer", "selection", "max_epochs", "patience", "learning_rate", "batch_size"):
        assert name in description
    for name in ("warmup", "weight_decay", "max_seconds", "corpus", "seed"):
        assert name in description


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shots": []}, "shots is .*give at least one value"),
        ({"shots": [2, 2]}, "each only once"),
        ({"shots": [0]}, "each k is at least 1"),
        ({"repetitions": 0}, "repetitions is 0"),
        ({"mode": "heads"}, "mode 'heads'"),
        ({"mode": "top_layers"}, "top_layers .*is needed in mode top_layers"),
        ({"mode": "adapt", "layer": "1"}, "layer '1' is for mode head: mode adapt chooses the layer itself"),
        ({"layer": "first"}, "layer 'first': use a number from 0"),
        ({"combinations": ["ased"]}, "combination 'ased' is unknown: use one of none, turev, emodb, emodb\\+turev"),
    ],
)
def test_wrong_settings(changes, message):
    with pytest.raises(ConfigError, match=message):
        settings(**changes)
