"""The documents of the checkout, for the tests of their blocks and of what they state."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "recipes").glob("*/README.md")),
    *sorted((ROOT / "recipes").glob("*/results/README.md")),
]
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]


def tables_of(document: str) -> list[list[list[str]]]:
    """The tables of a document, each as rows of cells, the header first."""
    found = re.findall(r"(?:^\|.*\|\n)+", (ROOT / document).read_text() + "\n", re.MULTILINE)
    rows = [[line.strip("|").split("|") for line in table.splitlines()] for table in found]
    return [[[cell.strip() for cell in row] for row in table if set("".join(row)) - set(" -")] for table in rows]


def words_of(document: str) -> str:
    return " ".join((ROOT / document).read_text().split())
