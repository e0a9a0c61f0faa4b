"""Every model class and every encoder in bfloat16 and float16: close to float32, and float32 where it is promised."""

import numpy as np
import pytest
import torch
from transformers import pipeline

from paravox.modeling.configuration_compare import ComParEConfig
from paravox.modeling.configuration_ensemble import Burst2VecEnsembleConfig
from paravox.modeling.configuration_prefinetuning import EncoderPreFinetuningConfig, Wav2Vec2PreFinetuningConfig
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.modeling_compare import ComParEForMultiTask
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning

# The largest difference of a prediction from float32, as a share of its range: some roundings to 8 or 11 bits.
TOLERANCES = {torch.bfloat16: 0.03, torch.float16: 0.004}
ENCODERS = ("wav2vec2_group", "wav2vec2_layer", "hubert_layer", "wavlm_layer", "whisper")
CORPORA = [
    {"name": "emodb", "kind": "classes", "labels": ["anger", "joy", "fear"]},
    {"name": "ravdess", "kind": "classes", "labels": ["calm", "sad"]},
]
halves = pytest.mark.parametrize("dtype", list(TOLERANCES), ids=["bfloat16", "float16"])


def differences(model, found, expected):
    """The largest difference of each task's predictions, as a share of its range."""
    shares = {}
    for task in model.tasks.values():
        low, high = task.range or (0.0, 1.0)
        assert found[task.name].dtype == torch.float32
        shares[task.name] = float((found[task.name] - expected[task.name]).abs().max()) / (high - low)
    return shares


def assert_near(model, half, inputs, dtype):
    """Compares two models, and makes sure that they differ at all, and that the clips do."""
    with torch.no_grad():
        expected, found = model(**inputs).predictions, half(**inputs).predictions
    for task, difference in differences(model, found, expected).items():
        assert 0 < difference < TOLERANCES[dtype], (task, difference)
        assert float(expected[task].std(dim=0).max()) > 0


@pytest.fixture
def make_prefinetuning(encoder_configs):
    def make(encoder):
        is_stock = encoder == "stock"
        config_class = Wav2Vec2PreFinetuningConfig if is_stock else EncoderPreFinetuningConfig
        model_class = Wav2Vec2ForPreFinetuning if is_stock else EncoderForPreFinetuning
        config = encoder_configs["wav2vec2_layer" if is_stock else encoder]
        torch.manual_seed(0)
        return model_class(config_class(encoder=config, tasks=CORPORA, projection_size=8)).eval()

    return make


@pytest.fixture
def make_baseline(tasks):
    def make():
        torch.manual_seed(0)
        model = ComParEForMultiTask(ComParEConfig(tasks=tasks, functionals=12)).eval()
        # One functional is larger than all numbers of float16, another one varies by a thousandth.
        model.standardisation.mean[0], model.standardisation.scale[0] = 3e6, 1e5
        model.standardisation.mean[1], model.standardisation.scale[1] = 1.0, 1e-3
        # Years within their range of 20 to 39.
        torch.nn.init.constant_(model.heads["age"][-1].bias, 30.0)
        return model

    return make


@pytest.fixture
def functionals():
    values = torch.randn(6, 12, generator=torch.Generator().manual_seed(2))
    values[:, 0] = 3e6 + 1e5 * values[:, 0]
    values[:, 1] = 1.0 + 1e-3 * values[:, 1]
    return {"functionals": values}


@halves
@pytest.mark.parametrize("layer_weights", [False, True])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_burst2vec_is_near_float32(make_model, make_inputs, encoder, layer_weights, dtype):
    seconds = (0.25,) * 3 if encoder == "wav2vec2_group" else (0.25, 0.5, 0.4)
    model = make_model(encoder, layer_weights=layer_weights)
    for head in model.heads.values():
        torch.nn.init.constant_(head.bias, 0.5)  # otherwise most predictions would be clipped to 0
    half = make_model(encoder, layer_weights=layer_weights)
    half.load_state_dict(model.state_dict())
    half = half.to(dtype)
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    assert_near(model, half, make_inputs(encoder, seconds=seconds), dtype)


@halves
@pytest.mark.parametrize("encoder", ["stock", *ENCODERS])
def test_prefinetuning_is_near_float32(make_prefinetuning, make_inputs, encoder, dtype):
    inputs = make_inputs("wav2vec2_layer" if encoder == "stock" else encoder, seconds=(0.25,) * 3)
    assert_near(make_prefinetuning(encoder), make_prefinetuning(encoder).to(dtype), inputs, dtype)


@halves
def test_the_baseline_is_near_float32_and_keeps_large_functionals(make_baseline, functionals, dtype):
    half = make_baseline().to(dtype)
    assert half.heads["age"][0].weight.dtype == dtype
    assert half.standardisation.mean[0].item() == 3e6 and half.standardisation.scale[1] == torch.tensor(1e-3)
    assert {weight.dtype for weight in half.shared_layers.parameters()} == {torch.float32}
    assert_near(make_baseline(), half, functionals, dtype)


