"""How two ways to run trials agree, against the same done with loops."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from paravox.study.mode_comparison import compare_results
from paravox.study.statistics import StudyResults

SPEAKERS, EMOTIONS, SHOTS = ["1", "2", "3", "4"], ["angry", "sad"], [2, 8]


def results(mode, seed):
    """Random scores of every trial; some gains are exactly 0."""
    generator = np.random.default_rng(seed)
    rows = []
    for number, cell in enumerate(itertools.product(SPEAKERS, EMOTIONS, SHOTS, range(2))):
        speaker, emotion, k, repetition = cell
        # Pairs differ from each other far more than the trials of a pair.
        none = 0.1 * (2 * int(speaker) + (emotion == "sad")) + 0.02 * generator.random()
        gain = 0.0 if (number + seed) % 5 == 0 else generator.normal(0.02, 0.05) + 0.05 * int(speaker)
        for checkpoint, score in (("none", none), ("a+b", none + gain), ("a", 0.5)):
            row = {"checkpoint": checkpoint, "speaker": speaker, "emotion": emotion, "k": k, "repetition": repetition}
            rows.append(row | {"status": "finished", "macro_f1": score})
    return StudyResults({"corpora": ["a", "b"], "mode": mode}, pd.DataFrame(rows), 0)


@pytest.fixture(scope="module")
def compared():
    first, second = results("head", 0), results("full", 1)
    return first, second, compare_results(first, second)


def test_values_and_intervals_by_hand(compared):
    first, second, found = compared
    assert found["modes"] == ["head", "full"] and (found["trials"], found["pairs"]) == (96, 8)
    tables = []
    for file in (first, second):
        scores = {tuple(row[:5]): row[6] for row in file.trials.itertuples(index=False)}
        tables.append(scores)
    cells = [key[1:] for key in tables[0] if key[0] == "none"]
    pairs = sorted({cell[:2] for cell in cells})

    def values(drawn):
        trials = [[table[key] for table in tables] for pair in drawn for key in tables[0] if key[1:3] == pair]
        gains = [
            [table[("a+b", *cell)] - table[("none", *cell)] for table in tables]
            for pair in drawn
            for cell in cells
            if cell[:2] == pair
        ]
        signs = [a * b > 0 for a, b in gains if a != 0 and b != 0]
        return [
            spearmanr(*zip(*trials, strict=True)).statistic,
            np.mean([a for a, _ in gains]),
            np.mean([b for _, b in gains]),
            spearmanr(*zip(*gains, strict=True)).statistic,
            np.mean(signs),
        ]

    names = ["rank_correlation_of_trials", "gain_in_first", "gain_in_second", "rank_correlation_of_gains"]
    names.append("gains_of_one_sign")
    assert list(found["values"]) == names
    expected = values(pairs)
    assert [value for value, _, _ in found["values"].values()] == pytest.approx(expected, abs=1e-4)
    # Other draws than those of the program, so the intervals agree only about.
    generator = np.random.default_rng(9)
    draws = [values([pairs[n] for n in generator.integers(8, size=8)]) for _ in range(400)]
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    for position, name in enumerate(names):
        _, found_low, found_high = found["values"][name]
        width = high[position] - low[position]
        assert [found_low, found_high] == pytest.approx([low[position], high[position]], abs=0.12 * width), name


def test_means_by_checkpoint_k_and_file(compared):
    first, second, found = compared
    means = found["means"]
    assert list(means) == ["none", "a+b"]
    for checkpoint, (side, file), k in itertools.product(means, (("first", first), ("second", second)), SHOTS):
        rows = [row for row in file.trials.to_dict("records") if (row["checkpoint"], row["k"]) == (checkpoint, k)]
        expected = np.mean([row["macro_f1"] for row in rows])
        assert means[checkpoint][str(k)][side] == pytest.approx(expected, abs=1e-4)
