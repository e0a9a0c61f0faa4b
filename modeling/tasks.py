"""Tasks: the things that a model predicts, each described by data, so that a model can have any number of them."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .errors import ConfigError, did_you_mean

# The first loss of each kind is its default.
LOSSES_BY_KIND = {
    "intensities": ("ccc", "mse", "mae"),
    "scalar": ("mae", "mse", "ccc"),
    "classes": ("cross_entropy",),
}
LONGEST_NAME = 100
# Far more than any corpus has; what is above takes minutes to make a model of.
MOST_LABELS = 10_000
MOST_TASKS = 1_000
# The fields of a task that describe its output. The others belong to training.
OUTPUT_FIELDS = ("name", "kind", "labels", "range", "unit")


@dataclass(frozen=True)
class Task:
    """One thing to predict.

    Args:
        name (`str`): any text of one line without outer blanks; the key of this task's labels, predictions and metrics.
        kind (`str`): `intensities` (several values in 0..1), `scalar` (one value in a range) or `classes` (one of n).
        labels (tuple of `str`): the names of the outputs, in order; for `intensities` and `classes`.
        range (pair of `float`): the lowest and the highest value of a `scalar`, in `unit`.
        unit (`str`, *optional*): the unit of a `scalar`, such as `years`.
        loss (`str`, *optional*): `ccc`, `mse` or `mae` for intensities and scalars, `cross_entropy` for classes.
            Defaults to the paper's: CCC, MAE, cross-entropy (Burst2Vec, section 3.3).
        class_weights (tuple of `float`, *optional*): for `classes`, how much a clip of each label counts in the loss:
            one number above 0 per label. In a recipe, `balanced` computes them from Train.

    Raises:
        ConfigError: if the fields do not describe a task.
    """

    name: str
    kind: str
    labels: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    unit: str | None = None
    loss: str | None = None
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= LONGEST_NAME or not _is_one_line(self.name):
            shown = self.name[:LONGEST_NAME] if isinstance(self.name, str) else self.name
            raise ConfigError(
                f"task name {shown!r} must be text of one line, of 1 to {LONGEST_NAME} characters, without blanks at "
                "its ends: rename the task"
            )
        if not isinstance(self.kind, str) or self.kind not in LOSSES_BY_KIND:
            raise ConfigError(
                f"task {self.name!r}: kind {self.kind!r} is not one of {', '.join(LOSSES_BY_KIND)}: pick one"
            )
        losses = LOSSES_BY_KIND[self.kind]
        if self.unit is not None and not isinstance(self.unit, str):
            raise ConfigError(f"task {self.name!r}: unit is {self.unit!r}, expected text, such as years: correct it")
        if self.loss is None:
            object.__setattr__(self, "loss", losses[0])
        elif self.loss not in losses:
            raise ConfigError(
                f"task {self.name!r}: loss {self.loss!r} does not fit kind {self.kind!r}: use {' or '.join(losses)}"
            )
        if self.kind == "scalar":
            self._check_range()
        else:
            self._check_labels()
        if self.class_weights is not None:
            self._check_class_weights()

    def _check_range(self) -> None:
        if self.labels:
            raise ConfigError(f"task {self.name!r}: a scalar has a range, not labels: remove `labels`")
        try:
            low, high = (float(value) for value in self.range)
        except (TypeError, ValueError, OverflowError):
            raise ConfigError(
                f"task {self.name!r}: range is {self.range!r}, a scalar needs [lowest, highest], such as [20, 39]"
            ) from None
        if not math.isfinite(high - low):
            raise ConfigError(f"task {self.name!r}: range is [{low:g}, {high:g}], its ends must be finite numbers")
        if not low < high:
            raise ConfigError(f"task {self.name!r}: range [{low:g}, {high:g}] is empty: give the lowest value first")
        object.__setattr__(self, "range", (low, high))

    def _check_labels(self) -> None:
        if self.range is not None or self.unit is not None:
            raise ConfigError(f"task {self.name!r}: kind {self.kind!r} has labels, not a range or a unit: remove them")
        if not isinstance(self.labels, (str, list, tuple)):
            raise ConfigError(f"task {self.name!r}: labels are {self.labels!r}, a list of names is needed")
        labels = (self.labels,) if isinstance(self.labels, str) else tuple(self.labels)
        if len(labels) > MOST_LABELS:
            raise ConfigError(f"task {self.name!r} has {len(labels):,} labels: give at most {MOST_LABELS:,}")
        smallest = 2 if self.kind == "classes" else 1
        if len(labels) < smallest or not all(isinstance(label, str) and label for label in labels):
            raise ConfigError(
                f"task {self.name!r}: labels are {list(labels)}, kind {self.kind!r} needs at least {smallest} names"
            )
        repeated = sorted(label for label, count in Counter(labels).items() if count > 1)
        if repeated:
            raise ConfigError(f"task {self.name!r}: label {repeated[0]!r} is listed twice: remove one")
        object.__setattr__(self, "labels", labels)

    def _check_class_weights(self) -> None:
        weights = self.class_weights
        if self.kind != "classes":
            raise ConfigError(f"task {self.name!r}: kind {self.kind!r} has no classes to weight: remove class_weights")
        try:
            weights = tuple(float(weight) for weight in weights)
            fits = len(weights) == len(self.labels) and all(0 < weight < math.inf for weight in weights)
        except (TypeError, ValueError, OverflowError):
            fits = False
        if not fits:
            raise ConfigError(
                f"task {self.name!r}: class_weights are {self.class_weights!r}, expected a number above 0 for each of "
                f"its {len(self.labels)} labels"
            )
        object.__setattr__(self, "class_weights", weights)

    @property
    def outputs(self) -> int:
        """The number of values that a head gives for this task."""
        return 1 if self.kind == "scalar" else len(self.labels)

    @property
    def output_fields(self) -> dict[str, Any]:
        """What the task predicts, without how it is learned: two models can be averaged if this is equal for both."""
        return {name: value for name, value in self.to_dict().items() if name in OUTPUT_FIELDS}

    def as_record(self, prediction: Any) -> float | dict[str, float]:
        """One clip's prediction as plain data: a number in the task's unit, or a `dict` of numbers by label.

        Args:
            prediction (`np.ndarray` or `torch.Tensor`): of shape `()` for a scalar, otherwise `(outputs,)`.
        """
        values = prediction.tolist()
        return values if self.kind == "scalar" else dict(zip(self.labels, values, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """The task as plain data without the fields that are not set, as in a config or a YAML file."""
        fields = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: value for key, value in fields.items() if value not in (None, [])}


def free_name(name: str, tasks: Iterable[str]) -> str:
    """A name for something that stands beside tasks: itself, with an underscore behind it where a task is called so.

    Args:
        name (`str`): such as `file`.
        tasks (iterable of `str`): the names of the tasks.
    """
    taken = set(tasks)
    while name in taken:
        name += "_"
    return name


def _is_one_line(name: str) -> bool:
    # What cannot be printed are line ends, NUL and other control characters, halves of characters, and odd blanks.
    return name == name.strip() and name.isprintable()


def parse_tasks(tasks: Sequence[Task | dict[str, Any]] | None) -> list[Task]:
    """Turns a list of dictionaries into tasks, in the same order.

    Args:
        tasks (list of [`Task`] or `dict`): the fields of each task, or the task itself.

    Raises:
        ConfigError: if there is no task, a task has an unknown key, or two tasks have the same name.
    """
    if not tasks or not isinstance(tasks, (list, tuple)):
        raise ConfigError(
            "no tasks given: a model needs at least one, such as {name: age, kind: scalar, range: [20, 39]}"
        )
    if len(tasks) > MOST_TASKS:
        raise ConfigError(f"{len(tasks):,} tasks are given: give at most {MOST_TASKS:,}")
    parsed = [task if isinstance(task, Task) else _parse_task(task) for task in tasks]
    names = [task.name for task in parsed]
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ConfigError(f"task {repeated[0]!r} is given twice: names must differ, because labels are found by name")
    return parsed


def predict_the_same(first: Sequence[Task], second: Sequence[Task]) -> bool:
    """Whether two lists of tasks have the same outputs in the same order. Losses and class weights may differ."""
    return [task.output_fields for task in first] == [task.output_fields for task in second]


def _parse_task(fields: dict[str, Any]) -> Task:
    if not isinstance(fields, dict):
        raise ConfigError(f"a task is a mapping with name and kind, found {fields!r}")
    known = list(Task.__dataclass_fields__)
    for key in fields:
        if key not in known:
            raise ConfigError(f"task {fields.get('name', '?')!r}: unknown key {key!r}: {did_you_mean(key, known)}")
    missing = [key for key in ("name", "kind") if key not in fields]
    if missing:
        raise ConfigError(f"task {fields!r}: key {missing[0]!r} is missing: every task has a name and a kind")
    return Task(**fields)
