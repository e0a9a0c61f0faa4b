"""Every value of the pre-finetuning YAML files, against the paper, the authors' program and the documents."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from paravox.corpora.combinations import combination_name, power_set
from paravox.recipes.prefinetuning import prefinetune
from paravox.study.grid import StudySettings

CONFIGS = Path(prefinetune.__file__).parent / "configs"
PAPER_CORPORA = ["iemocap", "msp_improv", "msp_podcast", "masc"]  # section 3.1
ESD_EMOTIONS = ["angry", "happy", "neutral", "sad", "surprise"]  # section 3.3
SHOTS = [2, 4, 8, 16, 24, 32, 64]  # section 3.3 says seven, section 4 shows three, the program has all of them

# Section 3.2 and, where it says nothing, the authors' program: AdamW at 3e-5, warm-up over 10 %, linear decay.
PAPER = {
    "corpora": PAPER_CORPORA,
    "encoder": "facebook/wav2vec2-base",
    "task_batching": "uniform",  # "an instance from a randomly sampled pre-finetuning task"
    "num_train_epochs": 200,
    "early_stopping_patience": 3,
    "metric_for_best_model": "loss",  # "we average the taskwise losses"
    "greater_is_better": False,
    "load_best_model_at_end": True,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "learning_rate": 3e-5,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0.1,
    "weight_decay": 0.0,
    "per_device_train_batch_size": 4,
    "seed": 42,
    "split_by": "speaker",  # ours: no speaker in two parts
    "max_seconds": 12.0,  # ours
}
# What the program does other than the paper, without its defects.
RELEASED_PROGRAM = PAPER | {
    "split_by": "random",
    "max_seconds": 5.0,
    "corpus_options": {"iemocap": {"no_majority": "keep"}, "msp_podcast": {"no_majority": "keep"}},
    "task_batching": "proportional",
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 4,
    "seed": 123,
}
# What the README says of the run on open corpora.
OPEN_CORPORA = {
    "corpora": ["emodb", "ased", "turev", "ravdess"],
    "max_seconds": 6.0,
    "task_batching": "uniform",
    "max_steps": 250,
    "per_device_train_batch_size": 16,
    "learning_rate": 1e-3,
    "encoder_learning_rate": 1e-4,
    "trainable_encoder_layers": 3,
    "cache_lower_layers": True,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0.1,
    "weight_decay": 0.0,
    "eval_strategy": "no",
    "save_strategy": "steps",
    "seed": 42,
}
# Section 3.3; learning rate, schedule and steps of four clips are the program's.
PAPER_FEW_SHOT = {
    "corpora": PAPER_CORPORA,
    "corpus": "esd",
    "speakers": [f"{number:04}" for number in range(1, 21)],  # "10 English speakers and 10 Mandarin speakers"
    "emotions": ESD_EMOTIONS,
    "shots": SHOTS,
    "repetitions": 3,
    "mode": "full",
    "selection": "evaluation",
    "max_epochs": 200,
    "patience": 30,
    "learning_rate": 3e-5,
    "batch_size": 4,
    "warmup": 0.1,
    "seed": 0,
}
NEMO = [f"{number:04}" for number in range(21, 30)]
OPEN_FEW_SHOT = {
    "corpora": OPEN_CORPORA["corpora"],
    "corpus": "esd",
    "speakers": NEMO,
    "languages": {"Polish": NEMO},
    "emotions": ESD_EMOTIONS,
    "shots": SHOTS,
    "repetitions": 3,
    "mode": "head",
    "layer": "last",
    "seed": 0,
}
OPEN_FEW_SHOT_FULL = PAPER_FEW_SHOT | {
    "corpora": OPEN_CORPORA["corpora"],
    "combinations": ["none", "ased+emodb+ravdess+turev"],
    "speakers": ["0021", "0024", "0028"],
    "languages": {"Polish": ["0021", "0024", "0028"]},
    "emotions": ["angry", "sad"],
    "shots": [2, 8],
    "repetitions": 1,
    "max_epochs": 40,
    "patience": 10,
}
OPEN_ADAPT = {key: value for key, value in OPEN_FEW_SHOT.items() if key != "layer"} | {
    "corpora": ["emodb"],
    "combinations": ["none"],
    "mode": "adapt",
}
TABLE = {
    "paper": PAPER,
    "released_program": RELEASED_PROGRAM,
    "open_corpora": OPEN_CORPORA,
    "paper_few_shot": PAPER_FEW_SHOT,
    "open_adapt": OPEN_ADAPT,
    "open_few_shot": OPEN_FEW_SHOT,
    "open_few_shot_full": OPEN_FEW_SHOT_FULL,
}
# What no number depends on: folders, logs, speed.
FREE = {"cache_dir", "output_dir", "per_device_eval_batch_size", "dataloader_num_workers", "logging_steps"}
FREE |= {"save_total_limit", "save_steps"}


def read(name):
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())


def test_every_yaml_is_in_the_table():
    assert sorted(TABLE) == sorted(path.stem for path in CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("name", TABLE)
def test_every_value(name):
    assert {key: value for key, value in read(name).items() if key not in FREE} == TABLE[name]


def test_the_paper_s_trials():
    """16 checkpoints x 20 speakers x 5 emotions x 7 values of k x 3 repetitions (section 4)."""
    study = StudySettings(**{key: value for key, value in read("paper_few_shot").items() if key != "output_dir"})
    grid = study.grid()
    assert len(grid) == len(set(grid)) == 33_600
    assert Counter(trial.k for trial in grid) == dict.fromkeys(SHOTS, 4_800)
    combinations = [combination_name(corpora) for corpora in power_set(read("paper")["corpora"])]
    assert len(set(combinations)) == 16 and set(combinations) == {trial.checkpoint for trial in grid}
    assert Counter(study.language_of.values()) == {"Mandarin": 10, "English": 10}
    assert study.language_of["0010"] == "Mandarin" and study.language_of["0011"] == "English"


def test_what_a_yaml_leaves_out_is_the_paper_s():
    study = StudySettings(["a"], ["b"], ["c"], [2])
    found = (study.mode, study.repetitions, study.max_epochs, study.patience, study.selection, study.corpus)
    assert found == ("full", 3, 200, 30, "evaluation", "esd")
    assert (study.learning_rate, study.batch_size, study.warmup, study.weight_decay) == (3e-5, 4, 0.1, 0.0)
