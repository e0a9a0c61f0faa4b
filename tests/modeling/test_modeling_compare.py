"""The challenge's baseline against a plain network and losses written out here, and what a saved folder gives back."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, pipeline

from paravox.modeling.configuration_compare import ComParEConfig
from paravox.modeling.configuration_ensemble import Burst2VecEnsembleConfig
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_compare import ComParEFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.modeling_compare import ComParEForMultiTask
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.modeling.tasks import Task

NAMES = ["emotion", "age", "country"]
SIZE = 20


@pytest.fixture
def make_baseline(tasks):
    def make(seed=0, functionals=SIZE, tasks=tasks, **settings):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = ComParEForMultiTask(ComParEConfig(tasks=tasks, functionals=functionals, **settings)).eval()
            model.standardisation.mean.copy_(torch.randn(functionals))
            model.standardisation.scale.copy_(torch.rand(functionals) + 0.5)
            with torch.no_grad():
                model.task_weights.log_variances.copy_(torch.tensor([0.4, -0.2, 0.1])[: len(tasks)])
                model.heads["age"][-1].bias.fill_(28.0)  # in the range of age, so that not all ages are clipped
            return model

    return make


@pytest.fixture
def functionals():
    return 2 * torch.randn(6, SIZE, generator=torch.Generator().manual_seed(3))


def plain_network(weights, functionals, sizes=(SIZE, 128, 64)):
    """The organisers' network, with the weights of a model put in by name."""
    layers = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.LeakyReLU()]
    shared = nn.Sequential(*layers)
    heads = {
        name: nn.Sequential(nn.Linear(sizes[-1], 32), nn.LeakyReLU(), nn.Linear(32, outputs))
        for name, outputs in zip(NAMES, (3, 1, 4), strict=True)
    }
    for prefix, module in {"shared_layers": shared, **{f"heads.{name}": head for name, head in heads.items()}}.items():
        module.load_state_dict(
            {name.removeprefix(f"{prefix}."): value for name, value in weights.items() if name.startswith(f"{prefix}.")}
        )
    standardised = (functionals - weights["standardisation.mean"]) / weights["standardisation.scale"]
    hidden = shared(standardised)
    return {name: head(hidden) for name, head in heads.items()}


def test_it_is_the_organisers_network(make_baseline, functionals):
    model = make_baseline()
    with torch.no_grad():
        output, expected = model(functionals=functionals), plain_network(model.state_dict(), functionals)
    assert list(output.predictions) == NAMES
    for name in NAMES:
        torch.testing.assert_close(output.logits[name], expected[name])
    emotion, age, country = (expected[name].double().numpy() for name in NAMES)
    np.testing.assert_allclose(output.predictions["emotion"], 1 / (1 + np.exp(-emotion)), rtol=1e-5)
    np.testing.assert_allclose(output.predictions["age"], np.clip(age[:, 0], 20, 39), rtol=1e-5)
    powers = np.exp(country)
    np.testing.assert_allclose(output.predictions["country"], powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)
    assert output.representations["shared"].shape == (6, 64)


def test_the_defaults_are_those_of_the_organisers(tasks):
    emotion = {"name": "emotion", "kind": "intensities", "labels": [f"emotion {number}" for number in range(10)]}
    model = ComParEForMultiTask(ComParEConfig(tasks=[emotion, *tasks[1:]]))
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters() if value.ndim == 2}
    assert list(shapes.values()) == [(128, 6373), (64, 128), (32, 64), (10, 32), (32, 64), (1, 32), (32, 64), (4, 32)]
    assert model.task_weights.log_variances.tolist() == pytest.approx([-0.33] * 3)
    # torch draws a linear layer's weights uniformly within one over the root of its inputs.
    for layer in (model.shared_layers[0], model.shared_layers[3], model.heads["age"][0]):
        limit = 1 / math.sqrt(layer.in_features)
        assert 0.9 * limit < layer.weight.abs().max() <= limit and layer.bias.abs().max() > 0
    layers = [type(layer).__name__ for layer in model.shared_layers]
    assert layers == ["Linear", "LayerNorm", "LeakyReLU"] * 2 and model.shared_layers[2].negative_slope == 0.01


