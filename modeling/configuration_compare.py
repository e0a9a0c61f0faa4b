"""The settings that define the ComParE baseline of the ExVo 2022 challenge."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .bounds import LARGEST_SIZE, MOST_LAYERS
from .configuration_saved_model import SavedModelConfig
from .errors import ConfigError
from .opening import check_format_version
from .tasks import Task, parse_tasks

if TYPE_CHECKING:
    # Named because Transformers before 5.6 copies only the files that the one it opens imports itself.
    from .transformers_versions import run_layer  # noqa: F401

FORMAT_VERSION = 1
# The losses of the organisers, by kind of task.
LOSSES = {"intensities": "mse", "scalar": "mse", "classes": "cross_entropy"}


class ComParEConfig(SavedModelConfig):
    """The settings of a [`ComParEForMultiTask`]. The default sizes are those of the organisers.

    Args:
        tasks (list of [`Task`] or `dict`): what to predict. Intensities and scalars are learned by their mean squared
            error, classes by cross-entropy: a `dict` without `loss` gets that of its kind, and no other is possible.
        functionals (`int`, *optional*, defaults to 6373): the number of functionals per clip.
        shared_sizes (list of `int`, *optional*, defaults to `[128, 64]`): widths of the layers that all tasks share.
        head_sizes (list of `int`, *optional*, defaults to `[32]`): widths of the layers of each task between the shared
            ones and its outputs.
        format_version (`int`, *optional*): the version of the saved model's format. A version newer than this code is
            refused.

    Raises:
        ConfigError: if a size is not a whole number of at least 1, or a task has another loss.
        CheckpointError: if the config was written by a newer paravox.
    """

    model_type = "compare_baseline"

    def __init__(
        self,
        tasks: list[Task | dict[str, Any]] | None = None,
        functionals: int = 6373,
        shared_sizes: Sequence[int] = (128, 64),
        head_sizes: Sequence[int] = (32,),
        format_version: int = FORMAT_VERSION,
        **kwargs: Any,
    ) -> None:
        check_format_version(format_version, FORMAT_VERSION)
        self.tasks = [task.to_dict() for task in parse_baseline_tasks(tasks)]
        (self.functionals,) = _sizes("functionals", [functionals])
        self.shared_sizes = _sizes("shared_sizes", shared_sizes)
        if not self.shared_sizes:
            raise ConfigError("shared_sizes is empty: give the width of at least one shared layer")
        self.head_sizes = _sizes("head_sizes", head_sizes)
        self.format_version = format_version
        super().__init__(**kwargs)


def parse_baseline_tasks(tasks: Sequence[Task | dict[str, Any]] | None) -> list[Task]:
    """The tasks with the losses of the organisers.

    Args:
        tasks (list of [`Task`] or `dict`): as in [`parse_tasks`]. A `dict` may leave `loss` out.

    Raises:
        ConfigError: if a task has another loss, or [`parse_tasks`] refuses it.
    """
    given = [
        {"loss": LOSSES[task["kind"]]} | task if isinstance(task, dict) and str(task.get("kind")) in LOSSES else task
        for task in (tasks if isinstance(tasks, (list, tuple)) else [])
    ]
    parsed = parse_tasks(given)
    for task in parsed:
        if task.loss != LOSSES[task.kind]:
            raise ConfigError(
                f"task {task.name!r}: loss {task.loss!r} is not that of the challenge's baseline, which learns "
                f"{task.kind} by {LOSSES[task.kind]}: leave loss out"
            )
    return parsed


def _sizes(name: str, sizes: Sequence[int]) -> list[int]:
    if not isinstance(sizes, (list, tuple)) or len(sizes) > MOST_LAYERS:
        raise ConfigError(f"{name} is {str(sizes)[:80]}: give a list of at most {MOST_LAYERS} whole numbers")
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LARGEST_SIZE:
            raise ConfigError(f"{name} holds {size!r}: give whole numbers from 1 to {LARGEST_SIZE:,}")
    return list(sizes)


ComParEConfig.register_for_auto_class()
