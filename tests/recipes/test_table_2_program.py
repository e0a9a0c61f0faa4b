"""The program of Table 2: it trains what is missing, writes the table in all formats, and makes it again from files."""

import json
from importlib import import_module
from pathlib import Path

import planted_table
import pytest
import yaml
from little_corpora import write_exvo_corpus, write_metadata_corpus
from planted_table import EFFECTS, SEEDS, write_suite

from paravox.evaluation.table_2_suite import parse_suite
from paravox.modeling.errors import CheckpointError, ConfigError, CorpusError
from paravox.recipes.burst2vec import table_2
from paravox.runs import training_runs
from paravox.runs.program import run as run_program

CONFIGS = Path(table_2.__file__).parent / "configs"
SUITES = sorted(CONFIGS.glob("table_2_*.yaml"))
FORMATS = {".json", ".md", ".tex", ".csv", ".html"}


@pytest.fixture
def started(monkeypatch):
    """In the place of the training programs, a stub that leaves planted predictions; the folders that it was given."""
    calls = []

    def stub(program, arguments, log):
        folder = Path(arguments[arguments.index("--output_dir") + 1])
        code, seed = folder.name.rsplit("_", 1)
        calls.append(folder.name)
        if folder.with_name(f"{folder.name}.fails").exists():
            raise SystemExit(1)
        planted_table.write_run(folder, code.replace("_", " "), int(seed))

    monkeypatch.setattr(training_runs, "start", stub)
    # Plotting takes longer than all the rest; the last test and those of the formats do it.
    monkeypatch.setattr(table_2, "html_sections", lambda results: [])
    return calls


@pytest.fixture
def command(tmp_path):
    return [str(write_suite(tmp_path)), "--data_dir", "CORPUS", "--output_dir", "runs", "--output", "out/table.json"]


def files_of(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.suffix in FORMATS}


def test_runs_then_the_table_and_the_same_table_from_kept_predictions(started, command, capsys):
    results = table_2.main([*command, "--learning_rate", "1e-5"])
    assert sorted(started) == sorted(f"{code.replace(' ', '_')}_{seed}" for code in EFFECTS for seed in SEEDS)
    assert json.loads(Path("out/table.json").read_text()) == results
    assert [row["code"] for row in results["rows"]] == ["", *EFFECTS, "Ensemble A"]
    assert results["rows"][1]["settings"]["encoder"] == "large"
    assert results["command"] == (
        "paravox table_2 suite.yaml --data_dir CORPUS --output_dir runs --output out/table.json --learning_rate 1e-5"
    )
    assert set(files_of("out")) == {f"table{suffix}" for suffix in FORMATS}
    printed = capsys.readouterr().out
    assert "Planted, 100 % known" in printed and "written: out/table.html" in printed

    again = [command[0], "--from_predictions", "out/table_predictions", "--output", "again/table.json"]
    assert table_2.main(again) == results
    assert files_of("again") == files_of("out")
    assert len(started) == 6


def test_only_what_is_missing_is_trained(started, command):
    table_2.main([*command, "--seeds", "1", "--rows", "V1", "V 2"])
    assert started == ["V1_1", "V_2_1"]
    results = table_2.main(command)
    assert started[2:] == ["V3_1", "V1_2", "V_2_2", "V3_2"] and results["seeds"] == [1, 2]
    table_2.main([*command, "--seeds", "1", "--rows", "V3", "--overwrite"])
    assert started[6:] == ["V3_1"]


def test_rows_and_seeds_choose_from_kept_predictions_too(started, command):
    table_2.main(command)
    chosen = [command[0], "--from_predictions", "out/table_predictions", "--output", "less.json"]
    results = table_2.main([*chosen, "--rows", "V1", "V3", "--seeds", "2"])
    assert results["seeds"] == [2] and [row["code"] for row in results["rows"]] == ["", "V1", "V3"]
    with pytest.raises(CheckpointError, match="lacks V1 with seed 9"):
        table_2.main([*chosen, "--rows", "V1", "--seeds", "9"])


def test_a_failed_run_is_reported_and_the_others_go_on(started, command, capsys):
    Path("runs").mkdir()
    Path("runs/V1_2.fails").touch()
    with pytest.raises(SystemExit) as end:
        run_program(table_2.main, [*command, "--jobs", "2"])
    assert "V1 with seed 2 has failed: see runs/V1_2/output.txt" in end.value.code
    assert "There is no table yet. Start the same command again" in end.value.code
    assert len(started) == 6 and not Path("out").exists()
    Path("runs/V1_2.fails").unlink()
    assert table_2.main(command) is not None
    assert started[6:] == ["V1_2"]


