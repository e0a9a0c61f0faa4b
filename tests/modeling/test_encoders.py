"""Encoders: frames, masks and padding, equality with the classes of Transformers, weights, and how to add one."""

import ast
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from halving_front_end import HalvingFrontEnd
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    BertConfig,
    HubertForCTC,
    HubertForSequenceClassification,
    HubertModel,
    UniSpeechConfig,
    UniSpeechModel,
    Wav2Vec2ForCTC,
    Wav2Vec2ForPreTraining,
    Wav2Vec2ForSequenceClassification,
    Wav2Vec2Model,
    WavLMForCTC,
    WavLMModel,
    WhisperForAudioClassification,
    WhisperForConditionalGeneration,
    WhisperModel,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

import paravox
from paravox import modeling, trainers
from paravox.modeling.encoder_loading import load_encoder_config, load_encoder_weights
from paravox.modeling.encoders import ENCODER_CLASSES, WaveformEncoder, build_encoder, encoder_class
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask

ALL = ("wav2vec2_group", "wav2vec2_layer", "hubert_layer", "wavlm_layer", "whisper")
PADDING_SAFE = ("wav2vec2_layer", "hubert_layer", "wavlm_layer", "whisper")

# Measured in float32: about 5e-7. What is left comes from the order of sums.
PADDING_TOLERANCE = 1e-5


def run(encoder, batch):
    """The states of every layer and the mask of the real frames."""
    inputs, mask = batch[encoder.input_name], batch["attention_mask"]
    states = encoder.layer_states(inputs, mask)
    return states, encoder.frame_mask(mask, states[0].shape[1])


def single(batch, name, row):
    length = int(batch["attention_mask"][row].sum())
    return {name: batch[name][row : row + 1, ..., :length], "attention_mask": torch.ones(1, length, dtype=torch.long)}


def padding_differences(encoder, batch):
    """The relative difference of each clip's real frames, every layer, from those of the clip alone."""
    differences = []
    together, mask = run(encoder, batch)
    for row in range(len(mask)):
        alone, own_mask = run(encoder, single(batch, encoder.input_name, row))
        assert own_mask.all() and own_mask.shape[1] == mask[row].sum()
        for in_batch, by_itself in zip(together, alone, strict=True):
            expected = by_itself[0]
            differences.append(((in_batch[row][mask[row]] - expected).norm() / expected.norm()).item())
    return differences


@pytest.mark.parametrize("name", PADDING_SAFE)
def test_a_padded_batch_equals_its_single_clips(encoders, make_inputs, name):
    batch = make_inputs(name, seconds=(1.0, 0.33, 0.025, 0.77, 0.5))
    with torch.no_grad():
        assert max(padding_differences(encoders[name], batch)) < PADDING_TOLERANCE


def test_whisper_does_not_see_what_stands_in_the_padding(encoders, make_inputs):
    # Log-mel frames of silence are not zeros: the seam zeroes padded frames itself, before each convolution.
    batch = make_inputs("whisper", seconds=(1.0, 0.33))
    batch["input_features"][1, :, 33:] = -1.5
    with torch.no_grad():
        assert max(padding_differences(encoders["whisper"], batch)) < PADDING_TOLERANCE


def test_group_norm_sees_the_padding(encoders, make_inputs):
    # The statistics of its first layer run over the padded clip, whatever the mask.
    encoder = encoders["wav2vec2_group"]
    with torch.no_grad():
        differences = padding_differences(encoder, make_inputs("wav2vec2_group", seconds=(1.0, 0.3)))
        assert max(differences[:3]) < PADDING_TOLERANCE  # the longest clip has no padding
        assert min(differences[3:]) > 0.01
        # The means to avoid it: batches of equal length, or of one clip.
        equal = padding_differences(encoder, make_inputs("wav2vec2_group", seconds=(0.3, 0.3)))
        one = padding_differences(encoder, make_inputs("wav2vec2_group", seconds=(0.3,)))
    assert max(equal + one) < PADDING_TOLERANCE


