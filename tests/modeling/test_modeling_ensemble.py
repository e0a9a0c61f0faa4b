"""The ensemble: the mean of its members' own predictions, what a saved folder gives back, and what it refuses."""

import json

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from paravox.modeling.configuration_ensemble import Burst2VecEnsembleConfig
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble

RATE = 16_000
SECONDS = (0.5, 0.2, 0.33, 0.021)


@pytest.fixture
def clips():
    generator = np.random.default_rng(0)
    return [(generator.normal(scale=0.1, size=round(RATE * seconds)), RATE) for seconds in SECONDS]


def predict(model, extractor, clips):
    with torch.no_grad():
        return model(**extractor(clips, return_tensors="pt"))


def expected_mean(folders, clips):
    """Each member opened by itself, its logits turned into predictions by the formulas, and averaged in float64."""
    given = []
    for folder in folders:
        model = Burst2VecForMultiTask.from_pretrained(folder)
        logits = predict(model, Burst2VecFeatureExtractor.from_pretrained(folder), clips).logits
        emotion, age, country = (logits[name].double().numpy() for name in ("emotion", "age", "country"))
        exponentials = np.exp(country)
        given.append(
            {
                "emotion": np.minimum(np.maximum(emotion, 0), 1),
                "age": 20 + 19 * np.minimum(np.maximum(age[:, 0], 0), 1),
                "country": exponentials / exponentials.sum(axis=1, keepdims=True),
            }
        )
    return {task: sum(member[task] for member in given) / len(given) for task in given[0]}


@pytest.mark.parametrize("batch", ["padded", "single"])
def test_it_predicts_the_mean_of_its_members(saved_members, clips, batch):
    ensemble = Burst2VecEnsemble.from_members(saved_members)
    extractor = Burst2VecEnsembleFeatureExtractor.from_members(saved_members)
    for group in [clips] if batch == "padded" else [[clip] for clip in clips]:
        expected = expected_mean(saved_members, group)
        output = predict(ensemble, extractor, group)
        assert list(output.predictions) == ["emotion", "age", "country"]
        for task, values in output.predictions.items():
            np.testing.assert_allclose(values.numpy(), expected[task], rtol=1e-6, atol=1e-5, err_msg=task)
        assert output.predictions["country"].sum(dim=1).numpy() == pytest.approx(1, abs=1e-5)


def test_the_members_predictions_are_their_own(saved_members, clips):
    ensemble = Burst2VecEnsemble.from_members(saved_members)
    output = predict(ensemble, Burst2VecEnsembleFeatureExtractor.from_members(saved_members), clips)
    assert len(output.member_predictions) == 3
    for folder, found in zip(saved_members, output.member_predictions, strict=True):
        model = Burst2VecForMultiTask.from_pretrained(folder)
        expected = predict(model, Burst2VecFeatureExtractor.from_pretrained(folder), clips).predictions
        assert found.keys() == expected.keys()
        for task in expected:
            torch.testing.assert_close(found[task], expected[task], rtol=0, atol=1e-5)
    ages = [member["age"] for member in output.member_predictions]
    assert (ages[0] - ages[1]).abs().max() > 0.1 and (ages[1] - ages[2]).abs().max() > 0.1


def test_a_padded_batch_equals_its_single_clips(saved_members, clips):
    ensemble = Burst2VecEnsemble.from_members(saved_members)
    extractor = Burst2VecEnsembleFeatureExtractor.from_members(saved_members)
    batch = predict(ensemble, extractor, clips).predictions
    for row, clip in enumerate(clips):
        alone = predict(ensemble, extractor, clip).predictions
        for task, scale in (("emotion", 1), ("age", 19), ("country", 1)):
            torch.testing.assert_close(batch[task][row] / scale, alone[task][0] / scale, rtol=0, atol=1e-5, msg=task)


