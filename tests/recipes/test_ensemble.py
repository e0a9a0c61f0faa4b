"""The program that combines models, and scoring and predicting with the ensemble that it writes."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from little_corpora import write_clip
from transformers import AutoConfig, AutoModel

from paravox import cli
from paravox.inference.opening import open_model
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.recipes.burst2vec import ensemble, predict, score
from paravox.runs.model_card import CardFacts, write_model_card

COUNTRIES = ("China", "South Africa", "USA", "Venezuela")


@pytest.fixture
def joined(saved_members, tmp_path):
    """The folder of an ensemble of the three members."""
    ensemble.main([*saved_members, "--output_dir", str(tmp_path / "joined")])
    return str(tmp_path / "joined")


@pytest.fixture
def corpus(tmp_path):
    """A folder with metadata.csv: 8 train and 12 validation clips of several lengths."""
    folder = tmp_path / "corpus"
    generator = np.random.default_rng(0)
    rows = []
    for number in range(20):
        write_clip(folder / f"audio/{number}.wav", number, seconds=0.2 + 0.01 * number)
        labels = [*np.round(generator.random(3), 3), 20 + number % 20, COUNTRIES[number % 4]]
        rows.append([f"audio/{number}.wav", f"s{number}", "train" if number < 8 else "validation", *labels])
    with open(folder / "metadata.csv", "w", newline="") as file:
        header = ["file_name", "speaker", "split", "amusement", "awe", "fear", "age", "country"]
        csv.writer(file).writerows([header, *rows])
    return folder


def mean_of_members(members, paths):
    """The mean of the members' predictions, each for one clip at a time, by the models alone."""
    means = {}
    for member in members:
        model = Burst2VecForMultiTask.from_pretrained(member)
        extractor = Burst2VecFeatureExtractor.from_pretrained(member)
        for path in paths:
            with torch.no_grad():
                predictions = model(**extractor([path], return_tensors="pt")).predictions
            for task, values in predictions.items():
                means.setdefault(task, {}).setdefault(path, []).append(values[0].numpy())
    return {task: np.array([sum(by_path[path]) / len(members) for path in paths]) for task, by_path in means.items()}


def test_it_writes_one_folder_and_says_what_is_in_it(saved_members, tmp_path, capsys):
    ensemble.main([*saved_members, "--output_dir", str(tmp_path / "joined")])
    printed = capsys.readouterr().out
    counts = [Burst2VecForMultiTask.from_pretrained(member).num_parameters() for member in saved_members]
    for member, encoder, count in zip(saved_members, ("wav2vec2", "hubert", "whisper"), counts, strict=True):
        assert f"{member}: {encoder}, {count:,} parameters" in printed
    assert f"3 members, {sum(counts):,} parameters, saved in {tmp_path / 'joined'}" in printed
    names = {path.name for path in (tmp_path / "joined").iterdir()}
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "modeling_ensemble.py"} <= names
    assert "feature_extraction_ensemble.py" in names


def test_its_card_has_what_the_cards_of_the_members_have_in_common(saved_members, tasks, tmp_path):
    config = Burst2VecForMultiTask.from_pretrained(saved_members[0]).config
    cards = [
        CardFacts("a", base_model="openai/whisper-base", license="mit", synthetic=True),
        CardFacts("b", base_model="facebook/hubert-base-ls960", license="mit", synthetic=True),
    ]
    for member, facts in zip(saved_members, cards, strict=False):
        write_model_card(Path(member), "burst2vec.md", config, facts)
    ensemble.main([*saved_members[:2], "--output_dir", str(tmp_path / "two")])
    card = ModelCard.load(tmp_path / "two" / "README.md")
    assert card.data.base_model == ["openai/whisper-base", "facebook/hubert-base-ls960"]
    assert card.data.license == "mit" and "synthetic" in card.data.tags
    assert "An ensemble of 2 Burst2Vec models" in card.text
    # The third member has no card, so nothing is known about it.
    ensemble.main([*saved_members, "--output_dir", str(tmp_path / "three")])
    card = ModelCard.load(tmp_path / "three" / "README.md")
    assert card.data.license is None and "synthetic" not in card.data.tags


def test_the_auto_classes_and_open_model_open_it(joined, saved_members):
    assert AutoConfig.from_pretrained(joined).model_type == "burst2vec_ensemble"
    assert type(AutoModel.from_pretrained(joined)) is Burst2VecEnsemble
    model, extractor = open_model(joined)
    assert type(model) is Burst2VecEnsemble and not model.training
    assert extractor.model_input_names[2] == "input_features"
    assert type(open_model(saved_members[0])[0]) is Burst2VecForMultiTask


