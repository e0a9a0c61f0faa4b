"""Training with adapters: the encoder changes by matrices of low rank, and what is saved opens without PEFT."""

import numpy as np
import pytest
import torch
from little_corpora import write_metadata_corpus
from safetensors.torch import load_file
from transformers import AutoModel, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from paravox.modeling.errors import ConfigError
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.recipes.burst2vec import train
from paravox.runs import lora

peft = pytest.importorskip("peft", reason="peft is not installed: pip install 'paravox[lora]'")

TASKS = [
    {"name": "emotion", "kind": "intensities", "labels": ["awe", "fear"]},
    {"name": "age", "kind": "scalar", "range": [20, 40]},
]
RANK = 2


@pytest.fixture(params=["wav2vec2_layer", "whisper"])
def encoder(request, tiny_encoder_configs, tmp_path):
    """The folder of a saved encoder with random weights."""
    config = tiny_encoder_configs[request.param]
    front_end = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    if request.param == "whisper":
        front_end = WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    AutoModel.from_config(config).save_pretrained(tmp_path / "encoder")
    front_end.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.fixture
def settings(encoder, tmp_path):
    """A YAML file, and the options of a short run."""
    (tmp_path / "lora.yaml").write_text(f"tasks: {TASKS}\nencoder: {encoder}\nlora: {{r: {RANK}, lora_alpha: 16}}\n")
    data = write_metadata_corpus(tmp_path / "data", TASKS)
    options = ["--data_dir", str(data), "--output_dir", str(tmp_path / "run"), "--use_cpu", "true"]
    return [str(tmp_path / "lora.yaml"), *options, "--max_steps", "4", "--encoder_learning_rate", "0.01"]


def test_the_encoder_changes_by_matrices_of_low_rank(settings, encoder, tmp_path, capsys):
    train.main(settings)
    assert "parameters learn" in capsys.readouterr().out
    start = Burst2VecForMultiTask.from_encoder(str(encoder), TASKS).encoder.model.state_dict()
    # Opening is strict: a weight that is missing or left over would be an error.
    model = Burst2VecForMultiTask.from_pretrained(tmp_path / "run" / "model")
    assert not any("lora" in name for name in load_file(tmp_path / "run" / "model" / "model.safetensors"))
    changed = {}
    for name, weight in model.encoder.model.state_dict().items():
        difference = (weight - start[name]).numpy()
        if np.abs(difference).max() > 0:
            changed[name] = np.linalg.matrix_rank(difference, tol=1e-5)
    layers = len(model.encoder.layers)
    assert len(changed) == 2 * layers and set(changed.values()) <= set(range(1, RANK + 1))
    assert all(name.endswith(("q_proj.weight", "v_proj.weight")) for name in changed)


def test_the_adapter_alone_gives_the_same_encoder(settings, encoder, tmp_path):
    train.main(settings)
    merged = Burst2VecForMultiTask.from_pretrained(tmp_path / "run" / "model").encoder.model
    plain = Burst2VecForMultiTask.from_encoder(str(encoder), TASKS).encoder.model
    adapted = peft.PeftModel.from_pretrained(plain, tmp_path / "run" / lora.ADAPTER_FOLDER)
    # No folder of this machine is written down.
    assert peft.PeftConfig.from_pretrained(tmp_path / "run" / lora.ADAPTER_FOLDER).base_model_name_or_path is None
    for name, weight in adapted.merge_and_unload().state_dict().items():
        torch.testing.assert_close(weight, merged.state_dict()[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "option, message",
    [
        (["--trainable_encoder_layers", "1"], "leave trainable_encoder_layers and cache_lower_layers out"),
        (["--cache_lower_layers", "true"], "leave trainable_encoder_layers and cache_lower_layers out"),
        (["--num_train_epochs", "0", "--heads_first_epochs", "1"], "lora learns nothing if num_train_epochs is 0"),
        (["--push_to_hub", "true", "--hub_model_id", "me/name"], "set hub_strategy: end"),
        (["--lora", '{"rank": 8}'], "lora .*rank.*: give fields of peft.LoraConfig"),
        (["--lora", '{"r": 0}'], "lora .*: give fields of peft.LoraConfig"),
    ],
)
def test_what_contradicts_adapters_is_refused(option, message, settings):
    with pytest.raises(ConfigError, match=message):
        train.main([*settings, *option])


def test_an_encoder_that_would_not_use_its_adapters_is_refused(make_model):
    with pytest.raises(ConfigError, match="lora: the attention of wavlm would not use its adapters"):
        lora.add_lora(make_model("wavlm_layer"), {"r": RANK})


def test_without_peft_the_extra_is_named(settings, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ConfigError, match=r"lora needs peft, which is not installed: pip install 'paravox\[lora\]'"):
        train.main(settings)


def test_a_run_with_adapters_goes_on_from_its_checkpoint(settings, tmp_path):
    saving = ["--eval_strategy", "steps", "--eval_steps", "2", "--save_steps", "2", "--save_total_limit", "5"]
    whole = [*settings, *saving, "--load_best_model_at_end", "false"]
    train.main(whole)
    first = load_file(tmp_path / "run" / "model" / "model.safetensors")
    train.main([*whole, "--resume_from_checkpoint", str(tmp_path / "run" / "checkpoint-2")])
    again = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert first.keys() == again.keys()
    for name, weight in first.items():
        torch.testing.assert_close(again[name], weight, rtol=0, atol=1e-6)
