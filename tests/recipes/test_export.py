"""The export program: its file describes itself, and the program says how well it agrees with the model."""

import json
import os

import numpy as np
import pytest
import soundfile
import torch

from paravox.inference import onnx_export
from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.recipes import export


def test_an_ensemble_is_one_file_that_describes_itself(make_model, encoder_configs, tasks, capsys):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'paravox[onnx]'")
    for encoder in ("wav2vec2_layer", "whisper"):
        encoder_configs[encoder].num_hidden_layers = encoder_configs[encoder].encoder_layers = 1
        model = make_model(encoder)
        for head in model.heads.values():
            torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(1))
        model.save_pretrained(encoder)
        Burst2VecFeatureExtractor.for_config(model.config.encoder, target_rms_db=-3.0).save_pretrained(encoder)
    folders = ["wav2vec2_layer", "whisper"]
    ensemble = Burst2VecEnsemble.from_members(folders)
    ensemble.save_pretrained("ensemble")
    Burst2VecEnsembleFeatureExtractor.from_members(folders).save_pretrained("ensemble")

    file = export.main(["ensemble", "--output", "ensemble.onnx"])
    printed = capsys.readouterr()
    assert (
        "emotion, age, country from input_values, attention_mask, input_features, feature_attention_mask" in printed.out
    )
    assert float(printed.out.rsplit("padded together: ")[1].split()[0]) < 1e-4
    assert printed.err == ""

    import onnxruntime

    about = onnxruntime.InferenceSession(str(file)).get_modelmeta().custom_metadata_map
    assert json.loads(about["tasks"]) == tasks and json.loads(about["sampling_rate"]) == 16_000
    # The file alone gives the feature extractor, here for a recording at another rate.
    extractor = Burst2VecEnsembleFeatureExtractor.from_dict(json.loads(about["feature_extractor"]))
    soundfile.write("clip.wav", np.random.default_rng(0).normal(scale=0.1, size=11_025), 22_050)
    inputs = extractor(["clip.wav"], return_tensors="pt")
    with torch.no_grad():
        expected = ensemble(**inputs).predictions
    names = [task["name"] for task in tasks]
    values = onnxruntime.InferenceSession(str(file)).run(names, {name: part.numpy() for name, part in inputs.items()})
    for name, found in zip(names, values, strict=True):
        np.testing.assert_allclose(found, expected[name].numpy(), rtol=1e-4, atol=1e-4)
    # Neither the folder of the code nor that of the user is in it.
    content = file.read_bytes()
    for folder in (os.getcwd(), os.path.dirname(export.__file__), os.path.dirname(torch.__file__)):
        assert folder.encode() not in content


def test_the_export_is_refused_before_the_model_is_opened(monkeypatch):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"export to ONNX needs onnx, which is not installed: pip install"):
        export.main(["nowhere"])
