"""The ensemble's config: plain data of its members, the way to disk and back, and what it refuses."""

import json

import pytest

from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.configuration_ensemble import Burst2VecEnsembleConfig
from paravox.modeling.configuration_prefinetuning import EncoderPreFinetuningConfig
from paravox.modeling.errors import CheckpointError, ConfigError


@pytest.fixture
def members(encoder_configs, tasks):
    return [
        Burst2VecConfig(encoder=encoder_configs["hubert_layer"], tasks=tasks, feature_size=12, layer_weights=True),
        Burst2VecConfig(encoder=encoder_configs["whisper"], tasks=tasks, adversarial=False),
    ]


def test_members_are_kept_as_plain_data(members, tasks):
    config = Burst2VecEnsembleConfig(members=members)
    assert json.loads(json.dumps(config.members)) and all(type(member) is dict for member in config.members)
    assert [member["encoder"]["model_type"] for member in config.members] == ["hubert", "whisper"]
    assert [task["name"] for task in config.tasks] == [task["name"] for task in tasks]
    assert config.tasks == members[0].tasks
    again = config.member_configs()
    assert [type(member) for member in again] == [Burst2VecConfig, Burst2VecConfig]
    for found, given in zip(again, members, strict=True):
        assert type(found.encoder) is type(given.encoder)
        assert found.encoder.to_dict() == given.encoder.to_dict()
        assert (found.feature_size, found.adversarial) == (given.feature_size, given.adversarial)
        assert found.layer_weights == given.layer_weights


def test_round_trip(members, tmp_path):
    config = Burst2VecEnsembleConfig(members=members)
    config.save_pretrained(tmp_path)
    loaded = Burst2VecEnsembleConfig.from_pretrained(tmp_path)
    assert loaded.members == config.members and loaded.tasks == config.tasks
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["model_type"] == "burst2vec_ensemble" and saved["format_version"] == 1
    assert saved["auto_map"] == {"AutoConfig": "configuration_ensemble.Burst2VecEnsembleConfig"}
    assert Burst2VecEnsembleConfig(**saved).members == config.members
    assert '"burst2vec_ensemble"' in repr(loaded)


def test_dictionaries_and_configs_give_the_same(members):
    config = Burst2VecEnsembleConfig(members=members)
    mixed = Burst2VecEnsembleConfig(members=[members[0], members[1].to_dict()])
    assert mixed.members == config.members
    bare = [{key: value for key, value in member.items() if key != "model_type"} for member in config.members]
    assert Burst2VecEnsembleConfig(members=bare).members == config.members


def test_where_members_were_opened_is_not_kept(members, tmp_path):
    folders = [tmp_path / str(number) for number in range(len(members))]
    for member, folder in zip(members, folders, strict=True):
        member.encoder.name_or_path = str(tmp_path / "encoder")
        member.save_pretrained(folder)
    opened = [Burst2VecConfig.from_pretrained(folder, name_or_path=str(folder)) for folder in folders]
    config = Burst2VecEnsembleConfig(members=opened)
    config.save_pretrained(tmp_path / "ensemble")
    assert str(tmp_path) not in (tmp_path / "ensemble" / "config.json").read_text()
    assert "auto_map" not in config.members[0]


@pytest.mark.parametrize("count", [None, 0, 1])
def test_fewer_than_two_members_are_refused(members, count):
    given = None if count is None else members[:count]
    message = f"an ensemble needs at least two members, found {count or 0}: give the configs of saved models"
    with pytest.raises(ConfigError, match=message):
        Burst2VecEnsembleConfig(members=given)


@pytest.mark.parametrize("change", ["fewer", "another order", "another range"])
def test_members_of_other_tasks_are_refused(members, tasks, change):
    tasks = {
        "fewer": tasks[:2],
        "another order": tasks[::-1],
        "another range": [tasks[0], {**tasks[1], "range": [0, 99]}, tasks[2]],
    }[change]
    other = Burst2VecConfig(encoder=members[0].encoder, tasks=tasks)
    with pytest.raises(ConfigError, match="member 3 of the ensemble has other tasks than member 1 .*average models of"):
        Burst2VecEnsembleConfig(members=[*members, other])
    members[0].name_or_path, other.name_or_path = "runs/a", "runs/b"
    with pytest.raises(ConfigError, match=r"member 3 of the ensemble \(runs/b\) has other .* ensemble \(runs/a\): "):
        Burst2VecEnsembleConfig(members=[*members, other])


def test_members_of_another_kind_are_refused(members, encoder_configs, tasks):
    pre_finetuning = EncoderPreFinetuningConfig(encoder=encoder_configs["hubert_layer"], tasks=tasks[2:])
    for stranger, found in (
        (pre_finetuning, "encoder_prefinetuning"),
        (pre_finetuning.to_dict(), "encoder_prefinetuning"),
        (Burst2VecEnsembleConfig(members=members), "burst2vec_ensemble"),
        ("runs/model", "str"),
    ):
        message = f"member 2 of the ensemble is of model_type '{found}', which cannot be averaged: give the configs"
        with pytest.raises(ConfigError, match=message):
            Burst2VecEnsembleConfig(members=[members[0], stranger])


def test_a_newer_version_is_refused(members):
    with pytest.raises(CheckpointError, match="format_version 2, this paravox knows up to 1: upgrade paravox"):
        Burst2VecEnsembleConfig(members=members, format_version=2)
    newer = {**members[1].to_dict(), "format_version": 9}
    with pytest.raises(CheckpointError, match="format_version 9, this paravox knows up to 1"):
        Burst2VecEnsembleConfig(members=[members[0], newer])