@pytest.mark.parametrize("name", ALL)
def test_the_mask_counts_the_real_frames(encoders, make_inputs, name):
    seconds = (1.0, 0.5, 0.025)
    states, mask = run(encoders[name], make_inputs(name, seconds=seconds))
    # 320 samples a frame, the first needs 400; Whisper has 100 mel frames a second, halved and rounded up.
    expected = [50, 25, 1] if name == "whisper" else [49, 24, 1]
    assert mask.dtype == torch.bool
    assert mask.sum(dim=1).tolist() == expected
    assert mask.shape == states[0].shape[:2] == (3, expected[0])
    assert all(row[:count].all() for row, count in zip(mask, expected, strict=True))


@pytest.mark.parametrize("name", ALL)
def test_layer_states(encoders, make_inputs, name):
    encoder, batch = encoders[name], make_inputs(name, seconds=(0.5, 0.4))
    states, _ = run(encoder, batch)
    assert len(states) == len(encoder.layers) + 1 == 3
    assert all(state.shape[2] == encoder.hidden_size == 32 for state in states)
    torch.testing.assert_close(encoder.last_state(batch[encoder.input_name], batch["attention_mask"]), states[-1])
    assert not torch.allclose(states[0], states[1]) and not torch.allclose(states[1], states[2])


@pytest.mark.parametrize("name", ALL[:-1])
def test_waveform_states_are_those_of_the_stock_model(encoders, make_inputs, name):
    encoder, batch = encoders[name], make_inputs(name, seconds=(0.5, 0.4))
    stock = encoder.model(batch["input_values"], attention_mask=batch["attention_mask"], output_hidden_states=True)
    states, _ = run(encoder, batch)
    for state, expected in zip(states, (*stock.hidden_states[:-1], stock.last_hidden_state), strict=True):
        torch.testing.assert_close(state, expected)


@pytest.mark.parametrize("lower", [0, 1])
@pytest.mark.parametrize("name", ALL)
def test_upper_layers_run_on_stored_states_or_say_that_they_do_not(encoders, make_inputs, name, lower):
    encoder = encoders[name]
    states, mask = run(encoder, make_inputs(name, seconds=(0.5, 0.4)))
    assert encoder.layers_run_alone == (name != "wavlm_layer")
    if encoder.layers_run_alone:
        for state, expected in zip(encoder.upper_states(states[lower], mask, lower), states[lower + 1 :], strict=True):
            torch.testing.assert_close(state[mask], expected[mask])
    else:
        with pytest.raises(ConfigError, match="WavLM's upper layers cannot run without its first one"):
            encoder.upper_states(states[lower], mask, lower)


@pytest.mark.parametrize("name", ["wav2vec2_layer", "hubert_layer", "whisper"])
def test_layerdrop_skips_layers_in_training_alone(encoder_configs, make_inputs, name):
    setattr(encoder_configs[name], "encoder_layerdrop" if name == "whisper" else "layerdrop", 0.3)
    encoder = build_encoder(encoder_configs[name])
    encoder.eval()
    batch = make_inputs(name, seconds=(0.3,))
    with torch.no_grad():
        before, mask = run(encoder, batch)
        assert not torch.equal(before[0], before[1])
        encoder.train()
        torch.manual_seed(0)
        skipped = [torch.equal(encoder.upper_states(before[0], mask, 0)[0], before[0]) for _ in range(400)]
    # Five standard deviations of a binomial draw.
    assert abs(np.mean(skipped) - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 400)


def test_whisper_s_embeddings_are_dropped_out_in_training_alone(encoder_configs, make_inputs):
    encoder_configs["whisper"].dropout = 0.25
    encoder, batch = build_encoder(encoder_configs["whisper"]), make_inputs("whisper", seconds=(1.0,))
    whole = run(encoder.eval(), batch)[0][0]
    dropped = run(encoder.train(), batch)[0][0]
    kept = dropped != 0
    assert abs(kept.float().mean() - 0.75) < 0.05
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.75)


@pytest.mark.parametrize("name", ALL)
def test_layers_and_output_norm_are_the_encoders_own(encoders, name):
    encoder = encoders[name]
    assert len(encoder.layers) == 2
    if name == "wav2vec2_group":
        assert encoder.output_norm is None
    else:
        assert encoder.output_norm in list(encoder.model.modules())