def losses_by_loop(logits, labels):
    """Each loss over its known labels, in float64: sums over emotions of means, mean squared years, cross-entropy."""
    values = {name: tensor.double().numpy() for name, tensor in logits.items()}
    emotion = 0.0
    for column in range(3):
        known = [row for row in range(6) if not math.isnan(labels["emotion"][row, column])]
        squares = [
            (1 / (1 + math.exp(-values["emotion"][row, column])) - labels["emotion"][row, column].item()) ** 2
            for row in known
        ]
        emotion += sum(squares) / len(squares) if squares else 0.0
    ages = [row for row in range(6) if not math.isnan(labels["age"][row])]
    age = sum((values["age"][row, 0] - labels["age"][row].item()) ** 2 for row in ages) / max(1, len(ages))
    countries = [row for row in range(6) if labels["country"][row] != -100]
    surprises = [
        math.log(sum(math.exp(value) for value in values["country"][row]))
        - values["country"][row, labels["country"][row]]
        for row in countries
    ]
    return {"emotion": emotion, "age": age, "country": sum(surprises) / max(1, len(surprises))}


def unknown_labels(labels):
    labels = {name: values.clone() for name, values in labels.items()}
    labels["emotion"][0] = labels["emotion"][2, 1] = labels["age"][3] = labels["age"][5] = math.nan
    labels["country"][1] = labels["country"][4] = -100
    return labels


@pytest.mark.parametrize("known", ["all", "some", "no ages", "no emotion of one column"])
def test_the_loss_is_that_of_the_organisers(make_baseline, functionals, labels, known):
    model = make_baseline()
    if known != "all":
        labels = unknown_labels(labels)
    if known == "no ages":
        labels["age"][:] = math.nan
    if known == "no emotion of one column":
        labels["emotion"][:, 2] = math.nan
    output = model(functionals=functionals, labels=labels)
    expected = losses_by_loop({name: values.detach() for name, values in output.logits.items()}, labels)
    terms = {
        "emotion/mse": expected["emotion"],
        "age/mse": expected["age"],
        "country/cross_entropy": expected["country"],
    }
    assert {name: value.item() for name, value in output.loss_terms.items()} == pytest.approx(terms, rel=1e-5)
    # 1 / (2 exp(s)) L + s / 2, as in their program, for each task that has a label.
    weighted = {
        name: 1 / (2 * math.exp(s)) * expected[name] + s / 2
        for name, s in zip(NAMES, model.task_weights.log_variances.tolist(), strict=True)
        if known != "no ages" or name != "age"
    }
    assert output.loss.item() == pytest.approx(sum(weighted.values()), rel=1e-5)
    for name in weighted:
        alone = model(functionals=functionals, task=name, labels=labels)
        assert alone.loss.item() == pytest.approx(weighted[name], rel=1e-5)
        assert list(alone.loss_terms) == ["cross_entropy" if name == "country" else "mse"]
        split = model.task_loss(name, output.logits[name].detach(), labels[name])
        assert split.item() == pytest.approx(weighted[name], rel=1e-5)


def test_class_weights_count(make_baseline, functionals, labels, tasks):
    weights = [3.0, 1.0, 0.5, 2.0]
    model = make_baseline(tasks=[*tasks[:2], {**tasks[2], "class_weights": weights}])
    output = model(functionals=functionals, task="country", labels=labels)
    expected = nn.functional.cross_entropy(output.logits["country"], labels["country"], torch.tensor(weights))
    torch.testing.assert_close(output.loss_terms["cross_entropy"], expected)


def test_a_batch_without_a_known_label_changes_nothing(make_baseline, functionals, labels):
    model = make_baseline()
    nothing = {
        name: torch.full_like(values, -100 if name == "country" else math.nan) for name, values in labels.items()
    }
    for task in (None, *NAMES):
        model.zero_grad()
        output = model(functionals=functionals, task=task, labels=nothing)
        assert output.loss.item() == 0
        output.loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is None or not parameter.grad.any(), name
    assert model.task_weights.log_variances.grad is not None


def test_a_gathered_batch_has_the_loss_of_the_whole(make_baseline, functionals, labels):
    """Every process holds a part; the other part comes from its gather."""
    model = make_baseline()
    whole = model(functionals=functionals, labels=labels).loss
    other = model(functionals=functionals[3:]).representations["shared"]
    parts = {name: values[:3].clone() for name, values in labels.items()}
    others = {part.data_ptr(): labels[name][3:] for name, part in parts.items()}

    def gather(values):
        return torch.cat([values, others.get(values.data_ptr(), other)])

    torch.testing.assert_close(model(functionals=functionals[:3], labels=parts, gather=gather).loss, whole)


