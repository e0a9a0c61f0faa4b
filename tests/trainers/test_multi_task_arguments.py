"""The arguments of the trainers: their defaults, and what they refuse."""

import pytest

from paravox.modeling.errors import ConfigError
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.prefinetuning_arguments import PreFinetuningTrainingArguments

DEFAULTS = {
    "task_batching": "proportional",
    "task_batch_sizes": None,
    "length_buckets": True,
    "max_batch_seconds": None,
    "encoder_learning_rate": None,
    "trainable_encoder_layers": None,
    "early_stopping_patience": None,
    "remove_unused_columns": False,
    "logging_nan_inf_filter": False,
    "ddp_find_unused_parameters": True,
    "restore_callback_states_from_checkpoint": True,
}


@pytest.fixture
def arguments(tmp_path):
    def make(cls=MultiTaskTrainingArguments, **settings):
        return cls(output_dir=str(tmp_path), use_cpu=True, report_to=[], **settings)

    return make


def test_defaults(arguments):
    found = arguments()
    assert {name: getattr(found, name) for name in DEFAULTS} == DEFAULTS
    found = arguments(PreFinetuningTrainingArguments)
    assert {name: getattr(found, name) for name in DEFAULTS} == DEFAULTS | {"task_batching": "uniform"}


def test_batch_sizes_may_be_json(arguments):
    assert arguments(task_batch_sizes='{"age": 3}').task_batch_sizes == {"age": 3}


NEEDS_EVALUATIONS = "early_stopping_patience needs evaluations: set eval_strategy to steps or epoch"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_batch_seconds": 0.0}, "max_batch_seconds is 0.0: give a number above 0"),
        ({"encoder_learning_rate": 0.0}, "encoder_learning_rate is 0.0: give a number above 0"),
        (
            {"early_stopping_patience": 0, "metric_for_best_model": "loss"},
            "early_stopping_patience is 0: give a number",
        ),
        ({"max_batch_seconds": float("nan")}, "max_batch_seconds is nan: give a number above 0"),
        ({"task_batch_sizes": {"age": 0}}, "'age' has 0, expected a whole number of at least 1"),
        ({"task_batch_sizes": {"age": 2.5}}, "'age' has 2.5, expected a whole number of at least 1"),
        ({"early_stopping_patience": 1}, "early_stopping_patience needs metric_for_best_model"),
        ({"early_stopping_patience": 1, "metric_for_best_model": "loss"}, NEEDS_EVALUATIONS),
        ({"hub_strategy": "all_checkpoints"}, "'all_checkpoints' would push optimizer states, which are pickles"),
        ({"task_batching": "all_tasks", "task_batch_sizes": {"age": 1}}, "cannot be used with all_tasks"),
        ({"train_sampling_strategy": "sequential"}, "train_sampling_strategy would have no effect"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, settings, message):
    with pytest.raises(ConfigError, match=message):
        arguments(**settings)


def test_what_fits_is_taken(arguments):
    args = arguments(
        max_batch_seconds=0.5,
        early_stopping_patience=1,
        metric_for_best_model="loss",
        eval_strategy="epoch",
        task_batch_sizes={"a": 1},
    )
    assert args.max_batch_seconds == 0.5 and args.task_batch_sizes == {"a": 1}
