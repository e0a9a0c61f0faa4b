"""Reading tables as people write them: any case and blanks in the header, commas, semicolons or tabs, and encodings.

What says nothing about the clips, such as a mark at the beginning of the file or an empty row, is passed over. Whatever
could mean two things is an error, so that no column and no row is lost without a word.
"""

import codecs
import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import pandas as pd

from paravox.corpora.faults import Faults, plain, visible
from paravox.modeling.errors import CorpusError

DELIMITERS = (",", ";", "\t", "|")
# The longer marks first, because that of UTF-16 begins that of UTF-32.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
LFS_POINTER = b"version https://git-lfs"
# What a file is instead of a table, by how it begins.
_NO_TABLES = {
    b"PK\x03\x04": "is a spreadsheet (or another zip file) and no text: save it as 'CSV UTF-8'",
    b"\xd0\xcf\x11\xe0": "is an old spreadsheet and no text: save it as 'CSV UTF-8'",
    b"\x1f\x8b": "is compressed: unpack it first",
    LFS_POINTER: "is a pointer of Git LFS and not the file itself: fetch it with git lfs pull",
    b"/annex/objects/": "is a pointer of git-annex and not the file itself: fetch it with git annex get",
}
# Below this likeness of two names, one is not taken for a misspelling of the other.
_ALIKE = 0.8
_ENDINGS = re.compile(r"(ids?|names?|nr|no|number|s)$")


def read_table(
    path: Path, needed: Sequence[str], optional: Sequence[str] = (), advice: str = "add them"
) -> pd.DataFrame:
    """Reads a table whose first row names its columns.

    Names are matched whatever their case, outer blanks and Unicode form. Cells are taken as they are. Columns are
    separated by commas, semicolons, tabs or bars, and the text is UTF-8, or UTF-16 or UTF-32 with its mark. Empty rows
    and empty columns without a name are left out.

    Args:
        path (`Path`): the file.
        needed (sequence of `str`): the columns that it must have.
        optional (sequence of `str`): those that it may have. A column whose name is nearly one of these is an error,
            because it would be ignored otherwise.
        advice (`str`, *optional*): what to do if columns are missing.

    Returns:
        `pd.DataFrame` of text, with a missing value where a cell is empty. Its index is the line of each row in the
        file. Needed and optional columns have the names that are given here; other columns keep theirs.

    Raises:
        CorpusError: if the file cannot be read as a table, a column is missing, occurs twice or is nearly one of the
            optional ones, or a row does not have one cell per column.
    """
    text, delimiter = _without_delimiter_line(read_text(path))
    delimiter = delimiter or _find_delimiter(text, needed)
    lines, rows = _split_rows(path, text, delimiter)
    if not rows:
        raise CorpusError(f"{path} is empty, expected a row with the names of the columns: write the table again")
    header, rows, lines = [tidy(name) for name in rows[0]], rows[1:], lines[1:]
    rows = _with_one_cell_per_column(path, header, lines, rows)
    columns: dict[str, list[str | None]] = {}
    for position, name in enumerate(_matched_names(path, header, needed, optional, advice)):
        # A cell of blanks looks empty, and is.
        cells = [row[position] if row[position].strip() else None for row in rows]
        if name:
            columns[name] = cells
        elif any(cells):
            raise CorpusError(
                f"{path} has values in column {position + 1}, which has no name: name it in the first row"
            )
    text_type = pd.Series(["text"]).dtype  # which depends on the version of pandas
    return pd.DataFrame({name: pd.Series(cells, lines, dtype=text_type) for name, cells in columns.items()})


