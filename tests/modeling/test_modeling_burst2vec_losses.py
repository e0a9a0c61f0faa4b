"""The losses of Burst2Vec beyond a batch of one task: all tasks at once, weights, and states given as input."""

import math

import pytest
import torch

from paravox.modeling.errors import ConfigError
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask

KINDS = ("emotion", "age", "country")


def gradients(model, **inputs):
    model.zero_grad()
    loss = model(**inputs).loss
    loss.backward()
    named = model.named_parameters()
    return loss, {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in named}


@pytest.mark.parametrize("scope", ["encoder", "extractor"])
def test_a_batch_of_all_tasks_is_the_mean_of_its_one_task_batches(make_model, make_inputs, labels, scope):
    model, inputs = make_model(adversarial_scope=scope), make_inputs()
    singles = [gradients(model, **inputs, task=task, labels=labels) for task in KINDS]
    loss, found = gradients(model, **inputs, labels=labels)
    torch.testing.assert_close(loss, torch.stack([single for single, _ in singles]).mean())
    for name, gradient in found.items():
        expected = sum(single[name] for _, single in singles) / 3
        torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-4, msg=name)


def test_tasks_without_a_known_label_take_no_part_in_the_mean(make_model, make_inputs, labels):
    model, inputs = make_model(), make_inputs()
    unknown = labels | {"age": torch.full((6,), math.nan), "country": torch.full((6,), -100)}
    alone = model(**inputs, task="emotion", labels=labels)
    output = model(**inputs, labels=unknown)
    torch.testing.assert_close(output.loss, alone.loss)
    terms = ("shared", "specific", "joint", "discriminator", "adversarial")
    assert set(output.loss_terms) == {f"{task}/{term}" for task in KINDS for term in terms}
    for term in terms:
        torch.testing.assert_close(output.loss_terms[f"emotion/{term}"], alone.loss_terms[term])
    nothing = model(**inputs, labels=unknown | {"emotion": torch.full((6, 3), math.nan)})
    assert nothing.loss.item() == 0
    nothing.loss.backward()


def test_the_discriminator_s_accuracy_is_counted_on_known_clips(make_model, make_inputs, labels):
    model, inputs = make_model(), make_inputs(seconds=(0.25, 0.3, 0.35, 0.4, 0.45, 0.5))
    labels["age"][:2] = math.nan
    output = model(**inputs, labels=labels)
    guesses = model.discriminator(output.representations["shared"]).argmax(dim=1)
    for position, task in enumerate(KINDS):
        known = guesses[2:] if task == "age" else guesses
        expected = sum(int(guess) == position for guess in known) / len(known)
        assert output.discriminator_accuracy[task].item() == pytest.approx(expected)
    torch.nn.init.zeros_(model.discriminator[-1].weight)
    model.discriminator[-1].bias.data = torch.tensor([0.0, 1.0, 0.0])  # every clip is taken for one of age
    accuracies = model(**inputs, labels=labels).discriminator_accuracy
    assert {task: value.item() for task, value in accuracies.items()} == {"emotion": 0, "age": 1, "country": 0}
    assert model(**inputs, task="age", labels=labels).discriminator_accuracy.keys() == {"age"}
    assert make_model(adversarial=False)(**inputs, labels=labels).discriminator_accuracy is None


@pytest.mark.parametrize("scope", ["encoder", "extractor"])
@pytest.mark.parametrize("reversal", [True, False])
def test_without_reversal_the_extractors_descend_on_the_whole_loss(make_model, make_inputs, labels, scope, reversal):
    model = make_model(adversarial_scope=scope, gradient_reversal=reversal, dropout=0.0).double()
    inputs = {name: values.double() if values.is_floating_point() else values for name, values in make_inputs().items()}
    labels = {name: values.double() if values.is_floating_point() else values for name, values in labels.items()}
    _, found = gradients(model, **inputs, task="emotion", labels=labels)
    step, same = 1e-6, []
    for name in ("shared_extractor.0.weight", "specific_extractors.age.0.weight"):
        weight = dict(model.named_parameters())[name]
        for row, column in ((0, 0), (3, 2), (1, 4)):
            losses = []
            for sign in (1, -1):
                with torch.no_grad():
                    weight[row, column] += sign * step
                    losses.append(model(**inputs, task="emotion", labels=labels).loss.item())
                    weight[row, column] -= sign * step
            by_differences = (losses[0] - losses[1]) / (2 * step)
            same.append(found[name][row, column].item() == pytest.approx(by_differences, rel=1e-4, abs=1e-9))
    assert all(same) if not reversal else not any(same)


