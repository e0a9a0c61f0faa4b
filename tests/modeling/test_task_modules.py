"""Modules by task: any name of a task is found again, and is saved under a name that a module may have."""

import pytest
import torch
from torch import nn

from paravox.modeling.task_modules import TaskModules

TAKEN = (
    "type",
    "keys",
    "train",
    "training",
    "items",
    "forward",
    "values",
    "half",
    "to",
    "_modules",
    "__class__",
    "pop",
)
UNUSUAL = (
    "a.b",
    ".",
    "two words",
    "x/y",
    "[z]",
    "ä ö",
    "%74ype",
    "50 %",
    "100",
    "a~b",
    "a-b",
    "%",
    "笑い声",
    "\\",
    "class",
)
PLAIN = ("age", "country", "score", "file", "windows", "label", "type_", "größe", "emotion_2")


@pytest.fixture
def modules():
    return TaskModules({name: nn.Linear(1, number + 1) for number, name in enumerate(TAKEN + UNUSUAL + PLAIN)})


def test_every_task_has_its_own_module_in_the_order_given(modules):
    names = [*TAKEN, *UNUSUAL, *PLAIN]
    assert list(modules) == list(modules.keys()) == [name for name, _ in modules.items()] == names
    assert [modules[name].out_features for name in names] == list(range(1, len(names) + 1))
    assert [module.out_features for module in modules.values()] == list(range(1, len(names) + 1))
    assert all(name in modules for name in names) and "other" not in modules and len(modules) == len(names)


def test_weights_have_names_by_which_they_are_found_and_loaded(modules):
    weights = modules.state_dict()
    assert len(weights) == 2 * len(modules)
    for name, value in weights.items():
        assert name.count(".") == 1
        assert modules.get_parameter(name).data_ptr() == value.data_ptr()
    other = TaskModules({name: nn.Linear(1, module.out_features) for name, module in modules.items()})
    other.load_state_dict(weights)
    for name in modules:
        torch.testing.assert_close(other[name].weight, modules[name].weight)


def test_plain_words_are_saved_as_they_always_were(modules):
    stock = nn.ModuleDict({name: nn.Linear(1, 1) for name in PLAIN})
    assert set(stock.state_dict()) < set(modules.state_dict())


def test_a_module_can_be_replaced_and_removed(modules):
    modules["type"] = nn.Linear(1, 100)
    assert modules["type"].out_features == 100 and len(modules) == len(TAKEN + UNUSUAL + PLAIN)
    del modules["a.b"]
    assert "a.b" not in modules
    assert modules.pop("type").out_features == 100 and "type" not in modules