@pytest.mark.parametrize("chosen", [(0, 1), (2, 2)])
def test_members_that_share_an_input_share_the_tensor(saved_members, clips, chosen):
    folders = [saved_members[member] for member in chosen]
    ensemble = Burst2VecEnsemble.from_members(folders)
    inputs = Burst2VecEnsembleFeatureExtractor.from_members(folders)(clips, return_tensors="pt")
    assert set(inputs) == {ensemble.main_input_name, "attention_mask"}
    seen = []
    for member in ensemble.members:
        member.register_forward_pre_hook(
            lambda module, args, given: seen.append(given[module.main_input_name]), with_kwargs=True
        )
    output = ensemble(**inputs)
    assert len(seen) == 2 and all(values is inputs[ensemble.main_input_name] for values in seen)
    expected = expected_mean(folders, clips)
    for task, values in output.predictions.items():
        np.testing.assert_allclose(values.detach().numpy(), expected[task], rtol=1e-6, atol=1e-5)


def test_without_masks_all_of_the_input_is_real(saved_members, clips):
    ensemble = Burst2VecEnsemble.from_members(saved_members)
    inputs = Burst2VecEnsembleFeatureExtractor.from_members(saved_members)(clips[:1], return_tensors="pt")
    bare = {name: values for name, values in inputs.items() if "mask" not in name}
    assert len(bare) == 2
    for task, values in ensemble(**inputs).predictions.items():
        assert torch.equal(ensemble(**bare).predictions[task], values)


def test_a_saved_ensemble_reloads_in_full(saved_members, clips, tmp_path):
    ensemble = Burst2VecEnsemble.from_members(saved_members)
    ensemble.save_pretrained(tmp_path / "ensemble")
    loaded, info = Burst2VecEnsemble.from_pretrained(tmp_path / "ensemble", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert not any(module.training for model in (ensemble, loaded) for module in model.modules())
    for kind in ("named_parameters", "named_buffers"):
        saved, found = dict(getattr(ensemble, kind)()), dict(getattr(loaded, kind)())
        assert saved.keys() == found.keys()
        for name, value in saved.items():
            assert torch.equal(value, found[name]), name
    extractor = Burst2VecEnsembleFeatureExtractor.from_members(saved_members)
    first, second = predict(ensemble, extractor, clips), predict(loaded, extractor, clips)
    for task, values in first.predictions.items():
        torch.testing.assert_close(second.predictions[task], values, rtol=0, atol=1e-6)
    assert loaded.config.members == ensemble.config.members


def test_half_precision_and_attention_reach_the_members(saved_members, make_model, tmp_path):
    Burst2VecEnsemble.from_members(saved_members).save_pretrained(tmp_path / "ensemble")
    loaded = Burst2VecEnsemble.from_pretrained(tmp_path / "ensemble", dtype=torch.float16, attn_implementation="eager")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float16}
    assert {member.encoder.model.config._attn_implementation for member in loaded.members} == {"eager"}
    loaded.save_pretrained(tmp_path / "half")
    again = Burst2VecEnsemble.from_pretrained(tmp_path / "half", dtype="auto")
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float16}
    assert {member.encoder.model.config._attn_implementation for member in again.members} == {"sdpa"}
    make_model("wavlm_layer").save_pretrained(tmp_path / "wavlm")
    Burst2VecEnsemble.from_members([saved_members[0], tmp_path / "wavlm"]).save_pretrained(tmp_path / "mixed")
    mixed = Burst2VecEnsemble.from_pretrained(tmp_path / "mixed")
    found = [member.encoder.model.config._attn_implementation for member in mixed.members]
    assert found == ["sdpa", "eager"]


def test_members_saved_in_half_precision_join_in_float32(saved_members, tmp_path):
    Burst2VecForMultiTask.from_pretrained(saved_members[0]).half().save_pretrained(tmp_path / "half")
    ensemble = Burst2VecEnsemble.from_members([tmp_path / "half", saved_members[1]])
    assert {parameter.dtype for parameter in ensemble.parameters()} == {torch.float32}


def test_a_new_ensemble_has_random_weights_of_its_config(make_model, make_inputs):
    config = Burst2VecEnsembleConfig(members=[make_model().config, make_model("wavlm_layer").config])
    ensemble = Burst2VecEnsemble(config)
    assert ensemble.num_parameters() == make_model().num_parameters() + make_model("wavlm_layer").num_parameters()
    assert all(torch.isfinite(values).all() for values in ensemble(**make_inputs()).predictions.values())