def test_learned_variances_weigh_the_output_losses(make_model, make_inputs, labels, tmp_path):
    model, inputs = make_model(task_weighting="variances"), make_inputs()
    output = model(**inputs, task="age", labels=labels)
    terms = output.loss_terms
    own = terms["shared"] + terms["specific"] + terms["joint"]
    expected = math.exp(0.33) * own - 0.33 + 0.5 * terms["discriminator"] + 0.25 * terms["adversarial"]
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    # d/ds of exp(-s) L + s
    by_hand = torch.tensor([0.0, 1 - math.exp(0.33) * own.item(), 0.0])
    torch.testing.assert_close(model.task_weights.log_variances.grad, by_hand)
    with torch.no_grad():
        model.task_weights.log_variances.copy_(torch.tensor([0.1, 0.2, 0.3]))
    model.save_pretrained(tmp_path)
    reloaded = Burst2VecForMultiTask.from_pretrained(tmp_path).task_weights.log_variances
    torch.testing.assert_close(reloaded, torch.tensor([0.1, 0.2, 0.3]))


def test_class_weights_of_a_task_reach_its_loss(make_model, make_inputs, labels, tasks):
    weights = [1.0, 2.0, 3.0, 4.0]
    tasks[2]["class_weights"] = weights
    output = make_model(tasks=tasks)(**make_inputs(), task="country", labels=labels)
    expected = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights))(output.logits["country"], labels["country"])
    torch.testing.assert_close(output.loss_terms["joint"], expected)


@pytest.mark.parametrize("layer_weights", [True, False])
@pytest.mark.parametrize("encoder", ["wav2vec2_layer", "hubert_layer", "whisper"])
@pytest.mark.parametrize("layers", [1, 2])
def test_states_of_frozen_layers_stand_for_the_input(make_model, make_inputs, labels, encoder, layer_weights, layers):
    model = make_model(encoder, layer_weights=layer_weights)
    model.freeze_encoder(trainable_layers=layers)
    lower = 2 - layers
    assert model.frozen_lower_layers == lower
    inputs = make_inputs(encoder, (0.25, 0.3, 0.35, 0.4, 0.45, 0.5))
    states = model.encoder.layer_states(inputs[model.main_input_name], inputs["attention_mask"])
    frame_mask = model.encoder.frame_mask(inputs["attention_mask"], states[0].shape[1])
    expected_loss, expected = gradients(model, **inputs, task="emotion", labels=labels)
    stored = {"lower_states": states[lower].detach(), "attention_mask": frame_mask.long()}
    if layer_weights:
        frames = frame_mask.sum(dim=1, keepdim=True)
        means = [(state * frame_mask.unsqueeze(2)).sum(dim=1) / frames for state in states[: lower + 1]]
        stored["lower_pooled_states"] = torch.stack(means, dim=1).detach()
    loss, found = gradients(model, **stored, task="emotion", labels=labels)
    torch.testing.assert_close(loss, expected_loss, atol=1e-6, rtol=1e-5)
    assert any("layers.1." in name and gradient.abs().sum() > 0 for name, gradient in found.items())
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-3, msg=name)


def test_states_are_refused_where_the_front_end_learns(make_model):
    with pytest.raises(ConfigError, match="lower_states need a frozen front end, but this model's front end learns"):
        make_model()(lower_states=torch.zeros(2, 3, 32), attention_mask=torch.ones(2, 3))
