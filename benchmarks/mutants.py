"""What the programs share that try mutated settings and model folders: outcomes, and processes that may die.

An input is `right` if what was asked for begins or works, and `our error` if it is refused with an error of paravox.
All other outcomes are faults. Times are those of the processor, so that other programs do not count.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from paravox.modeling.errors import ParavoxError

OUTCOMES = ("right", "our error", "foreign error", "crash", "over 2 s", "over 64 MB")
MOST_SECONDS = 2.0
MOST_BYTES = 64 * 2**20
# Takes how many inputs, the seed and the number of the first one; returns the outcomes by sort of input, and a line for
# each fault.
RunChunk = Callable[[int, int, int], tuple[dict[str, Counter], list[str]]]


class Started(BaseException):
    """Raised where a run would start. No `except Exception` may catch it."""


def outcome_of(attempt: Callable[[], Any]) -> tuple[str, str]:
    """Tries one input; returns the outcome and what was said or happened."""
    peak, began = peak_bytes(), time.process_time()
    try:
        attempt()
        outcome, reason = "right", ""
    except Started:
        outcome, reason = "right", ""
    except ParavoxError as error:
        outcome, reason = "our error", str(error)
    except (Exception, SystemExit) as error:
        outcome, reason = "foreign error", f"{type(error).__name__}: {error}"
    seconds, grown = time.process_time() - began, peak_bytes() - peak
    if outcome != "foreign error" and seconds > MOST_SECONDS:
        return "over 2 s", f"{seconds:.1f} s: {outcome}: {reason}"
    if outcome != "foreign error" and grown > MOST_BYTES:
        return "over 64 MB", f"{grown / 2**20:.0f} MB: {outcome}: {reason}"
    return outcome, reason


def peak_bytes() -> int:
    """The most memory that this process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run_in_processes(
    run_chunk: RunChunk, count: int, seed: int, chunk: int, names: tuple[str, ...] = OUTCOMES
) -> dict[str, Any]:
    """Tries `count` inputs, each a function of `seed` and its number, in processes that may die.

    `names` are the possible outcomes, in the order of the counts.

    Returns:
        `dict` with `counts` by outcome, `by_sort` with the same for each sort of input, and `faults`, a line for each.
    """
    by_sort: dict[str, Counter] = {}
    faults: list[str] = []
    for first in range(0, count, chunk):
        size = min(chunk, count - first)
        # A process that has died takes its executor with it.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
            try:
                outcomes, lines = executor.submit(run_chunk, size, seed, first).result()
            except BrokenProcessPool:
                outcomes, lines = {"unknown": Counter(crash=1)}, [f"crash among {first} to {first + size - 1}"]
        for name, counted in outcomes.items():
            by_sort.setdefault(name, Counter()).update(counted)
        faults += lines
    total = sum(by_sort.values(), Counter())
    named = {name: {outcome: by_sort[name][outcome] for outcome in names} for name in sorted(by_sort)}
    return {"counts": {outcome: total[outcome] for outcome in names}, "by_sort": named, "faults": faults}


def run_program(run: Callable[[int, int], dict[str, Any]], count: int, description: str) -> dict[str, Any]:
    """The command line of a program that tries mutated inputs; prints and returns what it found."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count, help="How many inputs (default: %(default)s).")
    parser.add_argument("--seed", type=int, default=0, help="Of the changes (default: %(default)s).")
    arguments = parser.parse_args()
    found = run(arguments.count, arguments.seed)
    print(json.dumps(found, indent=2))
    return found
