"""Sizes from a config: what is absurd or of another type is refused quickly, and all published encoders pass."""

import json
import time
from pathlib import Path

import pytest
from transformers import HubertConfig, Wav2Vec2Config, WavLMConfig, WhisperConfig

from paravox.modeling.bounds import check_encoder_config
from paravox.modeling.encoders import parse_encoder_config
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.tasks import Task


@pytest.mark.parametrize(
    "config",
    [
        Wav2Vec2Config(),
        Wav2Vec2Config(hidden_size=1920, num_hidden_layers=48, num_attention_heads=16, intermediate_size=7680),
        HubertConfig(hidden_size=1280, num_hidden_layers=48, num_attention_heads=16, intermediate_size=5120),
        WavLMConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096),
        WhisperConfig(d_model=1280, encoder_layers=32, encoder_attention_heads=20, encoder_ffn_dim=5120),
    ],
)
def test_published_sizes_pass(config):
    check_encoder_config(config)


@pytest.mark.parametrize(
    "fields",
    [
        {"num_hidden_layers": 10**6},
        {"hidden_size": 10**9},
        {"hidden_size": "x"},
        {"hidden_size": 65_536, "num_attention_heads": 16, "num_hidden_layers": 256, "intermediate_size": 65_536},
        {"num_attention_heads": 0},
        {"num_attention_heads": 7},
        {"conv_stride": [5, 2]},
        {"conv_stride": [0] * 7},
        {"conv_kernel": "x"},
        {"hidden_dropout": 3.0},
        {"hidden_dropout": float("nan")},
        {"layer_norm_eps": "x"},
        {"do_stable_layer_norm": "maybe"},
        {"id2label": 3},
        {"hidden_act": [1]},
        {"vocab_size": 10**9},
        {"conv_dim": ["a"] * 200_000},
    ],
)
def test_absurd_sizes_and_wrong_types_inside_encoder_config_are_refused_quickly(fields):
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        parse_encoder_config({"model_type": "hubert", **fields})
    assert time.process_time() - began < 2 and len(str(caught.value)) < 600


def test_absurd_sizes_of_a_saved_model_are_refused_quickly(saved_members):
    def with_field(file, change):
        path = f"{saved_members[0]}/{file}"
        with open(path) as opened:
            text = opened.read()
        values = json.loads(text)
        change(values)
        with open(path, "w") as opened:
            json.dump(values, opened)
        began = time.process_time()
        model = file == "config.json"
        with pytest.raises((ConfigError, CheckpointError)):
            (Burst2VecForMultiTask if model else Burst2VecFeatureExtractor).from_pretrained(saved_members[0])
        assert time.process_time() - began < 2
        with open(path, "w") as opened:
            opened.write(text)

    with_field("preprocessor_config.json", lambda values: values.update(minimum_samples=300_000_000))
    with_field("preprocessor_config.json", lambda values: values.update(max_seconds="x"))
    with_field("preprocessor_config.json", lambda values: values["front_end"].update(sampling_rate=0))
    with_field("config.json", lambda values: values["encoder"].update(num_hidden_layers=10**6))
    # Within the limits, but far more than the file of weights has.
    with_field("config.json", lambda values: values.update(projection_size=60_000, feature_size=60_000))
    with_field("config.json", lambda values: values["tasks"][0].update(labels=[f"{one}" for one in range(200_000)]))
    with_field("config.json", lambda values: values.update(adversarial="maybe"))
    Burst2VecForMultiTask.from_pretrained(saved_members[0])


def test_a_pickled_file_of_weights_is_one_sentence(saved_members, tmp_path):
    folder = Path(saved_members[0])
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        Burst2VecForMultiTask.from_pretrained(folder)
    assert not Path("ran").exists()


def test_a_model_of_paravox_given_as_encoder_is_one_sentence(saved_members):
    tasks = [Task("age", "scalar", range=(0, 1))]
    for begin in (
        lambda: Burst2VecFeatureExtractor.from_encoder(saved_members[0]),
        lambda: Burst2VecForMultiTask.from_encoder(saved_members[0], tasks),
    ):
        with pytest.raises(CheckpointError, match="is a model of paravox .burst2vec., not an encoder: .* start_from"):
            begin()
