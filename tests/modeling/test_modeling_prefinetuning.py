"""The models of pre-finetuning: scaled losses, names and numbers as in the stock class, saving and loading."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, Wav2Vec2Config, Wav2Vec2ForSequenceClassification, Wav2Vec2Model

from paravox.modeling.configuration_prefinetuning import EncoderPreFinetuningConfig, Wav2Vec2PreFinetuningConfig
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning

TASKS = [
    {"name": "emodb", "kind": "classes", "labels": ["anger", "fear", "joy"]},
    {"name": "turev", "kind": "classes", "labels": ["angry", "calm", "happy", "sad"]},
]


@pytest.fixture
def make(encoder_configs):
    def make(encoder="wav2vec2_layer", seed=0, **settings):
        model_class = Wav2Vec2ForPreFinetuning if encoder.startswith("wav2vec2") else EncoderForPreFinetuning
        settings = {"encoder": encoder_configs[encoder], "tasks": TASKS, "projection_size": 16} | settings
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return model_class(model_class.config_class(**settings)).eval()

    return make


@pytest.mark.parametrize("encoder", ["wav2vec2_layer", "hubert_layer", "whisper"])
@pytest.mark.parametrize("task", ["emodb", "turev"])
def test_the_loss_is_cross_entropy_over_log_n(make, make_inputs, encoder, task):
    model, labels = make(encoder), torch.tensor([0, 2, 1, -100, 2, 0])
    inputs = make_inputs(encoder)
    output = model(**inputs, task=task, labels={task: labels})
    known = labels != -100
    expected = torch.nn.functional.cross_entropy(output.logits[task][known], labels[known])
    classes = len(model.tasks[task].labels)
    torch.testing.assert_close(output.loss, expected / math.log(classes))
    torch.testing.assert_close(output.loss_terms["cross_entropy"], expected)
    # Guessing evenly costs 1 whatever the number of classes.
    even = torch.zeros(6, classes)
    torch.testing.assert_close(model.task_loss(task, even, labels), torch.tensor(1.0))


@pytest.mark.parametrize("encoder", ["wav2vec2_layer", "hubert_layer", "whisper"])
def test_a_padded_batch_equals_its_clips_alone(make, make_inputs, encoder):
    model, seconds = make(encoder), (0.3, 0.5, 0.4)
    inputs = make_inputs(encoder, seconds)
    name = model.main_input_name
    together = model(**inputs).logits["turev"]
    for row, length in enumerate(inputs["attention_mask"].sum(dim=1).tolist()):
        alone = model(**{name: inputs[name][row : row + 1, ..., :length]}).logits["turev"]
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-4)


def test_names_are_the_stock_class_s(make):
    model = make()
    stock = Wav2Vec2ForSequenceClassification(model.config.encoder)
    names = {name for name in model.state_dict() if not name.startswith("heads.")}
    assert names == {name for name in stock.state_dict() if not name.startswith("classifier.")}
    assert {name for name in model.state_dict() if name.startswith("heads.")} == {
        f"heads.{task}.{part}" for task in ("emodb", "turev") for part in ("weight", "bias")
    }


@pytest.mark.parametrize("encoder", ["wav2vec2_layer", "wav2vec2_group"])
def test_the_exported_folder_gives_equal_logits_in_the_stock_class(make, make_inputs, encoder, tmp_path):
    model = make(encoder)
    model.save_for_sequence_classification("turev", tmp_path)
    stock, info = Wav2Vec2ForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert list(stock.config.id2label.values()) == TASKS[1]["labels"]
    inputs = make_inputs(encoder, (0.4, 0.6))
    torch.testing.assert_close(stock(**inputs).logits, model(**inputs).logits["turev"], atol=1e-6, rtol=1e-5)
    for name, value in stock.wav2vec2.state_dict().items():
        assert torch.equal(value, model.wav2vec2.state_dict()[name]), name


def test_the_exported_folder_pools_the_last_layer_whatever_the_encoder_s_config_says(make, make_inputs, tmp_path):
    model = make()
    model.config.encoder.use_weighted_layer_sum = True
    model.save_for_sequence_classification("turev", tmp_path)
    stock = Wav2Vec2ForSequenceClassification.from_pretrained(tmp_path)
    inputs = make_inputs("wav2vec2_layer", (0.4, 0.6))
    torch.testing.assert_close(stock(**inputs).logits, model(**inputs).logits["turev"], atol=1e-6, rtol=1e-5)


def test_no_head_no_export(make, tmp_path):
    with pytest.raises(ConfigError, match="no head for 'ased': choose one of emodb, turev"):
        make().save_for_sequence_classification("ased", tmp_path)


@pytest.mark.parametrize("encoder", ["wav2vec2_layer", "hubert_layer", "whisper"])
def test_saved_and_opened_by_the_auto_classes(make, make_inputs, encoder, tmp_path):
    model = make(encoder)
    model.save_pretrained(tmp_path)
    opened = AutoModel.from_pretrained(tmp_path)
    assert type(opened) is type(model) and type(AutoConfig.from_pretrained(tmp_path)) is type(model.config)
    for name, value in model.state_dict().items():
        assert torch.equal(value, opened.state_dict()[name]), name
    inputs = make_inputs(encoder)
    torch.testing.assert_close(opened(**inputs).logits, model(**inputs).logits)


@pytest.mark.parametrize("encoder", ["wav2vec2_group", "wav2vec2_layer", "hubert_layer", "wavlm_layer", "whisper"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_model_may_use_any_hidden_state_of_its_encoder(make, make_inputs, encoder, layer, tmp_path):
    make(encoder, layer=layer).save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path)
    inputs = make_inputs(encoder, (0.3, 0.3))
    values = inputs[model.main_input_name]
    stock = model.encoder.model
    if encoder == "whisper":  # which takes 3,000 frames and no others
        states = model.encoder.layer_states(values, inputs["attention_mask"])[layer]
    else:
        # Whether the norm behind the last layer is in its hidden state depends on the version of Transformers.
        output = stock(values, output_hidden_states=True)
        states = output.last_hidden_state if layer == 2 else output.hidden_states[layer]
    expected = model.heads["emodb"](model.projector(states.mean(dim=1)))
    torch.testing.assert_close(model(**inputs).logits["emodb"], expected, atol=1e-5, rtol=1e-4)


def test_a_saved_model_without_a_layer_uses_the_output(make, make_inputs, tmp_path):
    model = make("whisper")
    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved.pop("layer", None) is None  # as in models of earlier versions
    (tmp_path / "config.json").write_text(json.dumps(saved))
    inputs = make_inputs("whisper")
    expected = model.encoder.last_state(inputs["input_features"], inputs["attention_mask"]).mean(dim=1)
    found = AutoModel.from_pretrained(tmp_path)(**inputs).pooled_states
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_layer_that_the_encoder_lacks_is_refused(make):
    for layer in (3, -1, 1.0, True):
        with pytest.raises(ConfigError, match=f"layer is {layer!r}: give a whole number from 0 to 2"):
            make(layer=layer)


@pytest.mark.parametrize("layer", [1, 2])
def test_stored_states_of_lower_layers_give_the_same(make, make_inputs, layer):
    model, inputs = make("whisper", layer=layer), make_inputs("whisper")
    model.freeze_encoder(1)
    states = model.encoder.layer_states(inputs["input_features"], inputs["attention_mask"])
    mask = model.encoder.frame_mask(inputs["attention_mask"], states[0].shape[1])
    stored = model(lower_states=states[1], attention_mask=mask.long()).logits["emodb"]
    torch.testing.assert_close(stored, model(**inputs).logits["emodb"], atol=1e-5, rtol=1e-4)
    lower = make("whisper", layer=0)
    lower.freeze_encoder(1)
    with pytest.raises(ConfigError, match="lower_states of 1 layers lie above the hidden state 0"):
        lower(lower_states=states[1], attention_mask=mask.long())


def test_a_model_of_a_lower_layer_is_no_sequence_classifier(make, tmp_path):
    with pytest.raises(ConfigError, match="uses hidden state 1 of its encoder"):
        make(layer=1).save_for_sequence_classification("turev", tmp_path)


@pytest.mark.slow
def test_a_saved_folder_opens_where_paravox_is_absent(make, make_inputs, tmp_path):
    model = make()
    model.save_pretrained(tmp_path / "model")
    torch.save(make_inputs(), tmp_path / "inputs.pt")
    script = (
        "import sys, torch\n"
        "sys.path = [p for p in sys.path if p not in ('', sys.argv[2])]\n"
        "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder).lower()]\n"
        "from transformers import AutoModel\n"
        "model = AutoModel.from_pretrained(sys.argv[1] + '/model', trust_remote_code=True)\n"
        "try:\n    import paravox\n    sys.exit('paravox can be imported here')\nexcept ImportError: pass\n"
        "torch.save(model(**torch.load(sys.argv[1] + '/inputs.pt')).logits, sys.argv[1] + '/logits.pt')"
    )
    root = str(Path(__file__).resolve().parents[2])
    environment = {"PATH": "/usr/bin:/bin", "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), root],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt"), model(**make_inputs()).logits)


def test_a_stock_folder_opens_as_before(make, tmp_path):
    stock = Wav2Vec2Model(make().config.encoder)
    stock.save_pretrained(tmp_path)
    opened = AutoModel.from_pretrained(tmp_path)
    assert type(opened) is Wav2Vec2Model and type(opened.config) is Wav2Vec2Config


@pytest.mark.parametrize("encoder", ["wav2vec2_layer", "whisper"])
def test_from_encoder_takes_every_weight(encoders, make, encoder, tmp_path):
    source = encoders[encoder].model
    source.save_pretrained(tmp_path)
    model = type(make(encoder)).from_encoder(str(tmp_path), tasks=TASKS)
    for name, value in source.state_dict().items():
        assert torch.equal(value, model.encoder.model.state_dict()[name]), name
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_checkpoint_of_another_shape_is_an_error(make, encoder_configs, tmp_path):
    make().save_pretrained(tmp_path)
    encoder_configs["wav2vec2_layer"].intermediate_size = 48
    config = Wav2Vec2PreFinetuningConfig(encoder=encoder_configs["wav2vec2_layer"], tasks=TASKS, projection_size=16)
    with pytest.raises(CheckpointError, match="lacks 6 weights of Wav2Vec2ForPreFinetuning"):
        Wav2Vec2ForPreFinetuning.from_pretrained(tmp_path, config=config)
    with pytest.raises(CheckpointError, match="of model_type 'wav2vec2_prefinetuning', not 'encoder_prefinetuning'"):
        EncoderForPreFinetuning.from_pretrained(tmp_path)


@pytest.mark.parametrize("encoder", ["wav2vec2_layer", "wav2vec2_group", "hubert_layer", "whisper"])
def test_states_of_frozen_lower_layers_stand_for_the_input(make, make_inputs, encoder):
    model = make(encoder)
    model.freeze_encoder(trainable_layers=1)
    assert model.frozen_lower_layers == 1
    inputs, labels = make_inputs(encoder, (0.4, 0.6)), torch.tensor([1, 2])
    mask = inputs["attention_mask"]
    states = model.encoder.layer_states(inputs[model.main_input_name], mask)
    lower = states[1].detach()
    frame_mask = model.encoder.frame_mask(mask, lower.shape[1]).long()
    expected = model(**inputs, task="emodb", labels={"emodb": labels})
    output = model(lower_states=lower, attention_mask=frame_mask, task="emodb", labels={"emodb": labels})
    torch.testing.assert_close(output.logits, expected.logits, atol=1e-6, rtol=1e-5)
    expected.loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    output.loss.backward()
    assert any("layers.1." in name for name in gradients)
    for name, gradient in gradients.items():
        torch.testing.assert_close(dict(model.named_parameters())[name].grad, gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_wavlm_cannot_run_its_upper_layers_alone(encoders):
    with pytest.raises(ConfigError, match="WavLM's upper layers .* turn cache_lower_layers off"):
        encoders["wavlm_layer"].upper_states(torch.zeros(1, 2, 32), torch.ones(1, 2, dtype=torch.bool), 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": [{"name": "age", "kind": "scalar", "range": [0, 1]}]}, "task 'age' is of kind 'scalar'"),
        ({"projection_size": 0}, "projection_size is 0"),
    ],
)
def test_wrong_settings(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make(**settings)


def test_each_class_takes_its_encoders(encoder_configs):
    with pytest.raises(ConfigError, match="takes a wav2vec2 encoder, found 'whisper': use EncoderForPreFinetuning"):
        Wav2Vec2PreFinetuningConfig(encoder=encoder_configs["whisper"], tasks=TASKS)
    with pytest.raises(CheckpointError, match="format_version 99"):
        EncoderPreFinetuningConfig(encoder=encoder_configs["whisper"], tasks=TASKS, format_version=99)
    with pytest.raises(ConfigError, match="the config needs an encoder"):
        EncoderPreFinetuningConfig(tasks=TASKS)


def test_the_paper_s_encoder_has_94_million_parameters():
    with torch.device("meta"):
        model = Wav2Vec2ForPreFinetuning(Wav2Vec2PreFinetuningConfig(encoder=Wav2Vec2Config(), tasks=TASKS))
    encoder = sum(parameter.numel() for parameter in model.wav2vec2.parameters())
    assert round(encoder / 1e6, 1) == 94.4
