"""The model: directions of its gradients, predictions, what a saved folder gives back, and what it refuses."""

import pytest
import torch
from transformers import Wav2Vec2Model

from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask

TASK_NAMES = ("emotion", "age", "country")
NAN = float("nan")


def as_double(labels):
    return {name: values.double() if values.is_floating_point() else values for name, values in labels.items()}


def part_of(name):
    """The part of the model that a parameter belongs to."""
    return name.split(".")[0]


def without_discriminator(named):
    return {name: value for name, value in named.items() if part_of(name) != "discriminator"}


def gradients(model):
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def assert_predictions_equal(first, second, **tolerance):
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], **tolerance)


@pytest.mark.parametrize("scope", ["encoder", "extractor"])
@pytest.mark.parametrize("task", TASK_NAMES)
def test_gradients_agree_with_finite_differences(make_model, make_inputs, labels, task, scope):
    # Discriminator and heads descend on all terms; the extractors, and in scope "encoder" all before them, descend on
    # their own and ascend on the adversarial ones; in scope "extractor" what lies before sees its own alone.
    model = make_model(adversarial_scope=scope, layer_weights=True).double()
    inputs, labels = make_inputs(dtype=torch.float64, seconds=(0.1,) * 6), as_double(labels)

    def objective(sign):
        with torch.no_grad():
            terms = model(**inputs, task=task, labels=labels).loss_terms
        own = terms["shared"] + terms["specific"] + terms["joint"]
        return (own + sign * (0.5 * terms["discriminator"] + 0.25 * terms["adversarial"])).item()

    model(**inputs, task=task, labels=labels).loss.backward()
    before_extractors = -1 if scope == "encoder" else 0
    signs = {
        "heads": 1,
        "discriminator": 1,
        "shared_extractor": -1,
        "specific_extractors": -1,
        "joint_projections": 0,
        "projection": before_extractors,
        "layer_weights": before_extractors,
        "encoder": before_extractors,
    }
    checked = dict.fromkeys(signs, 0)
    step = 1e-5
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        sign = signs[part_of(name)]
        entry = parameter.grad.abs().argmax().item()
        gradient = parameter.grad.flatten()[entry].item()
        flat = parameter.data.view(-1)
        start = flat[entry].item()
        flat[entry] = start + step
        above = objective(sign)
        flat[entry] = start - step
        below = objective(sign)
        flat[entry] = start
        assert gradient == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-8), name
        checked[part_of(name)] += abs(gradient) > 1e-6
    assert all(checked.values()), checked


def one_step(model, part, term, batch, task, labels, learning_rate=1e-4):
    """Moves one part by the gradient of one loss term, and gives that term before and after."""
    model.zero_grad()
    before = model(**batch, task=task, labels=labels).loss_terms[term]
    before.backward()
    moved = 0.0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(part) and parameter.grad is not None:
                parameter -= learning_rate * parameter.grad
                moved += parameter.grad.abs().sum().item()
        after = model(**batch, task=task, labels=labels).loss_terms[term]
    assert moved > 0, f"{part} got no gradient of {term}"
    return before.item(), after.item()


@pytest.mark.parametrize("scope", ["encoder", "extractor"])
@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_discriminator_descends_and_the_shared_extractor_ascends(make_model, make_inputs, labels, task, scope):
    model = make_model(adversarial_scope=scope).double()
    batch, labels = make_inputs(dtype=torch.float64), as_double(labels)
    before, after = one_step(model, "discriminator", "discriminator", batch, task, labels)
    assert after < before
    before, after = one_step(model, "shared_extractor", "discriminator", batch, task, labels)
    assert after > before