@halves
def test_an_ensemble_is_near_float32(make_model, make_baseline, make_inputs, functionals, tmp_path, dtype):
    members = [make_model("whisper"), make_model("hubert_layer", layer_weights=True), make_baseline()]
    for member in members[:2]:
        for head in member.heads.values():
            torch.nn.init.constant_(head.bias, 0.5)
    ensemble = Burst2VecEnsemble(Burst2VecEnsembleConfig(members=[member.config for member in members]), members).eval()
    ensemble.save_pretrained(tmp_path / "whole")
    log_mel, waveforms = make_inputs("whisper"), make_inputs("hubert_layer")
    inputs = {**functionals, **waveforms, "input_features": log_mel["input_features"]}
    inputs["feature_attention_mask"] = log_mel["attention_mask"]
    opened = Burst2VecEnsemble.from_pretrained(tmp_path / "whole", dtype=dtype)
    assert opened.members[0].heads["age"].weight.dtype == opened.members[2].heads["age"][0].weight.dtype == dtype
    assert opened.members[2].standardisation.mean[0].item() == 3e6
    assert_near(ensemble, opened, inputs, dtype)
    converted = Burst2VecEnsemble.from_pretrained(tmp_path / "whole").to(dtype)
    assert_near(ensemble, converted, inputs, dtype)
    converted.save_pretrained(tmp_path / "half")
    again = Burst2VecEnsemble.from_pretrained(tmp_path / "half", dtype="auto")
    assert again.members[0].heads["age"].weight.dtype == dtype
    assert_near(ensemble, again, inputs, dtype)


@halves
@pytest.mark.parametrize("encoder", ["wav2vec2_layer", "whisper"])
def test_a_folder_in_half_precision_opens_in_any(make_model, make_inputs, tmp_path, encoder, dtype):
    model = make_model(encoder)
    for head in model.heads.values():
        torch.nn.init.constant_(head.bias, 0.5)
    inputs = make_inputs(encoder)
    model.save_pretrained(tmp_path / "whole")
    opened = Burst2VecForMultiTask.from_pretrained(tmp_path / "whole", dtype=dtype)
    assert {parameter.dtype for parameter in opened.parameters()} == {dtype}
    assert_near(model, opened, inputs, dtype)
    opened.save_pretrained(tmp_path / "half")
    again = Burst2VecForMultiTask.from_pretrained(tmp_path / "half")
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    assert_near(model, again, inputs, dtype)
    auto = Burst2VecForMultiTask.from_pretrained(tmp_path / "half", dtype="auto")
    assert {parameter.dtype for parameter in auto.parameters()} == {dtype}


@halves
@pytest.mark.parametrize("task", ["emotion", "age", "country", None])
def test_losses_and_gradients_in_half_precision(make_model, make_inputs, labels, task, dtype):
    model = make_model("whisper", task_weighting="variances")
    half = make_model("whisper", task_weighting="variances").to(dtype)
    expected = model(**make_inputs("whisper"), task=task, labels=labels).loss
    found = half(**make_inputs("whisper"), task=task, labels=labels).loss
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=10 * TOLERANCES[dtype])
    found.backward()
    assert all(torch.isfinite(p.grad).all() for p in half.parameters() if p.grad is not None)


@halves
def test_frozen_lower_layers_go_on_in_half_precision(make_model, make_inputs, dtype):
    model = make_model("whisper").to(dtype)
    model.freeze_encoder(trainable_layers=1)
    inputs = make_inputs("whisper")
    with torch.no_grad():
        expected = model(**inputs).predictions
        mask = inputs["attention_mask"]
        states = model.encoder.layer_states(inputs["input_features"], mask)[1]
        frames = model.encoder.frame_mask(mask, states.shape[1])
        found = model(lower_states=states.float(), attention_mask=frames.long()).predictions
    for task, values in expected.items():
        torch.testing.assert_close(found[task], values, rtol=0, atol=0, msg=task)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("encoder", ["hubert_layer", "whisper"])
def test_the_pipeline_in_half_precision(make_model, tmp_path, encoder, dtype):
    model = make_model(encoder)
    for head in model.heads.values():
        torch.nn.init.constant_(head.bias, 0.5)
    model.save_pretrained(tmp_path)
    Burst2VecFeatureExtractor.for_config(model.config.encoder).save_pretrained(tmp_path)
    clip = (np.random.default_rng(0).normal(scale=0.1, size=8_000).astype(np.float32), 16_000)
    whole = pipeline("vocal-burst-analysis", model=str(tmp_path), dtype="float32")(clip)
    analyse = pipeline("vocal-burst-analysis", model=str(tmp_path), dtype=dtype)
    assert analyse.model.dtype == getattr(torch, dtype)
    record = analyse(clip)
    tolerance = TOLERANCES[getattr(torch, dtype)]
    assert record["age"] == pytest.approx(whole["age"], abs=19 * tolerance) and record["age"] != whole["age"]
    assert record["country"] == pytest.approx(whole["country"], abs=tolerance)
