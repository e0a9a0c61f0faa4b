"""The report of a few-shot study, on results files whose effects are planted, against sums done by hand."""

import itertools
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from paravox.modeling.errors import ConfigError
from paravox.recipes.prefinetuning import report
from paravox.study import statistics as report_statistics

CORPORA = ["emodb", "ased", "turev", "ravdess"]  # not in alphabetical order
SPEAKERS = [f"{number:04}" for number in range(8, 14)]
LANGUAGES = {speaker: "Mandarin" if speaker <= "0010" else "English" for speaker in SPEAKERS}
EMOTIONS = ["angry", "neutral"]
SHOTS = [2, 8, 64]
REPETITIONS = 2

# A score is the sum of these. The repetitions' part is zero on average; a corpus's effect grows with its speaker's weight.
BASE = {2: 0.30, 8: 0.40, 64: 0.50}
EFFECT = {"emodb": 0.04, "ased": -0.02, "turev": 0.01, "ravdess": 0.05}
WEIGHT = dict(zip(SPEAKERS, [0.5, 0.8, 1.1, 1.0, 1.2, 1.4], strict=True))  # mean 1; Mandarin 0.8, English 1.2
OFFSET = dict(zip(SPEAKERS, [-0.05, 0.01, 0.04, 0.02, -0.03, 0.01], strict=True))  # mean 0; both languages 0
LANGUAGE = {"Mandarin": 0.06, "English": -0.02}  # mean 0.02
EMOTION = {"angry": 0.03, "neutral": -0.01}  # mean 0.01
POSITIVES = {"angry": 20, "neutral": 40}
LEVEL = 0.03  # what language and emotion add on average


def combinations():
    return [names for size in range(5) for names in itertools.combinations(CORPORA, size)]


def name_of(names):
    return "+".join(sorted(names)) or "none"


def planted_score(names, speaker, emotion, k, repetition):
    gain = WEIGHT[speaker] * sum(EFFECT[name] for name in names)
    noise = 0.02 if repetition else -0.02
    return BASE[k] + gain + OFFSET[speaker] + LANGUAGE[LANGUAGES[speaker]] + EMOTION[emotion] + noise


def planted_rows():
    """All rows of the grid, as dicts."""
    grid = itertools.product(combinations(), SPEAKERS, EMOTIONS, SHOTS, range(REPETITIONS))
    return [
        {
            "checkpoint": name_of(names),
            "speaker": speaker,
            "emotion": emotion,
            "k": k,
            "repetition": repetition,
            "status": "finished",
            "macro_f1": planted_score(names, speaker, emotion, k, repetition),
            "test_positives": POSITIVES[emotion],
            "test_clips": 100,
        }
        for names, speaker, emotion, k, repetition in grid
    ]


STUDY = {
    "corpora": CORPORA,
    "checkpoints": [name_of(names) for names in combinations()],
    "speakers": SPEAKERS,
    "languages": LANGUAGES,
    "emotions": EMOTIONS,
    "shots": SHOTS,
    "repetitions": REPETITIONS,
    "mode": "head",
    "layer": "last",
    "selection": "evaluation",
    "seed": 7,
}


@pytest.fixture
def write(tmp_path):
    """Writes a results file by hand."""

    def run(rows, **changes):
        path = tmp_path / "results.sqlite"
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute(
            "CREATE TABLE trials (checkpoint TEXT, speaker TEXT, emotion TEXT, k INTEGER, repetition INTEGER, status TEXT, "
            "macro_f1 REAL, accuracy REAL, positive_f1 REAL, evaluation_macro_f1 REAL, best_epoch INTEGER, epochs INTEGER, "
            "test_positives INTEGER, test_clips INTEGER, predictions TEXT, seconds REAL, message TEXT, "
            "PRIMARY KEY (checkpoint, speaker, emotion, k, repetition))"
        )
        study = {key: value for key, value in (STUDY | changes).items() if value is not None}
        connection.executemany("INSERT INTO study VALUES (?, ?)", [(key, json.dumps(study[key])) for key in study])
        for row in rows:
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO trials ({names}) VALUES ({marks})", list(row.values()))
        connection.commit()
        connection.close()
        return path

    return run


