"""The config: its defaults, the way to disk and back, and what it refuses."""

import json

import pytest
from transformers import BertConfig, Wav2Vec2Config

from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.errors import CheckpointError, ConfigError


def test_defaults_are_those_of_the_paper(encoder_configs, tasks):
    config = Burst2VecConfig(encoder=encoder_configs["hubert_layer"], tasks=tasks)
    assert (config.projection_size, config.feature_size) == (256, 256)
    assert config.adversarial and not config.layer_weights
    assert (config.discriminator_weight, config.adversarial_weight) == (0.5, 0.25)
    assert config.adversarial_scope == "encoder"
    assert [task["loss"] for task in config.tasks] == ["ccc", "mae", "cross_entropy"]


@pytest.mark.parametrize("name", ["wav2vec2_group", "hubert_layer", "wavlm_layer", "whisper"])
def test_round_trip(encoder_configs, tasks, tmp_path, name):
    config = Burst2VecConfig(
        encoder=encoder_configs[name],
        tasks=tasks,
        projection_size=7,
        feature_size=5,
        dropout=0.2,
        discriminator_weight=0.1,
        adversarial_weight=0.0,
        adversarial_scope="extractor",
        gradient_reversal=False,
        layer_weights=True,
        task_weighting="variances",
    )
    config.save_pretrained(tmp_path)
    loaded = Burst2VecConfig.from_pretrained(tmp_path)
    assert type(loaded.encoder) is type(config.encoder)
    ignored = ("transformers_version", "_name_or_path", "dtype", "auto_map")
    saved, found = (
        {key: value for key, value in which.to_dict().items() if key not in ignored} for which in (config, loaded)
    )
    assert found == saved
    assert found["projection_size"] == 7 and found["encoder"]["model_type"] == encoder_configs[name].model_type
    assert str(tmp_path) not in (tmp_path / "config.json").read_text()
    assert json.loads((tmp_path / "config.json").read_text())["format_version"] == 1


def test_task_weighting_replaces_a_field_of_older_models(encoder_configs, tasks):
    encoder = encoder_configs["hubert_layer"]
    older = {old: Burst2VecConfig(encoder=encoder, tasks=tasks, uncertainty_weighting=old) for old in (False, True)}
    assert {old: config.task_weighting for old, config in older.items()} == {False: "equal", True: "variances"}
    assert "uncertainty_weighting" not in older[True].to_dict()


def test_an_encoder_may_be_a_dictionary(tasks):
    config = Burst2VecConfig(encoder={"model_type": "wav2vec2", "hidden_size": 48}, tasks=tasks)
    assert isinstance(config.encoder, Wav2Vec2Config) and config.encoder.hidden_size == 48


def test_it_can_be_shown(encoder_configs, tasks):
    assert '"adversarial_scope": "encoder"' in repr(Burst2VecConfig(encoder=encoder_configs["whisper"], tasks=tasks))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task_weighting": "learned"}, "task_weighting 'learned': use equal or variances"),
        ({"adversarial": False, "gradient_reversal": False}, "set only one of the two to false"),
        ({"encoder": None}, "needs an encoder: pass the config of one, such as HubertConfig()"),
        ({"encoder": BertConfig()}, "model_type 'bert' is not supported"),
        ({"encoder": {"hidden_size": 48}}, "model_type None is not supported"),
        (
            {"encoder": {"model_type": "wave2vec"}},
            "model_type 'wave2vec' is not supported: use one of wav2vec2, hubert, wavlm, whisper",
        ),
        ({"tasks": None}, "no tasks given"),
        ({"tasks": [{"name": "age", "kind": "number"}]}, "kind 'number' is not one of"),
        ({"projection_size": 0}, "projection_size is 0: give a whole number from 1"),
        ({"feature_size": "wide"}, "feature_size is 'wide': give a whole number"),
        ({"dropout": -0.1}, "dropout is -0.1: give a number"),
        ({"discriminator_weight": -1}, "discriminator_weight is -1: give a number of at least 0"),
        ({"adversarial_weight": float("nan")}, "adversarial_weight is nan: give a number"),
        ({"adversarial_weight": True}, "adversarial_weight is True: give a number"),
        ({"adversarial_scope": "everything"}, "adversarial_scope 'everything': use encoder or extractor"),
        ({"layer_weights": True, "encoder": Wav2Vec2Config(layerdrop=0.1)}, "encoder's layerdrop is 0.1: set it to 0"),
    ],
)
def test_what_it_refuses(encoder_configs, tasks, settings, message):
    with pytest.raises(ConfigError, match=message):
        Burst2VecConfig(**{"encoder": encoder_configs["hubert_layer"], "tasks": tasks, **settings})


def test_a_newer_version_is_refused(encoder_configs, tasks):
    with pytest.raises(CheckpointError, match="format_version 2, this paravox knows up to 1: upgrade paravox"):
        Burst2VecConfig(encoder=encoder_configs["hubert_layer"], tasks=tasks, format_version=2)
