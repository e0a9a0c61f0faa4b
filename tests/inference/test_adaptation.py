"""Adapting models to clips: the saved result against the encoder of Transformers and a head solved here."""

import json

import numpy as np
import pytest
import soundfile
import torch
from little_corpora import write_clip
from transformers import pipeline
from transformers.models.whisper.modeling_whisper import WhisperEncoder

import paravox
from paravox.inference.adaptation import adapt
from paravox.inference.opening import open_model
from paravox.inference.prediction import predict_files
from paravox.modeling.errors import AudioError, CheckpointError, ConfigError, CorpusError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning
from paravox.trainers.publishing import check_publishable

TASKS = [{"name": "emodb", "kind": "classes", "labels": ["anger", "fear"]}]


@pytest.fixture
def clips(tmp_path):
    """Eight clips of white (even) and brown noise (odd), which are told easily, and their labels."""
    paths = [tmp_path / f"clips/{number}.wav" for number in range(8)]
    for number, path in enumerate(paths):
        write_clip(path, number, seconds=0.3 + 0.02 * number)
    return [str(path) for path in paths], ["white", "in brown"] * 4


@pytest.fixture
def encoder(saved_encoders):
    return str(saved_encoders["whisper"])


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_saved_model_is_the_encoder_with_a_head_on_the_layer(clips, encoder, layer, tmp_path):
    paths, labels = clips
    adapted = adapt(encoder, paths, labels, layer=layer)
    adapted.save_pretrained(tmp_path / "me")
    model, extractor = open_model(str(tmp_path / "me"))
    assert type(model) is EncoderForPreFinetuning and not model.training
    whole = WhisperEncoder.from_pretrained(encoder)
    # No more layers than the head needs, and one, whose norm the head does not want.
    assert len(model.encoder.layers) == min(layer + 1, 2)
    for name, value in model.encoder.model.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name
    found = predict_files(model, extractor, paths)["label"]
    original = Burst2VecFeatureExtractor.from_encoder(encoder)
    seam = Burst2VecForMultiTask.from_encoder(encoder, tasks=TASKS).eval().encoder
    for row, path in enumerate(paths):
        inputs = original([path], return_tensors="pt")
        with torch.no_grad():
            state = seam.layer_states(inputs["input_features"], inputs["attention_mask"])[layer][0].mean(dim=0)
        logits = adapted.head.weights @ state.double().numpy() + adapted.head.biases
        np.testing.assert_allclose(found[row], np.exp(logits) / np.exp(logits).sum(), atol=1e-4)
        assert model.tasks["label"].labels[found[row].argmax()] == labels[row]


def test_all_forms_of_clips_and_models_give_the_same(clips, saved_encoders, tmp_path):
    paths, labels = clips
    folder = str(saved_encoders["wav2vec2"])
    expected = adapt(folder, paths, labels)
    forms = [soundfile.read(path) for path in paths[:3]] + [open(path, "rb").read() for path in paths[3:]]
    extractor = Burst2VecFeatureExtractor.from_encoder(folder)
    stock = Wav2Vec2ForPreFinetuning.from_encoder(folder, tasks=TASKS).train()
    burst2vec = Burst2VecForMultiTask.from_encoder(folder, tasks=TASKS)
    burst2vec.save_pretrained(tmp_path / "b")
    extractor.save_pretrained(tmp_path / "b")
    for found in (
        adapt(stock, forms, labels, feature_extractor=extractor),
        adapt(burst2vec, paths, labels, feature_extractor=extractor),
        adapt(tmp_path / "b", paths, labels),
    ):
        np.testing.assert_allclose(found.head.weights, expected.head.weights, rtol=1e-4, atol=1e-5)
        assert found.validation == expected.validation and found.head.layer == expected.head.layer
    assert stock.training and set(stock.tasks) == {"emodb"}  # as it was


