"""Numbers of the Trainer outside of their range are refused at the start."""

import pytest

from paravox.modeling.errors import ConfigError
from paravox.trainers.argument_ranges import RANGES
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("warmup_steps", -1),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("encoder_learning_rate", -1e-5),
        ("seed", -1),
        ("seed", 2**32),
        ("per_device_train_batch_size", 0),
        ("gradient_accumulation_steps", 0),
        ("adam_beta1", 1.5),
        ("num_train_epochs", -1),
    ],
)
def test_a_number_out_of_its_range_is_named(tmp_path, name, value):
    with pytest.raises(ConfigError, match=f"{name} is .*: give a number"):
        MultiTaskTrainingArguments(str(tmp_path), **{name: value})


def test_the_ends_of_ranges_and_defaults_pass(tmp_path):
    args = MultiTaskTrainingArguments(str(tmp_path), seed=2**32 - 1, warmup_steps=0, num_train_epochs=0)
    assert set(RANGES) & set(vars(args)) > {"learning_rate", "seed"}


@pytest.mark.parametrize("text", ["{age: 16}", '{"age": 16}'])
def test_batch_sizes_are_given_as_the_help_shows(tmp_path, text):
    assert MultiTaskTrainingArguments(str(tmp_path), task_batch_sizes=text).task_batch_sizes == {"age": 16}


@pytest.mark.parametrize("text", ["{age", "3", "[1]", "!!int 'x'", "{age: x}", "{age: true}"])
def test_batch_sizes_that_are_none_are_one_sentence(tmp_path, text):
    with pytest.raises(ConfigError, match="task_batch_sizes"):
        MultiTaskTrainingArguments(str(tmp_path), task_batch_sizes=text)


def test_arguments_that_contradict_each_other_are_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="do not fit .*save and eval strategy"):
        MultiTaskTrainingArguments(
            str(tmp_path), load_best_model_at_end=True, eval_strategy="epoch", save_strategy="steps"
        )
