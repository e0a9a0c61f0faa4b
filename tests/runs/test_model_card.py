"""The card says what is known of a model, and nothing that must not be on it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from documents import ROOT
from huggingface_hub import ModelCard
from transformers import TrainerControl, TrainerState

from paravox.evaluation.card_figures import plot_scores, plot_training_curves
from paravox.modeling.errors import ConfigError
from paravox.modeling.tasks import parse_tasks
from paravox.runs.model_card import CardFacts, ModelCardCallback, card_facts, write_model_card
from paravox.runs.program_settings import SETTINGS, CardSettings
from paravox.runs.settings import parse_settings

SCORES = {
    "constant prediction": {"val": {"emotion_ccc": 0.0, "age_mae": 8.4}, "test": {"emotion_ccc": 0.0, "age_mae": 8.2}},
    "Burst2Vec": {"val": {"emotion_ccc": 0.52, "age_mae": 7.7}, "test": {"emotion_ccc": 0.51, "age_mae": 7.0}},
}
CORPUS = {"name": "EmoGator", "what": "vocal bursts", "license": "Apache-2.0", "hub_id": "someone/emogator"}
LOG = [
    {"step": 10, "loss": 2.0},
    {"step": 20, "loss": 1.5, "learning_rate": 1e-4},
    {"step": 20, "eval_emotion_ccc": 0.3, "eval_age_mae": 7.5, "eval_loss": 1.0, "eval_runtime": 3.0},
    {"step": 40, "eval_emotion_ccc": 0.4, "eval_age_mae": 7.1, "eval_loss": 0.9, "eval_runtime": 3.0},
]


@pytest.fixture
def facts():
    return CardFacts(
        repo_id="me/bursts",
        base_model="openai/whisper-base",
        corpora=[CORPUS],
        license="cc-by-nc-4.0",
        settings={"learning_rate": 3e-4},
        default_settings={"projection_size": 256},
        scores=SCORES,
    )


@pytest.fixture
def config(make_model):
    return make_model(adversarial=True).config


def test_the_card_tells_what_it_predicts_and_what_it_must_not_be_used_for(config, facts, tmp_path):
    text = write_model_card(tmp_path, "burst2vec.md", config, facts).read_text()
    assert "- **emotion**: intensities from 0 to 1 of amusement, awe, fear." in text
    assert "- **age**: a number in years, from 20 to 39." in text
    assert "- **country**: probabilities of China, South Africa, USA, Venezuela." in text
    assert "debiased against each other by gradient\nreversal" in text
    for word in ("Bias", "Consent", "Misuse", "article 5(1)(f)", "Not for decisions about a person"):
        assert word in text
    assert "| EmoGator | vocal bursts | Apache-2.0 |" in text
    assert "| Burst2Vec | 0.520 | 7.700 | 0.510 | 7.000 |" in text
    assert text.index("`learning_rate`: 0.0003") < text.index("`projection_size`: 256")
    assert "arXiv:2206.12469" in text and 'model="me/bursts"' in text
    assert "synthetic" not in text
    assert "{{" not in text and "{%" not in text and "\n\n\n\n" not in text


def test_the_front_matter_is_the_hub_s(config, facts, tmp_path):
    card = ModelCard.load(write_model_card(tmp_path, "burst2vec.md", config, facts))
    data = card.data.to_dict()
    assert data["license"] == "cc-by-nc-4.0" and data["pipeline_tag"] == "audio-classification"
    assert data["base_model"] == "openai/whisper-base" and data["datasets"] == ["someone/emogator"]
    results = {
        (result.dataset_split, result.metric_type, result.metric_name): result.metric_value
        for result in card.data.eval_results
    }
    assert results == {
        ("validation", "ccc", "emotion: CCC"): 0.52,
        ("validation", "mae", "age: mean absolute error"): 7.7,
        ("test", "ccc", "emotion: CCC"): 0.51,
        ("test", "mae", "age: mean absolute error"): 7.0,
    }
    assert str(ModelCard(str(card))) == str(card)
    (file,) = (tmp_path / ".eval_results").iterdir()
    assert yaml.safe_load(file.read_text()) == [
        {"dataset": {"id": "someone/emogator", "task_id": "emotion_ccc"}, "value": 0.51},
        {"dataset": {"id": "someone/emogator", "task_id": "age_mae"}, "value": 7.0},
    ]


def test_scores_over_several_corpora_are_no_hub_corpus_s(config, facts, tmp_path):
    facts.corpora.append({"name": "Deeply"})
    card = ModelCard.load(write_model_card(tmp_path, "burst2vec.md", config, facts))
    assert not (tmp_path / ".eval_results").exists()
    assert {(result.dataset_type, result.dataset_name) for result in card.data.eval_results} == {
        ("local", "EmoGator, Deeply")
    }


def test_a_synthetic_model_says_so_first(config, facts, tmp_path):
    facts.synthetic = True
    card = ModelCard.load(write_model_card(tmp_path, "burst2vec.md", config, facts))
    first = next(line for line in card.text.splitlines() if line.strip())
    assert first.startswith("**Trained on synthetic audio: it says nothing about people.**")
    assert "synthetic" in card.data.tags


@pytest.mark.parametrize(
    ("template", "title"), [("ensemble.md", "An ensemble of 2"), ("prefinetuning.md", "few clips")]
)
def test_the_other_models_have_cards_too(config, facts, tmp_path, template, title):
    config.members = [{}, {}]
    text = write_model_card(tmp_path, template, config, facts).read_text()
    assert title in text and "What it must not be used for" in text and "@article" in text


def test_the_callback_writes_what_is_known_so_far(config, facts, tmp_path):
    facts.scores = {}
    callback = ModelCardCallback(config, facts)
    args, state = SimpleNamespace(output_dir=str(tmp_path)), TrainerState(is_world_process_zero=True)
    callback.on_push_begin(args, state, TrainerControl())
    assert "## Scores" not in (tmp_path / "model" / "README.md").read_text()
    state.log_history = LOG
    for _ in range(2):
        callback.on_push_begin(args, state, TrainerControl())
    text = (tmp_path / "model" / "README.md").read_text()
    assert "| at step 40 | 0.400 | 7.100 |" in text and "The scores are those of Val during training." in text
    assert text.count("figures/training_curves.png") == 1
    assert (tmp_path / "model" / "figures" / "training_curves.png").is_file()
    facts.scores = SCORES
    callback.on_train_end(args, state, TrainerControl())
    text = (tmp_path / "model" / "README.md").read_text()
    assert "at step 40" not in text and "| Burst2Vec | 0.520" in text
    other = TrainerState(is_world_process_zero=False)
    (tmp_path / "model" / "README.md").unlink()
    callback.on_train_end(args, other, TrainerControl())
    assert not (tmp_path / "model" / "README.md").exists()


def test_settings_that_differ_come_first_and_no_place_is_named(tmp_path):
    config = ROOT / "recipes" / "burst2vec" / "configs" / "tiny_demo.yaml"
    secret = ["--hub_token", "hf_secret", "--data_dir", str(tmp_path), "--output_dir", str(tmp_path / "run")]
    given = [str(config), *secret, "--learning_rate", "2e-3"]
    *groups, card, args = parse_settings(SETTINGS["burst2vec.train"], given)
    facts = card_facts(card, args, str(tmp_path), groups)
    assert facts.settings["learning_rate"] == 2e-3 and facts.settings["projection_size"] == 96
    assert facts.settings["lr_scheduler_type"] == "cosine"
    assert facts.default_settings["adversarial"] is True
    assert not facts.settings.keys() & facts.default_settings.keys()
    shown = repr((facts.settings, facts.default_settings))
    assert str(tmp_path) not in shown and "hf_secret" not in shown
    assert facts.base_model is None and facts.synthetic and facts.repo_id == "run"
    assert card_facts(card, args, "openai/whisper-base", groups).base_model == "openai/whisper-base"


HOSTILE = "<img src=x onerror=alert(1)> [a](javascript:alert(1)) | b `c`"


def test_names_of_the_user_are_never_html_links_or_columns(make_model, facts, tmp_path):
    tasks = [{"name": "sound", "kind": "classes", "labels": ["R&B", "<script>alert(1)</script>", "[a](javascript:b)"]}]
    facts.corpora = [
        {"name": HOSTILE, "what": HOSTILE, "license": HOSTILE, "url": "javascript:alert(1)"},
        {"name": "open", "url": "https://example.org/a(b)?c=d&e=<f>"},
    ]
    facts.base_model, facts.settings = HOSTILE, {"augmentation": [{"transform": HOSTILE}], "seed": 1}
    facts.scores = {HOSTILE: {"val": {"sound_uar": 0.5}}}
    facts.figures = [{"title": HOSTILE, "file": "a b).png"}]
    config = make_model(tasks=tasks).config
    card = ModelCard.load(write_model_card(tmp_path, "burst2vec.md", config, facts))
    text = card.text.replace("<details><summary>", "").replace("</summary>", "").replace("</details>", "")
    assert "<" not in text and "](javascript" not in text.replace(r"\](", "")
    assert r"&lt;script&gt;alert(1)&lt;/script&gt;, \[a\](javascript:b)" in text and "R&amp;B, " in text
    assert "[open](https://example.org/a%28b%29?c=d&amp;e=%3Cf%3E)" in text
    assert "(figures/a%20b%29.png)" in text and "- `seed`: 1" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| &lt;img") and "| 0.500 |" in line]
    assert row.replace(r"\|", "").count("|") == 3  # as many as in a table of one column
    # What reads the front matter gets the names as they are.
    assert card.data.base_model == HOSTILE


def test_paths_in_settings_are_shown_by_their_last_part():
    config = ROOT / "recipes" / "burst2vec" / "configs" / "tiny_demo.yaml"
    transforms = [
        {"transform": "AddBackgroundNoise", "sounds_path": "/nfs/me/noise", "p": 0.5},
        {"transform": "ApplyImpulseResponse", "ir_path": ["C:\\Users\\me\\rooms", "~/halls"]},
        {"transform": "AddShortNoises", "sounds_path": "ours/sounds"},
    ]
    *groups, card, args = parse_settings(
        SETTINGS["burst2vec.train"], [str(config), "--data_dir", "x", "--augmentation", json.dumps(transforms)]
    )
    shown = card_facts(card, args, None, groups).settings["augmentation"]
    assert shown == [
        {"transform": "AddBackgroundNoise", "sounds_path": "noise", "p": 0.5},
        {"transform": "ApplyImpulseResponse", "ir_path": ["rooms", "halls"]},
        {"transform": "AddShortNoises", "sounds_path": "sounds"},
    ]


@pytest.mark.parametrize("corpus", [{"license": "mit"}, {"name": "x", "licence": "mit"}, "x"])
def test_a_corpus_of_the_card_has_a_name(corpus):
    with pytest.raises(ConfigError, match="give each a name and any of what, license, url and hub_id"):
        CardSettings(card_corpora=[corpus])


def test_figures_show_what_was_scored(tasks, tmp_path):
    generator = np.random.default_rng(0)
    labels = {
        "emotion": np.where(np.arange(12)[:, None] < 2, np.nan, generator.random((12, 3))),
        "age": generator.uniform(20, 39, 12),
        "country": np.array([-100, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2]),
    }
    predictions = {"emotion": generator.random((12, 3)), "age": labels["age"], "country": generator.random((12, 4))}
    drawn = plot_scores(parse_tasks(tasks), predictions, labels, tmp_path)
    assert drawn == [
        {"title": "CCC by emotion", "file": "emotion.png"},
        {"title": "Confusion matrix of country", "file": "country.png"},
    ]
    labels["country"][:] = -100
    assert len(plot_scores(parse_tasks(tasks), predictions, labels, tmp_path)) == 1
    assert plot_training_curves(LOG, tmp_path / "curves.png")
    assert not plot_training_curves([{"step": 1, "train_runtime": 1.0}], tmp_path / "none.png")
    assert {file.name for file in tmp_path.iterdir()} == {"emotion.png", "country.png", "curves.png"}
