"""Opening a saved model: what its folder holds, and what is refused."""

import json

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from paravox.modeling.errors import CheckpointError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask


@pytest.mark.parametrize("encoder", ["wav2vec2_layer", pytest.param("whisper", marks=pytest.mark.slow)])
def test_a_saved_folder_opens_where_paravox_is_absent(make_model, open_elsewhere, encoder, tmp_path):
    folder, clip = tmp_path / "model", tmp_path / "clip.wav"
    soundfile.write(clip, 0.1 * np.sin(np.arange(8_000) / 20), 16_000)
    model = make_model(encoder, layer_weights=True)
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    with torch.no_grad():
        expected = model(**extractor([str(clip)], return_tensors="pt")).predictions
    found = open_elsewhere(folder, clip)
    assert found["config"] == "Burst2VecConfig"
    assert found["module"].startswith("transformers_modules.")
    for name, values in expected.items():
        np.testing.assert_allclose(found["predictions"][name], values.numpy(), rtol=1e-5, atol=1e-6)


def test_a_saved_folder_names_no_place_and_holds_no_pickle(make_model, tmp_path):
    make_model().save_pretrained(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"model.safetensors", "config.json", "modeling_burst2vec.py", "losses.py", "encoders.py"} <= names
    assert not {name for name in names if name.endswith((".bin", ".pt", ".pkl"))}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["auto_map"] == {
        "AutoConfig": "configuration_burst2vec.Burst2VecConfig",
        "AutoModel": "modeling_burst2vec.Burst2VecForMultiTask",
    }
    assert str(tmp_path) not in (tmp_path / "config.json").read_text()


def test_missing_weights_are_an_error(make_model, tmp_path):
    make_model().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["shared_extractor.0.weight"], weights["heads.age.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError, match=r"lacks 2 weights .*heads.age.bias, shared_extractor.0.weight.*incomplete"
    ):
        Burst2VecForMultiTask.from_pretrained(tmp_path)


def test_weights_of_another_shape_are_an_error(make_model, tmp_path):
    make_model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"feature_size": 20}))
    with pytest.raises(CheckpointError, match=r"lacks \d+ weights .*of another shape"):
        Burst2VecForMultiTask.from_pretrained(tmp_path)


def test_a_checkpoint_of_another_class_is_an_error(encoders, tmp_path):
    encoders["wav2vec2_layer"].model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="is of model_type 'wav2vec2', not 'burst2vec'.*use .*from_encoder"):
        Burst2VecForMultiTask.from_pretrained(tmp_path)


def test_a_checkpoint_of_a_newer_version_is_an_error(make_model, tmp_path):
    make_model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"format_version": 99}))
    with pytest.raises(CheckpointError, match="format_version 99, this paravox knows up to 1: upgrade"):
        Burst2VecForMultiTask.from_pretrained(tmp_path)


def test_a_folder_that_is_not_there_or_lacks_its_weights_is_an_error(make_model, tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        Burst2VecForMultiTask.from_pretrained(tmp_path / "nowhere")
    make_model().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        Burst2VecForMultiTask.from_pretrained(tmp_path)


def test_truncated_weights_are_an_error(make_model, tmp_path):
    make_model().save_pretrained(tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        Burst2VecForMultiTask.from_pretrained(tmp_path)