def read_text(path: Path, strict: bool = True) -> str:
    """Reads a text file of a corpus.

    Args:
        path (`Path`): the file.
        strict (`bool`, *optional*, defaults to `True`): with `False`, bytes that are not UTF-8 are replaced, for files
            that hold remarks of people beside labels in plain letters.

    Raises:
        CorpusError: if it cannot be read, or is not text in UTF-8, UTF-16 or UTF-32.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from None
    for beginning, what in _NO_TABLES.items():
        if content.startswith(beginning):
            raise CorpusError(f"{path} {what}")
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding, "strict" if strict or encoding != "utf-8" else "replace")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        near = content[max(0, error.start - 10) : error.start + 10].splitlines()
        raise CorpusError(
            f"{path} is not in UTF-8: line {line} has bytes of another encoding ({b' '.join(near)!r}): save it as 'CSV "
            "UTF-8', which is what Excel calls it"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise CorpusError(
            f"{path} holds a character NUL in line {line}, as damaged files do, and UTF-16 without its mark: save it "
            "as 'CSV UTF-8'"
        )
    return text.removeprefix("\ufeff")


def tidy(name: str) -> str:
    """A name as it is compared: without outer blanks, marks and other invisible characters, in one Unicode form."""
    seen = "".join(sign for sign in unicodedata.normalize("NFC", name) if unicodedata.category(sign) != "Cf")
    return seen.strip()


def _without_delimiter_line(text: str) -> tuple[str, str | None]:
    """Takes away the line `sep=;` that Excel understands, and returns its delimiter."""
    found = re.match(r'\s*"?sep=(.)"?[^\S\n]*(?:\r?\n|$)', text, re.IGNORECASE)
    # The line is kept as an empty one, so that the numbers of the lines stay those of the file.
    return ("\n" + text[found.end() :], found[1]) if found else (text, None)


def _find_delimiter(text: str, needed: Sequence[str]) -> str:
    """The delimiter with which the first row has most of the needed columns, and after these most columns."""
    wanted = {plain(name) for name in needed}

    def merit(delimiter: str) -> tuple[int, int]:
        try:
            row = next((row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)), [])
        except csv.Error:
            return -1, 0
        return len(wanted & {plain(name) for name in row}), len(row)

    return max(DELIMITERS, key=merit)


def _split_rows(path: Path, text: str, delimiter: str) -> tuple[list[int], list[list[str]]]:
    """The rows that are not empty, and the line in which each begins."""
    lines: list[int] = []
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begin = 1
    try:
        for row in reader:
            if any(map(str.strip, row)):
                lines.append(begin)
                rows.append(row)
            begin = reader.line_num + 1
    except csv.Error as error:
        what = {"unexpected end of data": "a quotation mark is not closed"}.get(str(error), str(error))
        raise CorpusError(f"{path} cannot be read from line {begin} on ({what}): correct this line") from None
    return lines, rows


def _with_one_cell_per_column(
    path: Path, header: list[str], lines: list[int], rows: list[list[str]]
) -> list[list[str]]:
    """The same rows without empty cells behind the last column."""
    faults = Faults(path)
    width = len(header)
    fitting = []
    for line, row in zip(lines, rows, strict=True):
        if len(row) < width and not any(header[len(row) :]):
            row = row + [""] * (width - len(row))
        if len(row) < width or any(map(str.strip, row[width:])):
            faults.add(f"row that has not {width} cells, as the first row has", [f"line {line} has {len(row)}"])
        fitting.append(row[:width])
    faults.raise_if_any()
    return fitting


def _matched_names(
    path: Path, header: list[str], needed: Sequence[str], optional: Sequence[str], advice: str
) -> list[str]:
    """The names of the columns, with those that are known as they are written here."""
    known = list(dict.fromkeys([*needed, *optional]))
    names = list(header)
    # A name that is exactly right goes first; two known names may differ in their case alone.
    for name in (name for name in known if name not in header):
        alike = [place for place, found in enumerate(header) if plain(found) == plain(name) and found not in known]
        for place in alike:
            names[place] = name
    repeated = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    for name in known:
        others = [found for found in header if plain(found) == plain(name) and found not in known]
        if name in header and others:
            repeated.append(f"{name} (also as {others[0]})")
    if repeated:
        raise CorpusError(f"{path} has the column {visible(repeated[0])} twice: remove or rename one")
    missing = [name for name in needed if name not in names]
    if missing:
        shown = ", ".join(filter(None, header[:30])) or "no name"
        near = [
            repr(name) for name in names if name and name not in known and any(is_near(name, one) for one in missing)
        ]
        advice = f"rename {near[0]}" if len(missing) == 1 and near else advice
        raise CorpusError(f"{path} has no column {', '.join(missing)} (found {shown}): {advice}")
    others = [name for name in names if name and name not in known]
    for name in (name for name in optional if name not in names):
        near = [other for other in others if is_near(other, name)]
        if near:
            raise CorpusError(
                f"{path} has a column {near[0]!r} and no column {name!r}: rename it to {name!r} if it means that, or "
                "to something less similar"
            )
    return names


def is_near(found: str, wanted: str) -> bool:
    """Whether a name is probably another way to write another one: `Splits` or `Speaker ID` for `split`, `speaker`."""
    squeezed, target = (re.sub(r"[\W_]", "", plain(name)) for name in (found, wanted))
    if squeezed == target or _ENDINGS.sub("", squeezed) == _ENDINGS.sub("", target):
        return True
    return min(len(squeezed), len(target)) > 4 and SequenceMatcher(None, squeezed, target).ratio() >= _ALIKE