def test_whisper_equals_the_stock_encoder_at_30_seconds(encoders, make_inputs):
    encoder = encoders["whisper"]
    batch = make_inputs("whisper", seconds=(30.0, 30.0))
    with torch.no_grad():
        states, mask = run(encoder, batch)
        stock = encoder.model(batch["input_features"], output_hidden_states=True)
    assert mask.all() and states[-1].shape == (2, 1500, 32)
    torch.testing.assert_close(states[-1], stock.last_hidden_state, rtol=0, atol=1e-5)
    torch.testing.assert_close(states[0], stock.hidden_states[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(states[1], stock.hidden_states[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("mel_frames", [2, 80, 400])
def test_whisper_equals_a_stock_encoder_cut_to_a_short_input(encoders, encoder_configs, make_inputs, mel_frames):
    # The stock class takes one length only, that of its positions: one with fewer positions takes a short clip.
    encoder, config = encoders["whisper"], encoder_configs["whisper"]
    config.max_source_positions = mel_frames // 2
    stock = WhisperEncoder(config).eval()
    weights = encoder.model.state_dict()
    weights["embed_positions.weight"] = weights["embed_positions.weight"][: mel_frames // 2]
    stock.load_state_dict(weights)
    batch = make_inputs("whisper", seconds=(mel_frames / 100,) * 2)
    with torch.no_grad():
        states, _ = run(encoder, batch)
        expected = stock(batch["input_features"]).last_hidden_state
    assert states[-1].shape == (2, mel_frames // 2, 32)
    torch.testing.assert_close(states[-1], expected, rtol=0, atol=1e-5)


def test_whisper_refuses_more_than_its_positions(encoders, make_inputs):
    batch = make_inputs("whisper", seconds=(30.02,))
    with pytest.raises(ConfigError, match="3002 mel frames is longer than the 3000.*set max_seconds to 30"):
        run(encoders["whisper"], batch)


@pytest.mark.parametrize("name", ALL[:-1])
def test_minimum_samples_gives_one_frame_and_one_less_does_not(encoders, encoder_configs, name):
    samples = encoders[name].minimum_samples(encoder_configs[name])
    assert samples == 400
    model = encoders[name].model
    assert model.feature_extractor(torch.zeros(1, samples)).shape[-1] == 1
    with pytest.raises(RuntimeError):
        model.feature_extractor(torch.zeros(1, samples - 1))


def test_minimum_samples_follows_the_convolutions(encoder_configs):
    config = encoder_configs["hubert_layer"]
    config.conv_kernel, config.conv_stride, config.conv_dim = (10, 3), (5, 2), (16, 16)
    # Three outputs of the first convolution, five samples apart, ten samples each.
    assert encoder_class("hubert").minimum_samples(config) == 20
    assert encoder_class("whisper").minimum_samples(encoder_configs["whisper"]) == 400


@pytest.mark.parametrize("name", ALL[:-1])
def test_a_short_batch_trains_with_spec_augment(encoder_configs, make_inputs, name):
    config = encoder_configs[name]
    config.mask_time_prob, config.mask_time_length, config.apply_spec_augment = 0.5, 10, True
    encoder = build_encoder(config).train()
    batch = make_inputs(name, seconds=(0.025, 0.1))
    with pytest.raises(ValueError, match="mask_length"):  # what the stock model does with it
        encoder.model(batch["input_values"], attention_mask=batch["attention_mask"])
    states, mask = run(encoder, batch)
    assert mask.sum(dim=1).tolist() == [1, 4]
    assert all(torch.isfinite(state).all() for state in states)
    encoder.eval()
    states, _ = run(encoder, batch)
    assert states[0].shape[1] == 4


def test_whisper_masks_time_and_mel_bins_in_training_alone(encoder_configs, make_inputs):
    config = encoder_configs["whisper"]
    config.apply_spec_augment, config.mask_time_prob, config.mask_time_length = True, 0.5, 10
    config.mask_feature_prob, config.mask_feature_length = 0.5, 10
    encoder = build_encoder(config).train()
    batch = make_inputs("whisper", seconds=(0.6, 0.6))
    seen = []
    encoder.model.conv1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    given = batch["input_features"].clone()
    np.random.seed(0)
    run(encoder, batch)
    masked = seen[-1] == 0
    assert masked.all(dim=1).any() and masked.all(dim=2).any() and not masked.all()
    assert torch.equal(batch["input_features"], given)
    run(encoder, make_inputs("whisper", seconds=(0.1,)))  # no longer than one mask
    assert not (seen[-1] == 0).any()
    run(encoder.eval(), batch)
    assert torch.equal(seen[-1], given)


def test_a_config_is_copied_and_not_changed(encoder_configs):
    for config in encoder_configs.values():
        before = config.to_dict()
        encoder = build_encoder(config)
        assert encoder.model.config is not config and config.to_dict() == before


def test_another_architecture_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match="model_type 'bert' is not supported: use one of wav2vec2, hubert, wavlm, whisper"
    ):
        build_encoder(BertConfig())
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="model_type 'bert'"):
        load_encoder_config(tmp_path)


SOURCES = [
    ("wav2vec2_group", Wav2Vec2Model, ""),
    ("wav2vec2_layer", Wav2Vec2Model, ""),
    ("wav2vec2_group", Wav2Vec2ForCTC, "wav2vec2."),
    ("wav2vec2_layer", Wav2Vec2ForCTC, "wav2vec2."),
    ("wav2vec2_group", Wav2Vec2ForPreTraining, "wav2vec2."),
    ("wav2vec2_layer", Wav2Vec2ForPreTraining, "wav2vec2."),
    ("wav2vec2_layer", Wav2Vec2ForSequenceClassification, "wav2vec2."),
    # Transformers has no HubertForPreTraining: HuBERT is published plain or as ForCTC.
    ("hubert_layer", HubertModel, ""),
    ("hubert_layer", HubertForCTC, "hubert."),
    ("hubert_layer", HubertForSequenceClassification, "hubert."),
    ("wavlm_layer", WavLMModel, ""),
    ("wavlm_layer", WavLMForCTC, "wavlm."),
    ("whisper", WhisperModel, "encoder."),
    ("whisper", WhisperForConditionalGeneration, "model.encoder."),
    ("whisper", WhisperForAudioClassification, "encoder."),
    ("whisper", WhisperEncoder, ""),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("name", "source", "prefix"), SOURCES)
def test_every_encoder_weight_equals_the_file_by_number(encoder_configs, tmp_path, name, source, prefix, dtype):
    config = encoder_configs[name]
    if name != "whisper":
        config.mask_time_prob = 0.05  # brings masked_spec_embed into being
    source(config).to(dtype).save_pretrained(tmp_path)
    in_file = {
        key.removeprefix(prefix): value
        for key, value in load_file(tmp_path / "model.safetensors").items()
        if key.startswith(prefix)
    }
    loaded_config = load_encoder_config(tmp_path)
    loaded_config.dtype = torch.float32
    encoder = build_encoder(loaded_config)
    load_encoder_weights(encoder, tmp_path)
    state = encoder.model.state_dict()
    assert state.keys() <= in_file.keys()
    for key, value in state.items():
        assert in_file[key].dtype == dtype and value.dtype == torch.float32, key
        assert torch.equal(value, in_file[key].float()), key
    assert ("masked_spec_embed" in state) == (name != "whisper")


def cripple(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("name", "source", "lost"),
    [
        ("wav2vec2_layer", Wav2Vec2Model, "encoder.layers.1.attention.v_proj.weight"),
        ("hubert_layer", HubertForCTC, "hubert.feature_projection.projection.bias"),
        ("whisper", WhisperForConditionalGeneration, "model.encoder.conv2.weight"),
    ],
)
def test_a_missing_encoder_weight_is_an_error(encoder_configs, tmp_path, name, source, lost):
    source(encoder_configs[name]).save_pretrained(tmp_path)
    cripple(tmp_path, lambda weights: weights.pop(lost))
    with pytest.raises(CheckpointError, match=f"1 weights are missing .*{lost.split('.')[-2]}.*is not a checkpoint of"):
        load_encoder_weights(build_encoder(encoder_configs[name]), tmp_path)


@pytest.mark.parametrize(("name", "source"), [("wav2vec2_layer", Wav2Vec2ForCTC), ("whisper", WhisperModel)])
def test_an_encoder_weight_of_another_shape_is_an_error(encoder_configs, tmp_path, name, source):
    source(encoder_configs[name]).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    key = "encoder_ffn_dim" if name == "whisper" else "intermediate_size"
    (tmp_path / "config.json").write_text(json.dumps(config | {key: 48}))
    encoder = build_encoder(load_encoder_config(tmp_path))
    with pytest.raises(CheckpointError, match="0 weights are missing .*and 6 have another shape"):
        load_encoder_weights(encoder, tmp_path)


def test_the_filler_of_spec_augment_may_be_absent(encoder_configs, tmp_path):
    encoder_configs["wav2vec2_group"].mask_time_prob = 0.05
    Wav2Vec2ForCTC(encoder_configs["wav2vec2_group"]).save_pretrained(tmp_path)
    cripple(tmp_path, lambda weights: weights.pop("wav2vec2.masked_spec_embed"))
    encoder = build_encoder(load_encoder_config(tmp_path))
    load_encoder_weights(encoder, tmp_path)
    filler = encoder.model.masked_spec_embed
    assert torch.isfinite(filler).all() and 0 < filler.abs().max() <= 1


def test_a_folder_without_an_encoder_is_an_error(encoder_configs, tmp_path):
    with pytest.raises(CheckpointError, match="no encoder could be opened at .*nowhere.*give a folder written by"):
        load_encoder_config(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="no encoder could be opened"):
        load_encoder_config(tmp_path)


def test_a_folder_without_readable_weights_is_an_error(encoder_configs, tmp_path):
    config = encoder_configs["hubert_layer"]
    config.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be opened .*give a folder"):
        load_encoder_weights(build_encoder(config), tmp_path)
    HubertModel(config).save_pretrained(tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="cannot be opened .*give a folder"):
        load_encoder_weights(build_encoder(config), tmp_path)


FOLDERS = [Path(package.__file__).parent for package in (modeling, paravox, trainers)]


def code_words(path):
    """Every string, identifier and imported name of a module, without its docstrings and comments, in lower case."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(statement.value)
        for node in ast.walk(tree)
        if isinstance(node, documented)
        for statement in node.body
        if isinstance(statement, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value.lower()
        for field in ("id", "attr", "name", "module"):
            if isinstance(word := getattr(node, field, None), str):
                yield word.lower()


def test_no_other_module_names_an_encoder_that_differs_from_the_rest():
    modules = [path for folder in FOLDERS for path in folder.rglob("*.py")]
    assert len(modules) > 60
    naming = {path.name: word for path in modules for word in code_words(path) if "whisper" in word or "wavlm" in word}
    assert naming.keys() == {"encoders.py"}


@pytest.mark.parametrize("name", ["wavlm", "whisper"])
def test_the_table_is_the_only_place_that_compares_a_model_type(name):
    assert list(code_words(Path(modeling.__file__).parent / "encoders.py")).count(name) == 1


class StubEncoder(WaveformEncoder):
    front_end_class = HalvingFrontEnd

    @classmethod
    def new_front_end(cls, config):
        return HalvingFrontEnd(do_normalize=False)

    @classmethod
    def longest_seconds(cls, front_end):
        return 7.0

    @classmethod
    def minimum_samples(cls, config):
        return 1234


def test_an_encoder_is_added_by_a_class_and_a_line(encoder_configs, tasks, tmp_path, monkeypatch):
    fields = encoder_configs["wav2vec2_layer"].to_dict()
    config = UniSpeechConfig(**{name: value for name, value in fields.items() if name != "model_type"})
    published = UniSpeechModel(config)
    published.save_pretrained(tmp_path / "encoder")
    monkeypatch.setitem(ENCODER_CLASSES, config.model_type, StubEncoder)

    extractor = Burst2VecFeatureExtractor.for_config(config)
    assert (extractor.max_seconds, extractor.minimum_samples) == (7.0, 1234)
    extractor.save_pretrained(tmp_path / "model")
    reopened = Burst2VecFeatureExtractor.from_pretrained(tmp_path / "model")
    ones = torch.ones(2000).numpy()
    inputs = reopened([(ones, 16_000), (ones[:100], 16_000)], return_tensors="pt")
    assert inputs["attention_mask"].sum(dim=1).tolist() == [2000, 1234]
    assert (inputs["input_values"][0] == 0.5).all()

    settings = {"projection_size": 8, "feature_size": 8, "layer_weights": True}
    model = Burst2VecForMultiTask.from_encoder(tmp_path / "encoder", tasks=tasks, **settings)
    for name, value in model.encoder.model.state_dict().items():
        assert torch.equal(value, published.state_dict()[name]), name
    output = model(**inputs, task="age", labels={"age": torch.tensor([25.0, 30.0])})
    output.loss.backward()
    assert model.encoder.layers[0].final_layer_norm.weight.grad.abs().sum() > 0
    model.eval().save_pretrained(tmp_path / "model")
    opened = AutoModel.from_pretrained(tmp_path / "model").eval()
    assert isinstance(opened.encoder, StubEncoder)
    with torch.no_grad():
        torch.testing.assert_close(opened(**inputs).predictions, model(**inputs).predictions)


def test_loading_an_encoder_prints_no_table_of_what_it_leaves_out(tmp_path, encoder_configs, caplog):
    """A Whisper's decoder is not wanted; a table of its weights would hide what a run says."""
    WhisperModel(encoder_configs["whisper"]).save_pretrained(tmp_path)
    log = logging.getLogger("transformers")
    before = log.level
    with caplog.at_level(logging.WARNING):
        load_encoder_weights(build_encoder(encoder_configs["whisper"]), str(tmp_path))
    assert "LOAD REPORT" not in caplog.text and log.level == before


@pytest.mark.parametrize("name", ["wav2vec2_group", "wav2vec2_layer", "hubert_layer", "wavlm_layer"])
def test_spec_augment_and_layerdrop_draw_what_transformers_draws(encoder_configs, make_inputs, name):
    config = encoder_configs[name]
    config.apply_spec_augment, config.mask_time_prob, config.mask_time_length = True, 0.4, 3
    config.mask_feature_length, config.layerdrop = 4, 0.5
    config.mask_feature_prob = 0.0 if name == "wavlm_layer" else 0.3  # the stock WavLM cannot mask features
    encoder = build_encoder(config).train()
    batch = make_inputs(name, (0.6, 0.4, 0.5))

    def seeded(run):
        np.random.seed(3)
        torch.manual_seed(3)
        return run(batch["input_values"], batch["attention_mask"]), np.random.rand(), torch.rand(())

    with torch.no_grad():
        ours, stock = seeded(encoder.last_state), seeded(lambda *inputs: encoder.model(*inputs).last_hidden_state)
        torch.testing.assert_close(ours[0], stock[0], rtol=0, atol=1e-6)
        assert ours[1:] == stock[1:]  # as many numbers were drawn
        encoder.eval()
        assert not torch.allclose(ours[0], encoder.last_state(batch["input_values"], batch["attention_mask"]))


def test_spec_augment_masks_mel_frames_as_transformers_does(encoder_configs, make_inputs):
    config = encoder_configs["whisper"]
    config.apply_spec_augment, config.mask_time_prob, config.mask_time_length = True, 0.4, 3
    config.mask_feature_prob, config.mask_feature_length = 0.3, 4
    encoder = build_encoder(config).train()
    batch = make_inputs("whisper", (0.6, 0.4, 0.5))
    inputs, mask = batch["input_features"], batch["attention_mask"]
    np.random.seed(3)
    ours = encoder._spec_augment(inputs, mask)
    np.random.seed(3)
    assert torch.equal(ours, WhisperModel._mask_input_features(encoder.model, inputs.clone(), mask))
    assert not torch.equal(ours, inputs)
