"""Counts what becomes of mutated input, and writes docs/robustness.md: `make robustness`.

Each part is a module beside this one with a function `run(count, seed)` that returns counts by outcome:
benchmarks/mutated_audio.py, and others such as benchmarks/mutated_tables.py where they exist. Results are kept in
benchmarks/robustness.json. The program exits with 1 if one input had an outcome that must not happen.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from paravox.runs.machine import machine_name

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("robustness.json")
PAGE = ROOT / "docs" / "robustness.md"
# Part: its module, and how many inputs `make robustness` tries.
PARTS = {
    "audio": ("mutated_audio", 100_000),
    "tables": ("mutated_tables", 10_000),
    "settings": ("mutated_settings", 2_000),
    "model folders": ("mutated_model_folders", 500),
}
FORBIDDEN = ("silent loss", "foreign error", "crash", "over 2 s", "over 64 MB")
START, END = "<!-- robustness -->\n", "<!-- end of robustness -->"


def load_part(module: str) -> ModuleType | None:
    """The module of a part, or None if this checkout has none."""
    path = Path(__file__).with_name(f"{module}.py")
    if not path.is_file():
        return None
    if str(path.parent) not in sys.path:
        # Where the processes that a part starts look for its module.
        sys.path.insert(0, str(path.parent))
    return importlib.import_module(module)


def run_part(run: Callable[[int, int], dict[str, Any]], count: int, seed: int) -> dict[str, Any]:
    """One part's counts, with all that is needed to get them again."""
    start = time.perf_counter()
    found = run(count, seed)
    # Some parts also give the counts of each reader or program, and a line for each fault.
    for line in found.get("faults", []):
        print(line)
    counts = found.get("counts", found)
    return {
        "inputs": count,
        "seed": seed,
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "machine": machine_name("cpu"),
        "outcomes": counts,
    }


def forbidden(results: dict[str, Any]) -> dict[str, int]:
    """Outcomes that must not happen, by part and name, where there are some."""
    return {
        f"{part}: {name}": number
        for part, found in results.items()
        for name, number in found["outcomes"].items()
        if name in FORBIDDEN and number
    }


def as_table(results: dict[str, Any]) -> str:
    """The results as Markdown: a row per part, a column per outcome."""
    outcomes = list(dict.fromkeys(name for found in results.values() for name in found["outcomes"]))
    rows = [["part", "inputs", *outcomes], ["---", *["---:"] * (1 + len(outcomes))]]
    for part, found in results.items():
        counts = [f"{found['outcomes'][name]:,}" if name in found["outcomes"] else "" for name in outcomes]
        rows.append([part, f"{found['inputs']:,}", *counts])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_table(page: str, results: dict[str, Any]) -> str:
    """The page with the table between its two comments."""
    before, _, rest = page.partition(START)
    return before + START + "\n" + as_table(results) + "\n" + END + rest.partition(END)[2]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="which parts to run")
    parser.add_argument("--count", type=int, help="how many inputs of each part, instead of its own number")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations")
    args = parser.parse_args(argv)
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for part in args.parts:
        module, count = PARTS[part]
        loaded = load_part(module)
        if loaded is None:
            print(f"{part}: there is no benchmarks/{module}.py", file=sys.stderr)
            continue
        results[part] = run_part(loaded.run, args.count or count, args.seed)
        print(f"{part}: {json.dumps(results[part]['outcomes'])}")
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        PAGE.write_text(with_table(PAGE.read_text(), results))
    if found := forbidden({part: results[part] for part in args.parts if part in results}):
        sys.exit(f"outcomes that must not happen: {json.dumps(found)}")


if __name__ == "__main__":
    main()
