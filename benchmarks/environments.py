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


def record_environments(part: str, found: dict[str, Any]) -> None:
    """Keeps what one program has found, beside what the others have, and writes the tables of the page anew."""
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    results[part] = found
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(with_tables(PAGE.read_text(), results))


def with_tables(page: str, results: dict[str, Any]) -> str:
    """The page with the tables of the results, each between two comments that name it, where the page has these."""
    tables = {"transformers": versions_table, "floors": floors_table, "fresh": fresh_table}
    for name, make_table in tables.items():
        if f"<!-- {name} -->" not in page:
            continue
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(start)
        page = before + start + "\n" + make_table(results) + "\n" + end + rest.partition(end)[2]
    return page


def versions_table(results: dict[str, Any]) -> str:
    """Versions of Transformers by models: the largest difference of a prediction, or that a model does not open."""
    found = results.get("transformers", {})
    models = list(dict.fromkeys(name for rows in found.values() for name in rows))
    lines = [["model", *found], ["---"] * (len(found) + 1)]
    for name in models:
        rows = [found[version].get(name, {}) for version in found]
        lines.append([name, *(f"{row['largest_difference']:.0e}" if "error" not in row else "fails" for row in rows)])
    return _lines(lines)


def floors_table(results: dict[str, Any]) -> str:
    """The oldest versions, and how many tests passed with them."""
    found = results.get("floors", {})
    versions = ", ".join(f"{name} {version}" for name, version in found.get("versions", {}).items())
    lines = [["Python", "tests passed", "failed", "skipped", "versions"], ["---"] * 5]
    lines.append([str(found.get(name, "")) for name in ("Python", "passed", "failed", "skipped")] + [versions])
    return _lines(lines)


def fresh_table(results: dict[str, Any]) -> str:
    """Environments that were made from nothing: their versions, the largest difference, and the seconds."""
    titles = ["environment", "Python", "torch", "Transformers", "largest difference", "installing", "demo"]
    lines = [titles, ["---"] * len(titles)]
    for name, row in results.get("fresh", {}).items():
        difference = f"{row['largest_difference']:.0e}" if "error" not in row else "fails"
        versions = [row.get(title, "") for title in titles[1:4]]
        seconds = [f"{row[part]} s" if part in row else "" for part in titles[5:]]
        lines.append([name, *versions, difference, *seconds])
    return _lines(lines)


def _lines(cells: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)
