"""A checkpoint opens whole and in its own class, or is an error; with a model of one linear layer."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedConfig

from paravox.modeling.errors import CheckpointError
from paravox.modeling.strict_loading import StrictlyLoadedModel


class LineConfig(PreTrainedConfig):
    model_type = "line"

    def __init__(self, width=3, **kwargs):
        self.width = width
        super().__init__(**kwargs)


class Line(StrictlyLoadedModel):
    config_class = LineConfig
    made_from = "to draw one use {}.through"

    def __init__(self, config):
        super().__init__(config)
        self.linear = torch.nn.Linear(config.width, 1)
        self.post_init()


@pytest.fixture
def folder(tmp_path):
    Line(LineConfig()).save_pretrained(tmp_path / "line")
    return tmp_path / "line"


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_a_whole_checkpoint_opens(folder):
    model, info = Line.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not model.training
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(weights[name], values) for name, values in model.state_dict().items())
    assert type(Line.from_pretrained(folder)) is Line


def test_missing_weights_are_named(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["linear.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"line' lacks 1 weights of Line \(linear.bias\): it is incomplete or of"):
        Line.from_pretrained(folder)


def test_weights_of_another_shape_are_named(folder):
    change_config(folder, width=4)
    with pytest.raises(CheckpointError, match=r"lacks 1 weights of Line \(linear.weight\).*save or download it again"):
        Line.from_pretrained(folder)


def test_another_class_is_refused(folder):
    change_config(folder, model_type="curve")
    message = "line' is of model_type 'curve', not 'line': open it with AutoModel, or to draw one use Line.through"
    with pytest.raises(CheckpointError, match=message):
        Line.from_pretrained(folder)


def test_what_cannot_be_read_is_named(folder, tmp_path):
    with pytest.raises(CheckpointError, match="nowhere' cannot be opened"):
        Line.from_pretrained(tmp_path / "nowhere")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="line' cannot be opened"):
        Line.from_pretrained(folder)


def test_a_model_in_a_folder_of_a_repository_is_opened_by_subfolder(tmp_path):
    model = Line(LineConfig())
    model.save_pretrained(tmp_path / "models" / "first")
    opened = Line.from_pretrained(tmp_path, subfolder="models/first")
    for name, value in model.state_dict().items():
        assert torch.equal(value, opened.state_dict()[name])
    # The checks look there, too.
    config = tmp_path / "models" / "first" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "curve"}))
    with pytest.raises(CheckpointError, match="is of model_type 'curve', not 'line'"):
        Line.from_pretrained(tmp_path, subfolder="models/first")


def test_the_folder_of_a_run_is_answered_with_the_folder_of_its_model(tmp_path):
    Line(LineConfig()).save_pretrained(tmp_path / "run" / "model")
    with pytest.raises(CheckpointError, match=r"it is the folder of a run, whose model is in '.*run/model': give that"):
        Line.from_pretrained(tmp_path / "run")
