"""One module per task, whatever the tasks are called."""

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, unquote

from torch import nn

# An attribute that torch added after 2.6: a file must open in all versions.
_TAKEN_IN_SOME_VERSIONS = frozenset({"mtia", "set_submodule"})
_EMPTY = nn.ModuleDict()


class TaskModules(nn.ModuleDict):
    """A mapping from the names of tasks to modules, under which weights are saved.

    The names of modules may neither hold dots nor be those of attributes, such as `type` or `train`. A task whose name
    cannot be used is stored under another one, which no task that is a plain word can have.

    Args:
        modules (mapping of `nn.Module`, *optional*): by task.
    """

    def __getitem__(self, key: str) -> nn.Module:
        return super().__getitem__(module_name(key))

    def __setitem__(self, key: str, module: nn.Module) -> None:
        super().__setitem__(module_name(key), module)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(module_name(key))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and super().__contains__(module_name(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names of the tasks."""
        return [unquote(name) for name in self._modules]

    def items(self) -> list[tuple[str, nn.Module]]:
        """The names of the tasks, each with its module."""
        return list(zip(self.keys(), self.values(), strict=True))

    def update(self, modules: Mapping[str, nn.Module] | Iterable[tuple[str, nn.Module]]) -> None:
        """Adds modules, or replaces them."""
        for task, module in dict(modules).items():
            self[task] = module


def module_name(task: str) -> str:
    """The name under which a task's module is stored: its own, or, where that cannot be, one with percent signs.

    Args:
        task (`str`): its name.
    """
    if not task.isidentifier():
        return quote(task, safe="").replace(".", "%2E").replace("-", "%2D").replace("~", "%7E")
    if hasattr(_EMPTY, task) or task in _TAKEN_IN_SOME_VERSIONS:
        return f"%{ord(task[0]):02X}{task[1:]}"
    return task
