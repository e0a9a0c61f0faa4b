"""The audit of a model: planted representations, and every number by another way."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from sklearn.metrics import mean_absolute_error, recall_score

from paravox.evaluation import leakage, leakage_figure, probes
from paravox.evaluation.audited_corpus import open_audited_corpus
from paravox.evaluation.bootstrap import draw_speakers
from paravox.evaluation.leakage import (
    as_results,
    audit_model,
    difference,
    discriminator_accuracy,
    errors_by_label,
    mean_draws,
    representation_names,
)
from paravox.evaluation.leakage_figure import plot_leakage, share_above_chance
from paravox.modeling.errors import CheckpointError
from paravox.modeling.tasks import parse_tasks
from paravox.trainers.clip_pass import PassSettings

SETTINGS = PassSettings(show_progress=False)


@pytest.fixture
def corpus(tasks):
    """240 Train and 160 Val clips, each speaker with four; every label is known for most of the clips."""
    generator = np.random.default_rng(0)
    splits = {}
    for split, clips in (("train", 240), ("validation", 160)):
        columns = {name: generator.random(clips).tolist() for name in ("amusement", "awe", "fear")}
        columns["age"] = generator.uniform(20, 39, clips).tolist()
        columns["country"] = generator.choice(["China", "South Africa", "USA", "Venezuela"], clips).tolist()
        columns["country"][::7] = [None] * len(columns["country"][::7])
        columns["speaker"] = [f"{split} {clip // 4}" for clip in range(clips)]
        columns["path"] = [f"{split}/{clip}.wav" for clip in range(clips)]
        splits[split] = Dataset.from_dict(columns)
    return open_audited_corpus(DatasetDict(splits), parse_tasks(tasks), "validation")


def planted_pass(corpus, told):
    """What a pass leaves of a model whose representations are noise, but for the labels that they are told."""

    def run(model, extractor, corpus, split, settings, cache_dir):
        generator = np.random.default_rng(len(split))
        results = {"discriminator": generator.normal(size=(len(split), 3)).astype(np.float32)}
        results["prediction/emotion"] = generator.random((len(split), 3)).astype(np.float32)
        results["prediction/age"] = generator.uniform(20, 39, len(split)).astype(np.float32)
        results["prediction/country"] = generator.dirichlet(np.ones(4), len(split)).astype(np.float32)
        for name in representation_names(corpus.tasks):
            features = generator.normal(size=(len(split), 10))
            if "age" in told.get(name, ()):
                features[:, 3] += (split.labels["age"] - 30) / 2
            if "country" in told.get(name, ()):
                features[:, :4] += 4 * np.eye(4)[np.maximum(0, split.labels["country"])]
            if "emotion" in told.get(name, ()):
                features[:, 5:8] += 20 * split.labels["emotion"]
            results[f"representation/{name}"] = features.astype(np.float32)
        return results

    return run


@pytest.fixture
def few_fits(monkeypatch):
    for name, value in (("FOLDS", 2), ("ALPHAS", (10,)), ("CS", (0.1,))):
        monkeypatch.setattr(probes, name, value)


def test_the_matrix_says_what_each_representation_carries(corpus, make_model, monkeypatch, few_fits):
    told = {"shared": {"emotion", "age"}, "specific[age]": {"age", "country"}, "joint[country]": {"country"}}
    monkeypatch.setattr(leakage, "_pass", planted_pass(corpus, told))
    found = as_results(audit_model(make_model(), None, corpus, SETTINGS, draws=100))["leakage"]
    assert list(found) == representation_names(corpus.tasks)
    assert list(found) == ["encoder", "projected", "shared"] + [
        f"{kind}[{task}]" for kind in ("specific", "joint") for task in ("emotion", "age", "country")
    ]
    for name, scores in found.items():
        tells = told.get(name, ())
        assert (scores["emotion"]["ccc"]["value"] > 0.8) == ("emotion" in tells), name
        assert (scores["age"]["r2"]["value"] > 0.7) == ("age" in tells), name
        assert (scores["age"]["mae"]["value"] < 2.5) == ("age" in tells), name
        assert (scores["country"]["uar"]["value"] > 0.8) == ("country" in tells), name
        if "age" not in tells:
            low, high = scores["age"]["mae"]["interval"]
            assert low < corpus.chance["age"]["mae"] < high + 0.3
        if "country" not in tells:
            low, high = scores["country"]["uar"]["interval"]
            assert low < 0.33 and high > 0.2


def test_a_probe_that_heard_the_scored_speakers_would_score_better(corpus):
    # The features tell the speaker and nothing else; each speaker has one age.
    for split in (corpus.train, corpus.scored):
        split.labels["age"][:] = np.repeat(np.random.default_rng(len(split)).uniform(20, 39, len(split) // 4), 4)
    voices = {split: np.repeat(np.eye(60)[: len(part) // 4], 4, axis=0) for split, part in
              (("train", corpus.train), ("scored", corpus.scored))}  # fmt: skip
    counts = draw_speakers(corpus.scored.speakers.tolist(), 1)
    age = corpus.tasks[1]
    scores = leakage.probe_scores(age, voices["train"], voices["scored"], corpus, counts)
    assert scores["r2"][0] < 0.05


def test_the_discriminators_accuracy_is_that_of_a_loop(corpus):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(160, 3)) + [0.5, 0, 0]
    corpus.scored.labels["age"][:100] = np.nan
    corpus.scored.labels["emotion"][:, 1][50:] = np.nan  # partly known labels count
    corpus.scored.labels["emotion"][80:] = np.nan
    counts = draw_speakers(corpus.scored.speakers.tolist(), 20)
    found = discriminator_accuracy(logits, corpus, counts)
    known = {"emotion": range(80), "age": range(100, 160), "country": [clip for clip in range(160) if clip % 7]}
    for draw in (0, 7):
        accuracies = []
        for position, (task, clips) in enumerate(known.items()):
            drawn = [clip for clip in clips for _ in range(int(counts[draw, clip]))]
            accuracies.append(np.mean([max(range(3), key=lambda i: logits[clip, i]) == position for clip in drawn]))
            assert found["discriminator", task][draw] == pytest.approx(accuracies[-1])
        assert found["discriminator", "mean over tasks"][draw] == pytest.approx(np.mean(accuracies))


def test_errors_by_label_are_those_of_the_clips_with_it(corpus):
    generator = np.random.default_rng(0)
    predictions = {
        "emotion": generator.random((160, 3)),
        "age": generator.uniform(20, 39, 160),
        "country": generator.dirichlet(np.ones(4), 160),
    }
    found = as_results(errors_by_label(predictions, corpus, draws=50))["errors"]
    labels = corpus.scored.labels
    usa = labels["country"] == 2
    age = found["age"]["country"]["USA"]
    assert age["mae"]["value"] == pytest.approx(
        mean_absolute_error(labels["age"][usa], predictions["age"][usa]), abs=1e-4
    )
    assert age["mean_error"]["value"] == pytest.approx((predictions["age"] - labels["age"])[usa].mean(), abs=1e-4)
    assert age["mae"]["interval"][0] < age["mae"]["value"] < age["mae"]["interval"][1]
    awe = (labels["emotion"].argmax(axis=1) == 1) & (labels["country"] >= 0)
    recall = recall_score(labels["country"][awe], predictions["country"][awe].argmax(axis=1), average="macro")
    assert found["country"]["emotion"]["awe"]["uar"]["value"] == pytest.approx(recall, abs=1e-4)
    assert "r2" not in age and set(found["emotion"]["age"]) == set(found["country"]["age"])


def test_means_and_differences_are_taken_draw_by_draw():
    generator = np.random.default_rng(0)
    path, other = ("leakage", "shared", "age", "mae"), ("discriminator", "age")
    first, second = generator.random(101), generator.random(101)
    mean = mean_draws([{path: first, other: first}, {path: second}])
    assert mean[path] == pytest.approx((first + second) / 2)
    assert mean[other] == pytest.approx(first)
    assert list(difference({path: second, other: second}, {path: first})) == [path]
    result = as_results(difference({path: second}, {path: first}))["leakage"]["shared"]["age"]["mae"]
    assert result["value"] == pytest.approx(second[0] - first[0], abs=1e-4)
    assert result["interval"] == pytest.approx(np.percentile((second - first)[1:], [2.5, 97.5]), abs=1e-4)
    assert as_results({path: np.full(3, np.nan)})["leakage"]["shared"]["age"]["mae"]["value"] is None


def test_an_ensemble_is_refused(corpus):
    with pytest.raises(
        CheckpointError, match="a Linear has no representations of its own: .* of an ensemble, give the members"
    ):
        audit_model(torch.nn.Linear(1, 1), None, corpus, SETTINGS)


def test_the_heat_map_shows_the_numbers_and_frames_each_own_task(monkeypatch):
    figures = []
    monkeypatch.setattr(leakage_figure, "save_figure", lambda figure, path: figures.append(figure) or [path])
    targets = [{"name": "age", "kind": "scalar"}, {"name": "source", "kind": "classes"}]
    matrices = {
        title: {"shared": {"age": 0.111, "source": -0.001}, "specific[age]": {"age": value, "source": None}}
        for title, value in (("one", 0.7), ("two", 0.9), ("three", 0.2))
    }
    plot_leakage(matrices, {"age": -0.02, "source": 0.25}, targets, Path("x.json"), "a note")
    (figure,) = figures
    panels = [axes for axes in figure.axes if axes.get_title() in matrices]
    assert [axes.get_title() for axes in panels] == ["one", "two", "three"]
    for axes, value in zip(panels, ("0.70", "0.90", "0.20"), strict=True):
        numbers = {tuple(text.get_position()): text.get_text() for text in axes.texts}
        assert numbers == {(0, 0): "0.11", (1, 0): "0.00", (0, 1): value, (0, 2): "-0.02", (1, 2): "0.25"}
        (frame,) = axes.patches
        assert frame.get_x() + frame.get_width() / 2 == pytest.approx(0)
        assert frame.get_y() + frame.get_height() / 2 == pytest.approx(1)
        assert [label.get_text() for label in axes.get_yticklabels()] == ["shared", "specific[age]", "chance"]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["age\nR²", "source\nUAR"]
    shares = panels[0].images[0].get_array()
    assert shares[1, 0] == pytest.approx(0.72 / 1.02) and shares[0, 1] == 0 and shares[2].tolist() == [0, 0]
    assert figure.get_supxlabel().endswith("\na note")


def test_the_scale_of_the_heat_map():
    assert share_above_chance(0.25, 0.25) == 0 and share_above_chance(1, 0.25) == 1
    assert share_above_chance(0.625, 0.25) == pytest.approx(0.5)
    assert share_above_chance(-3, -0.01) == 0