@pytest.mark.slow
def test_a_saved_folder_opens_where_paravox_is_absent(saved_members, open_elsewhere, tmp_path):
    folder, clip = tmp_path / "ensemble", tmp_path / "clip.wav"
    soundfile.write(clip, 0.1 * np.sin(np.arange(8_000) / 20), RATE)
    Burst2VecEnsemble.from_members(saved_members).save_pretrained(folder)
    Burst2VecEnsembleFeatureExtractor.from_members(saved_members).save_pretrained(folder)
    expected = expected_mean(saved_members, [str(clip)])
    found = open_elsewhere(folder, clip)
    assert found["config"] == "Burst2VecEnsembleConfig"
    assert found["module"].startswith("transformers_modules.")
    for name, values in expected.items():
        np.testing.assert_allclose(found["predictions"][name], values, rtol=1e-6, atol=1e-5)


def test_a_saved_folder_names_no_place_and_holds_no_pickle(saved_members, tmp_path):
    folder = tmp_path / "ensemble"
    Burst2VecEnsemble.from_members(saved_members).save_pretrained(folder)
    names = {path.name for path in folder.iterdir()}
    assert {"model.safetensors", "config.json", "modeling_ensemble.py", "modeling_burst2vec.py"} <= names
    assert not {name for name in names if name.endswith((".bin", ".pt", ".pkl"))}
    text = (folder / "config.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["auto_map"] == {
        "AutoConfig": "configuration_ensemble.Burst2VecEnsembleConfig",
        "AutoModel": "modeling_ensemble.Burst2VecEnsemble",
    }


def test_a_missing_input_is_refused(saved_members, make_inputs):
    ensemble = Burst2VecEnsemble.from_members(saved_members)
    with pytest.raises(ConfigError, match="takes input_features: use the feature extractor saved beside it"):
        ensemble(**make_inputs())
    with pytest.raises(ConfigError, match="takes input_values: use the feature extractor saved beside it"):
        ensemble(**make_inputs("whisper"))


def test_members_that_cannot_be_joined_are_refused(saved_members, make_model, encoders, tasks, tmp_path):
    with pytest.raises(ConfigError, match="an ensemble needs at least two members, found 1"):
        Burst2VecEnsemble.from_members(saved_members[:1])
    make_model(tasks=tasks[:2]).save_pretrained(tmp_path / "other")
    with pytest.raises(
        ConfigError, match=r"member 2 of the ensemble \(.*other\) has other tasks than .*wav2vec2_layer"
    ):
        Burst2VecEnsemble.from_members([saved_members[0], tmp_path / "other"])
    encoders["wav2vec2_layer"].model.save_pretrained(tmp_path / "encoder")
    with pytest.raises(CheckpointError, match="encoder' is of model_type 'wav2vec2', not 'burst2vec'"):
        Burst2VecEnsemble.from_members([saved_members[0], tmp_path / "encoder"])
    with pytest.raises(CheckpointError, match="nowhere.* cannot be opened"):
        Burst2VecEnsemble.from_members([saved_members[0], tmp_path / "nowhere"])


def test_a_checkpoint_of_another_class_is_an_error(saved_members, tmp_path):
    message = (
        "is of model_type 'burst2vec', not 'burst2vec_ensemble': open it with AutoModel, or to put saved models "
        "together use Burst2VecEnsemble.from_members"
    )
    with pytest.raises(CheckpointError, match=message):
        Burst2VecEnsemble.from_pretrained(saved_members[0])
    Burst2VecEnsemble.from_members(saved_members[:2]).save_pretrained(tmp_path / "ensemble")
    with pytest.raises(
        CheckpointError, match="is of model_type 'burst2vec_ensemble', not 'burst2vec': open it with Auto"
    ):
        Burst2VecForMultiTask.from_pretrained(tmp_path / "ensemble")


def test_missing_weights_are_an_error(saved_members, tmp_path):
    Burst2VecEnsemble.from_members(saved_members).save_pretrained(tmp_path / "ensemble")
    file = tmp_path / "ensemble" / "model.safetensors"
    weights = load_file(file)
    del weights["members.1.heads.age.bias"], weights["members.1.layer_weights.scores"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError,
        match=r"lacks 2 weights of Burst2VecEnsemble \(members.1.heads.age.bias, members.1.layer_weights.scores\)",
    ):
        Burst2VecEnsemble.from_pretrained(tmp_path / "ensemble")