@pytest.fixture
def make_report(write, tmp_path):
    """Runs the program on rows and gives its folder."""

    def run(rows, **changes):
        report.main([str(write(rows, **changes)), "--output_dir", str(tmp_path / "report")])
        return tmp_path / "report"

    return run


def read(folder, name, *keys):
    return pd.read_csv(folder / f"{name}.csv").set_index(list(keys))


def interval_over_speakers(value_of_speaker):
    """The 95 % bootstrap interval of a mean where every speaker weighs the same, drawn one by one."""
    values = np.array([value_of_speaker[speaker] for speaker in SPEAKERS])
    generator = np.random.default_rng(0)
    draws = generator.integers(0, len(values), (2000, len(values)))
    return np.percentile([np.mean([values[n] for n in draw]) for draw in draws], [2.5, 97.5])


def test_figure_2_means_errors_and_intervals(make_report):
    numbers = read(make_report(planted_rows()), "figure_2", "corpora", "k")
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


def test_figure_3_is_the_change_of_combinations_with_a_corpus(make_report):
    numbers = read(make_report(planted_rows()), "figure_3", "corpus", "k")
    for corpus, k in itertools.product(CORPORA, SHOTS):
        # Of the eight combinations with a corpus, half have each of the others.
        gain = EFFECT[corpus] + sum(EFFECT[other] for other in CORPORA if other != corpus) / 2
        row = numbers.loc[(corpus, k)]
        assert (row["cells"], row["difference"]) == (12, pytest.approx(gain, abs=1e-6))
        low, high = interval_over_speakers({speaker: gain * weight for speaker, weight in WEIGHT.items()})
        assert [row["low"], row["high"]] == pytest.approx([low, high], abs=1e-6)


def test_table_1_compares_a_corpus_alone_with_all_others(make_report):
    folder = make_report(planted_rows())
    numbers = read(folder, "table_1", "corpus", "k")
    for corpus, k in itertools.product(CORPORA, SHOTS):
        row, others = numbers.loc[(corpus, k)], 0.08 - EFFECT[corpus]
        expected = [BASE[k] + LEVEL + EFFECT[corpus], BASE[k] + LEVEL + others, EFFECT[corpus] - others]
        assert row[["f1_in", "f1_ex", "difference"]].tolist() == pytest.approx(expected, abs=1e-5)
        low, high = interval_over_speakers({s: weight * (EFFECT[corpus] - others) for s, weight in WEIGHT.items()})
        assert row[["low", "high"]].tolist() == pytest.approx([low, high], abs=1e-5)
    text = (folder / "table_1.md").read_text()
    # ased: 0.30 + 0.03 - 0.02 alone, and 0.30 + 0.03 + 0.10 for the others.
    assert "| 2 | ased | 0.3100 | 0.4300 | -0.1200 |" in text
    assert "1,152 of 1,152 trials; 0 lack shots; 0 failed; 0 not run" in text


def test_figure_4_separates_languages_and_emotions(make_report):
    numbers = read(make_report(planted_rows()), "figure_4", "language", "emotion", "k", "checkpoint").sort_index()
    everything = "ased+emodb+ravdess+turev"
    for (language, gain), emotion, k in itertools.product({"Mandarin": 0.8, "English": 1.2}.items(), EMOTIONS, SHOTS):
        none = BASE[k] + LANGUAGE[language] + EMOTION[emotion]
        rows = numbers.loc[language, emotion, k]
        assert rows.loc["none", "mean"] == pytest.approx(none, abs=1e-5)
        assert rows.loc[everything, "mean"] == pytest.approx(none + 0.08 * gain, abs=1e-5)
        assert rows["trials"].tolist() == [6, 6]
        assert (rows["low"] < rows["mean"]).all() and (rows["mean"] < rows["high"]).all()
    assert len(numbers) == 2 * 2 * 3 * 2