def test_an_adapted_model_can_be_adapted_again(clips, encoder, tmp_path):
    paths, labels = clips
    adapt(encoder, paths, labels).save_pretrained(tmp_path / "me")
    again = adapt(tmp_path / "me", paths, ["a", "b", "c", "d"] * 2, task="mood")
    assert again.model.tasks["mood"].labels == ("a", "b", "c", "d")
    assert again.task == "mood" and again.clips == dict.fromkeys("abcd", 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whisper", "wav2vec2"])
def test_a_result_opens_where_paravox_is_absent(clips, saved_encoders, tmp_path, open_elsewhere, name):
    paths, labels = clips
    adapted = adapt(str(saved_encoders[name]), paths, labels)
    adapted.save_pretrained(tmp_path / "me")
    (tmp_path / "me/README.md").write_text("# me\n")
    check_publishable(tmp_path / "me")
    found = open_elsewhere(tmp_path / "me", paths[0])
    assert found["module"].startswith("transformers_modules")
    ours = pipeline("vocal-burst-analysis", model=str(tmp_path / "me"))(paths[0])
    assert found["record"]["label"] == pytest.approx(ours["label"], abs=1e-6) and ours["label"]["white"] > 0.5


def test_what_it_says_of_the_clips(clips, encoder):
    paths, labels = clips
    speakers = ["anna", "anna", "ben", "ben"] * 2
    adapted = adapt(encoder, paths, labels, speakers)
    assert adapted.clips == {"in brown": 4, "white": 4} and adapted.speakers == 2
    lengths = [round(16_000 * (0.3 + 0.02 * number)) / 16_000 for number in range(8)]
    assert adapted.seconds["white"] == pytest.approx(sum(lengths[::2]))
    assert adapted.validation.folds == 2 and adapted.validation.by_speaker
    assert "over the 8 clips in 2 parts" in adapted.summary and "by speakers whom it does not know" in adapted.summary
    assert "guessing gives 50%" in adapted.summary and "8 clips tell no more than that" in adapted.summary


def test_two_clips_are_enough(clips, encoder):
    paths, labels = clips
    adapted = adapt(encoder, paths[:2], labels[:2])
    assert adapted.validation is None and adapted.head.layer == 1
    assert "is not known, because 'in brown' has only one clip: with two of each label" in adapted.summary


def test_clips_that_cannot_be_used_are_named_or_left_out(clips, encoder, tmp_path):
    paths, labels = clips
    write_clip(tmp_path / "short.wav", 1, seconds=0.01)
    write_clip(tmp_path / "long.wav", 1, seconds=30.5)
    (tmp_path / "text.wav").write_text("hello")
    bad = [str(tmp_path / f"{name}.wav") for name in ("short", "long", "text")]
    with pytest.raises(AudioError, match="3 of 11 clips cannot be used: .*short.wav lasts 10 ms, less than the 25 ms"):
        adapt(encoder, paths + bad, [*labels, "white", "white", "white"])
    adapted = adapt(encoder, bad + paths, ["white", "white", "white", *labels], skip_bad=True)
    assert adapted.clips == {"in brown": 4, "white": 4}
    assert [reason.split(".wav")[0].split("/")[-1] for reason in adapted.left_out] == ["short", "long", "text"]
    assert "30" in adapted.left_out[1]
    with pytest.raises(AudioError, match="no clip with the label 'odd' can be used"):
        adapt(encoder, [*paths, bad[0]], [*labels, "odd"], skip_bad=True)


def test_a_recording_counts_once_and_has_one_label(clips, encoder):
    paths, labels = clips
    expected = adapt(encoder, paths, labels)
    found = adapt(encoder, [*paths, soundfile.read(paths[0])], [*labels, "white"])
    assert found.clips == expected.clips and found.validation == expected.validation
    assert found.left_out == [f"{paths[0]} and clip 9 are the same recording, which counts once"]
    with pytest.raises(CorpusError, match="are the same recording with the labels 'white' and 'in brown': remove one"):
        adapt(encoder, [*paths, paths[0]], [*labels, "in brown"])


def test_what_does_not_fit_is_refused(clips, encoder, saved_members, tmp_path, make_model):
    paths, labels = clips
    with pytest.raises(CorpusError, match="all 8 clips have the label 'happy', but a head tells at least two labels"):
        adapt(encoder, paths, ["happy"] * 8)
    with pytest.raises(CorpusError, match="there is no clip"):
        adapt(encoder, [], [])
    with pytest.raises(CorpusError, match="None is no label"):
        adapt(encoder, paths, [*labels[:7], None])
    with pytest.raises(ConfigError, match="found 8 clips, 7 labels, 8 speakers: give one label"):
        adapt(encoder, paths, labels[:7])
    with pytest.raises(ConfigError, match="layer is 3: the encoder has the hidden states 0 to 2"):
        adapt(encoder, paths, labels, layer=3)
    with pytest.raises(ConfigError, match="task name 'my\\\\nmood' must be text of one line"):
        adapt(encoder, paths, labels, task="my\nmood")
    with pytest.raises(ConfigError, match="needs its feature_extractor"):
        adapt(make_model("whisper"), paths, labels)
    with pytest.raises(CheckpointError, match="nowhere"):
        adapt(str(tmp_path / "nowhere"), paths, labels)
    ensemble = paravox.Burst2VecEnsemble.from_members(saved_members[:2])
    with pytest.raises(CheckpointError, match="'burst2vec_ensemble' has no encoder of its own"):
        adapt(ensemble, paths, labels)


def test_half_precision_learns_and_the_result_is_float32(clips, encoder, tmp_path):
    paths, labels = clips
    adapted = adapt(encoder, paths, labels, dtype=torch.bfloat16)
    assert {weight.dtype for weight in adapted.model.parameters()} == {torch.float32}
    adapted.save_pretrained(tmp_path)
    model, extractor = open_model(str(tmp_path), dtype=torch.bfloat16)
    found = predict_files(model, extractor, paths)["label"]
    assert [model.tasks["label"].labels[row] for row in found.argmax(axis=1)] == labels
    assert "/" not in json.dumps(json.loads((tmp_path / "config.json").read_text())["encoder"])


def test_it_is_a_public_name():
    assert paravox.adapt is adapt
