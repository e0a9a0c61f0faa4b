"""What the programs about environments share: the pinned versions, and the file of what was found."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("environments.json")


def pinned(package: str, constraints: Path = ROOT / "constraints.txt") -> str:
    """The version of a package in a file of constraints."""
    match = re.search(rf"^{re.escape(package)}==(\S+)$", constraints.read_text(), re.MULTILINE | re.IGNORECASE)
    if match is None:
        raise KeyError(f"{constraints} does not have {package}")
    return match[1]


def record_environments(part: str, found: dict[str, Any]) -> None:
    """Writes what one program has found; what the others have found stays."""
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    results[part] = found
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
