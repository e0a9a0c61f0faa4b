"""Calibrated outputs: what a config may say, and what models, the pipeline and ensembles make of it."""

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from paravox.modeling.calibration import calibrated, parse_calibration
from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.errors import ConfigError
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.modeling.tasks import Task, parse_tasks

CALIBRATION = {"emotion": {"temperature": 0.2, "offset": 0.5}, "country": {"temperature": 2.0}}


@pytest.fixture
def calibrated_model(make_model):
    """A tiny model with temperatures, and with a familiarity whose numbers are not those of a new one."""
    config = make_model("whisper").config.to_dict() | {
        "calibration": CALIBRATION,
        "familiarity": {"directions": 2, "false_alarm_rate": 0.05},
    }
    model = Burst2VecForMultiTask(Burst2VecConfig(**config)).eval()
    generator = torch.Generator().manual_seed(0)
    for buffer in model.familiarity.buffers():
        buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    model.familiarity.directions.copy_(torch.eye(2, model.encoder.hidden_size))
    return model


def test_formulas():
    logits = np.array([[0.5, 2.0, -1.0]])
    found = calibrated(Task("origin", "classes", labels=("a", "b", "c")), torch.tensor(logits), 2.0)
    np.testing.assert_allclose(found, softmax(logits / 2, axis=1))
    found = calibrated(Task("emotion", "intensities", labels=("a", "b", "c")), torch.tensor(logits), 0.2, 0.5)
    np.testing.assert_allclose(found, expit((logits - 0.5) / 0.2))


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ([], "give a mapping by task, for any of emotion, country"),
        ({"age": {"temperature": 1.0}}, "give a mapping by task"),
        ({"country": {"temperature": 1.0, "offset": 0.0}}, "give numbers for temperature$"),
        ({"emotion": {"temperature": 1.0}}, "give numbers for offset and temperature"),
        ({"country": {"temperature": "hot"}}, "give numbers"),
        ({"country": {"temperature": float("nan")}}, "give numbers"),
        ({"country": {"temperature": True}}, "give numbers"),
        ({"country": {"temperature": 0.0}}, "has the temperature 0.0: it is above 0"),
    ],
)
def test_what_a_config_may_not_say(tasks, calibration, message):
    with pytest.raises(ConfigError, match=message):
        parse_calibration(calibration, parse_tasks(tasks))


@pytest.mark.parametrize(
    "familiarity",
    [
        [],
        {},
        {"directions": 0, "false_alarm_rate": 0.1},
        {"directions": 10**9, "false_alarm_rate": 0.1},
        {"directions": 2},
    ]
    + [{"directions": 2, "false_alarm_rate": rate} for rate in (0, 1.0, "a", float("nan"))],
)
def test_what_a_config_may_not_say_of_the_training_recordings(make_model, familiarity):
    with pytest.raises(ConfigError, match="give directions, a whole number above 0, and false_alarm_rate"):
        Burst2VecConfig(**make_model("whisper").config.to_dict() | {"familiarity": familiarity})


def test_outputs_are_calibrated_beside_the_predictions(calibrated_model, make_inputs):
    with torch.no_grad():
        output = calibrated_model(**make_inputs("whisper"))
    logits = {name: values.double().numpy() for name, values in output.logits.items()}
    np.testing.assert_allclose(output.calibrated["emotion"], expit((logits["emotion"] - 0.5) / 0.2), rtol=1e-5)
    np.testing.assert_allclose(output.calibrated["country"], softmax(logits["country"] / 2, axis=1), rtol=1e-5)
    assert output.calibrated["age"] is output.predictions["age"]
    np.testing.assert_allclose(output.predictions["country"], softmax(logits["country"], axis=1), rtol=1e-5)
    # The first two of its directions have a scale of their own.
    known = calibrated_model.familiarity
    deviations = (output.pooled_states[:, -1] - known.mean).numpy()
    scales = np.r_[known.scales.numpy(), np.full(deviations.shape[1] - 2, known.rest_scale.item())]
    expected = np.sqrt(np.mean((deviations / scales) ** 2, axis=1) / known.threshold.item())
    np.testing.assert_allclose(output.unusual, expected, rtol=1e-4)


def test_a_saved_model_keeps_them_and_a_model_without_them_has_none(
    calibrated_model, make_model, make_inputs, tmp_path
):
    calibrated_model.save_pretrained(tmp_path)
    opened = Burst2VecForMultiTask.from_pretrained(tmp_path)
    half = Burst2VecForMultiTask.from_pretrained(tmp_path, dtype=torch.bfloat16)
    inputs = make_inputs("whisper")
    with torch.no_grad():
        first, second, third = (model(**inputs) for model in (calibrated_model, opened, half))
        plain = make_model("whisper")(**inputs)
    torch.testing.assert_close(first.unusual, second.unusual)
    torch.testing.assert_close(first.unusual, third.unusual, rtol=0.05, atol=0.02)
    for task, values in first.calibrated.items():
        torch.testing.assert_close(values, second.calibrated[task])
    assert plain.unusual is None and plain.calibrated == plain.predictions


def test_an_ensemble_averages_what_its_members_say(calibrated_model, make_model, make_inputs, tmp_path):
    calibrated_model.save_pretrained(tmp_path / "first")
    make_model("whisper").save_pretrained(tmp_path / "second")
    ensemble = Burst2VecEnsemble.from_members([str(tmp_path / "first"), str(tmp_path / "second")])
    inputs = make_inputs("whisper")
    with torch.no_grad():
        together, alone = ensemble(**inputs), calibrated_model(**inputs)
        second = ensemble.members[1](**inputs)
    expected = (alone.calibrated["country"] + second.predictions["country"]) / 2
    torch.testing.assert_close(together.calibrated["country"], expected)
    torch.testing.assert_close(together.unusual, alone.unusual)
