"""Tasks: their defaults, what they refuse, and the way to plain data and back."""

import pytest

from paravox.modeling.errors import ConfigError
from paravox.modeling.tasks import Task, parse_tasks

EMOTION = {"name": "emotion", "kind": "intensities", "labels": ["amusement", "awe"]}
AGE = {"name": "age", "kind": "scalar", "range": [20, 39], "unit": "years"}
COUNTRY = {"name": "country", "kind": "classes", "labels": ["China", "USA", "Venezuela"]}


def test_losses_default_to_those_of_the_paper():
    assert [task.loss for task in parse_tasks([EMOTION, AGE, COUNTRY])] == ["ccc", "mae", "cross_entropy"]
    assert Task(**AGE, loss="mse").loss == "mse"


def test_outputs():
    assert [task.outputs for task in parse_tasks([EMOTION, AGE, COUNTRY])] == [2, 1, 3]


def test_order_is_kept_and_tasks_pass_through():
    age = Task(**AGE)
    parsed = parse_tasks([COUNTRY, age, EMOTION])
    assert [task.name for task in parsed] == ["country", "age", "emotion"] and parsed[1] is age


def test_plain_data_and_back():
    for fields in (EMOTION, AGE, COUNTRY):
        task = Task(**fields)
        data = task.to_dict()
        assert {key: data[key] for key in fields} == fields
        assert set(data) == {*fields, "loss"}
        assert parse_tasks([data]) == [task]


def test_a_task_cannot_be_changed():
    with pytest.raises(AttributeError):
        Task(**AGE).name = "years"


def test_one_intensity_may_be_given_as_a_word():
    assert Task("arousal", "intensities", labels="arousal").labels == ("arousal",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (EMOTION | {"name": "big\nemotion"}, r"task name 'big\\nemotion' must be text of one line.*rename"),
        (EMOTION | {"name": ""}, "task name '' must be text of one line"),
        (EMOTION | {"name": 3}, "task name 3 must be text of one line"),
        (EMOTION | {"kind": "regression"}, "'emotion': kind 'regression' is not one of intensities, scalar, classes"),
        (EMOTION | {"loss": "cross_entropy"}, "'cross_entropy' does not fit kind 'intensities': use ccc or mse or mae"),
        (COUNTRY | {"loss": "ccc"}, "'country': loss 'ccc' does not fit kind 'classes': use cross_entropy"),
        (AGE | {"labels": ["young", "old"]}, "'age': a scalar has a range, not labels: remove `labels`"),
        ({"name": "age", "kind": "scalar"}, r"'age': range is None, a scalar needs \[lowest, highest\]"),
        (AGE | {"range": [20]}, r"range is \[20\], a scalar needs"),
        (AGE | {"range": ["young", "old"]}, "range is .*young.*a scalar needs"),
        (AGE | {"range": 20}, "range is 20, a scalar needs"),
        (AGE | {"range": [39, 20]}, r"range \[39, 20\] is empty: give the lowest value first"),
        (AGE | {"range": [20, 20]}, r"range \[20, 20\] is empty"),
        (AGE | {"range": [20, float("nan")]}, r"range is \[20, nan\], its ends must be finite"),
        (EMOTION | {"range": [0, 1]}, "'emotion': kind 'intensities' has labels, not a range or a unit: remove them"),
        (COUNTRY | {"unit": "km"}, "'country': kind 'classes' has labels, not a range or a unit"),
        ({"name": "emotion", "kind": "intensities"}, r"labels are \[\], kind 'intensities' needs at least 1 name"),
        (COUNTRY | {"labels": ["China"]}, r"labels are \['China'\], kind 'classes' needs at least 2 names"),
        (COUNTRY | {"labels": ["China", ""]}, "needs at least 2 names"),
        (COUNTRY | {"labels": [1, 2]}, "needs at least 2 names"),
        (COUNTRY | {"labels": ["USA", "China", "USA"]}, "'country': label 'USA' is listed twice: remove one"),
        (COUNTRY | {"labels": None}, "'country': labels are None, a list of names is needed"),
        (COUNTRY | {"labels": 4}, "'country': labels are 4, a list of names is needed"),
        (AGE | {"range": [20, float("inf")]}, r"range is \[20, inf\], its ends must be finite"),
        (AGE | {"units": "years"}, "'age': unknown key 'units': did you mean 'unit'?"),
        (AGE | {"qqq": 1}, "unknown key 'qqq': use one of name, kind, labels, range, unit, loss"),
        (AGE | {"class_weights": [1.0]}, "'age': kind 'scalar' has no classes to weight: remove class_weights"),
        (
            COUNTRY | {"class_weights": [1.0]},
            r"'country': class_weights are \[1.0\], expected a number above 0 for each of",
        ),
        (COUNTRY | {"class_weights": [1.0] * (len(COUNTRY["labels"]) - 1) + [0.0]}, "expected a number above 0"),
        (COUNTRY | {"class_weights": "balanced"}, "class_weights are 'balanced', expected a number above 0"),
        ({"name": "age"}, "key 'kind' is missing: every task has a name and a kind"),
        ({"kind": "scalar", "range": [0, 1]}, "key 'name' is missing"),
        ("age", "a task is a mapping with name and kind, found 'age'"),
    ],
)
def test_what_is_no_task_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        parse_tasks([fields])


@pytest.mark.parametrize("tasks", [None, [], {}, "age", {"name": "age"}])
def test_no_tasks_are_refused(tasks):
    with pytest.raises(ConfigError, match="no tasks given: a model needs at least one"):
        parse_tasks(tasks)


def test_a_name_given_twice_is_refused():
    with pytest.raises(ConfigError, match="task 'age' is given twice: names must differ"):
        parse_tasks([AGE, COUNTRY, AGE])
