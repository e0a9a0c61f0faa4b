"""Trials on stored states of the frozen layers are the trials that run these layers in every step."""

import numpy as np
import pytest
import torch
from little_corpora import write_clip

from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.study.checkpoints import TRIAL_TASK, model_around
from paravox.study.clips import StudyClips
from paravox.study.device_clips import DeviceClips
from paravox.study.draws import TrialClips
from paravox.study.grid import StudySettings, Trial
from paravox.study.lower_state_clips import LowerStateClips
from paravox.study.trials import run_trained_trial

ROWS = np.random.default_rng(3).permutation(16)
CHOSEN = TrialClips(ROWS[:6], np.arange(6) < 3, ROWS[6:10], np.arange(4) < 2, ROWS[10:15], np.arange(5) < 2)


@pytest.fixture(params=["whisper", "wav2vec2"])
def encoder(request, saved_encoders):
    return str(saved_encoders[request.param])


@pytest.fixture
def clips(encoder, tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(16)]
    for number, path in enumerate(paths):
        write_clip(path, number, seconds=0.2 + 0.05 * (number % 4))
    return StudyClips([str(path) for path in paths], Burst2VecFeatureExtractor.from_encoder(encoder))


@pytest.fixture
def checkpoint(encoder):
    torch.manual_seed(0)
    return model_around(encoder, [TRIAL_TASK], projection_size=8).eval()


@pytest.mark.parametrize("top_layers", [1, 2])
def test_a_trial_is_the_one_that_runs_all_layers(checkpoint, clips, top_layers):
    settings = {"max_epochs": 4, "learning_rate": 0.003, "mode": "top_layers", "top_layers": top_layers}
    study = StudySettings(["a"], ["b"], ["c"], [6], **settings)
    trial = Trial("none", "b", "c", 6, 0)
    before = {name: value.clone() for name, value in checkpoint.state_dict().items()}
    rows = [
        run_trained_trial(checkpoint, held, trial, CHOSEN, study)
        for held in (DeviceClips(clips), LowerStateClips(clips, np.arange(16), checkpoint, top_layers))
    ]
    for row in rows:
        row.pop("seconds")
    assert rows[0] == rows[1]
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.state_dict().items())


def test_the_states_of_a_clip_do_not_depend_on_what_was_asked_for_before(checkpoint, clips, monkeypatch):
    monkeypatch.setattr("paravox.study.lower_state_clips.EVALUATION_CLIPS", 5)
    seen, read = [], []
    monkeypatch.setattr(clips, "features", lambda row: read.append(row) or StudyClips.features(clips, row))
    for asked in ([[3]], [[7, 1], [12], [3]]):
        held = LowerStateClips(clips, np.arange(16), checkpoint, 1, torch.bfloat16)
        read.clear()
        for rows in asked:
            held.hold(np.array(rows))
        assert 3 in read and len(set(read)) == len(read) < 16  # whole batches, but not all of them
        (batch,) = held.part(np.array([3])).batches
        seen.append(batch["lower_states"])
    assert torch.equal(*seen) and seen[0].dtype == torch.bfloat16
    # Against the clip alone, in float32.
    inputs = clips.extractor([clips.paths[3]], return_tensors="pt")
    with torch.no_grad():
        expected = checkpoint.encoder.layer_states(*inputs.values())[1]
    assert seen[0].shape == expected.shape
    assert (seen[0].float() - expected).norm() < 0.02 * expected.norm()


def test_more_layers_than_there_are(checkpoint, clips):
    with pytest.raises(ConfigError, match="the encoder has 2: give 0 to 2"):
        LowerStateClips(clips, np.arange(16), checkpoint, 3)
