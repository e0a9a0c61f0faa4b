"""The runs of a suite: which command lines they are, that only what is missing starts, and what a failure does."""

import subprocess
import threading
from types import SimpleNamespace

import planted_table
import pytest
from planted_table import EFFECTS, SEEDS, read_suite, write_suite

from paravox.evaluation.table_2_suite import SuiteRow
from paravox.modeling.errors import CheckpointError, ConfigError, CorpusError
from paravox.runs import program, suite_runs, training_runs
from paravox.runs.suite_runs import as_options, check_runs, command_line, facts_of_rows, plan_runs, train_missing


@pytest.fixture
def suite(tmp_path):
    return read_suite(write_suite(tmp_path))


@pytest.fixture
def plan(suite, tmp_path):
    return plan_runs(suite, SEEDS, tmp_path / "runs", "CORPUS", [])


@pytest.fixture
def started(monkeypatch):
    """In the place of the training programs, a stub that leaves planted predictions; the list of its calls."""
    calls = []

    def stub(program, arguments, log):
        given = dict(zip(arguments[1::2], arguments[2::2], strict=True))
        folder = planted_table.Path(given["--output_dir"])
        code, seed = folder.name.replace("_", " ", 1).rsplit("_", 1) if "V_2" in folder.name else folder.name.split("_")
        calls.append(SimpleNamespace(program=program, arguments=arguments, given=given, log=log, code=code))
        planted_table.write_run(folder, code, int(seed))

    monkeypatch.setattr(training_runs, "start", stub)
    return calls


def test_every_row_has_a_run_per_seed_and_seeds_are_completed_one_by_one(suite, plan, tmp_path):
    assert [(run.code, run.seed) for run in plan] == [(code, seed) for seed in SEEDS for code in EFFECTS]
    assert {run.program for run in plan} == {"burst2vec.train"}
    assert plan[1].folder == tmp_path / "runs" / "V_2_1"
    first = str(tmp_path / "first.yaml")
    assert plan[0].settings == (first, "--data_dir", "CORPUS", "--seed", "1")
    assert plan[4].settings == (first, "--adversarial", "false", "--data_dir", "CORPUS", "--seed", "2")
    expected = f"python -m paravox.recipes.burst2vec.train {first} --data_dir CORPUS --seed 1 --output_dir "
    assert command_line(plan[0]) == expected + str(tmp_path / "runs" / "V1_1")


def test_options_of_the_row_replace_those_of_the_suite_and_the_command_line_comes_last(tmp_path):
    rows = [planted_table.SUITE["rows"][0] | {"options": {"dropout": 0.3}}]
    changes = {"rows": rows, "options": {"bf16": True, "dropout": 0.2}, "ensembles": [], "compared_with": {}}
    suite = read_suite(write_suite(tmp_path, **changes))
    (run,) = plan_runs(suite, [1], tmp_path, "CORPUS", ["--learning_rate=1e-5", "--dropout", "0.4"])
    expected = ["--bf16", "true", "--dropout", "0.3", "--learning_rate", "1e-5", "--dropout", "0.4"]
    assert list(run.settings[1:9]) == expected
    assert suite_runs._parsed(run)["dropout"] == 0.4


def test_an_option_goes_to_the_programs_that_have_it(suite, tmp_path, monkeypatch):
    """`--encoder` is no option of the baseline, and `--patience` none of train.py. `--tpyo` is reported by both."""
    baseline = SuiteRow("B", "baseline", tmp_path / "first.yaml", program="train_compare")
    suite = planted_table.parse_suite(planted_table.SUITE | {"options": {"bf16": True}}, tmp_path / "suite.yaml")
    suite = suite_runs.Suite(suite.title, (1,), suite.options, (*suite.rows[:1], baseline))
    names = {"burst2vec.train": {"encoder", "bf16", "seed"}, "burst2vec.train_compare": {"patience", "seed"}}
    monkeypatch.setattr(suite_runs, "_names", names.get)
    options = ["--encoder", "large", "--patience=3", "--tpyo", "1"]
    train, compare = plan_runs(suite, [1], tmp_path, "CORPUS", options)
    assert train.settings[1:-4] == ("--bf16", "true", "--encoder", "large", "--tpyo", "1")
    assert compare.settings[1:-4] == ("--patience", "3", "--tpyo", "1")
    assert compare.program == "burst2vec.train_compare"


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"bf16": True, "adversarial": False}, ["--bf16", "true", "--adversarial", "false"]),
        ({"learning_rate": 1e-5, "corpus": "exvo"}, ["--learning_rate", "1e-05", "--corpus", "exvo"]),
        ({"encoder_settings": {"dropout": 0.1}}, ["--encoder_settings", '{"dropout": 0.1}']),
        ({"augmentation": [{"transform": "Gain"}]}, ["--augmentation", '[{"transform": "Gain"}]']),
        ({"include_for_metrics": ["a", "b"]}, ["--include_for_metrics", "a", "b"]),
    ],
)
def test_settings_become_options(settings, options):
    assert as_options(settings) == options


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="option dropout has no value"):
        as_options({"dropout": None})


