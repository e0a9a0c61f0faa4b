"""What a run does where nothing was said, and that what was said always wins."""

import pytest

from paravox.modeling.errors import ConfigError
from paravox.runs.settings import parse_settings
from paravox.runs.training_defaults import training_defaults, without_validation
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments


def parse(tmp_path, text="", *options):
    (tmp_path / "settings.yaml").write_text(f"use_cpu: true\n{text}")
    argv = [str(tmp_path / "settings.yaml"), *options]
    return parse_settings((MultiTaskTrainingArguments,), argv, "", training_defaults)[0]


def test_a_run_validates_each_epoch_and_keeps_the_best(tmp_path):
    args = parse(tmp_path)
    assert (args.eval_strategy.value, args.save_strategy.value) == ("epoch", "epoch")
    assert args.load_best_model_at_end and args.metric_for_best_model == "loss" and args.greater_is_better is False
    assert (args.learning_rate, args.encoder_learning_rate, args.num_train_epochs) == (5e-4, 5e-5, 10)
    assert args.output_dir == "runs/train" and args.logging_steps == 10


@pytest.mark.parametrize("where", ["file", "command line", "command line with equals"])
def test_what_was_said_wins(tmp_path, where):
    given = {"learning_rate": "1e-5", "num_train_epochs": "3", "metric_for_best_model": "age_mae", "output_dir": "mine"}
    if where == "file":
        args = parse(tmp_path, "".join(f"{name}: {value}\n" for name, value in given.items()))
    elif where == "command line":
        args = parse(tmp_path, "", *(part for name, value in given.items() for part in (f"--{name}", value)))
    else:
        args = parse(tmp_path, "", *(f"--{name}={value}" for name, value in given.items()))
    assert (args.learning_rate, args.num_train_epochs, args.metric_for_best_model) == (1e-5, 3, "age_mae")
    assert args.output_dir == "mine" and args.encoder_learning_rate is None  # one rate was given for all


def test_saving_follows_evaluating(tmp_path):
    args = parse(tmp_path, "eval_strategy: steps\neval_steps: 7\n")
    assert args.save_strategy.value == "steps" and args.save_steps == 7 and args.load_best_model_at_end
    args = parse(tmp_path, "eval_strategy: steps\n", "--eval_steps", "9")
    assert args.save_steps == 9
    args = parse(tmp_path, 'eval_strategy: "no"\n')
    assert args.save_strategy.value == "no" and not args.load_best_model_at_end


def test_without_a_validation_split(tmp_path, capsys):
    args = without_validation(parse(tmp_path, "learning_rate: 1e-5\nseed: 7\n"))
    assert args.eval_strategy.value == "no" and not args.load_best_model_at_end
    assert args.learning_rate == 1e-5 and args.seed == 7 and type(args) is MultiTaskTrainingArguments
    assert "nothing chooses an epoch" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="early_stopping_patience needs a validation split"):
        without_validation(parse(tmp_path, "early_stopping_patience: 3\n"))
