"""The ONNX file: it predicts as PyTorch does at every length, and the export refuses what cannot work."""

import os

import numpy as np
import pytest
import torch

from paravox.inference import onnx_export
from paravox.modeling.configuration_compare import ComParEConfig
from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_compare import ComParEFeatureExtractor
from paravox.modeling.modeling_compare import ComParEForMultiTask
from paravox.modeling.tasks import parse_tasks

# Padded, alone, of one length, and the shortest that the encoders take. The export itself uses an example of two clips.
BATCHES = [(0.9, 0.31, 0.12, 0.5), (0.9,), (0.31,), (0.4, 0.4, 0.4), (0.025,), (0.025, 1.3), (4.0,)]
# Half of the combinations. tests/slow/test_export_real.py has the other half, because an export takes seconds.
COMBINATIONS = [
    ("wav2vec2_group", True),
    ("wav2vec2_layer", False),
    ("hubert_layer", True),
    ("wavlm_layer", False),
    ("whisper", True),
]


@pytest.fixture
def installed():
    """Skips where the extra is not installed."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'paravox[onnx]'")


@pytest.fixture
def spread_model(make_model, encoder_configs):
    """Builds a model of one layer whose predictions differ between clips, with few of them clipped."""

    def make(encoder, **settings):
        encoder_configs[encoder].num_hidden_layers = encoder_configs[encoder].encoder_layers = 1
        model = make_model(encoder, **settings)
        generator = torch.Generator().manual_seed(1)
        for head in model.heads.values():
            torch.nn.init.normal_(head.weight, generator=generator)
            torch.nn.init.constant_(head.bias, 0.5)
        if model.layer_weights is not None:
            torch.nn.init.normal_(model.layer_weights.scores, generator=generator)
        return model

    return make


def run(file, inputs):
    """The outputs by name, using onnxruntime alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {name: values.numpy() for name, values in inputs.items()}), strict=True))


def agree(found, expected):
    """Asserts a difference below 1e-4 of 0..1, where age has a range of 19 years."""
    assert list(found) == list(expected) == ["emotion", "age", "country"]
    for task, values in expected.items():
        scale = 19 if task == "age" else 1
        np.testing.assert_allclose(found[task] / scale, values.numpy() / scale, rtol=0, atol=1e-4, err_msg=task)
        assert found[task].dtype == np.float32


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("encoder", "layer_weights"), COMBINATIONS)
def test_it_predicts_what_pytorch_predicts_at_every_length(spread_model, make_inputs, encoder, layer_weights):
    model = spread_model(encoder, layer_weights=layer_weights)
    file = onnx_export.export_onnx(model, Burst2VecFeatureExtractor.for_config(model.config.encoder), "new/model.onnx")
    assert os.listdir("new") == ["model.onnx"]
    for seed, seconds in enumerate(BATCHES):
        inputs = make_inputs(encoder, seconds=seconds, seed=seed)
        with torch.no_grad():
            expected = model(**inputs).predictions
        agree(run(file, inputs), expected)
    several = make_inputs(encoder, seconds=BATCHES[0])
    found = run(file, several)
    assert all(np.ptp(found[task], axis=0).max() > 0.02 for task in found), "clips with equal predictions show nothing"
    if encoder != "wav2vec2_group":  # its statistics include the padding
        samples = several["attention_mask"][1].sum()
        alone = run(file, {name: values[1:2, ..., :samples] for name, values in several.items()})
        agree(alone, {task: torch.from_numpy(values[1:2]) for task, values in found.items()})


@pytest.mark.usefixtures("installed")
def test_a_task_may_be_named_as_an_operator(spread_model, make_inputs, tasks):
    for task, name in zip(tasks, ("linear", "add", "gelu"), strict=True):
        task["name"] = name
    model = spread_model("whisper", tasks=tasks).train()
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    file = onnx_export.export_onnx(model, extractor, "model.onnx")
    assert onnx_export.check_file(model, extractor, file) < 1e-4
    assert list(run(file, make_inputs("whisper"))) == ["linear", "add", "gelu"]
    # A clip beyond Whisper's 3,000 frames is an error, not a guess.
    with pytest.raises(Exception, match="(?i)dimension|broadcast|shape"):
        run(file, make_inputs("whisper", seconds=(31.0,)))
    # The comparison finds a file of another model.
    with torch.no_grad():
        model.heads["add"].bias += 0.001
        model.heads["add"].weight.zero_()
    with pytest.raises(
        ConfigError, match=r"model.onnx differs from its model by \S+ of 0..1, expected less than 0.0001: "
    ):
        onnx_export.check_file(model, extractor, file)


def test_differences_are_shares_of_the_range(tasks):
    first = {"emotion": np.zeros((2, 3)), "age": np.array([20.0, 30.0]), "country": np.zeros((2, 4))}
    second = first | {"age": np.array([20.0, 20.5])}
    assert onnx_export.largest_difference(parse_tasks(tasks), first, second) == pytest.approx(0.5)
    second["country"] = torch.full((2, 4), 0.75)
    assert onnx_export.largest_difference(parse_tasks(tasks), first, second) == pytest.approx(0.75)
    second["emotion"] = np.full((2, 3), np.nan)
    assert not onnx_export.largest_difference(parse_tasks(tasks), first, second) < onnx_export.TOLERANCE


@pytest.mark.parametrize("absent", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_library_is_named_with_its_extra(make_model, monkeypatch, absent):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == absent else object())
    model = make_model()
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    with pytest.raises(ConfigError, match=rf"needs {absent}, which is not installed: pip install 'paravox\[onnx\]'"):
        if absent == "onnxruntime":
            onnx_export.check_file(model, extractor, "model.onnx")
        else:
            onnx_export.export_onnx(model, extractor, "model.onnx")


def test_names_that_cannot_be_are_refused(make_model, tasks, tmp_path):
    model = make_model()
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    with pytest.raises(ConfigError, match="is a folder: name a file, such as .*model.onnx"):
        onnx_export.export_onnx(model, extractor, tmp_path)
    tasks[0]["name"] = "attention_mask"
    with pytest.raises(ConfigError, match="task 'attention_mask' is named like an input.*: rename the task"):
        onnx_export.export_onnx(make_model(tasks=tasks), extractor, "model.onnx")


@pytest.mark.usefixtures("installed")
def test_the_challenges_baseline_takes_functionals(tasks):
    """Any number of clips, and functionals that are large and far from their mean."""
    generator = torch.Generator().manual_seed(0)
    model = ComParEForMultiTask(ComParEConfig(tasks=tasks)).eval()
    model.standardisation.mean.copy_(100 * torch.randn(6373, generator=generator))
    model.standardisation.scale.copy_(1000 * torch.rand(6373, generator=generator) + 1)
    torch.nn.init.constant_(model.heads["age"][-1].bias, 29.0)
    extractor = ComParEFeatureExtractor()
    file = onnx_export.export_onnx(model, extractor, "model.onnx")
    for clips in (1, 2, 7):
        functionals = 1000 * torch.randn(clips, 6373, generator=generator)
        with torch.no_grad():
            expected = model(functionals=functionals).predictions
        agree(run(file, {"functionals": functionals}), expected)
    assert onnx_export.check_file(model, extractor, file) < onnx_export.TOLERANCE
