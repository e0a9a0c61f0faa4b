"""Programs whose imports wait until they are needed."""

import sys

import pytest

from paravox.runs.late_imports import main_with_late_imports

HEAVY = """
print("heavy is imported")
answer, other = 42, 43


class Result:
    pass
"""

PROGRAM = '''
"""What it does."""

import os.path
import xml
import xml.sax
from pathlib import Path

import heavy_library
import heavy_library as named
from heavy_library import answer, other as another
from not_installed import nothing

FOLDER = Path("folder")
TWICE = [answer]
TWICE = [*TWICE, another]
first, second = 1, 2


class Kept:
    attribute: nothing.Thing


def main(argv: list[nothing.Thing]) -> heavy_library.Result:
    if argv == ["light"]:
        return str(FOLDER / "file"), len(argv), second, __doc__, __name__
    if argv == ["heavy"]:
        return TWICE, [answer for _ in argv], named.Result is heavy_library.Result, os.path.sep, xml.sax.__name__
    if argv == ["recursive"]:
        return helper(2)
    return undefined_name


def helper(count: int) -> int:
    return helper(count - 1) if count else another


if __name__ == "__main__":
    raise SystemExit("it is not started by itself")
'''


@pytest.fixture
def main(tmp_path, monkeypatch):
    (tmp_path / "heavy_library.py").write_text(HEAVY)
    (tmp_path / "little_program.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "heavy_library", raising=False)
    return main_with_late_imports("little_program")


def test_what_is_not_used_is_not_imported(main, capsys):
    assert main(["light"]) == ("folder/file", 1, 2, "What it does.", "little_program")
    assert "heavy_library" not in sys.modules and "little_program" not in sys.modules
    assert capsys.readouterr().out == ""


def test_what_is_used_is_what_the_program_says(main, capsys):
    assert main(["heavy"]) == ([42, 43], [42], True, "/", "xml.sax")
    assert main(["recursive"]) == 43
    assert capsys.readouterr().out == "heavy is imported\n"


def test_a_name_that_nothing_defines_is_an_error(main):
    with pytest.raises(NameError, match="undefined_name"):
        main(["wrong"])
