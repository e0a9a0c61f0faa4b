"""Oversampling: the strata by hand, existing rows only, and as even as the bound allows."""

from collections import Counter

import numpy as np
from datasets import Dataset

from paravox.corpora.oversampling import oversample, strata
from paravox.modeling.tasks import parse_tasks

TASKS = parse_tasks(
    [
        {"name": "emotion", "kind": "intensities", "labels": ["Awe", "Fear", "Joy"]},
        {"name": "age", "kind": "scalar", "range": [20, 40], "unit": "years"},
        {"name": "country", "kind": "classes", "labels": ["China", "USA"]},
    ]
)
# (Awe, Fear, Joy), age, country, and by hand: strongest emotion, bin of 2.5 years from 20, country.
ROWS = [
    ((1.0, 0.2, 0.5), 20.0, "China", ("Awe", 0, "China")),
    ((0.9, 0.1, 0.3), 22.4, "China", ("Awe", 0, "China")),
    ((0.9, 0.1, 0.3), 22.5, "China", ("Awe", 1, "China")),
    # 22.8 and 24.9 share a bin; bins of 2.9 years would part them.
    ((0.9, 0.1, 0.3), 22.8, "China", ("Awe", 1, "China")),
    ((0.9, 0.1, 0.3), 24.9, "China", ("Awe", 1, "China")),
    ((0.9, 0.1, 0.3), 25.0, "China", ("Awe", 2, "China")),
    # Only the strongest emotion differs from the first row. Fear is the weakest of that row, so that the weakest one
    # would put rows apart that belong together, and the other way round.
    ((0.2, 1.0, 0.1), 21.0, "China", ("Fear", 0, "China")),
    ((0.2, 0.6, 0.1), 21.0, "China", ("Fear", 0, "China")),
    ((0.1, 1.0, 0.2), 21.0, "China", ("Fear", 0, "China")),
    ((0.2, 0.1, 1.0), 21.0, "China", ("Joy", 0, "China")),
    # Only the country differs from the first row.
    ((1.0, 0.2, 0.5), 20.0, "USA", ("Awe", 0, "USA")),
    # Unknown labels are values of their own.
    ((1.0, 0.2, 0.5), 20.0, None, ("Awe", 0, None)),
    ((1.0, 0.2, 0.5), None, "China", ("Awe", None, "China")),
    ((None, None, None), 20.0, "China", (None, 0, "China")),
    ((1.0, None, 0.5), 20.0, "China", (None, 0, "China")),
    ((1.0, 0.2, 0.5), 40.0, "USA", ("Awe", 8, "USA")),
]
TRAIN = Dataset.from_dict(
    {
        "id": list(range(len(ROWS))),
        **{label: [row[0][place] for row in ROWS] for place, label in enumerate(("Awe", "Fear", "Joy"))},
        "age": [row[1] for row in ROWS],
        "country": [row[2] for row in ROWS],
    }
)


def groups(values):
    """Which rows have the same value, whatever the values are called."""
    return sorted([row for row, other in enumerate(values) if other == value] for value in set(values))


def test_strata_are_those_found_by_hand():
    found = strata(TRAIN, TASKS)
    assert groups(found.tolist()) == groups([row[3] for row in ROWS])
    assert sorted(set(found.tolist())) == list(range(len({row[3] for row in ROWS})))


def test_every_stratum_reaches_the_largest_or_its_bound():
    # 12, 3 and 1 rows of three strata.
    ages = [21.0] * 12 + [23.0] * 3 + [26.0]
    train = Dataset.from_dict({"id": list(range(16)), "age": ages})
    drawn = oversample(train, TASKS[1:2], max_repeats=10, seed=0)
    assert drawn["id"][:16] == list(range(16))
    repeats = Counter(drawn["id"])
    assert [repeats[row] for row in range(12)] == [1] * 12
    assert sum(repeats[row] for row in range(12, 15)) == 12
    assert repeats[15] == 10  # one row cannot become twelve
    tight = Counter(oversample(train, TASKS[1:2], max_repeats=3, seed=0)["id"])
    # Three rows, each used three times, and one row used three times.
    assert [tight[row] for row in range(12, 16)] == [3, 3, 3, 3]


def test_repeated_rows_are_drawn_evenly():
    ages = [21.0] * 40 + [23.0] * 10
    train = Dataset.from_dict({"id": list(range(50)), "age": ages})
    counts = np.zeros(10)
    for seed in range(50):
        repeats = Counter(oversample(train, TASKS[1:2], max_repeats=10, seed=seed)["id"])
        counts += [repeats[row] for row in range(40, 50)]
    # 30 repeated rows over ten rows: three each on average, and one that is always there.
    assert counts.sum() == 50 * 40 and np.abs(counts / 50 - 4).max() < 0.8


def test_rows_stay_whole_and_the_seed_decides():
    drawn = oversample(TRAIN, TASKS, max_repeats=3, seed=1)
    assert all(row == TRAIN[row["id"]] for row in drawn)
    assert drawn["id"][:] == oversample(TRAIN, TASKS, max_repeats=3, seed=1)["id"][:]
    assert drawn["id"][:] != oversample(TRAIN, TASKS, max_repeats=3, seed=2)["id"][:]
    assert oversample(TRAIN, TASKS, max_repeats=1, seed=1)["id"][:] == list(range(len(ROWS)))
