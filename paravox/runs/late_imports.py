"""A program whose imports wait until they are needed, which shows its help without the libraries that it needs."""

import __future__

import ast
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any


def main_with_late_imports(program: str) -> Callable[[list[str]], Any]:
    """The `main` of a program. What the program imports is imported when `main` first uses it.

    The libraries take seconds to import, and what reads the command line hardly needs them. The constants of the
    program wait as well, because they may be made of what is imported.

    Args:
        program (`str`): a module, such as `paravox.recipes.burst2vec.score`. It is run anew, and does not get into
            `sys.modules`.
    """
    file = Path(find_spec(program).origin)
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    names = LateNames(__name__=program, __file__=str(file))
    at_once = []
    for statement in tree.body:
        late = late_names(statement)
        for name in late:
            names.late.setdefault(name, []).append(statement)
        if not late:
            at_once.append(statement)
    exec(_compiled(*at_once), names)
    return names["main"]


def late_names(statement: ast.stmt) -> list[str]:
    """The names that an import or the assignment of a constant defines; none if the statement is anything else."""
    if isinstance(statement, ast.ImportFrom):
        return [alias.asname or alias.name for alias in statement.names]
    if isinstance(statement, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    named = [target.id for target in targets if isinstance(target, ast.Name)]
    return named if len(named) == len(targets) else []


def _compiled(*statements: ast.stmt) -> CodeType:
    # Annotations are not looked at, because they name what is not imported yet.
    flags = __future__.annotations.compiler_flag
    return compile(ast.Module(list(statements), []), "<program>", "exec", flags=flags, dont_inherit=True)


class LateNames(dict):
    """The global names of a module. For one of `late`, the statements that define it are run when it is first used."""

    def __init__(self, **names: Any) -> None:
        super().__init__(names)
        self.late: dict[str, list[ast.stmt]] = {}

    def __missing__(self, name: str) -> Any:
        exec(_compiled(*self.late[name]), self)  # a KeyError lets Python look among its built-in names
        return self[name]