def test_what_the_table_says_of_rows_follows_the_options(suite):
    facts = facts_of_rows(suite, ["--encoder", "/models/whisper-base", "--oversample=true"])
    assert {code: found["encoder"] for code, found in facts.items()} == dict.fromkeys(EFFECTS, "whisper-base")
    assert {code: found["adversarial"] for code, found in facts.items()} == {"V1": "yes", "V 2": "no", "V3": "yes"}
    assert [found["raw"] for found in facts.values()] == [False, False, True]
    assert all(found["oversampling"] is True for found in facts.values())


def test_only_what_is_missing_starts(plan, started, capsys):
    assert train_missing(plan[:2]) == {}
    assert [run.state for run in plan] == ["finished"] * 2 + ["not started"] * 4
    assert train_missing(plan) == {}
    assert [call.given["--seed"] for call in started] == ["1", "1", "1", "2", "2", "2"]
    assert [call.code for call in started] == ["V1", "V 2", "V3"] * 2
    assert all(call.log is None and call.program == "burst2vec.train" for call in started)
    assert "6 of 6 runs: V3 with seed 2 is finished" in capsys.readouterr().out
    train_missing(plan[:1], overwrite=True)
    assert len(started) == 7 and started[-1].given["--overwrite"] == "true"


def test_a_run_that_fails_leaves_the_others_running(plan, started, monkeypatch, capsys):
    stub = training_runs.start

    def failing(program, arguments, log):
        if "V_2_1" in " ".join(arguments):
            raise SystemExit(1)
        if "V3_1" not in " ".join(arguments):  # which leaves no results
            stub(program, arguments, log)

    monkeypatch.setattr(training_runs, "start", failing)
    failed = train_missing(plan)
    assert {run.code for run in failed} == {"V 2", "V3"} and {run.seed for run in failed} == {1}
    assert list(failed.values())[0] == "its message is above" and "holds no finished run" in list(failed.values())[1]
    assert "V 2 with seed 1 has failed" in capsys.readouterr().out
    assert sum(run.state == "finished" for run in plan) == 4


def test_a_defect_of_the_program_is_not_hidden(plan, monkeypatch):
    monkeypatch.setattr(training_runs, "start", lambda program, arguments, log: {}["defect"])
    with pytest.raises(KeyError, match="defect"):
        train_missing(plan[:1])


def test_several_runs_go_on_at_once_and_each_has_its_own_log(plan, started, monkeypatch):
    """Each run waits for another one, which a single worker would never start."""
    stub, together = training_runs.start, threading.Barrier(2, timeout=60)

    def waiting(*arguments):
        together.wait()
        stub(*arguments)

    monkeypatch.setattr(training_runs, "start", waiting)
    assert train_missing(plan, jobs=2) == {}
    assert {call.log for call in started} == {run.folder / "output.txt" for run in plan}


def test_the_log_has_what_a_program_says_and_a_failure_points_to_it(plan, monkeypatch):
    """The program is one that says two lines and fails."""
    real = subprocess.run
    code = "import sys; print('said'); sys.stdout.flush(); print('why', file=sys.stderr); sys.exit(3)"
    stub = SimpleNamespace(STDOUT=subprocess.STDOUT)
    stub.run = lambda command, **how: real([command[0], "-c", code], **how)
    monkeypatch.setattr(program, "subprocess", stub)
    failed = train_missing(plan[:2], jobs=2)
    assert {run.code: reason for run, reason in failed.items()} == {
        run.code: f"see {run.folder / 'output.txt'}" for run in plan[:2]
    }
    assert (plan[0].folder / "output.txt").read_text() == "said\nwhy\n"


def test_settings_are_checked_as_the_program_does(suite, tmp_path):
    runs = plan_runs(suite, [1], tmp_path / "runs", "CORPUS", ["--learning_rat", "1"])
    with pytest.raises(ConfigError, match="V1 with seed 1: unknown option '--learning_rat': did you mean"):
        check_runs(runs, read_corpora=False)
    assert check_runs(plan_runs(suite, [1], tmp_path, "CORPUS", ["--bf16", "true"]), read_corpora=False) == []


def test_a_corpus_that_cannot_be_read(suite, tmp_path):
    runs = plan_runs(suite, [1], tmp_path / "runs", str(tmp_path / "nowhere"), [])
    with pytest.raises((CorpusError, CheckpointError), match="V1 with seed 1: "):
        check_runs(runs, read_corpora=True)
    assert not (tmp_path / "runs").exists()
