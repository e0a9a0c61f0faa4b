"""Reports as one HTML file that needs no network: text, tables, figures and recordings.

The file asks for no script, style, font or image from elsewhere, and its own policy forbids the browser to load any.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from paravox.evaluation.figure_style import figure_bytes
from paravox.trainers.files import written_aside

_TEMPLATE = Path(__file__).with_name("page.html.jinja")
# What a cell of a column of numbers starts with, such as "0.52", "-3", "< 0.001" and "+0.1 *".
_NUMBER = re.compile(r"[<>≤≥=±+−-]?\s?[+−-]?\d")


@dataclass(frozen=True)
class Paragraph:
    """Plain text. Line breaks count as spaces."""

    text: str
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text (`str`): plain text.
        bold (`bool`, *optional*, defaults to `False`): whether it is the best of its column, or stands out otherwise.
    """

    text: str
    bold: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class HtmlAudio:
    """A recording with a player. The page holds the recording itself, so do not publish it where you may not.

    Args:
        recording (`bytes`): a file that browsers play, such as WAV, FLAC or MP3.
        caption (`str`): what can be heard, for people and for screen readers.
        media_type (`str`, *optional*, defaults to `"audio/flac"`): of the file.
    """

    recording: bytes
    caption: str
    media_type: str = "audio/flac"
    kind: ClassVar[str] = "audio"


@dataclass(frozen=True)
class HtmlTable:
    """A table, which scrolls inside its own box where the page is narrower.

    Columns whose cells all start with a number are aligned to the right.

    Args:
        columns (sequence of `str`): the headers.
        rows (sequence of sequences): one cell per column; the first cell of a row is its header. A `str` is a
            plain cell.
        caption (`str`, *optional*): shown above the table.

    Raises:
        ValueError: if a row does not have one cell per column.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell | HtmlAudio]]
    caption: str = ""
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {len(row)} cells {row} does not fit {len(self.columns)} columns")

    @property
    def cells(self) -> list[list[Cell | HtmlAudio]]:
        """The rows with plain text as cells, too."""
        return [[Cell(cell) if isinstance(cell, str) else cell for cell in row] for row in self.rows]

    @property
    def number_columns(self) -> list[bool]:
        """Which columns hold numbers. Empty cells do not count, and the first column never does."""
        columns = [[_text(row[position]) for row in self.cells] for position in range(len(self.columns))]
        return [
            position > 0 and any(texts) and all(_NUMBER.match(text) for text in texts if text)
            for position, texts in enumerate(columns)
        ]


@dataclass(frozen=True)
class HtmlFigure:
    """A figure as SVG, which becomes smaller where the page is narrower.

    A phone shows it about 360 points wide, so letters stay readable in a figure of 5 inches and less.

    Args:
        figure (`matplotlib.figure.Figure`): rasterize what has thousands of points, since each of them has a line in
            the file.
        caption (`str`): shown above the figure, and read out where it cannot be seen.
    """

    figure: Figure
    caption: str
    kind: ClassVar[str] = "figure"

    @property
    def svg(self) -> bytes:
        return figure_bytes(self.figure, ".svg")


Part = Paragraph | HtmlTable | HtmlFigure | HtmlAudio


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading, which the contents list.

    Args:
        title (`str`): plain text. An empty one makes no heading, as for the sentences that open the page.
        parts (list of [`Paragraph`], [`HtmlTable`], [`HtmlFigure`] or [`HtmlAudio`]): in the order of reading.
    """

    title: str
    parts: list[Part]


def write_page(file: Path, title: str, sections: Sequence[Section]) -> None:
    """Writes an HTML file that needs nothing but itself, whole or not at all.

    All text is escaped, so that names of files and labels may hold anything. The same content gives the same bytes.

    Args:
        file (`Path`): its folder is made if it does not exist.
        title (`str`): the heading of the page.
        sections (sequence of [`Section`]): if the first one has no title, the contents follow it.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATE.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    html = environment.get_template(_TEMPLATE.name).render(title=title, sections=sections)
    with written_aside(file) as part:
        # A file name may hold bytes that are no text, for which UTF-8 has no letters.
        part.write_text(html, encoding="utf-8", errors="replace")


def _text(cell: Cell | HtmlAudio) -> str:
    return cell.text if isinstance(cell, Cell) else cell.caption
