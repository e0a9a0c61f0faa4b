"""The numbers of the report, on a study whose effects are planted, against sums done by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
from planted_study import (
    BASE,
    CORPORA,
    EFFECT,
    EMOTION,
    EMOTIONS,
    LANGUAGE,
    LANGUAGES,
    LEVEL,
    OFFSET,
    SHOTS,
    SPEAKERS,
    STUDY,
    WEIGHT,
    planted_rows,
    write_results,
)

from paravox.modeling.errors import ConfigError
from paravox.study.statistics import (
    baseline_numbers,
    figure_2_numbers,
    figure_3_numbers,
    figure_4_numbers,
    paired_tests,
    read_results,
    signed_rank_test,
    table_1_numbers,
)


@pytest.fixture
def open_study(tmp_path):
    """Opens a results file that is written by hand."""

    def open_it(rows, **changes):
        return read_results(write_results(tmp_path / "results.sqlite", rows, **changes))

    return open_it


def interval_over_speakers(value_of_speaker):
    """The 95 % bootstrap interval of a mean where every speaker weighs the same, drawn one by one."""
    values = np.array([value_of_speaker[speaker] for speaker in SPEAKERS])
    generator = np.random.default_rng(0)
    draws = generator.integers(0, len(values), (2000, len(values)))
    return np.percentile([np.mean([values[n] for n in draw]) for draw in draws], [2.5, 97.5])


def test_figure_2_means_errors_and_intervals(open_study):
    numbers = figure_2_numbers(open_study(planted_rows())).set_index(["corpora", "k"])
    # Each corpus is in a share size / 4 of the combinations of a size, and the effects add up to 0.08.
    for k, size in itertools.product(SHOTS, range(5)):
        assert numbers.loc[(size, k), "mean"] == pytest.approx(BASE[k] + LEVEL + 0.02 * size, abs=1e-5)
    assert list(numbers.xs(2, level="k")["trials"]) == [24, 96, 144, 96, 24]

    # All corpora, k = 8: 24 scores of 6 speakers, 2 emotions and 2 repetitions.
    everything = [row["macro_f1"] for row in planted_rows() if row["checkpoint"].count("+") == 3 and row["k"] == 8]
    assert len(everything) == 24
    variance = sum((value - sum(everything) / 24) ** 2 for value in everything) / 23
    assert numbers.loc[(4, 8), "standard_error"] == pytest.approx((variance / 24) ** 0.5, abs=1e-5)
    by_speaker = {s: BASE[8] + 0.01 + OFFSET[s] + LANGUAGE[LANGUAGES[s]] + 0.08 * WEIGHT[s] for s in SPEAKERS}
    low, high = interval_over_speakers(by_speaker)
    assert numbers.loc[(4, 8), ["low", "high"]].tolist() == pytest.approx([low, high], abs=1e-5)
    # Never yes with 80 or 60 negatives in 100: precision 0.8 or 0.6 and recall 1 of the negatives, halved.
    assert numbers["always_no"].tolist() == pytest.approx([(0.8 / 1.8 + 0.6 / 1.6) / 2] * 15, abs=1e-5)


def test_figure_3_is_the_change_of_combinations_with_a_corpus(open_study):
    numbers = figure_3_numbers(open_study(planted_rows())).set_index(["corpus", "k"])
    for corpus, k in itertools.product(CORPORA, SHOTS):
        # Of the eight combinations with a corpus, half have each of the others.
        gain = EFFECT[corpus] + sum(EFFECT[other] for other in CORPORA if other != corpus) / 2
        row = numbers.loc[(corpus, k)]
        assert (row["cells"], row["difference"]) == (12, pytest.approx(gain, abs=1e-6))
        low, high = interval_over_speakers({speaker: gain * weight for speaker, weight in WEIGHT.items()})
        assert [row["low"], row["high"]] == pytest.approx([low, high], abs=1e-6)


def test_table_1_compares_a_corpus_alone_with_all_others(open_study):
    numbers = table_1_numbers(open_study(planted_rows())).set_index(["corpus", "k"])
    for corpus, k in itertools.product(CORPORA, SHOTS):
        row, others = numbers.loc[(corpus, k)], 0.08 - EFFECT[corpus]
        expected = [BASE[k] + LEVEL + EFFECT[corpus], BASE[k] + LEVEL + others, EFFECT[corpus] - others]
        assert row[["f1_in", "f1_ex", "difference"]].tolist() == pytest.approx(expected, abs=1e-5)
        low, high = interval_over_speakers({s: weight * (EFFECT[corpus] - others) for s, weight in WEIGHT.items()})
        assert row[["low", "high"]].tolist() == pytest.approx([low, high], abs=1e-5)


def test_figure_4_separates_languages_and_emotions(open_study):
    numbers = (
        figure_4_numbers(open_study(planted_rows())).set_index(["language", "emotion", "k", "checkpoint"]).sort_index()
    )
    everything = "ased+emodb+ravdess+turev"
    for (language, gain), emotion, k in itertools.product({"Mandarin": 0.8, "English": 1.2}.items(), EMOTIONS, SHOTS):
        none = BASE[k] + LANGUAGE[language] + EMOTION[emotion]
        rows = numbers.loc[language, emotion, k]
        assert rows.loc["none", "mean"] == pytest.approx(none, abs=1e-5)
        assert rows.loc[everything, "mean"] == pytest.approx(none + 0.08 * gain, abs=1e-5)
        assert rows["trials"].tolist() == [6, 6]
        assert (rows["low"] < rows["mean"]).all() and (rows["mean"] < rows["high"]).all()
    assert len(numbers) == 2 * 2 * 3 * 2


def test_baselines_have_a_row_and_take_no_part_elsewhere(open_study):
    rows = planted_rows()
    extra = [row | {"checkpoint": "compare_2016", "macro_f1": 0.11} for row in rows if row["checkpoint"] == "none"]
    plain = open_study(rows)
    results = open_study(rows + extra, checkpoints=[*STUDY["checkpoints"], "compare_2016"])
    for count in (figure_2_numbers, figure_3_numbers, figure_4_numbers, table_1_numbers, paired_tests):
        pd.testing.assert_frame_equal(count(plain), count(results))
    assert plain.counts == results.counts
    numbers = baseline_numbers(results).set_index(["model", "k"])
    for k in SHOTS:
        assert numbers.loc[("compare_2016", k), "mean"] == pytest.approx(0.11)
        assert numbers.loc[("none", k), "mean"] == pytest.approx(BASE[k] + LEVEL, abs=1e-5)
        assert numbers.loc[("always no", k), "mean"] == pytest.approx((0.8 / 1.8 + 0.6 / 1.6) / 2, abs=1e-5)
    # 6 speakers x 2 emotions x 2 repetitions; the constant needs no repetitions.
    assert numbers["values"].xs(8, level="k").to_dict() == {"always no": 12, "none": 24, "compare_2016": 24}


def test_paired_tests_by_hand(open_study):
    rows = planted_rows()
    # At k = 64 nothing changes; at k = 8 the speaker with the smallest weight loses instead, all else as planted.
    base = {
        (r["speaker"], r["emotion"], r["k"], r["repetition"]): r["macro_f1"] for r in rows if r["checkpoint"] == "none"
    }
    for row in rows:
        score = base[row["speaker"], row["emotion"], row["k"], row["repetition"]]
        if row["k"] == 64:
            row["macro_f1"] = score
        if row["k"] == 8 and row["speaker"] == SPEAKERS[0]:
            row["macro_f1"] = 2 * score - row["macro_f1"]
    numbers = paired_tests(open_study(rows)).set_index(["comparison", "k"])
    # Of the 15 combinations of at least one corpus, 8 have each.
    for comparison, gain in (("any corpora - none", 0.08 * 8 / 15), ("all corpora - none", 0.08)):
        found = numbers.loc[comparison]
        assert found["difference"].tolist() == pytest.approx([gain, gain * (6 - 1) / 6, 0], abs=1e-6)
        low, high = interval_over_speakers({speaker: gain * weight for speaker, weight in WEIGHT.items()})
        assert found.loc[2, ["low", "high"]].astype(float).tolist() == pytest.approx([low, high], abs=1e-6)
        # Six positive differences: 2 of 64 signs are as extreme; the smallest negative: 4 of 64. Holm: 3 p, 2 p, p.
        assert found["p"].tolist() == pytest.approx([2 / 64, 4 / 64, 1], abs=1e-6)
        assert found["p_holm"].tolist() == pytest.approx([6 / 64, 8 / 64, 1], abs=1e-6)
        assert found["note"].tolist() == ["", "", "no speaker differs"]


def test_signed_rank_test_says_when_it_cannot_tell():
    p, note = signed_rank_test(np.array([0.1]))
    assert np.isnan(p) and note == "no test: fewer than 2 speakers"
    assert np.isnan(signed_rank_test(np.array([]))[0])
    p, note = signed_rank_test(np.array([0.1, 0.2, 0.3, 0.4]))
    assert p == pytest.approx(2 / 16) and note == "4 differing speakers cannot reach p < 0.05"
    # Rounding errors are no difference.
    assert signed_rank_test(np.array([1e-17, -1e-17, 0.0])) == (1.0, "no speaker differs")


def spoil_status(rows):
    return [rows[0] | {"status": "running"}, *rows[1:]]


def spoil_score(rows):
    return [rows[0] | {"macro_f1": None}, *rows[1:]]


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (lambda rows: [], {}, "holds no trials, expected at least one: run few_shot.py"),
        (lambda rows: rows, {"shots": None, "repetitions": None}, "has no usable shots, repetitions, so the grid"),
        (spoil_status, {}, "1 trials have another status than finished, lacking_shots and failed"),
        (spoil_score, {}, "1 trials have another status .* or are finished without a macro_f1 in 0..1: delete"),
    ],
    ids=["no trials", "no grid", "status", "score"],
)
def test_results_that_cannot_be_reported(open_study, spoil, changes, message):
    with pytest.raises(ConfigError, match=message):
        open_study(spoil(planted_rows()), **changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist: give the results.sqlite that few_shot.py wrote"),
        (b"", "is no results file of a few-shot study .no such table: study.*expected SQLite with the tables"),
        (b"checkpoint,speaker\n" * 100, "is no results file of a few-shot study .file is not a database"),
    ],
    ids=["absent", "empty", "csv"],
)
def test_a_file_that_is_no_results_file(tmp_path, content, message):
    path = tmp_path / "results.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"results.csv {message}"):
        read_results(path)
