"""The setting `class_weights: balanced` of a task: weights that let rare classes count as much as frequent ones.

The weights come from the labels of Train, so the corpus has to be read first: with [`without_balanced_weights`]. Then
[`with_balanced_weights`] puts the numbers into the tasks of the model.
"""

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from paravox.modeling.errors import ConfigError
from paravox.modeling.losses import UNKNOWN_CLASS
from paravox.modeling.tasks import Task, parse_tasks


def without_balanced_weights(tasks: list[dict]) -> list[dict]:
    """Returns the tasks of a YAML file without `class_weights: balanced`, as reading a corpus needs them."""
    return [
        {key: value for key, value in task.items() if key != "class_weights"} if _is_balanced(task) else task
        for task in tasks
    ]


def with_balanced_weights(tasks: list[dict], train_labels: dict[str, np.ndarray]) -> list[dict]:
    """Returns the tasks of a YAML file with numbers in the place of `class_weights: balanced`.

    Args:
        tasks (list of `dict`): as the YAML file has them.
        train_labels (`dict` of `np.ndarray`): the labels of Train by task; those of a task of classes are indices
            `(clips,)`, with -100 where unknown.

    Raises:
        ConfigError: if Train has no clip of one of the classes.
    """
    weighted = []
    for task in tasks:
        if _is_balanced(task):
            (plain_task,) = parse_tasks(without_balanced_weights([task]))
            task = task | {"class_weights": balanced_weights(plain_task, train_labels[task["name"]])}
        weighted.append(task)
    return weighted


def balanced_weights(task: Task, labels: np.ndarray) -> list[float]:
    """Computes one weight per class: clips / (classes * clips of the class), to four decimals.

    Args:
        task ([`Task`]): of kind `classes`.
        labels (`np.ndarray` of shape `(clips,)`): class indices, with -100 where unknown. Unknown labels do not count.

    Raises:
        ConfigError: if there is no clip of one of the classes.
    """
    known = labels[labels != UNKNOWN_CLASS]
    for position, label in enumerate(task.labels):
        if position not in known:
            raise ConfigError(
                f"task {task.name!r}: Train has no clip of {label!r}, which class_weights: balanced needs: "
                "give numbers, or remove the label"
            )
    return compute_class_weight("balanced", classes=np.arange(len(task.labels)), y=known).round(4).tolist()


def _is_balanced(task: dict) -> bool:
    # parse_tasks refuses whatever else is wrong with a task.
    return isinstance(task, dict) and task.get("kind") == "classes" and task.get("class_weights") == "balanced"