def test_baselines_have_a_row_and_take_no_part_elsewhere(make_report):
    rows = planted_rows()
    extra = [row | {"checkpoint": "compare_2016", "macro_f1": 0.11} for row in rows if row["checkpoint"] == "none"]
    plain = read(make_report(rows), "figure_2", "corpora", "k")
    folder = make_report(rows + extra, checkpoints=[*STUDY["checkpoints"], "compare_2016"])
    pd.testing.assert_frame_equal(plain, read(folder, "figure_2", "corpora", "k"))
    numbers = read(folder, "baselines", "model", "k")
    for k in SHOTS:
        assert numbers.loc[("compare_2016", k), "mean"] == pytest.approx(0.11)
        assert numbers.loc[("none", k), "mean"] == pytest.approx(BASE[k] + LEVEL, abs=1e-5)
        assert numbers.loc[("always no", k), "mean"] == pytest.approx((0.8 / 1.8 + 0.6 / 1.6) / 2, abs=1e-5)
    assert "| compare_2016 | 0.110 [0.110, 0.110] |" in (folder / "baselines.md").read_text()


def test_paired_tests_by_hand(make_report):
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
    numbers = read(make_report(rows), "paired_tests", "comparison", "k")
    # Of the 15 combinations of at least one corpus, 8 have each.
    for comparison, gain in (("any corpora - none", 0.08 * 8 / 15), ("all corpora - none", 0.08)):
        found = numbers.loc[comparison]
        assert found["difference"].tolist() == pytest.approx([gain, gain * (6 - 1) / 6, 0], abs=1e-6)
        low, high = interval_over_speakers({speaker: gain * weight for speaker, weight in WEIGHT.items()})
        assert found.loc[2, ["low", "high"]].astype(float).tolist() == pytest.approx([low, high], abs=1e-6)
        # Six positive differences: 2 of 64 signs are as extreme; with the smallest negative, 4 of 64. Holm: 3 p, 2 p, p.
        assert found["p"].tolist() == pytest.approx([2 / 64, 4 / 64, 1], abs=1e-6)
        assert found["p_holm"].tolist() == pytest.approx([6 / 64, 8 / 64, 1], abs=1e-6)
        assert found["note"].fillna("").tolist() == ["", "", "no speaker differs"]


def test_signed_rank_test_says_when_it_cannot_tell():
    p, note = report_statistics.signed_rank_test(np.array([0.1]))
    assert np.isnan(p) and note == "no test: fewer than 2 speakers"
    assert np.isnan(report_statistics.signed_rank_test(np.array([]))[0])
    p, note = report_statistics.signed_rank_test(np.array([0.1, 0.2, 0.3, 0.4]))
    assert p == pytest.approx(2 / 16) and note == "4 differing speakers cannot reach p < 0.05"
    # Rounding errors are no difference.
    assert report_statistics.signed_rank_test(np.array([1e-17, -1e-17, 0.0])) == (1.0, "no speaker differs")


