"""The pre-finetuning recipe: every YAML runs, a power set goes on where it was, and its checkpoints open."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

from paravox.modeling.errors import AudioError, ConfigError, CorpusError
from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning
from paravox.recipes.prefinetuning import prefinetune
from paravox.runs.program_settings import CorporaSettings
from paravox.study.results_file import ResultsFile
from paravox.trainers import lower_states

CONFIGS = Path(prefinetune.__file__).parent / "configs"
PRE_FINETUNING_CONFIGS = [CONFIGS / f"{name}.yaml" for name in ("paper", "released_program", "open_corpora")]
QUICK = ["--max_steps", "2", "--per_device_train_batch_size", "2", "--use_cpu", "true", "--logging_steps", "1"]
QUICK += ["--eval_strategy", "steps", "--eval_steps", "1", "--save_strategy", "steps", "--save_steps", "1"]
QUICK += ["--dataloader_num_workers", "0"]


@pytest.fixture
def run(open_corpora, saved_encoders):
    def run(config, *options, encoder="wav2vec2"):
        places = ["--data_dir", str(open_corpora), "--encoder", str(saved_encoders[encoder]), "--output_dir", "run"]
        if config.stem == "open_corpora":
            places += ["--trainable_encoder_layers", "1"]
        return prefinetune.main([str(config), *places, "--corpora", "turev", "emodb", *QUICK, *options])

    return run


@pytest.mark.parametrize("config", PRE_FINETUNING_CONFIGS, ids=lambda path: path.stem)
def test_every_yaml_runs_the_power_set(config, run, capsys):
    results = run(config, "--power_set")
    assert list(results) == ["turev", "emodb", "emodb+turev"]
    assert json.loads(Path("run/results.json").read_text()) == results
    assert results == {name: json.loads(Path(f"run/{name}/results.json").read_text()) for name in results}
    both = results["emodb+turev"]
    assert both["steps"] == 2 and {"emodb_uar", "turev_uar", "loss"} <= set(both["val"])
    if config.stem != "released_program":  # there clips are split at random, and a part may lack an emotion
        assert both["constant"]["val"]["emodb_uar"] == pytest.approx(1 / 7)
    model = Wav2Vec2ForPreFinetuning.from_pretrained("run/emodb+turev/model")
    assert list(model.tasks) == ["turev", "emodb"]
    stock = Wav2Vec2ForSequenceClassification.from_pretrained("run/emodb+turev/sequence_classification/emodb")
    assert torch.equal(stock.classifier.weight, model.heads["emodb"].weight)
    Wav2Vec2FeatureExtractor.from_pretrained("run/emodb+turev/sequence_classification/emodb")
    assert "combination 1 of 4: none" in capsys.readouterr().out
    card = ModelCard.load("run/emodb+turev/model/README.md")
    scores = {(found.dataset_split, found.metric_name): found.metric_value for found in card.data.eval_results}
    assert scores["validation", "emodb: UAR (macro recall)"] == round(both["val"]["emodb_uar"], 4)
    assert "pre-finetuned on 2 emotion corpora" in card.text


def test_finished_combinations_are_skipped(run, capsys, monkeypatch):
    config = PRE_FINETUNING_CONFIGS[-1]
    first = run(config, "--combination", "emodb", encoder="whisper")
    assert list(first) == ["emodb"]
    EncoderForPreFinetuning.from_pretrained("run/emodb/model")
    trained = []
    train = prefinetune.PreFinetuningTrainer.train
    monkeypatch.setattr(
        prefinetune.PreFinetuningTrainer,
        "train",
        lambda self, **options: trained.append(list(self.tasks)) or train(self, **options),
    )
    results = run(config, "--power_set", encoder="whisper")
    assert trained == [["turev"], ["turev", "emodb"]] and results["emodb"] == first["emodb"]
    assert "emodb (finished before)" in capsys.readouterr().out


def test_the_lower_layers_are_encoded_once_for_all_combinations(run, monkeypatch):
    encoded = []
    write = lower_states.write_states
    monkeypatch.setattr(lower_states, "write_states", lambda *args: encoded.append(args[2]) or write(*args))
    run(PRE_FINETUNING_CONFIGS[-1], "--power_set", encoder="whisper")
    assert sum(encoded) == 32 + 56  # all clips of the two corpora, each once


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--combination", "ased"], "combination: 'ased' is not among the corpora: use one of turev, emodb"),
        (["--combination", "emodb", "--power_set"], "power_set and combination are both given"),
        (["--resume_from_checkpoint", "last"], "every combination goes on by itself"),
        (
            ["--push_to_hub", "true", "--power_set"],
            "would publish all combinations under one name: publish each folder",
        ),
        (["--split_by", "speakers"], "split_by"),
    ],
)
def test_what_does_not_fit_is_refused(run, options, message):
    with pytest.raises(ConfigError, match=message):
        run(PRE_FINETUNING_CONFIGS[0], *options)


def test_few_shot_trials_are_run_before_the_next_combination(run, esd_folder, monkeypatch):
    study = Path("study.yaml")
    study.write_text(
        "corpora: [turev, emodb]\nspeakers: ['0001', '0011']\nemotions: [angry, happy]\nshots: [2, 4]\n"
        "repetitions: 2\nmode: head\noutput_dir: study\n"
    )
    options = ["--few_shot_config", str(study), "--few_shot_data_dir", str(esd_folder), "--power_set"]
    order = []
    train = prefinetune.pre_finetune
    monkeypatch.setattr(prefinetune, "pre_finetune", lambda *args: order.append(args[-1].name) or train(*args))

    def start(program, arguments):
        """Runs the other program here, because a process of its own takes seconds to start."""
        order.append(arguments[arguments.index("--only") + 1])
        import_module(f"paravox.recipes.{program}").main(arguments)

    monkeypatch.setattr(prefinetune, "start", start)
    run(PRE_FINETUNING_CONFIGS[-1], *options, encoder="whisper")
    names = ("turev", "emodb", "emodb+turev")
    assert order == ["checkpoint=none", *(entry for name in names for entry in (name, f"checkpoint={name}"))]
    table = ResultsFile(Path("study/results.sqlite"), {}).table()
    assert len(table) == 4 * 2 * 2 * 2 * 2 and set(table["status"]) == {"finished"}


def test_a_clip_that_the_encoder_cannot_take_is_named_before_the_first_step(run, monkeypatch):
    """Whisper takes 30 seconds; here every clip counts as longer."""
    real = prefinetune.check_clips
    monkeypatch.setattr(prefinetune, "check_clips", lambda datasets, longest: real(datasets, longest / 10_000))
    monkeypatch.setattr(prefinetune.PreFinetuningTrainer, "train", lambda *given, **options: pytest.fail("it trained"))
    with pytest.raises(AudioError, match="clips cannot be used .* but the encoder takes at most 0.003 s"):
        run(PRE_FINETUNING_CONFIGS[-1], "--combination", "emodb", encoder="whisper")


def test_a_corpus_whose_own_split_lacks_a_part_is_refused(open_corpora, monkeypatch):
    monkeypatch.setattr(prefinetune, "split_clips", lambda clips, *settings: {"train": clips})
    settings = CorporaSettings(["emodb"], str(open_corpora))
    with pytest.raises(CorpusError, match="corpus 'emodb' has no clips in validation, test"):
        prefinetune.open_corpus("emodb", settings, seed=0)
