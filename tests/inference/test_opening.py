"""Opening models: their class, their state, and what is refused."""

import pytest
import torch

from paravox.inference.opening import open_model, same_tasks
from paravox.modeling.errors import CheckpointError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble


def test_models_and_ensembles_open_as_they_were_saved(saved_members, tmp_path):
    model, extractor = open_model(saved_members[0])
    assert type(model) is Burst2VecForMultiTask and type(extractor) is Burst2VecFeatureExtractor
    expected = Burst2VecForMultiTask.from_pretrained(saved_members[0]).state_dict()
    assert all(torch.equal(values, expected[name]) for name, values in model.state_dict().items())
    folder = str(tmp_path / "ensemble")
    Burst2VecEnsemble.from_members(saved_members).save_pretrained(folder)
    Burst2VecEnsembleFeatureExtractor.from_members(saved_members).save_pretrained(folder)
    ensemble, extractor = open_model(folder)
    assert type(ensemble) is Burst2VecEnsemble and type(extractor) is Burst2VecEnsembleFeatureExtractor
    assert not model.training and not ensemble.training


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        open_model(str(tmp_path / "nowhere"))


def test_models_of_different_tasks_are_not_averaged(make_model, tasks):
    models = [make_model(seed=seed) for seed in (0, 1)]
    assert [task.name for task in same_tasks(models, ["a", "b"])] == ["emotion", "age", "country"]
    tasks[1]["range"] = [20, 40]
    with pytest.raises(
        CheckpointError, match="checkpoint 'c' has other tasks than 'a': average models of the same tasks"
    ):
        same_tasks([*models, make_model(tasks=tasks)], ["a", "b", "c"])
