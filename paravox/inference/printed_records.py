"""Predictions as a table that grows by a row as each recording is predicted."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len, chop_cells, set_cell_size

from paravox.modeling.records import RecordNames
from paravox.modeling.tasks import Task

SHOWN_LABELS = 3
_GAP = "  "
_NUMBER = 6  # the width of a scalar
_TIMES = 15  # the width of the start and the end of a window
_LEAST_NAME, _LEAST_CELL = 16, 8
_NO_BREAK = "\xa0"  # which textwrap does not take for a blank


class RecordPrinter:
    """Prints records as rows of a table, the first one with the header.

    The widths of the columns depend on what is known before the first row: the names of the recordings and labels. On a
    terminal they are such that a row fits, and a label stays with its number; elsewhere each row is one line.

    Args:
        tasks (sequence of [`Task`]): what is predicted.
        paths (sequence of `str`): the recordings.
        top (`int`, *optional*, defaults to 3): how many labels of a task are shown, the strongest first.
        windowed (`bool`, *optional*, defaults to `False`): whether recordings are cut; each window gets a row.
        width (`int`, *optional*): of the table. By default that of the terminal; elsewhere it has no limit.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        paths: Sequence[str],
        top: int = SHOWN_LABELS,
        windowed: bool = False,
        width: int | None = None,
    ) -> None:
        self.tasks, self.top, self.windowed = tasks, top, windowed
        self.names = RecordNames.beside(tasks)
        times = [_TIMES] if windowed else []
        titles = ["clip", *(["seconds"] if windowed else []), *map(_title, tasks)]
        names = max((cell_len(_printable(path)) for path in paths), default=0)
        wanted = [names, *times, *(_widest(task, top) for task in tasks)]
        # One label with its number and, if another one follows, a comma.
        least = [_LEAST_NAME, *times, *(max(_LEAST_CELL, _widest(task, 1) + (top > 1)) for task in tasks)]
        self.widths = [max(cell_len(title), width) for title, width in zip(titles, wanted, strict=True)]
        if width is None and sys.stdout.isatty():
            width = shutil.get_terminal_size().columns
        if width is not None:
            self.widths = fitted(self.widths, least, width - len(_GAP) * (len(self.widths) - 1))
        self._titles: list[str] | None = titles

    def print(self, record: dict[str, Any]) -> None:
        """Prints the row of a recording, or the rows of its windows, and below them what is wrong with it."""
        if self._titles is not None:
            self._row(*self._titles)
            self._titles = None
        names = self.names
        for part in record.get(names.windows, [record]) if self.windowed else [record]:
            if names.error in part:
                self._row(part[names.file])
                print(f"{_GAP}error: {_printable(part[names.error])}", flush=True)
                continue
            times = [f"{part[names.start]:.2f}-{part[names.end]:.2f}"] if self.windowed else []
            self._row(record[names.file], *times, *(self._cell(task, part[task.name]) for task in self.tasks))
            if names.warning in part:
                print(f"{_GAP}warning: {part[names.warning]}", flush=True)

    def _cell(self, task: Task, value: Any) -> str:
        if task.kind == "scalar":
            return f"{value:.1f}"
        strongest = sorted(value.items(), key=lambda pair: -pair[1])[: self.top]
        return ", ".join(f"{label} {number:.2f}".replace(" ", _NO_BREAK) for label, number in strongest)

    def _row(self, name: str, *cells: str) -> None:
        columns = [chop_cells(_printable(name), self.widths[0])]
        columns += [textwrap.wrap(cell, width) for cell, width in zip(cells, self.widths[1:], strict=False)]
        for line in zip_longest(*columns, fillvalue=""):
            padded = [set_cell_size(text, width) for text, width in zip(line, self.widths, strict=False)]
            print(_GAP.join(padded).replace(_NO_BREAK, " ").rstrip(), flush=True)


def fitted(widths: Sequence[int], least: Sequence[int], total: int) -> list[int]:
    """Widths of columns that together have at most a total, as far as the least widths allow.

    The widest column gives way first, so that short ones stay as they are.
    """
    widths = list(widths)
    while sum(widths) > total:
        free = [place for place, width in enumerate(widths) if width > least[place]]
        if not free:
            break
        widths[max(free, key=lambda place: widths[place])] -= 1
    return widths


def _title(task: Task) -> str:
    return f"{task.name} ({task.unit})" if task.unit else task.name


def _widest(task: Task, top: int) -> int:
    """The width of a cell with the longest labels of a task."""
    if task.kind == "scalar":
        return _NUMBER
    longest = sorted((cell_len(label) for label in task.labels), reverse=True)[:top]
    return sum(longest) + len(" 0.00") * len(longest) + len(", ") * (len(longest) - 1)


def _printable(text: str) -> str:
    """The text without what cannot be written as UTF-8, as the name of a file may have it."""
    return text.encode("utf-8", "replace").decode()
