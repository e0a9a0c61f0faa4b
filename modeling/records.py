"""What a record says of a recording beside its predictions: windows, embeddings, and the names of these."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .errors import ConfigError
from .tasks import Task, free_name


class RecordNames(NamedTuple):
    """The names of what a record holds beside its tasks: `file`, `unusual` and so on, unless a task is called so."""

    file: str
    unusual: str
    warning: str
    error: str
    embeddings: str
    windows: str
    window: str
    start: str
    end: str

    @classmethod
    def beside(cls, tasks: Sequence[Task]) -> "RecordNames":
        """The names that none of these tasks has."""
        taken = [task.name for task in tasks]
        return cls(*(free_name(name, taken) for name in cls._fields))


class Windows(NamedTuple):
    """How long recordings are cut. The last window ends with the recording, and a shorter recording is one window.

    Args:
        seconds (`float`): the length of a window.
        stride (`float`): from the start of one window to the start of the next, in seconds.
    """

    seconds: float
    stride: float

    def spans(self, samples: int, sampling_rate: int) -> list[tuple[int, int]]:
        """The start and the end of each window of a recording of so many samples, in samples."""
        length = max(1, round(self.seconds * sampling_rate))
        stride = max(1, round(self.stride * sampling_rate))
        last = max(0, samples - length)
        return [(start, min(start + length, samples)) for start in [*range(0, last, stride), last]]


def parse_windows(window_seconds: float | None = None, stride_seconds: float | None = None) -> Windows | None:
    """The windows of two options, or `None` if recordings are not cut.

    Args:
        window_seconds (`float`, *optional*): the length of a window. By default recordings are not cut.
        stride_seconds (`float`, *optional*): by default the length of a window.

    Raises:
        ConfigError: if one of them is not a number of seconds above 0, or the second is given alone.
    """
    check_seconds(window_seconds=window_seconds, stride_seconds=stride_seconds)
    if window_seconds is None:
        if stride_seconds is not None:
            raise ConfigError("stride_seconds is given without window_seconds: give both")
        return None
    return Windows(window_seconds, window_seconds if stride_seconds is None else stride_seconds)


def check_seconds(**options: float | None) -> None:
    """Raises [`ConfigError`] if an option that is given is not a number of seconds above 0."""
    for name, seconds in options.items():
        if seconds is not None and not 0 < seconds < float("inf"):
            raise ConfigError(f"{name} is {seconds!r}: give a number of seconds above 0")


def embeddings_of(output: Any) -> dict[str, Any]:
    """The embeddings in the output of a model.

    Args:
        output: of any model of paravox.

    Returns:
        `dict` of tensors `(batch, size)`, or of mappings of these by task: the representations, or for a pre-finetuned
        model the `pooled` states of its encoder.

    Raises:
        ConfigError: if the model is an ensemble, which has none.
    """
    embeddings = output.get("representations") or {"pooled": output.get("pooled_states")}
    if embeddings.get("pooled", True) is None:
        raise ConfigError("an ensemble has no embeddings of its own: open one of the models that it was made from")
    return embeddings


def record_of_windows(
    names: RecordNames,
    spans: Sequence[tuple[float, float]],
    records: Sequence[dict[str, Any]],
    warnings: Sequence[str | None],
) -> dict[str, Any]:
    """The record of a recording that was cut: the means over its windows, and `windows` with the record of each.

    Args:
        names ([`RecordNames`]): under which a record has what is not of a task.
        spans (sequence of pairs of `float`): the start and the end of each window, in seconds.
        records (sequence of `dict`): what is predicted for each window, as plain data.
        warnings (sequence of `str` or `None`): of each window. One that all of them have is also one of the whole.
    """
    mean = mean_of_records(records)
    if warnings[0] and len(set(warnings)) == 1:
        mean[names.warning] = warnings[0]
    windows = [
        {names.start: start, names.end: end} | record | ({names.warning: warning} if warning else {})
        for (start, end), record, warning in zip(spans, records, warnings, strict=True)
    ]
    return mean | {names.windows: windows}


def mean_of_records(records: Sequence[Any]) -> Any:
    """The mean of numbers, lists of numbers, or mappings of these."""
    if isinstance(records[0], dict):
        return {name: mean_of_records([record[name] for record in records]) for name in records[0]}
    return np.mean(records, axis=0).tolist()
