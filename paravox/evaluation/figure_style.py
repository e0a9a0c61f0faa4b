"""What all figures share: colours, and files whose bytes depend on nothing but what they show."""

import io
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from paravox.trainers.files import written_aside

logger = logging.getLogger(__name__)

# Okabe and Ito (2008): people with any common form of colour blindness can tell these colours apart.
BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY_BLUE, PURPLE, YELLOW, BLACK)
GREY = "#333333"

# Without these settings, Matplotlib writes the time, its own version and random identifiers into the file.
_METADATA = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}
LONGEST_STEM = 40  # characters, of up to four bytes each
_SETTINGS = {"svg.hashsalt": "paravox"}


def file_stem(name: str) -> str:
    """The name of a file for what may have any name, without its suffix: what is no letter or digit becomes `_`.

    Names that are not taken as they are end in a number that differs between them.
    """
    stem = re.sub(r"[^\w-]", "_", name)[:LONGEST_STEM]
    return stem if stem == name else f"{stem}_{zlib.crc32(name.encode()):08x}"


def save_figure(figure: Figure, path: Path, suffixes: Sequence[str] = (".png", ".svg"), dpi: int = 150) -> list[Path]:
    """Saves a figure in several formats. The same figure gives the same bytes.

    Args:
        figure (`matplotlib.figure.Figure`): made by `Figure(...)` rather than by pyplot, which would keep it in memory.
        path (`Path`): where to write; its suffix is replaced. The folder is made if it does not exist.
        suffixes (sequence of `str`, *optional*): one file is written for each.
        dpi (`int`, *optional*, defaults to 150): the resolution of a PNG in dots per inch.

    Returns:
        list of `Path`: the files, in the order of `suffixes`.
    """
    paths = [path.with_suffix(suffix) for suffix in suffixes]
    for file in paths:
        with written_aside(file) as part:
            part.write_bytes(figure_bytes(figure, file.suffix, dpi))
    return paths


def figure_bytes(figure: Figure, suffix: str, dpi: int = 150) -> bytes:
    """What a file of a figure holds, for those that put it into another file.

    Args:
        figure (`matplotlib.figure.Figure`): as in [`save_figure`].
        suffix (`str`): the format as the suffix of a file, such as `.svg`.
        dpi (`int`, *optional*, defaults to 150): the resolution of a PNG in dots per inch.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(buffer, format=suffix.removeprefix("."), dpi=dpi, metadata=_METADATA.get(suffix))
    return buffer.getvalue()


def as_written(name: str, longest: int = 22) -> str:
    """A name from the user for a figure: shortened, and such that Matplotlib shows it as it is written.

    Matplotlib would read dollar signs as the ends of a formula, and leave a name that begins with an underscore out of
    a legend.
    """
    shown = (name if len(name) <= longest else name[: longest - 1] + "…").replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


@contextmanager
def figure_may_fail(what: str) -> Iterator[None]:
    """Turns an error within the block into a warning with its reason: a figure must not take the results with it.

    Args:
        what (`str`): the figure, as the subject of the warning.
    """
    try:
        yield
    # Whatever Matplotlib and what it draws with raise.
    except Exception as error:
        logger.warning("%s could not be drawn and is left out: %s: %s", what, type(error).__name__, error)