def test_a_dry_run_starts_nothing(started, tmp_path, capsys):
    rows = planted_table.SUITE["rows"][:2]
    suite = write_suite(tmp_path, rows=rows, compared_with={})
    corpus = write_metadata_corpus(tmp_path / "corpus", planted_table.SETTINGS["first.yaml"]["tasks"])
    command = [str(suite), "--data_dir", str(corpus), "--output_dir", "runs", "--output", "out/table.json"]
    planted_table.write_run(Path("runs/V1_2"), "V1", 2)
    assert table_2.main([*command, "--dry_run"]) is None
    assert not started and not Path("out").exists()
    printed = capsys.readouterr().out
    for state in ("V1 with seed 1: not started", "V1 with seed 2: finished", "V 2 with seed 2: not started"):
        assert state in printed
    assert f"first.yaml --adversarial false --data_dir {corpus} --seed 1 --output_dir runs/V_2_1" in printed
    assert f"metadata_csv in {corpus}: 8 train, 6 validation, 6 test clips" in printed
    with pytest.raises(ConfigError, match="V1 with seed 1: unknown option '--learning_rat'"):
        table_2.main([*command, "--dry_run", "--learning_rat", "1"])
    with pytest.raises(CorpusError, match="V1 with seed 1: "):
        table_2.main([*command, "--dry_run", "--data_dir", str(tmp_path)])


def test_settings_are_checked_before_the_first_run(started, command):
    with pytest.raises(ConfigError, match="unknown option '--learning_rat': did you mean '--learning_rate'"):
        table_2.main([*command, "--learning_rat", "1"])
    assert not started


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "7"], "--seed cannot be passed on to train.py: give --seeds"),
        (["--resume_from_checkpoint=last"], "--resume_from_checkpoint cannot be passed on"),
        (["--adversarial", "true"], "--adversarial cannot be passed on .*: the row V 2 of the suite sets it"),
        (["--rows", "V2"], "the suite has no row 'V2': did you mean 'V 2'"),
        (["--seeds", "-1"], "seeds is .*: give at least one whole number"),
        (["--jobs", "0"], "jobs is 0: give a whole number of at least 1"),
        (["--from_predictions", "kept", "--bf16", "true"], "unknown option '--bf16': with --from_predictions"),
    ],
)
def test_options_that_make_no_sense(started, command, options, message):
    with pytest.raises(ConfigError, match=message):
        table_2.main([*command, *options])
    assert not started


def test_a_suite_does_not_set_what_the_program_sets(started, tmp_path):
    suite = write_suite(tmp_path, options={"seed": 3})
    with pytest.raises(ConfigError, match="--seed cannot be passed on to train.py: give --seeds"):
        table_2.main([str(suite), "--data_dir", "CORPUS", "--output_dir", "runs", "--output", "table.json"])


@pytest.mark.parametrize("left_out", ["data_dir", "output_dir"])
def test_what_runs_need_must_be_given(command, left_out):
    position = command.index(f"--{left_out}")
    with pytest.raises(ConfigError, match=f"--{left_out} is missing"):
        table_2.main(command[:position] + command[position + 2 :])


def suite_named(name):
    file = CONFIGS / name
    return parse_suite(yaml.safe_load(file.read_text()), file)


# The paper's Table 2.
PAPER_ROWS = {
    "Baseline": ("compare_exvo", False),
    "V1": ("wl", True),
    "V2": ("wl_no_adv", False),
    "V3": ("hb_no_adv", False),
    "V4": ("hl", False),
    "V5": ("hl_no_adv", False),
    "V6": ("hl_raw", True),
    "V7": ("hl_oversampling", True),
}
PAPER_ENSEMBLES = {"Ensemble A": "V1 – V3, V6", "Ensemble B": "V1 – V3, V5, V6", "Ensemble C": "V1 – V6"}


