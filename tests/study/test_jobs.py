"""What is handed to processes: it can be pickled, it shares what it can, and one bad trial does not stop the others."""

import pickle

import numpy as np
import pytest
import torch

from paravox.modeling.errors import ConfigError
from paravox.study import jobs
from paravox.study.grid import StudySettings, Trial
from paravox.study.jobs import StudyContext, group_into_jobs, head_features, run_job


def settings(**changes):
    fields = {"corpora": ["emodb"], "speakers": ["0001", "0011"], "emotions": ["angry"], "shots": [2, 4]}
    return StudySettings(**(fields | {"repetitions": 1} | changes))


@pytest.fixture
def context(esd_folder, saved_encoders, tmp_path):
    def make(**changes):
        folders = (str(esd_folder), str(saved_encoders["whisper"]), None, str(tmp_path))
        return StudyContext.of(settings(**changes), *folders)

    return make


def test_the_context_can_be_pickled_and_holds_the_settings(context):
    made = context(mode="head", languages={"Polish": ["0001"]}, learning_rate=0.25)
    again = pickle.loads(pickle.dumps(made))
    assert again == made and hash(again) == hash(made)
    assert again.study == settings(mode="head", languages={"Polish": ["0001"]}, learning_rate=0.25)


def test_trials_of_a_checkpoint_go_together_where_they_share_its_states():
    study = settings(mode="head", baselines=["compare_2016"])
    parts = group_into_jobs(study, study.grid())
    assert [len(part) for part in parts] == [4, 4, 1, 1, 1, 1]
    assert [{trial.checkpoint for trial in part} for part in parts[:2]] == [{"none"}, {"emodb"}]
    assert sum(parts, []) == study.grid()
    study = settings(mode="adapt")
    parts = group_into_jobs(study, study.grid())
    assert [{(trial.checkpoint, trial.speaker) for trial in part} for part in parts] == [
        {(checkpoint, speaker)} for checkpoint in ("none", "emodb") for speaker in ("0001", "0011")
    ]
    assert group_into_jobs(settings(mode="full"), study.grid()) == [[trial] for trial in study.grid()]


def test_a_trial_that_fails_is_a_row_that_says_so(context, monkeypatch):
    run = jobs.run_trained_trial

    def fail(model, clips, trial, *rest):
        if trial.speaker == "0011":
            raise RuntimeError("out of memory")
        return run(model, clips, trial, *rest)

    monkeypatch.setattr(jobs, "run_trained_trial", fail)
    made = context(max_epochs=1)
    trials = [Trial("none", "0011", "angry", 2, 0), Trial("none", "0001", "angry", 2, 0)]
    failed, finished = run_job(made, trials)
    said = {"status": "failed", "message": "RuntimeError: out of memory", "device": "cpu float32"}
    assert failed == trials[0]._asdict() | said
    assert finished["status"] == "finished" and finished["device"] == "cpu float32" and finished["speaker"] == "0001"


def test_the_features_of_a_layer_are_standardised_over_the_train_part_of_all_speakers(context):
    made = context(mode="head")
    states = jobs.layer_states(made, "none").astype(np.float64)
    train = (jobs.open_table(made)["split"] == "train").to_numpy()
    assert train.sum() == 24 and set(jobs.open_table(made)["speaker"][train]) == {"0001", "0011"}
    for layer, number in (("last", 2), ("0", 0), ("1", 1)):
        expected = (states[:, number] - states[train, number].mean(axis=0)) / states[train, number].std(axis=0)
        np.testing.assert_allclose(head_features(made, "none", layer), expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(ConfigError, match="layer 3: the encoder has the layers 0 to 2: use one of these"):
        head_features(made, "none", "3")


def test_the_moments_of_a_speaker_are_those_of_the_speaker_s_clips_alone(context):
    made = context(mode="adapt")
    rows = np.flatnonzero(jobs.open_table(made)["speaker"] == "0011")
    moments = jobs.speaker_moments(made, "none", "0011")
    assert moments.shape == (len(jobs.open_table(made)), 3, 2, 32)
    encoder, clips = jobs.open_model(made, "none").encoder, jobs.open_clips(made)
    for row in rows[[0, -1]]:
        inputs = clips.extractor([clips.paths[row]], return_tensors="pt")
        with torch.no_grad():
            states = [layer[0].double() for layer in encoder.layer_states(*inputs.values())]
        for layer, frames in enumerate(states):
            np.testing.assert_allclose(moments[row, layer, 0], frames.mean(dim=0), atol=2e-5)
            np.testing.assert_allclose(moments[row, layer, 1], frames.var(dim=0, unbiased=False), atol=1e-4)
    others = np.setdiff1d(np.arange(len(moments)), rows)
    assert not moments[others].any()
    # What mode head keeps of the same clips is something else.
    assert jobs.layer_states(made, "none").shape == (len(moments), 3, 32)
