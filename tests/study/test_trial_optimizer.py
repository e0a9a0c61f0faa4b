"""Half precision: the encoder computes in it, and the weights that learn are those of AdamW in float32."""

import copy

import pytest
import torch

from paravox.study.checkpoints import TRIAL_TASK, model_around
from paravox.study.grid import StudySettings
from paravox.study.trial_optimizer import TrialOptimizer

SETTINGS = StudySettings(["a"], ["b"], ["c"], [2], learning_rate=1e-5, warmup=0.25, weight_decay=0.1)
STEPS = 8


@pytest.fixture(params=["whisper", "wav2vec2"])
def model(request, saved_encoders):
    torch.manual_seed(0)
    return model_around(str(saved_encoders[request.param]), [TRIAL_TASK], projection_size=8).eval()


def test_steps_in_half_precision_are_those_of_float32_weights(model):
    """Against torch's AdamW on weights of its own, which are given the gradients of the rounded model."""
    reference = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(
        [weight for weight in reference.parameters() if weight.requires_grad], weight_decay=0.1
    )
    trained = TrialOptimizer(model, SETTINGS, STEPS, torch.bfloat16)
    encoder = {id(weight) for weight in model.encoder.parameters()}
    for step in range(STEPS):
        torch.manual_seed(step)
        for (name, weight), other in zip(model.named_parameters(), reference.parameters(), strict=True):
            is_half = id(weight) in encoder
            assert weight.dtype == (torch.bfloat16 if is_half else torch.float32), name
            torch.testing.assert_close(
                weight.float(), other.to(weight.dtype).float(), rtol=0, atol=0 if is_half else 1e-7
            )
            # The first weight of all is not used at first, as the filler of masks may not be.
            if weight.requires_grad and (step > 2 or other is not next(reference.parameters())):
                weight.grad = torch.randn_like(weight)
                other.grad = weight.grad.float()
        optimizer.param_groups[0]["lr"] = 1e-5 * (step / 2 if step < 2 else (STEPS - step) / 6)
        trained.step()
        optimizer.step()
        optimizer.zero_grad()
        assert all(weight.grad is None for weight in model.parameters())
    # The steps are far below the rounding, and yet some weights have moved.
    start = torch.tensor(1.0).to(torch.bfloat16)
    assert start + 1e-5 == start


def test_a_rounded_model_computes_its_loss_in_float32_and_agrees(model, make_inputs):
    kind = "whisper" if model.main_input_name == "input_features" else "wav2vec2_layer"
    inputs = make_inputs(kind)
    labels = {TRIAL_TASK.name: torch.tensor([0, 1, 0, 1, 1, 0])}
    exact = model(**inputs, task=TRIAL_TASK.name, labels=labels)
    TrialOptimizer(model, SETTINGS, STEPS, torch.bfloat16)
    inputs[model.main_input_name] = inputs[model.main_input_name].bfloat16()
    rounded = model(**inputs, task=TRIAL_TASK.name, labels=labels)
    rounded.loss.backward()
    assert rounded.loss.dtype == rounded.pooled_states.dtype == rounded.logits[TRIAL_TASK.name].dtype == torch.float32
    assert 0 < abs(rounded.loss.item() - exact.loss.item()) < 0.03
    torch.testing.assert_close(rounded.pooled_states, exact.pooled_states, atol=0.1, rtol=0)