def test_the_suite_of_the_paper_is_its_table_2(tmp_path, capsys):
    """Its dry run, on a planted ExVo folder with both kinds of audio."""
    suite = suite_named("table_2_exvo.yaml")
    assert {row.code: row.settings.stem for row in suite.rows} == {code: row[0] for code, row in PAPER_ROWS.items()}
    assert {ensemble.code: ensemble.name for ensemble in suite.ensembles} == PAPER_ENSEMBLES
    assert suite.compared_with == {"♣": "V1", "♦": "V4", "♥": "V6"}
    facts = table_2.facts_of_rows(suite, [])
    assert {code: found["raw"] for code, found in facts.items()} == {code: row[1] for code, row in PAPER_ROWS.items()}
    assert {code for code, found in facts.items() if found["adversarial"] == "yes"} == {"V1", "V4", "V6", "V7"}
    assert {code for code, found in facts.items() if found["oversampling"]} == {"V7"}
    exvo = write_exvo_corpus(tmp_path / "exvo")
    command = [str(CONFIGS / "table_2_exvo.yaml"), "--data_dir", str(exvo), "--dry_run"]
    table_2.main([*command, "--output_dir", "runs", "--output", "table.json"])
    printed = capsys.readouterr().out
    assert "Dry run: 8 runs are as they should be" in printed
    for audio in ("raw", "provided"):
        assert f"exvo in {exvo} with {audio} audio: 8 train, 6 validation, 6 test clips" in printed
    assert not list(Path().glob("runs*"))


def test_the_suite_of_the_open_recordings_trains_the_variants_by_their_options(tmp_path, capsys):
    suite = suite_named("table_2_bursts.yaml")
    facts = table_2.facts_of_rows(suite, ["--encoder", "models/whisper-base"])
    by_name = {row.name: facts[row.code] for row in suite.rows}
    adversarial = {
        "ComParE": "no",
        "Burst2Vec": "yes",
        "-Adv": "no",
        "auxiliary": "without reversal",
        "scope extractor": "yes, extractor only",
        "+Oversampling": "yes",
    }
    assert {name: by_name[name]["adversarial"] for name in adversarial} == adversarial
    assert [name for name, found in by_name.items() if found["oversampling"]] == ["+Oversampling"]
    encoders = {row.settings.stem: facts[row.code]["encoder"] for row in suite.rows}
    assert encoders == {
        "compare_bursts": "ComParE functionals",
        "frozen_bursts": "whisper-base, frozen",
    }
    tasks = yaml.safe_load((CONFIGS / "real_bursts.yaml").read_text())["tasks"]
    corpus = write_metadata_corpus(tmp_path / "corpus", tasks)
    command = [str(CONFIGS / "table_2_bursts.yaml"), "--data_dir", str(corpus), "--dry_run", "--use_cpu", "true"]
    table_2.main([*command, "--encoder", "whisper-base", "--output_dir", "runs", "--output", "table.json"])
    printed = capsys.readouterr().out
    assert f"Dry run: {len(suite.rows) * len(suite.seeds)} runs are as they should be" in printed
    lines = [line for line in printed.splitlines() if "train_compare" in line]
    assert len(lines) == len(suite.seeds) and not any("--encoder" in line for line in lines)


def test_real_runs_from_end_to_end(tmp_path, saved_encoders, monkeypatch):
    """Two rows of the real program with one seed, trained for one step on a tiny corpus."""
    monkeypatch.setattr(
        training_runs, "start", lambda program, argv, log: import_module(f"paravox.recipes.{program}").main(argv)
    )
    demo = CONFIGS / "tiny_demo.yaml"
    rows = [{"code": "V1", "name": "demo", "settings": str(demo)}]
    rows.append({"code": "V2", "name": "-Adv", "settings": str(demo), "options": {"adversarial": False}})
    ensembles = [{"code": "A", "members": ["V1", "V2"]}]
    suite = write_suite(tmp_path, seeds=[3], rows=rows, ensembles=ensembles, compared_with={"♣": "V1"})
    corpus = write_metadata_corpus(tmp_path / "corpus", yaml.safe_load(demo.read_text())["tasks"])
    command = [str(suite), "--data_dir", str(corpus), "--output_dir", "runs", "--output", "table.json"]
    results = table_2.main([*command, "--max_steps", "1", "--use_cpu", "true"])
    for code in ("V1", "V2"):
        own = json.loads(Path(f"runs/{code}_3/results.json").read_text())
        row = next(row for row in results["rows"] if row["code"] == code)
        for split in ("val", "test"):
            found = {name: entry["value"] for name, entry in row[split].items()}
            assert found == pytest.approx(own[split], abs=2e-4)
            constant = {name: entry["value"] for name, entry in results["rows"][0][split].items()}
            assert constant == pytest.approx(own["constant"][split], abs=1e-4)
    assert [row.get("settings", {}).get("adversarial") for row in results["rows"]] == [None, "yes", "no", None]
    assert results["runs"][0]["seconds"] is not None and results["selected_on_val"]
    assert "data:image/svg+xml" in Path("table.html").read_text()
