"""The sorting of the Trainer's arguments."""

import dataclasses

import pytest
from documents import ROOT
from transformers import TrainingArguments

from paravox.modeling.errors import ConfigError
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.sorted_arguments import REFUSED, TESTED, THE_TRAINERS_OWN

# A value of each refused argument that is not its default.
SET = {
    "accelerator_config": {"split_batches": True},
    "average_tokens_across_devices": False,
    "deepspeed": "zero.json",
    "eval_accumulation_steps": 2,
    "eval_do_concat_batches": False,
    "fsdp": "full_shard",
    "fsdp_config": {"min_num_params": 1},
    "include_for_metrics": ["loss"],
    "include_num_input_tokens_seen": "all",
    "label_names": ["age"],
    "label_smoothing_factor": 0.1,
    "length_column_name": "seconds",
    "liger_kernel_config": {"rope": True},
    "neftune_noise_alpha": 5.0,
    "parallelism_config": "anything",
    "train_sampling_strategy": "group_by_length",
}


def test_every_argument_of_the_trainer_is_sorted_once():
    sorts = [TESTED, THE_TRAINERS_OWN, set(REFUSED)]
    assert sum(map(len, sorts)) == len(set().union(*sorts))
    assert {field.name for field in dataclasses.fields(TrainingArguments)} <= set().union(*sorts)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_an_argument_without_effect_is_refused(tmp_path, name):
    if name not in {field.name for field in dataclasses.fields(TrainingArguments)}:
        pytest.skip(f"this version of Transformers has no {name}")
    with pytest.raises(ConfigError, match=f"{name} would have no effect, because .*: leave it out"):
        MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, **{name: SET.get(name, True)})


def test_arguments_can_be_copied_with_a_change(tmp_path):
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True)
    assert dataclasses.replace(args, seed=7).seed == 7


def test_an_argument_of_a_newer_transformers_is_refused_when_it_is_set(tmp_path, monkeypatch):
    monkeypatch.setattr("paravox.trainers.sorted_arguments.THE_TRAINERS_OWN", THE_TRAINERS_OWN - {"eval_delay"})
    MultiTaskTrainingArguments(str(tmp_path), use_cpu=True)
    with pytest.raises(ConfigError, match="eval_delay is an argument of a newer Transformers"):
        MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, eval_delay=3)


def test_the_page_has_the_same_table():
    page = (ROOT / "docs" / "training.md").read_text()
    for title, names in {"works, tested": TESTED, "works, the Trainer's own": THE_TRAINERS_OWN}.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {title} |"))
        assert [name.strip(" `") for name in row.split("|")[2].split(",")] == sorted(names)
    for name, reason in REFUSED.items():
        assert f"| `{name}` | {reason} |" in page
