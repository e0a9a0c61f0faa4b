"""States of all clips under several checkpoints: those of each clip alone, however they were made, and never stale."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from little_corpora import write_clip

from paravox.modeling.encoders import build_encoder
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.study import encoding
from paravox.study.checkpoints import TRIAL_TASK, model_around
from paravox.study.clips import STUDY_PASS, StudyClips
from paravox.study.encoding import LayerStates, equal_lower_layers


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / "clips" / f"{number}.wav" for number in range(9)]
    for number, path in enumerate(paths):
        write_clip(path, number, seconds=0.2 + 0.05 * (number % 4))
    return [str(path) for path in paths]


@pytest.fixture(params=["whisper", "wav2vec2"])
def encoder_folder(request, saved_encoders):
    return str(saved_encoders[request.param])


@pytest.fixture
def extractor(encoder_folder):
    return Burst2VecFeatureExtractor.from_encoder(encoder_folder)


@pytest.fixture
def models(encoder_folder):
    """The encoder as it is, two that differ from it in the second layer alone, and one that differs in the first."""
    first = model_around(encoder_folder, [TRIAL_TASK], 8).eval()
    made = [first]
    for seed, layer in ((1, 1), (2, 1), (3, 0)):
        torch.manual_seed(seed)
        made.append(copy.deepcopy(first))
        for weight in made[-1].encoder.layers[layer].parameters():
            weight.data += 0.02 * torch.randn_like(weight)
    return made


def alone(model, extractor, paths, length=None):
    """The states of each clip by itself: `(clips, layers + 1, hidden)`."""
    states = []
    for path in paths:
        inputs = extractor([(extractor.load(path)[:length], 16_000)], return_tensors="pt")
        with torch.no_grad():
            layers = model.encoder.layer_states(*inputs.values())
        states.append(np.stack([layer[0].mean(dim=0).numpy() for layer in layers]))
    return np.stack(states)


@pytest.fixture
def runs(monkeypatch):
    """Which passes were run: a source and how many clips it has."""
    seen = []
    run = encoding.pass_over_clips
    monkeypatch.setattr(
        encoding, "pass_over_clips", lambda model, clips, *args: seen.append(clips.source) or run(model, clips, *args)
    )
    return seen


def test_states_are_those_of_each_clip_alone_however_they_were_made(models, paths, extractor, tmp_path, runs):
    """From the input, from shared lower layers, and read back from the folder."""
    states = LayerStates(StudyClips(paths, extractor), tmp_path / "states")
    for model in models:
        made = states.states_of(model, "encoding")
        np.testing.assert_allclose(made, alone(model, extractor, paths), atol=2e-5)
        count = len(runs)
        np.testing.assert_array_equal(states.states_of(model, "encoding"), made)
        assert len(runs) == count and made.dtype == np.float32
    # The second checkpoint keeps the states of the layer that it shares with the first one, and the third reads them.
    assert [type(source).__name__ for source in runs] == ["StudyClips", "StudyClips", "LowerStates", "StudyClips"]
    assert sorted(path.suffix for path in (tmp_path / "states").iterdir()) == ["", *[".npy"] * 4]
    # Another process of the same study reads all of them.
    again = LayerStates(StudyClips(paths, extractor), tmp_path / "states")
    np.testing.assert_array_equal(again.states_of(models[3], "encoding"), made)
    assert len(runs) == 4


def test_the_states_of_a_group_are_kept_as_soon_as_they_are_there(models, paths, extractor, tmp_path, monkeypatch):
    """Three speakers; the run is stopped while it encodes the third one, and goes on with that one alone."""
    groups = [np.array([1, 4, 8]), np.array([0, 2, 3]), np.array([7, 5, 6])]
    run, encoded = encoding.pass_over_clips, []

    def stop_at_third(model, clips, *args):
        if len(encoded) == 2 and not (tmp_path / "stopped").is_file():
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt
        encoded.append(len(clips))
        return run(model, clips, *args)

    monkeypatch.setattr(encoding, "pass_over_clips", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        LayerStates(StudyClips(paths, extractor), tmp_path / "states", groups=groups).states_of(models[0], "")
    assert len(list((tmp_path / "states").glob("*.npy"))) == 2
    states = LayerStates(StudyClips(paths, extractor), tmp_path / "states", groups=groups)
    made = states.states_of(models[0], "")
    assert encoded == [3, 3, 3]
    np.testing.assert_allclose(made, alone(models[0], extractor, paths), atol=2e-5)
    # The second checkpoint keeps the shared lower layers of each group, and the third one reads them.
    for model in models[1:3]:
        np.testing.assert_allclose(states.states_of(model, ""), alone(model, extractor, paths), atol=2e-5)
    # A study of one speaker alone has the same states, and reads them.
    one = StudyClips([paths[row] for row in groups[1]], extractor)
    np.testing.assert_array_equal(LayerStates(one, tmp_path / "states").states_of(models[0], ""), made[groups[1]])
    assert encoded == [3] * 9


def test_damaged_states_are_made_again(models, paths, extractor, tmp_path, runs, caplog):
    states = LayerStates(StudyClips(paths, extractor), tmp_path / "states")
    made = states.states_of(models[0], "encoding")
    (path,) = (tmp_path / "states").iterdir()
    whole = path.read_bytes()
    for damaged in (whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:], whole[:200], b""):
        path.write_bytes(damaged)
        np.testing.assert_array_equal(states.states_of(models[0], "encoding"), made)
        assert path.read_bytes() == whole
    assert len(runs) == len(caplog.messages) + 1 == 4 and f"{path} is damaged" in caplog.text


def test_lower_states_of_other_lower_layers_are_other_states(models, paths, extractor, tmp_path, runs):
    """Two groups of checkpoints in one folder, whose lower layers differ."""
    torch.manual_seed(4)
    upper = copy.deepcopy(models[3])
    for weight in upper.encoder.layers[1].parameters():
        weight.data += 0.02 * torch.randn_like(weight)
    for group in (models[:2], [models[3], upper]):
        states = LayerStates(StudyClips(paths, extractor), tmp_path / "states")
        for model in group:
            np.testing.assert_allclose(states.states_of(model, ""), alone(model, extractor, paths), atol=2e-5)
    assert sorted(path.suffix for path in (tmp_path / "states").iterdir()) == [*[""] * 2, *[".npy"] * 4]


def test_lower_states_that_would_take_too_much_room_are_not_kept(models, paths, extractor, tmp_path, runs):
    states = LayerStates(StudyClips(paths, extractor), tmp_path / "states", max_gigabytes=1e-6)
    for model in models[:3]:
        np.testing.assert_allclose(states.states_of(model, "encoding"), alone(model, extractor, paths), atol=2e-5)
    assert [type(source).__name__ for source in runs] == ["StudyClips"] * 3
    assert all(path.suffix == ".npy" for path in (tmp_path / "states").iterdir())


def test_states_of_other_clips_cuts_and_settings_are_other_states(models, paths, extractor, tmp_path):
    """All in one folder, where a name that lacked one of these would give the states of another."""
    louder = copy.deepcopy(extractor)
    louder.target_rms_db = 30.0 if "input_features" in extractor.model_input_names else None
    cases = [(paths, extractor, None), (paths, extractor, 0.1), (paths[::-1], extractor, None)]
    if louder.target_rms_db is not None:  # wav2vec 2.0's own normalisation undoes any level
        cases.append((paths, louder, None))
    seen = []
    for chosen, settings, seconds in cases:
        # The second checkpoint keeps lower states as well.
        states = LayerStates(StudyClips(chosen, settings, seconds), tmp_path / "states")
        for model in models[:3]:
            made = states.states_of(model, "encoding")
            length = None if seconds is None else int(16_000 * seconds)
            np.testing.assert_allclose(made, alone(model, settings, chosen, length), atol=2e-4)
            assert not any(np.allclose(made, other, atol=1e-3) for other in seen)
            seen.append(made)
    # The same name with another content.
    write_clip(tmp_path / "clips" / "0.wav", 99, seconds=0.2)
    states = LayerStates(StudyClips(paths, extractor), tmp_path / "states")
    made = states.states_of(models[0], "encoding")
    np.testing.assert_allclose(made, alone(models[0], extractor, paths), atol=2e-5)


def test_the_precision_of_the_pass_is_part_of_the_name(models, paths, extractor, tmp_path):
    half = dataclasses.replace(STUDY_PASS, dtype=torch.bfloat16)
    rough = LayerStates(StudyClips(paths, extractor), tmp_path / "states", settings=half).states_of(models[0], "")
    exact = LayerStates(StudyClips(paths, extractor), tmp_path / "states").states_of(models[0], "")
    assert 0 < np.abs(rough - exact).max() < 0.2
    np.testing.assert_allclose(exact, alone(models[0], extractor, paths), atol=2e-5)


@pytest.mark.parametrize("name", ["wav2vec2_group", "wav2vec2_layer", "hubert_layer", "wavlm_layer", "whisper"])
def test_how_many_lower_layers_are_equal(tiny_encoder_configs, name):
    config = copy.deepcopy(tiny_encoder_configs[name])
    setattr(config, "encoder_layers" if name == "whisper" else "num_hidden_layers", 4)
    encoder = build_encoder(config).eval()

    def changed(choose):
        other = copy.deepcopy(encoder)
        with torch.no_grad():
            next(iter(choose(other).parameters())).add_(0.1)
        return other

    found = [equal_lower_layers(changed(lambda other, layer=layer: other.layers[layer]), encoder) for layer in range(4)]
    # WavLM's first layer makes a position bias for all others.
    assert found == ([0] * 4 if name == "wavlm_layer" else [0, 1, 2, 3])
    front = "conv1" if name == "whisper" else "feature_extractor"
    assert equal_lower_layers(changed(lambda other: getattr(other.model, front)), encoder) == 0
    if name != "wavlm_layer":
        # One layer is always run.
        assert equal_lower_layers(copy.deepcopy(encoder), encoder) == 3
        if encoder.output_norm is not None:
            assert equal_lower_layers(changed(lambda other: other.output_norm), encoder) == 3
        else:
            assert equal_lower_layers(changed(lambda other: other.model.encoder.layer_norm), encoder) == 0