def test_what_it_refuses(make_baseline, functionals, labels):
    model = make_baseline()
    with pytest.raises(ConfigError, match="takes 20 functionals per clip, found none: use the feature extractor"):
        model(labels=labels)
    with pytest.raises(ConfigError, match="takes 20 functionals per clip, found 7 per clip"):
        model(functionals=functionals[:, :7])
    with pytest.raises(ConfigError, match="task 'mood' with labels of .*: give one of"):
        model(functionals=functionals, task="mood", labels=labels)
    with pytest.raises(ConfigError, match="task 'mood' with labels of"):
        model(functionals=functionals, labels={"mood": labels["age"]})


def test_the_config_refuses_what_does_not_fit(tasks):
    for settings, message in (
        ({"tasks": None}, "no tasks given"),
        ({"functionals": 0}, "functionals holds 0: give whole numbers"),
        ({"shared_sizes": []}, "shared_sizes is empty"),
        ({"head_sizes": [True]}, "head_sizes holds True"),
        ({"tasks": [{**tasks[1], "loss": "mae"}]}, "task 'age': loss 'mae' is not that of the .* scalar by mse"),
        ({"tasks": [Task("mood", "intensities", ("calm",))]}, "task 'mood': loss 'ccc' is not that"),
        ({"tasks": [{**tasks[1], "range": [3, 1]}]}, "is empty: give the lowest value first"),
    ):
        with pytest.raises(ConfigError, match=message):
            ComParEConfig(**({"tasks": tasks} | settings))
    with pytest.raises(CheckpointError, match="format_version 2, this paravox knows up to 1"):
        ComParEConfig(tasks=tasks, format_version=2)
    assert [task["loss"] for task in ComParEConfig(tasks=tasks).tasks] == ["mse", "mse", "cross_entropy"]
    assert [size.shape for size in ComParEForMultiTask(ComParEConfig(tasks[1:2], 5, [7], [])).parameters()][:5] == [
        (7, 5),
        (7,),
        (7,),
        (7,),
        (1, 7),
    ]


@pytest.fixture
def saved_baseline(make_baseline, tmp_path):
    folder = tmp_path / "baseline"
    model = make_baseline(functionals=6373)
    model.standardisation.scale.mul_(100)
    model.save_pretrained(folder)
    ComParEFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture
def clip(tmp_path):
    soundfile.write(tmp_path / "clip.wav", np.random.default_rng(1).normal(scale=0.1, size=8_000), 16_000)
    return tmp_path / "clip.wav"


def test_a_saved_folder_is_the_model(saved_baseline, make_baseline, clip):
    model = AutoModel.from_pretrained(saved_baseline)
    assert type(model) is ComParEForMultiTask and type(AutoConfig.from_pretrained(saved_baseline)) is ComParEConfig
    extractor = AutoFeatureExtractor.from_pretrained(saved_baseline)
    assert type(extractor) is ComParEFeatureExtractor and not model.training
    original = make_baseline(functionals=6373)
    original.standardisation.scale.mul_(100)
    inputs = extractor([str(clip)], return_tensors="pt")
    with torch.no_grad():
        found, expected = model(**inputs).predictions, original(**inputs).predictions
    for name in NAMES:
        torch.testing.assert_close(found[name], expected[name])
    record = pipeline("vocal-burst-analysis", model=str(saved_baseline))(str(clip), return_embeddings=True)
    assert list(record["country"].values()) == pytest.approx(expected["country"][0].tolist())
    assert record["age"] == pytest.approx(expected["age"].item()) and len(record["embeddings"]["shared"]) == 64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_the_functionals_whole(saved_baseline, clip, dtype):
    """Functionals of more than 65504 have no number in float16, and the digits that count are lost in bfloat16."""
    inputs = ComParEFeatureExtractor()([str(clip)], return_tensors="pt")
    assert inputs["functionals"].abs().max() > 70_000
    expected = pipeline("vocal-burst-analysis", model=str(saved_baseline))(str(clip))
    found = pipeline("vocal-burst-analysis", model=str(saved_baseline), dtype=dtype)(str(clip))
    assert found["age"] == pytest.approx(expected["age"], rel=0.01)
    assert list(found["emotion"].values()) == pytest.approx(list(expected["emotion"].values()), abs=0.01)
    model = AutoModel.from_pretrained(saved_baseline, dtype=dtype)
    assert model.heads["age"][0].weight.dtype == dtype and model.standardisation.mean.dtype == torch.float32


def test_a_run_in_bfloat16_keeps_this_network_in_float32(make_baseline, functionals, labels):
    model = make_baseline()
    expected = model(functionals=functionals, labels=labels)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(functionals=functionals, labels=labels)
    assert output.loss.item() == expected.loss.item()
    for name in NAMES:
        torch.testing.assert_close(output.logits[name], expected.logits[name], rtol=0, atol=0)


