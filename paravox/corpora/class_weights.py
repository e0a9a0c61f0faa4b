"""`class_weights: balanced` of a task: numbers worked out from Train, so that rare labels count as much as frequent ones."""

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from paravox.modeling.errors import ConfigError
from paravox.modeling.losses import UNKNOWN_CLASS
from paravox.modeling.tasks import Task, parse_tasks


def unbalanced(tasks: list[dict]) -> list[dict]:
    """The tasks without `class_weights: balanced`, which is worked out from the clips that they are to describe."""
    return [
        {key: value for key, value in task.items() if key != "class_weights"} if is_balanced(task) else task
        for task in tasks
    ]


def is_balanced(task: dict) -> bool:
    """Whether a task's class weights are to be worked out."""
    # Anything else that is not as it should be is for parse_tasks to refuse.
    return isinstance(task, dict) and task.get("kind") == "classes" and task.get("class_weights") == "balanced"


def weighted(tasks: list[dict], train_labels: dict[str, np.ndarray]) -> list[dict]:
    """The tasks with numbers for `class_weights: balanced`: clips over classes times clips of the class, in Train.

    Raises:
        ConfigError: if Train has no clip of one of the classes.
    """
    weighted_tasks = []
    for task in tasks:
        if is_balanced(task):
            task = task | {
                "class_weights": balanced_weights(*parse_tasks(unbalanced([task])), train_labels[task["name"]])
            }
        weighted_tasks.append(task)
    return weighted_tasks


def balanced_weights(task: Task, labels: np.ndarray) -> list[float]:
    """A weight a class, from class indices `(clips,)`."""
    known = labels[labels != UNKNOWN_CLASS]
    for position, label in enumerate(task.labels):
        if position not in known:
            raise ConfigError(
                f"task {task.name!r}: Train has no clip of {label!r}, which class_weights: balanced needs: give numbers, "
                "or remove the label"
            )
    return compute_class_weight("balanced", classes=np.arange(len(task.labels)), y=known).round(4).tolist()