@pytest.mark.parametrize("scope", ["encoder", "extractor"])
@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_head_descends_and_the_others_extractors_ascend(make_model, make_inputs, labels, task, scope):
    model = make_model(adversarial_scope=scope).double()
    batch, labels = make_inputs(dtype=torch.float64), as_double(labels)
    before, after = one_step(model, f"heads.{task}", "adversarial", batch, task, labels)
    assert after < before
    for other in set(TASK_NAMES) - {task}:
        before, after = one_step(model, f"specific_extractors.{other}", "adversarial", batch, task, labels)
        assert after > before, other


@pytest.mark.parametrize("part", ["projection", "encoder"])
@pytest.mark.parametrize("term", ["discriminator", "adversarial"])
def test_what_lies_before_the_extractors_ascends_in_scope_encoder_only(make_model, make_inputs, labels, part, term):
    batch, labels = make_inputs(dtype=torch.float64), as_double(labels)
    model = make_model(adversarial_scope="encoder").double()
    before, after = one_step(model, part, term, batch, "emotion", labels)
    assert after > before
    model = make_model(adversarial_scope="extractor").double()
    model(**batch, task="emotion", labels=labels).loss_terms[term].backward()
    assert all(gradient.abs().max() == 0 for name, gradient in gradients(model).items() if part_of(name) == part)


@pytest.mark.parametrize("term", ["shared", "specific", "joint"])
@pytest.mark.parametrize("part", ["heads", "encoder", "projection"])
def test_everything_descends_on_its_own_terms(make_model, make_inputs, labels, part, term):
    model = make_model().double()
    before, after = one_step(model, part, term, make_inputs(dtype=torch.float64), "country", as_double(labels))
    assert after < before


def test_the_extractor_of_the_batch_takes_no_part_in_its_adversarial_loss(make_model, make_inputs, labels):
    model = make_model(adversarial_scope="extractor")
    model(**make_inputs(), task="age", labels=labels).loss_terms["adversarial"].backward()
    touched = {name.split(".")[1] for name in gradients(model) if name.startswith("specific_extractors")}
    assert touched == {"emotion", "country"}
    assert {name.split(".")[1] for name in gradients(model) if name.startswith("heads")} == {"age"}


def test_the_loss_is_the_weighted_sum_of_its_terms(make_model, make_inputs, labels):
    # The two scopes differ in gradients, not in values.
    values = []
    for scope in ("encoder", "extractor"):
        model = make_model(adversarial_scope=scope, discriminator_weight=0.7, adversarial_weight=0.3)
        output = model(**make_inputs(), task="emotion", labels=labels)
        terms = {name: term.item() for name, term in output.loss_terms.items()}
        expected = terms["shared"] + terms["specific"] + terms["joint"]
        expected += 0.7 * terms["discriminator"] + 0.3 * terms["adversarial"]
        assert output.loss.item() == pytest.approx(expected, rel=1e-6)
        values.append(terms)
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_the_terms_are_those_of_the_paper(make_model, make_inputs, labels):
    # Worked out from the output's representations with torch's own losses.
    model = make_model()
    output = model(**make_inputs(), task="country", labels=labels)
    head, target = model.heads["country"], labels["country"]
    features = output.representations

    def entropy(states):
        return torch.nn.functional.cross_entropy(head(states), target).item()

    position = torch.full((6,), TASK_NAMES.index("country"))
    guess = model.discriminator(features["shared"])
    expected = {
        "shared": entropy(features["shared"]),
        "specific": entropy(features["specific"]["country"]),
        "joint": entropy(features["joint"]["country"]),
        "discriminator": torch.nn.functional.cross_entropy(guess, position).item(),
        "adversarial": entropy(features["specific"]["emotion"]) + entropy(features["specific"]["age"]),
    }
    assert {name: term.item() for name, term in output.loss_terms.items()} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scope", ["encoder", "extractor"])