@pytest.mark.parametrize("missing", ["standardisation.mean", "standardisation.scale", "heads.age.2.weight"])
def test_an_incomplete_folder_is_refused(saved_baseline, missing):
    weights = load_file(saved_baseline / "model.safetensors")
    del weights[missing]
    save_file(weights, saved_baseline / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"lacks 1 weights of ComParEForMultiTask .{missing}.: it is incomplete"):
        AutoModel.from_pretrained(saved_baseline)


def test_another_class_is_refused(saved_baseline, saved_members):
    with pytest.raises(
        CheckpointError, match="model_type 'burst2vec', not 'compare_baseline': .* train a ComParEForMul"
    ):
        ComParEForMultiTask.from_pretrained(saved_members[0])
    with pytest.raises(CheckpointError, match="model_type 'compare_baseline', not 'burst2vec'"):
        Burst2VecForMultiTask.from_pretrained(saved_baseline)


@pytest.mark.slow
def test_a_saved_folder_opens_where_paravox_is_absent(saved_baseline, clip, open_elsewhere):
    found = open_elsewhere(saved_baseline, clip)
    model = ComParEForMultiTask.from_pretrained(saved_baseline)
    with torch.no_grad():
        expected = model(**ComParEFeatureExtractor()([str(clip)], return_tensors="pt")).predictions
    assert found["module"].startswith("transformers_modules.")
    for name in NAMES:
        np.testing.assert_allclose(found["predictions"][name], expected[name].numpy(), rtol=1e-5)


def own_predictions(folder, clips):
    """A member opened by itself with its own feature extractor."""
    baseline = json.loads((Path(folder) / "config.json").read_text())["model_type"] == "compare_baseline"
    model_class = ComParEForMultiTask if baseline else Burst2VecForMultiTask
    extractor_class = ComParEFeatureExtractor if baseline else Burst2VecFeatureExtractor
    with torch.no_grad():
        inputs = extractor_class.from_pretrained(folder)(clips, return_tensors="pt")
        return model_class.from_pretrained(folder)(**inputs).predictions


@pytest.mark.parametrize("which", [[0], [2], [0, 2], []])
def test_in_an_ensemble_it_counts_as_any_other_member(saved_baseline, saved_members, tmp_path, which):
    """Beside members of waveforms, of log-mel frames and of both, or alone with a second baseline."""
    folders = [*(saved_members[number] for number in which), str(saved_baseline)]
    folders += [str(saved_baseline)] if not which else []
    clips = [
        (np.random.default_rng(seed).normal(scale=0.1, size=size), 16_000) for seed, size in enumerate((8000, 5000))
    ]
    members = [own_predictions(folder, clips) for folder in folders]
    assert not torch.allclose(members[0]["country"], members[-1]["country"]) or not which

    folder = tmp_path / "ensemble"
    Burst2VecEnsemble.from_members(folders).save_pretrained(folder)
    Burst2VecEnsembleFeatureExtractor.from_members(folders).save_pretrained(folder)
    ensemble, extractor = AutoModel.from_pretrained(folder), AutoFeatureExtractor.from_pretrained(folder)
    assert extractor.model_input_names[-1] == "functionals"
    with torch.no_grad():
        output = ensemble(**extractor(clips, return_tensors="pt"))
    for name in NAMES:
        expected = sum(member[name].double() for member in members) / len(members)
        np.testing.assert_allclose(output.predictions[name], expected, rtol=1e-5, atol=1e-5, err_msg=name)
    again = Burst2VecEnsembleFeatureExtractor.from_dict(extractor.to_dict())
    np.testing.assert_array_equal(again(clips)["functionals"], extractor(clips)["functionals"])


def test_members_may_be_learned_by_different_losses_but_must_predict_the_same(make_model, tasks):
    baseline, other = ComParEConfig(tasks=tasks), make_model().config
    assert [task["loss"] for task in other.tasks][:2] == ["ccc", "mae"]
    config = Burst2VecEnsembleConfig(members=[other, baseline])
    assert [member.model_type for member in config.member_configs()] == ["burst2vec", "compare_baseline"]
    wider = ComParEConfig(tasks=[tasks[0], {**tasks[1], "range": [20, 40]}, tasks[2]])
    with pytest.raises(ConfigError, match="member 2 of the ensemble has other tasks than member 1"):
        Burst2VecEnsembleConfig(members=[other, wider])
