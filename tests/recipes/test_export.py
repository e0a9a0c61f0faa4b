"""The ONNX file: what PyTorch predicts at every length, what it says of itself, and what the export refuses."""

import json
import os

import numpy as np
import pytest
import soundfile
import torch

from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.modeling.tasks import parse_tasks
from paravox.recipes import export

# Padded, alone, of one length, and the shortest that the encoders take; the example of the export has two clips.
BATCHES = [(0.9, 0.31, 0.12, 0.5), (0.9,), (0.31,), (0.4, 0.4, 0.4), (0.025,), (0.025, 1.3), (4.0,)]
# Half of the combinations; tests/slow/test_export_real.py has the other half, as an export takes seconds.
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
    """Builds a model of one layer whose predictions differ from clip to clip, few of them clipped."""

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
    """The outputs by name, by nothing but onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {name: values.numpy() for name, values in inputs.items()}), strict=True))


def agree(found, expected):
    """Within 1e-4 of 0..1, where age has a range of 19 years."""
    assert list(found) == list(expected) == ["emotion", "age", "country"]
    for task, values in expected.items():
        scale = 19 if task == "age" else 1
        np.testing.assert_allclose(found[task] / scale, values.numpy() / scale, rtol=0, atol=1e-4, err_msg=task)
        assert found[task].dtype == np.float32


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("encoder", "layer_weights"), COMBINATIONS)
def test_it_predicts_what_pytorch_predicts_at_every_length(spread_model, make_inputs, encoder, layer_weights):
    model = spread_model(encoder, layer_weights=layer_weights)
    file = export.export_onnx(model, Burst2VecFeatureExtractor.for_config(model.config.encoder), "new/model.onnx")
    assert os.listdir("new") == ["model.onnx"]
    for seed, seconds in enumerate(BATCHES):
        inputs = make_inputs(encoder, seconds=seconds, seed=seed)
        with torch.no_grad():
            expected = model(**inputs).predictions
        agree(run(file, inputs), expected)
    several = make_inputs(encoder, seconds=BATCHES[0])
    found = run(file, several)
    assert all(np.ptp(found[task], axis=0).max() > 0.02 for task in found), "clips that are all alike show nothing"
    if encoder != "wav2vec2_group":  # its statistics are over the padding too
        samples = several["attention_mask"][1].sum()
        alone = run(file, {name: values[1:2, ..., :samples] for name, values in several.items()})
        agree(alone, {task: torch.from_numpy(values[1:2]) for task, values in found.items()})


@pytest.mark.usefixtures("installed")
def test_an_ensemble_is_one_file_that_tells_of_itself(spread_model, tasks, capsys):
    for encoder in ("wav2vec2_layer", "whisper"):
        model = spread_model(encoder)
        model.save_pretrained(encoder)
        Burst2VecFeatureExtractor.for_config(model.config.encoder, target_rms_db=-3.0).save_pretrained(encoder)
    folders = ["wav2vec2_layer", "whisper"]
    ensemble = Burst2VecEnsemble.from_members(folders)
    ensemble.save_pretrained("ensemble")
    Burst2VecEnsembleFeatureExtractor.from_members(folders).save_pretrained("ensemble")

    file = export.main(["ensemble", "--output_file", "ensemble.onnx"])
    printed = capsys.readouterr()
    assert (
        "emotion, age, country from input_values, attention_mask, input_features, feature_attention_mask" in printed.out
    )
    assert float(printed.out.rsplit("padded together: ")[1].split()[0]) < 1e-4
    assert printed.err == ""

    import onnxruntime

    about = onnxruntime.InferenceSession(str(file)).get_modelmeta().custom_metadata_map
    assert json.loads(about["tasks"]) == tasks and json.loads(about["sampling_rate"]) == 16_000
    # From the file alone: its feature extractor and a recording at another rate.
    extractor = Burst2VecEnsembleFeatureExtractor.from_dict(json.loads(about["feature_extractor"]))
    soundfile.write("clip.wav", np.random.default_rng(0).normal(scale=0.1, size=11_025), 22_050)
    inputs = extractor(["clip.wav"], return_tensors="pt")
    with torch.no_grad():
        agree(run(file, inputs), ensemble(**inputs).predictions)
    # Neither the code's folder nor the user's.
    content = file.read_bytes()
    for folder in (os.getcwd(), os.path.dirname(export.__file__), os.path.dirname(torch.__file__)):
        assert folder.encode() not in content


@pytest.mark.usefixtures("installed")
def test_a_task_may_be_named_as_an_operator(spread_model, make_inputs, tasks):
    for task, name in zip(tasks, ("linear", "add", "gelu"), strict=True):
        task["name"] = name
    model = spread_model("whisper", tasks=tasks).train()
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    file = export.export_onnx(model, extractor, "model.onnx")
    assert export.check_file(model, extractor, file) < 1e-4
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
        export.check_file(model, extractor, file)


def test_differences_are_shares_of_the_range(tasks):
    first = {"emotion": np.zeros((2, 3)), "age": np.array([20.0, 30.0]), "country": np.zeros((2, 4))}
    second = first | {"age": np.array([20.0, 20.5])}
    assert export.largest_difference(parse_tasks(tasks), first, second) == pytest.approx(0.5)
    second["country"] = torch.full((2, 4), 0.75)
    assert export.largest_difference(parse_tasks(tasks), first, second) == pytest.approx(0.75)
    second["emotion"] = np.full((2, 3), np.nan)
    assert not export.largest_difference(parse_tasks(tasks), first, second) < export.TOLERANCE


@pytest.mark.parametrize("absent", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_library_is_named_with_its_extra(make_model, monkeypatch, absent):
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == absent else object())
    model = make_model()
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    with pytest.raises(ConfigError, match=rf"needs {absent}: pip install 'paravox\[onnx\]'"):
        if absent == "onnxruntime":
            export.check_file(model, extractor, "model.onnx")
        else:
            export.export_onnx(model, extractor, "model.onnx")


def test_the_export_is_refused_before_the_model_is_opened(monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"export to ONNX needs onnx and onnxscript: pip install"):
        export.main(["nowhere"])


def test_names_that_cannot_be_are_refused(make_model, tasks, tmp_path):
    model = make_model()
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    with pytest.raises(ConfigError, match="is a folder: name a file, such as .*model.onnx"):
        export.export_onnx(model, extractor, tmp_path)
    tasks[0]["name"] = "attention_mask"
    with pytest.raises(ConfigError, match="task 'attention_mask' is named like an input.*: rename the task"):
        export.export_onnx(make_model(tasks=tasks), extractor, "model.onnx")