@pytest.mark.parametrize("task", TASK_NAMES)
def test_without_adversarial_weights_it_is_the_model_without_adversaries(make_model, make_inputs, labels, task, scope):
    weightless = make_model(adversarial_scope=scope, discriminator_weight=0.0, adversarial_weight=0.0).train()
    plain = make_model(adversarial=False, seed=1).train()
    plain.load_state_dict(without_discriminator(weightless.state_dict()))
    losses = []
    for model in (weightless, plain):
        output = model(**make_inputs(), task=task, labels=labels)
        output.loss.backward()
        losses.append(output.loss)
    assert set(output.loss_terms) == {"shared", "specific", "joint"}
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=0)
    with_weights, without = without_discriminator(gradients(weightless)), gradients(plain)
    # The other tasks' extractors get a gradient of zero instead of none.
    for name in with_weights.keys() - without.keys():
        assert with_weights[name].abs().max() == 0, name
    assert without.keys() <= with_weights.keys()
    for name, gradient in without.items():
        torch.testing.assert_close(with_weights[name], gradient, rtol=1e-5, atol=1e-7, msg=name)


def test_a_model_without_adversaries_has_no_discriminator(make_model):
    assert {part_of(name) for name in make_model().state_dict()} >= {"discriminator"}
    assert "discriminator" not in {part_of(name) for name in make_model(adversarial=False).state_dict()}