def test_predict_gives_the_mean_of_the_members(joined, saved_members, corpus, capsys):
    paths = sorted(str(path) for path in (corpus / "audio").glob("*.wav"))
    expected = mean_of_members(saved_members, paths)
    capsys.readouterr()
    records = predict.main([str(corpus / "audio"), "--model", joined, "--json"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == records
    assert [record["file"] for record in records] == paths
    np.testing.assert_allclose([record["age"] for record in records], expected["age"], rtol=1e-5)
    for task in ("emotion", "country"):
        found = [list(record[task].values()) for record in records]
        np.testing.assert_allclose(found, expected[task], rtol=0, atol=1e-5)


def test_score_gives_what_the_mean_of_the_members_scores(joined, saved_members, corpus):
    rows = [row for row in csv.DictReader((corpus / "metadata.csv").open()) if row["split"] == "validation"]
    means = mean_of_members(saved_members, [str(corpus / row["file_name"]) for row in rows])
    ages = np.array([float(row["age"]) for row in rows])
    hits = [row["country"] == COUNTRIES[guess.argmax()] for row, guess in zip(rows, means["country"], strict=True)]
    apart = score.main([*saved_members, "--data_dir", str(corpus)])
    together = score.main([joined, "--data_dir", str(corpus)])
    for scores in (together[joined], apart["mean of 3 models"]):
        assert scores["age_mae"] == pytest.approx(np.abs(means["age"] - ages).mean(), rel=1e-5)
        assert scores["country_uar"] == pytest.approx(np.mean(hits))  # three clips of each country
    assert together[joined] == pytest.approx(apart["mean of 3 models"], abs=1e-5)
    assert together[joined]["age_mae"] != pytest.approx(apart[saved_members[0]]["age_mae"], abs=1e-3)


def test_an_ensemble_is_scored_beside_single_models(joined, saved_members, corpus):
    scores = score.main([joined, saved_members[0], "--data_dir", str(corpus)])
    assert set(scores) == {"constant prediction", joined, saved_members[0], "mean of 2 models"}


def test_a_revision_is_of_one_model(saved_members, corpus):
    with pytest.raises(ConfigError, match="revision is given for several models"):
        score.main([*saved_members, "--data_dir", str(corpus), "--revision", "main"])


def test_an_ensemble_of_other_tasks_is_not_averaged_with_a_model(joined, make_model, tasks, corpus, tmp_path):
    other = make_model(tasks=tasks[:2])
    other.save_pretrained(tmp_path / "other")
    open_model(joined)[1].waveform.save_pretrained(tmp_path / "other")
    with pytest.raises(CheckpointError, match="other' has other tasks than .*joined"):
        score.main([joined, str(tmp_path / "other"), "--data_dir", str(corpus)])


def test_the_command_line(saved_members, tmp_path, monkeypatch, capsys):
    arguments = ["paravox", "ensemble", *saved_members[:2], "--output_dir", str(tmp_path / "joined")]
    # The command names itself in its arguments.
    monkeypatch.setattr(sys, "argv", list(arguments))
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert "2 members, " in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", list(arguments))
    with pytest.raises(SystemExit, match="ConfigError: output_dir .*joined already holds a model: choose another, or"):
        cli.main()


def test_a_folder_with_a_model_is_kept_unless_asked(joined, saved_members, tmp_path):
    before = (tmp_path / "joined" / "config.json").read_bytes()
    with pytest.raises(
        ConfigError, match="joined already holds a model: choose another, or replace it with --overwrite"
    ):
        ensemble.main([*saved_members[:2], "--output_dir", joined])
    assert (tmp_path / "joined" / "config.json").read_bytes() == before
    ensemble.main([*saved_members[:2], "--output_dir", joined, "--overwrite"])
    model, extractor = open_model(joined)
    assert len(model.members) == 2 and extractor.model_input_names == ["input_values", "attention_mask"]


def test_no_member_is_written_over(saved_members):
    message = "wav2vec2_layer is one of the members, whose weights are still needed: choose another"
    with pytest.raises(ConfigError, match=message):
        ensemble.main([*saved_members, "--output_dir", saved_members[0], "--overwrite"])


def test_nothing_is_written_for_members_that_do_not_fit(saved_members, tmp_path):
    folder = tmp_path / "joined"
    with pytest.raises(ConfigError, match="at least two members, found 1"):
        ensemble.main([saved_members[0], "--output_dir", str(folder)])
    with pytest.raises(CheckpointError, match="nowhere"):
        ensemble.main([saved_members[0], str(tmp_path / "nowhere"), "--output_dir", str(folder)])
    settings = json.loads((tmp_path / "members" / "whisper" / "preprocessor_config.json").read_text())
    settings["target_rms_db"] = -3.0
    (tmp_path / "members" / "whisper" / "preprocessor_config.json").write_text(json.dumps(settings))
    ensemble.main([*saved_members, "--output_dir", str(tmp_path / "kinds differ in level")])
    settings["front_end"]["dither"] = 0.1
    second = tmp_path / "members" / "again"
    Burst2VecForMultiTask.from_pretrained(saved_members[2]).save_pretrained(second)
    (second / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(
        ConfigError, match=r"whisper' and '.*again' both take input_features, but with dither of 0.0 and"
    ):
        ensemble.main([*saved_members, str(second), "--output_dir", str(folder)])
    assert not folder.exists()


def test_its_weights_are_copies(joined, saved_members):
    model = open_model(joined)[0]
    for member, folder in zip(model.members, saved_members, strict=True):
        expected = Burst2VecForMultiTask.from_pretrained(folder).state_dict()
        assert member.state_dict().keys() == expected.keys()
        assert all(torch.equal(values, expected[name]) for name, values in member.state_dict().items())
