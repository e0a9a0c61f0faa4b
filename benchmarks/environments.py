"""What the programs about environments share: pinned versions, the file of what was found, and the page about it."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("environments.json")
PAGE = ROOT / "docs" / "environments.md"


def pinned(package: str, constraints: Path = ROOT / "constraints.txt") -> str:
    """The version of a package in a file of constraints."""
    match = re.search(rf"^{re.escape(package)}==(\S+)$", constraints.read_text(), re.MULTILINE | re.IGNORECASE)
    if match is None:
        raise KeyError(f"{constraints} does not have {package}")
    return match[1]


def write_table(name: str, cells: list[list[str]], page: Path = PAGE) -> None:
    """Writes one table of a page anew, between the two comments that name it."""
    page.write_text(with_table(page.read_text(), name, cells))


def record_environments(part: str, found: dict[str, Any]) -> None:
    """Keeps what one program has found, beside what the others have, and writes the tables of the page anew."""
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    results[part] = found
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    tables = {"transformers": versions_table, "floors": floors_table, "fresh": fresh_table}
    write_table(part, tables[part](found))


def with_table(page: str, name: str, cells: list[list[str]]) -> str:
    """The page with a table, the header first, between the two comments that name it."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = page.partition(start)
    if not found or end not in rest:
        raise ValueError(f"the page has no place for the table {name}: it lies between <!-- {name} --> and {end}")
    header, *rows = cells
    lines = "".join(f"| {' | '.join(row)} |\n" for row in [header, ["---"] * len(header), *rows])
    return before + start + "\n" + lines + "\n" + end + rest.partition(end)[2]


def versions_table(found: dict[str, Any]) -> list[list[str]]:
    """Versions of Transformers by models: the largest difference of a prediction, or that a model does not open."""
    models = list(dict.fromkeys(name for rows in found.values() for name in rows))
    lines = [["model", *found]]
    for name in models:
        rows = [found[version].get(name, {}) for version in found]
        lines.append([name, *(f"{row['largest_difference']:.0e}" if "error" not in row else "fails" for row in rows)])
    return lines


def floors_table(found: dict[str, Any]) -> list[list[str]]:
    """The oldest versions, and how many tests passed with them."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    row = [str(found[name]) for name in ("Python", "passed", "failed", "skipped")]
    return [["Python", "tests passed", "failed", "skipped", "versions"], [*row, versions]]


def fresh_table(found: dict[str, Any]) -> list[list[str]]:
    """Environments that were made from nothing: their versions, the largest difference, and the seconds."""
    titles = ["environment", "Python", "torch", "Transformers", "largest difference", "installing", "demo"]
    lines = [titles]
    for name, row in found.items():
        difference = f"{row['largest_difference']:.0e}" if "error" not in row else "fails"
        versions = [row.get(title, "") for title in titles[1:4]]
        seconds = [f"{row[part]} s" if part in row else "" for part in titles[5:]]
        lines.append([name, *versions, difference, *seconds])
    return lines