@pytest.mark.parametrize("scope", ["encoder", "extractor"])
@pytest.mark.parametrize("encoder", ["wav2vec2_group", "wav2vec2_layer", "hubert_layer", "wavlm_layer", "whisper"])
def test_every_parameter_moves_in_three_steps(make_model, make_inputs, labels, encoder, scope):
    model = make_model(encoder, adversarial_scope=scope, layer_weights=True).train()
    before = {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for task in TASK_NAMES:
        optimizer.zero_grad()
        model(**make_inputs(encoder), task=task, labels=labels).loss.backward()
        optimizer.step()
    still = {name for name, value in model.named_parameters() if name in before and torch.equal(value, before[name])}
    # A shift of all keys does not change a softmax: a key's bias moves by rounding at most.
    assert {name for name in still if not name.endswith("k_proj.bias")} == set()
    assert len(before) > 60


@pytest.mark.parametrize("encoder", ["wav2vec2_group", "wav2vec2_layer", "hubert_layer", "wavlm_layer", "whisper"])
def test_predictions_are_in_their_ranges_and_units(make_model, make_inputs, encoder):
    model = make_model(encoder)
    with torch.no_grad():
        for head in model.heads.values():  # wide enough for values outside the range
            head.weight *= 200
        output = model(**make_inputs(encoder, seconds=(0.3, 0.2, 0.5, 0.1)))
    assert output.loss is None and output.loss_terms is None
    emotion, age, country = (output.predictions[name] for name in TASK_NAMES)
    assert emotion.shape == (4, 3) and age.shape == (4,) and country.shape == (4, 4)
    assert torch.equal(emotion, output.logits["emotion"].clamp(0, 1))
    assert (emotion != output.logits["emotion"]).any()
    torch.testing.assert_close(age, (20 + 19 * output.logits["age"][:, 0]).clamp(20, 39))
    torch.testing.assert_close(country.sum(dim=1), torch.ones(4))
    assert torch.equal(country.argmax(dim=1), output.logits["country"].argmax(dim=1))


def test_predictions_come_from_the_joint_representation(make_model, make_inputs):
    model = make_model()
    output = model(**make_inputs())
    features = output.representations
    assert features["projected"].shape == (6, 16) and features["shared"].shape == (6, 12)
    for name in TASK_NAMES:
        both = torch.cat([features["shared"], features["specific"][name]], dim=1)
        joint = model.joint_projections[name](both)
        torch.testing.assert_close(features["joint"][name], joint)
        torch.testing.assert_close(output.logits[name], model.heads[name](joint))


@pytest.mark.parametrize("task", TASK_NAMES)
def test_clips_with_unknown_labels_take_no_part_in_the_loss(make_model, make_inputs, labels, task):
    model = make_model()
    inputs, known = make_inputs(), torch.tensor([0, 2, 3, 5])
    partly = {name: values.clone() for name, values in labels.items()}
    partly[task][[1, 4]] = -100 if task == "country" else NAN
    masked = model(**inputs, task=task, labels=partly)
    shorter = {name: values[known] for name, values in inputs.items()}
    alone = model(**shorter, task=task, labels={task: labels[task][known]})
    assert masked.loss_terms.keys() == alone.loss_terms.keys()
    for name, term in masked.loss_terms.items():
        torch.testing.assert_close(term, alone.loss_terms[name], rtol=1e-4, atol=1e-6, msg=name)
    everything = model(**inputs, task=task, labels=labels)
    assert abs(masked.loss.item() - everything.loss.item()) > 1e-4


@pytest.mark.parametrize("task", TASK_NAMES)
def test_a_batch_without_a_known_label_is_a_step_of_zero(make_model, make_inputs, labels, task):
    model = make_model()
    nothing = torch.full_like(labels[task], -100 if task == "country" else NAN)
    output = model(**make_inputs(), task=task, labels={task: nothing})
    assert output.loss.item() == 0
    output.loss.backward()
    assert gradients(model) and all(gradient.abs().max() == 0 for gradient in gradients(model).values())


def test_one_task(make_model, make_inputs, labels, tasks):
    model = make_model(tasks=tasks[1:2])
    output = model(**make_inputs(), task="age", labels=labels)
    assert output.loss_terms["adversarial"].item() == 0
    assert output.loss_terms["discriminator"].item() == 0  # the only guess there is
    output.loss.backward()
    assert gradients(model)["heads.age.weight"].abs().max() > 0
    assert set(output.predictions) == {"age"}


def test_five_tasks(make_model, make_inputs, labels, tasks):
    more = [
        {"name": "valence", "kind": "scalar", "range": [-1, 1], "loss": "ccc"},
        {"name": "speaker_sex", "kind": "classes", "labels": ["female", "male"]},
    ]
    model = make_model(tasks=tasks + more)
    labels |= {"valence": torch.linspace(-1, 1, 6), "speaker_sex": torch.tensor([0, 1, 1, 0, 1, 0])}
    assert model.discriminator[-1].out_features == 5
    for task in (*TASK_NAMES, "valence", "speaker_sex"):
        output = model(**make_inputs(), task=task, labels=labels)
        assert torch.isfinite(output.loss) and output.loss_terms["adversarial"].item() > 0
    assert output.predictions["speaker_sex"].shape == (6, 2)
    assert output.predictions["valence"].abs().max() <= 1


def test_labels_without_their_task_are_refused(make_model, make_inputs, labels):
    model = make_model()
    with pytest.raises(ConfigError, match=r"task 'mood' with labels of \['mood'\].*give one of"):
        model(**make_inputs(), labels={"mood": labels["age"]})
    with pytest.raises(ConfigError, match=r"task 'origin' with labels.*\['emotion', 'age', 'country'\]"):
        model(**make_inputs(), task="origin", labels=labels)
    with pytest.raises(ConfigError, match=r"task 'age' with labels of \['emotion'\]"):
        model(**make_inputs(), task="age", labels={"emotion": labels["emotion"]})


def test_input_of_another_encoder_is_refused(make_model, make_inputs):
    with pytest.raises(ConfigError, match="takes input_values: use the feature extractor saved beside it"):
        make_model()(**make_inputs("whisper"))
    with pytest.raises(ConfigError, match="takes input_features"):
        make_model("whisper")(**make_inputs())


@pytest.mark.parametrize("layer_weights", [False, True])
def test_pooled_states_stand_for_the_input(make_model, make_inputs, labels, layer_weights):
    model = make_model(layer_weights=layer_weights)
    if layer_weights:
        torch.nn.init.normal_(model.layer_weights.scores, generator=torch.Generator().manual_seed(1))
    inputs = make_inputs(seconds=(0.3, 0.2, 0.25, 0.1, 0.3, 0.2))
    pooled = model.pool(**inputs)
    assert pooled.shape == (6, 3 if layer_weights else 1, 32)
    direct = model(**inputs, task="age", labels=labels)
    again = model(pooled_states=pooled, task="age", labels=labels)
    assert torch.equal(direct.pooled_states, pooled)
    assert torch.equal(direct.loss, again.loss)
    assert_predictions_equal(direct.predictions, again.predictions, rtol=0, atol=0)


def test_the_encoder_runs_once_a_batch(make_model, make_inputs, labels):
    model = make_model(adversarial_scope="extractor", layer_weights=True)
    passes = []
    model.encoder.layers[0].register_forward_hook(lambda *_: passes.append(1))
    model(**make_inputs(), task="emotion", labels=labels)
    assert len(passes) == 1


def test_without_a_mask_all_of_the_input_is_real(make_model, make_inputs):
    model, inputs = make_model(), make_inputs()
    assert_predictions_equal(model(inputs["input_values"]).predictions, model(**inputs).predictions, rtol=0, atol=0)


@pytest.mark.parametrize("encoder", ["wav2vec2_group", "wav2vec2_layer", "hubert_layer", "wavlm_layer", "whisper"])
def test_a_saved_model_reloads_in_full(make_model, make_inputs, tmp_path, encoder):
    model = make_model(encoder, layer_weights=True)
    torch.nn.init.normal_(model.layer_weights.scores, generator=torch.Generator().manual_seed(1))
    model.save_pretrained(tmp_path)
    loaded, info = Burst2VecForMultiTask.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert not loaded.training
    # All state, and the buffers that no checkpoint holds: what nobody sets is uninitialised memory after loading.
    for kind in ("named_parameters", "named_buffers"):
        saved, found = dict(getattr(model, kind)()), dict(getattr(loaded, kind)())
        assert saved.keys() == found.keys()
        for name, value in saved.items():
            assert torch.equal(value, found[name]), name
    inputs = make_inputs(encoder)
    assert_predictions_equal(model(**inputs).predictions, loaded(**inputs).predictions, rtol=1e-6, atol=1e-6)
    assert loaded.config.to_dict()["tasks"] == model.config.to_dict()["tasks"]


def test_every_new_parameter_on_a_bare_encoder_is_sane(encoders, tasks, tmp_path):
    encoders["hubert_layer"].model.half().save_pretrained(tmp_path)
    model = Burst2VecForMultiTask.from_encoder(str(tmp_path), tasks=tasks, layer_weights=True)
    assert model.config.encoder.model_type == "hubert" and model.config.projection_size == 256
    for name, value in encoders["hubert_layer"].model.state_dict().items():
        assert torch.equal(value.float(), model.encoder.model.state_dict()[name]), name
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32 and torch.isfinite(parameter).all(), name
        if part_of(name) == "encoder":
            continue
        if parameter.ndim == 2:
            assert 0.001 < parameter.std() < 0.5 and abs(parameter.mean()) < 0.05, name
        elif name.endswith(".weight"):
            assert torch.equal(parameter, torch.ones_like(parameter)), name
        else:
            assert torch.equal(parameter, torch.zeros_like(parameter)), name
    assert all(torch.isfinite(buffer).all() for buffer in model.buffers())


def test_the_encoder_s_own_settings_can_be_changed(saved_encoders, tasks):
    settings = {"dropout": 0.2, "apply_spec_augment": True}
    folder = str(saved_encoders["whisper"])
    model = Burst2VecForMultiTask.from_encoder(folder, tasks=tasks, encoder_settings=settings)
    assert model.config.encoder.dropout == 0.2 and model.encoder.model.config.apply_spec_augment
    assert {layer.dropout for layer in model.encoder.layers} == {0.2}
    with pytest.raises(ConfigError, match="encoder_settings has 'dropuot', which whisper does not know"):
        Burst2VecForMultiTask.from_encoder(folder, tasks=tasks, encoder_settings={"dropuot": 0.2})


@pytest.mark.parametrize(("encoder", "setting"), [("whisper", "encoder_layers"), ("wav2vec2", "num_hidden_layers")])
def test_an_encoder_can_be_cut_to_its_lower_layers(saved_encoders, make_inputs, tasks, encoder, setting):
    folder = str(saved_encoders[encoder])
    whole = Burst2VecForMultiTask.from_encoder(folder, tasks=tasks, layer_weights=True).eval()
    cut = Burst2VecForMultiTask.from_encoder(
        folder, tasks=tasks, layer_weights=True, encoder_settings={setting: 1}
    ).eval()
    inputs = make_inputs("whisper" if encoder == "whisper" else "wav2vec2_layer")
    assert len(whole.encoder.layers) == 2 and len(cut.encoder.layers) == 1
    # The first state, below all layers, is equal, and the norm behind the last layer is the one of the checkpoint.
    torch.testing.assert_close(cut.pool(**inputs)[:, 0], whole.pool(**inputs)[:, 0])
    for name, value in whole.encoder.layers[0].state_dict().items():
        assert torch.equal(value, cut.encoder.layers[0].state_dict()[name]), name
    for settings in ({setting: 3}, {"intermediate_size" if encoder == "wav2vec2" else "encoder_ffn_dim": 8}):
        with pytest.raises(CheckpointError, match="no weights for the sizes in encoder_settings"):
            Burst2VecForMultiTask.from_encoder(folder, tasks=tasks, encoder_settings=settings)


def test_layer_weights_from_an_encoder_switch_layerdrop_off(encoder_configs, tasks, tmp_path):
    encoder_configs["wav2vec2_layer"].layerdrop = 0.1
    Wav2Vec2Model(encoder_configs["wav2vec2_layer"]).save_pretrained(tmp_path)
    assert Burst2VecForMultiTask.from_encoder(str(tmp_path), tasks=tasks).config.encoder.layerdrop == 0.1
    model = Burst2VecForMultiTask.from_encoder(str(tmp_path), tasks=tasks, layer_weights=True)
    assert model.encoder.model.config.layerdrop == 0


@pytest.mark.parametrize("encoder", ["wav2vec2_group", "wav2vec2_layer", "hubert_layer", "whisper"])
def test_sdpa_equals_eager(make_model, make_inputs, labels, tmp_path, encoder):
    make_model(encoder, layer_weights=True).save_pretrained(tmp_path)
    inputs = make_inputs(encoder, seconds=(0.4, 0.2, 0.3, 0.1, 0.25, 0.4))
    outputs = []
    for implementation in ("eager", "sdpa"):
        model = Burst2VecForMultiTask.from_pretrained(tmp_path, attn_implementation=implementation)
        assert model.encoder.model.config._attn_implementation == implementation
        output = model(**inputs, task="emotion", labels=labels)
        output.loss.backward()
        outputs.append((output, gradients(model)))
    (eager, eager_gradients), (sdpa, sdpa_gradients) = outputs
    torch.testing.assert_close(eager.pooled_states, sdpa.pooled_states, rtol=0, atol=1e-5)
    assert_predictions_equal(eager.predictions, sdpa.predictions, rtol=0, atol=1e-5)
    for name, gradient in eager_gradients.items():
        torch.testing.assert_close(sdpa_gradients[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_wavlm_has_eager_attention_only(make_model, tmp_path):
    make_model("wavlm_layer").save_pretrained(tmp_path)
    model = Burst2VecForMultiTask.from_pretrained(tmp_path)
    assert model.encoder.model.config._attn_implementation == "eager"


@pytest.mark.parametrize("scope", ["encoder", "extractor"])
@pytest.mark.parametrize("layer_weights", [False, True])
@pytest.mark.parametrize("encoder", ["wav2vec2_group", "wav2vec2_layer", "wavlm_layer", "whisper"])
def test_activation_checkpointing_changes_no_gradient(make_model, make_inputs, labels, encoder, layer_weights, scope):
    inputs, results = make_inputs(encoder, seconds=(0.2, 0.1, 0.15, 0.2, 0.1, 0.2)), []
    for checkpointed in (False, True):
        model = make_model(encoder, layer_weights=layer_weights, adversarial_scope=scope).train()
        if checkpointed:
            # The second name is the one of Transformers before 5.21.
            (getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable)()
        passes = []
        # A checkpointed layer's linear layers run again in the backward pass.
        first = next(module for module in model.encoder.layers[0].modules() if isinstance(module, torch.nn.Linear))
        first.register_forward_hook(lambda *_, passes=passes: passes.append(1))
        output = model(**inputs, task="age", labels=labels)
        output.loss.backward()
        results.append((output.loss, gradients(model), len(passes)))
    (loss, expected, once), (checkpointed_loss, found, twice) = results
    assert twice == 2 * once
    torch.testing.assert_close(checkpointed_loss, loss)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("encoder", ["wav2vec2_layer", "wavlm_layer", "whisper"])
@pytest.mark.parametrize("task", TASK_NAMES)
def test_bfloat16_autocast_is_near_float32(make_model, make_inputs, labels, encoder, task):
    model, inputs = make_model(encoder, layer_weights=True).train(), make_inputs(encoder)
    exact = model(**inputs, task=task, labels=labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = model(**inputs, task=task, labels=labels)
    near.loss.backward()
    assert near.logits[task].dtype == torch.bfloat16
    assert near.loss.dtype == torch.float32 and near.predictions[task].dtype == torch.float32
    assert near.loss.item() == pytest.approx(exact.loss.item(), rel=0.05)
    for name, values in exact.predictions.items():
        scale = 19.0 if name == "age" else 1.0
        torch.testing.assert_close(near.predictions[name] / scale, values / scale, rtol=0, atol=0.05)
    assert all(torch.isfinite(gradient).all() for gradient in gradients(model).values())


@pytest.mark.parametrize("encoder", ["wav2vec2_group", "wav2vec2_layer", "whisper"])
def test_a_frozen_encoder_learns_nothing_and_stays_in_evaluation_mode(make_model, make_inputs, labels, encoder):
    model = make_model(encoder, dropout=0.5)
    model.freeze_encoder()
    assert model.encoder_is_frozen
    model.train()
    assert model.training and model.projection.training
    assert not any(module.training for module in model.encoder.modules())
    model(**make_inputs(encoder), task="age", labels=labels).loss.backward()
    assert {part_of(name) for name in gradients(model)} >= {"heads", "projection", "shared_extractor"}
    assert not {name for name in gradients(model) if part_of(name) == "encoder"}
    assert not model.eval().training


@pytest.mark.parametrize("encoder", ["wav2vec2_group", "wav2vec2_layer", "whisper"])
def test_all_but_the_top_layers_can_be_frozen(make_model, make_inputs, labels, encoder):
    model = make_model(encoder)
    model.freeze_encoder(trainable_layers=1)
    model.train()
    assert not model.encoder_is_frozen and model.encoder.training
    model(**make_inputs(encoder), task="age", labels=labels).loss.backward()
    learning = {name for name in gradients(model) if part_of(name) == "encoder"}
    norm = {name for name in learning if ".layers." not in name}
    assert learning > norm and all(".layers.1." in name for name in learning - norm)
    # In the group-norm encoder the norm stands before the first layer.
    assert len(norm) == (0 if encoder == "wav2vec2_group" else 2)


def test_more_layers_than_there_are_cannot_learn(make_model):
    with pytest.raises(ConfigError, match="trainable_layers is 3, the encoder has 2: give 0 to 2"):
        make_model().freeze_encoder(3)
