"""Oversampling: existing rows only, as even as the bound allows."""

from collections import Counter

from datasets import Dataset

from paravox.corpora.oversampling import oversample, strata
from paravox.modeling.tasks import parse_tasks

TASKS = parse_tasks(
    [
        {"name": "emotion", "kind": "intensities", "labels": ["Awe", "Fear"]},
        {"name": "age", "kind": "scalar", "range": [20, 40], "unit": "years"},
        {"name": "country", "kind": "classes", "labels": ["China", "USA"]},
    ]
)
# 12, 3 and 1 rows of three strata: ages 21 and 22 share a bin of 2.5 years, 23 has the next.
AGES = [21.0, 22.0] * 6 + [23.0] * 3 + [21.0]
COUNTRIES = ["USA"] * 15 + [None]
TRAIN = Dataset.from_dict(
    {"id": list(range(16)), "Awe": [1.0] * 16, "Fear": [0.2] * 16, "age": AGES, "country": COUNTRIES}
)


def test_strata_cross_all_labels_and_the_unknown_is_one():
    assert sorted(Counter(strata(TRAIN, TASKS).tolist()).values()) == [1, 3, 12]


def test_every_stratum_reaches_the_largest_or_its_bound():
    drawn = oversample(TRAIN, TASKS, max_repeats=10, seed=0)
    repeats = Counter(drawn["id"])
    assert set(repeats) == set(range(16)) and max(repeats.values()) <= 10
    assert sum(repeats[row] for row in range(12)) == 12
    assert sum(repeats[row] for row in range(12, 15)) == 12
    assert repeats[15] == 10  # one row cannot become twelve


def test_rows_stay_whole_and_the_seed_decides():
    drawn = oversample(TRAIN, TASKS, max_repeats=3, seed=1)
    assert all(row == TRAIN[row["id"]] for row in drawn)
    assert drawn["id"][:] == oversample(TRAIN, TASKS, max_repeats=3, seed=1)["id"][:]
    assert oversample(TRAIN, TASKS, max_repeats=1, seed=1)["id"][:] == list(range(16))
