"""Checkpoints of the grid: opened with every weight, or refused."""

import pytest
import torch

from paravox.modeling.errors import CheckpointError
from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning
from paravox.study.checkpoints import TRIAL_TASK, checkpoint_exists, model_around, open_checkpoint_model


@pytest.mark.parametrize(
    ("name", "model_class"), [("wav2vec2", Wav2Vec2ForPreFinetuning), ("whisper", EncoderForPreFinetuning)]
)
def test_a_checkpoint_is_opened_with_every_weight(saved_encoders, tmp_path, name, model_class):
    encoder = str(saved_encoders[name])
    torch.manual_seed(0)
    model = model_around(encoder, [TRIAL_TASK], projection_size=8)
    for weight in model.parameters():
        weight.data += 0.1
    model.save_pretrained(tmp_path / "emodb" / "model")
    assert not checkpoint_exists("emodb", str(tmp_path)) and checkpoint_exists("none", None)
    (tmp_path / "emodb" / "results.json").write_text("{}")  # what says that the combination is finished
    assert checkpoint_exists("emodb", str(tmp_path))
    opened = open_checkpoint_model("emodb", str(tmp_path), encoder)
    assert type(opened) is model_class and not opened.training
    assert opened.projector.out_features == 8
    for weight, value in model.state_dict().items():
        assert torch.equal(opened.state_dict()[weight], value), weight
    plain = open_checkpoint_model("none", str(tmp_path), encoder)
    assert type(plain) is model_class and plain.projector.out_features == 256 and not plain.training
    difference = plain.encoder.state_dict().items()
    assert all(not torch.equal(value, opened.encoder.state_dict()[weight]) for weight, value in difference)


def test_a_checkpoint_that_is_not_there_or_does_not_fit_is_an_error(saved_encoders, tmp_path):
    with pytest.raises(CheckpointError, match="checkpoint 'emodb': no model in .*run prefinetune.py for it first"):
        open_checkpoint_model("emodb", str(tmp_path), str(saved_encoders["whisper"]))
    (tmp_path / "emodb").mkdir()
    (tmp_path / "emodb" / "model").symlink_to(saved_encoders["whisper"])
    with pytest.raises(CheckpointError, match="holds a model of type 'whisper', expected one of"):
        open_checkpoint_model("emodb", str(tmp_path), str(saved_encoders["whisper"]))