def test_missing_trials_are_counted_and_the_cells_stay_paired(make_report, capsys):
    rows = planted_rows()
    dropped = []
    for row in rows:
        if (row["speaker"], row["emotion"], row["k"]) == ("0008", "angry", 64):
            row |= {"status": "lacking_shots", "macro_f1": None, "test_positives": None, "test_clips": None}
        elif (row["checkpoint"], row["speaker"], row["k"]) == ("none", "0009", 8):
            row |= {"status": "failed", "macro_f1": None, "message": "no memory"}
        elif (row["checkpoint"], row["speaker"], row["repetition"]) == ("ased", "0010", 1):
            dropped.append(row)
    outside = rows[-1] | {"speaker": "0099"}
    folder = make_report([row for row in rows if row not in dropped] + [outside])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary == {
        "specified": 1152,
        "finished": 1152 - 32 - 4 - 6,
        "lacking_shots": 32,
        "failed": 4,
        "not_run": 6,
        "outside_grid": 1,
        "mode": "head",
        "layer": "last",
        "selection": "evaluation",
        "corpora": CORPORA,
        "speakers": SPEAKERS,
        "seed": 7,
    }
    coverage = "1,110 of 1,152 trials; 32 lack shots; 4 failed; 6 not run"
    assert coverage in capsys.readouterr().out
    for name in ("table_1", "baselines", "paired_tests"):
        assert coverage in (folder / f"{name}.md").read_text()
    # Speaker 0009 has no baseline at k = 8 and 0008 no angry at k = 64: neither side of those cells counts.
    numbers = read(folder, "figure_3", "corpus", "k")
    assert numbers["cells"].xs("turev").to_dict() == {2: 12, 8: 10, 64: 11}
    weight = sum(WEIGHT[speaker] for speaker in SPEAKERS if speaker != "0009") / 5
    # With turev: itself and half of the others' 0.07.
    assert numbers.loc[("turev", 8), "difference"] == pytest.approx(weight * (0.01 + 0.07 / 2), abs=1e-6)
    weight = (2 * sum(WEIGHT.values()) - WEIGHT["0008"]) / 11
    assert numbers.loc[("turev", 64), "difference"] == pytest.approx(weight * (0.01 + 0.07 / 2), abs=1e-6)


def test_coverage_is_written_on_every_figure(make_report, monkeypatch):
    monkeypatch.setitem(sys.modules["matplotlib"].rcParams, "svg.fonttype", "none")  # text as text
    rows = planted_rows()
    folder = make_report(rows[:-5])
    for number in (2, 3, 4):
        picture = (folder / f"figure_{number}.svg").read_text()
        assert "1,147 of 1,152 trials; 0 lack shots; 0 failed; 5 not run" in picture
        assert "mode head, layer last, 6 speakers, seed 7" in picture
    assert all(text in (folder / "figure_2.svg").read_text() for text in (">k = 2<", ">k = 64<", ">always no<"))
    assert all(f">{corpus}<" in (folder / "figure_3.svg").read_text() for corpus in CORPORA)
    assert all(
        text in (folder / "figure_4.svg").read_text() for text in ("Mandarin", "English", ">angry<", ">neutral<")
    )


def test_figures_are_pictures_and_the_same_again(make_report):
    folder = make_report(planted_rows())
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    figures = {f"figure_{number}.{kind}" for number in (2, 3, 4) for kind in ("png", "svg", "csv")}
    others = {f"{name}.{kind}" for name in ("table_1", "baselines", "paired_tests") for kind in ("md", "csv")}
    assert set(kept) == figures | others | {"summary.json"}
    for number in (2, 3, 4):
        with Image.open(folder / f"figure_{number}.png") as picture:
            assert picture.width >= 900 and picture.height >= 400
            assert len(picture.convert("RGB").getcolors(2**24)) > 50
    make_report(planted_rows())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept


@pytest.mark.parametrize(
    ("keep", "figure_2", "figure_3", "table_1"),
    [
        (lambda row: row["checkpoint"] != "none", 12, 0, 12),
        (lambda row: row["checkpoint"] in ("none", "emodb"), 6, 3, 0),
        (lambda row: row["k"] == 2, 5, 4, 4),
    ],
    ids=["without none", "two checkpoints", "one k"],
)
def test_an_incomplete_study_gives_what_there_is(make_report, keep, figure_2, figure_3, table_1):
    folder = make_report([row for row in planted_rows() if keep(row)])
    found = [
        int(pd.read_csv(folder / f"{name}.csv")[column].notna().sum())
        for name, column in (("figure_2", "mean"), ("figure_3", "difference"), ("table_1", "difference"))
    ]
    assert found == [figure_2, figure_3, table_1]
    assert ("no trials" in (folder / "table_1.md").read_text()) == (table_1 < 12)


