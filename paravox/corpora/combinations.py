"""Combinations of emotion corpora for pre-finetuning, and their names."""

from collections.abc import Sequence
from itertools import chain, combinations

NO_CORPUS = "none"


def power_set(corpora: Sequence[str]) -> list[tuple[str, ...]]:
    """Lists all combinations of corpora: the empty one first, then by size (Chen and Yu, section 3.2).

    Within a combination, the corpora are in the given order.
    """
    return list(chain.from_iterable(combinations(corpora, size) for size in range(len(corpora) + 1)))


def combination_name(corpora: Sequence[str]) -> str:
    """Names a combination, whatever its order: its corpora sorted and joined by `+`, or `none` for the empty one."""
    return "+".join(sorted(corpora)) or NO_CORPUS
