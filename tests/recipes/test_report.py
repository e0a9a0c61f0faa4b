"""The report program: every file of it, what is missing said on each, and the committed report of the open study."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from planted_study import (
    CORPORA,
    LANGUAGES,
    SPEAKERS,
    STUDY,
    WEIGHT,
    planted_rows,
    write_results,
)

from paravox.recipes.prefinetuning import compare_modes, few_shot, report

RECIPE = Path(report.__file__).parent


@pytest.fixture
def make_report(tmp_path):
    """Runs the program on rows and gives its folder."""

    def run(rows, **changes):
        path = write_results(tmp_path / "results.sqlite", rows, **changes)
        report.main([str(path), "--output_dir", str(tmp_path / "report")])
        return tmp_path / "report"

    return run


def read(folder, name, *keys):
    return pd.read_csv(folder / f"{name}.csv").set_index(list(keys))


@pytest.mark.slow
def test_the_committed_trials_give_the_committed_report(tmp_path):
    """Imported by few_shot.py and reported, as the README says; then compared with the trials of mode full."""
    nowhere = ["--data_dir", "nowhere", "--encoder", "nothing"]  # all trials are done, so nothing is opened
    committed = RECIPE / "results"
    options = ["--resume_from", str(committed / "trials.csv.gz"), "--baselines", "compare_2016"]
    options += ["--output_dir", "head", "--output", "again.csv.gz"]
    state = few_shot.main([str(RECIPE / "configs/open_few_shot.yaml"), *nowhere, *options])
    # 15,120 of the checkpoints and 945 of the baseline.
    assert state == {"specified": 16_065, "finished": 15_555, "lacking_shots": 510}
    assert Path("again.csv.gz").read_bytes() == (committed / "trials.csv.gz").read_bytes()
    report.main(["head/results.sqlite", "--output_dir", "report"])
    files = sorted(path for path in Path("report").iterdir() if path.suffix not in (".png", ".svg"))
    assert len(files) == 6 + 3 + 1
    for path in files:
        assert path.read_text() == (committed / path.name).read_text(), path

    options = ["--resume_from", str(committed / "full/full_trials.csv.gz"), "--output_dir", "full"]
    state = few_shot.main([str(RECIPE / "configs/open_few_shot_full.yaml"), *nowhere, *options])
    assert state == {"specified": 24, "finished": 24}
    compare_modes.main(["head/results.sqlite", "full/results.sqlite", "--output_dir", "."])
    assert Path("compare_modes.json").read_text() == (committed / "full/compare_modes.json").read_text()


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_runs_as_a_script_and_leaves_the_results_file_alone(tmp_path):
    path = write_results(tmp_path / "results.sqlite", planted_rows())
    before = path.read_bytes()
    command = [sys.executable, Path(report.__file__), path, "--output_dir", tmp_path / "report"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Table 1" in done.stdout and "1,152 of 1,152 trials" in done.stdout
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["report", "results.sqlite"]

    path.write_text("no database, but long enough to be read as one" * 20)
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode == 1 and failed.stderr.startswith("ConfigError: ") and "Traceback" not in failed.stderr