def test_a_study_without_the_baseline_says_so_on_the_pictures(make_report, monkeypatch):
    monkeypatch.setitem(sys.modules["matplotlib"].rcParams, "svg.fonttype", "none")
    checkpoints = [name for name in STUDY["checkpoints"] if name != "none"]
    folder = make_report([row for row in planted_rows() if row["checkpoint"] != "none"], checkpoints=checkpoints)
    assert "no trials of the checkpoint none to compare with" in (folder / "figure_3.svg").read_text()
    assert "no trials: none" in (folder / "figure_4.svg").read_text()
    assert "| none | no trials | no trials | no trials |" in (folder / "baselines.md").read_text()
    assert read(folder, "paired_tests", "k")["note"].eq("no trials").all()
    assert json.loads((folder / "summary.json").read_text())["not_run"] == 0


def test_a_single_k_without_trials_is_marked(make_report, monkeypatch):
    monkeypatch.setitem(sys.modules["matplotlib"].rcParams, "svg.fonttype", "none")
    rows = planted_rows()
    assert ">no trials<" not in (make_report(rows) / "figure_4.svg").read_text()
    gone = {("Mandarin", "angry", 64)}
    kept = [row for row in rows if (LANGUAGES[row["speaker"]], row["emotion"], row["k"]) not in gone]
    folder = make_report(kept)
    assert (folder / "figure_4.svg").read_text().count(">no trials<") == 1
    assert "no trials: " not in (folder / "figure_4.svg").read_text()
    numbers = read(folder, "figure_4", "language", "emotion", "k").sort_index()
    assert numbers.loc[("Mandarin", "angry", 64), "mean"].isna().all()
    assert numbers.loc[("Mandarin", "angry", 64), "trials"].eq(0).all()
    assert numbers["mean"].isna().sum() == 2

    # Without turev at k = 8 its bar is missing, and all corpora together in each of the four panels.
    folder = make_report([row for row in rows if "turev" not in row["checkpoint"] or row["k"] != 8])
    assert (folder / "figure_3.svg").read_text().count(">no trials<") == 1
    assert (folder / "figure_4.svg").read_text().count(">no trials: all corpora<") == 4


def test_a_study_in_which_nothing_finished(make_report):
    failed = [row | {"status": "failed", "macro_f1": None} for row in planted_rows()]
    folder = make_report(failed)
    assert json.loads((folder / "summary.json").read_text())["failed"] == 1152
    assert pd.read_csv(folder / "figure_2.csv")["mean"].isna().all()
    assert (folder / "figure_4.png").stat().st_size > 5000


def test_one_speaker_and_one_corpus_have_means_without_intervals(make_report):
    rows = [row for row in planted_rows() if row["checkpoint"] in ("none", "emodb") and row["speaker"] == "0010"]
    changes = {"corpora": ["emodb"], "checkpoints": ["none", "emodb"], "speakers": ["0010"], "languages": None}
    folder = make_report(rows, **changes)
    row = read(folder, "table_1", "corpus", "k").loc[("emodb", 8)]
    # Without other corpora, all others are none.
    assert row["difference"] == pytest.approx(0.04 * WEIGHT["0010"], abs=1e-6)
    assert np.isnan(row["low"]) and np.isnan(row["high"])
    assert set(pd.read_csv(folder / "figure_4.csv")["language"]) == {"language unknown"}
    assert "no interval" in (folder / "table_1.md").read_text()


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
def test_results_that_cannot_be_reported(make_report, spoil, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_report(spoil(planted_rows()), **changes)


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
        report.main([str(path), "--output_dir", str(tmp_path / "report")])
    assert not (tmp_path / "report").exists()


def test_runs_as_a_script_and_leaves_the_results_file_alone(write, tmp_path):
    path = write(planted_rows())
    before = path.read_bytes()
    command = [sys.executable, Path(report.__file__), path, "--output_dir", tmp_path / "report"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Table 1" in done.stdout and "1,152 of 1,152 trials" in done.stdout
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["report", "results.sqlite"]

    path.write_text("no database, but long enough to be read as one" * 20)
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode == 1 and failed.stderr.startswith("ConfigError: ") and "Traceback" not in failed.stderr
