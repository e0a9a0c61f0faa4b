"""Starting train.py once per run: what is passed on, what is skipped, and what goes on from a checkpoint."""

from pathlib import Path

import little_runs
import pytest
from little_runs import write_checkpoint

from paravox.evaluation.finished_run import FinishedRun
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.runs import training_runs
from paravox.runs.training_runs import refuse_options, train_once, without_paths


@pytest.fixture
def started(monkeypatch):
    """The command lines of train.py, which is not run; it leaves a finished run."""
    calls = []

    def stub(program, arguments, log):
        folder = Path(arguments[arguments.index("--output_dir") + 1])
        calls.append((program, arguments, (folder / "results.json").is_file()))
        little_runs.write_run(folder, 1.0)

    monkeypatch.setattr(training_runs, "start", stub)
    return calls


def test_a_run_is_started_once(started, capsys):
    run = train_once(Path("run"), ["x.yaml", "--seed", "1"])
    expected = ["x.yaml", "--seed", "1", "--output_dir", "run", "--output", "", "--overwrite", "true"]
    assert started == [("burst2vec.train", expected, False)]
    assert run == FinishedRun(Path("run")) == train_once(Path("run"), ["x.yaml", "--seed", "1"])
    assert len(started) == 1
    assert capsys.readouterr().out.splitlines() == ["run: starting", "run is finished"]


def test_a_run_that_was_stopped_goes_on(started, capsys):
    write_checkpoint(Path("run/checkpoint-5"))
    train_once(Path("run"), ["x.yaml"])
    ((_, arguments, _),) = started
    assert arguments[-2:] == ["--resume_from_checkpoint", "last"] and "--overwrite" not in arguments
    assert capsys.readouterr().out == "run: going on\n"


def test_a_broken_checkpoint_is_not_gone_on_from(started):
    write_checkpoint(Path("run/checkpoint-5"))
    (Path("run") / "checkpoint-5" / "optimizer.pt").unlink()
    train_once(Path("run"), ["x.yaml"])
    assert started[0][1][-2:] == ["--overwrite", "true"]


def test_overwriting_starts_anew_and_the_old_run_no_longer_looks_finished(started):
    little_runs.write_run(Path("run"), 2.0)
    write_checkpoint(Path("run/checkpoint-5"))
    train_once(Path("run"), ["x.yaml"], overwrite=True)
    ((_, arguments, finished_before),) = started
    assert arguments[-2:] == ["--overwrite", "true"] and not finished_before


def test_a_program_that_leaves_nothing_is_an_error(monkeypatch):
    monkeypatch.setattr(training_runs, "start", lambda program, arguments, log: None)
    with pytest.raises(CheckpointError, match="run holds no finished run"):
        train_once(Path("run"), ["x.yaml"])


@pytest.mark.parametrize("given", [["--seed", "7"], ["--x", "1", "--seed=7"]])
def test_options_that_the_program_sets_are_refused(given):
    with pytest.raises(ConfigError, match="^--seed cannot be passed on to train.py: give --seeds$"):
        refuse_options(given, {"--seed": "give --seeds"})
    refuse_options(["--seeding", "7", "seed"], {"--seed": "give --seeds"})


def test_a_command_line_without_the_places_of_this_machine():
    given = ["configs/x.yaml", "--data_dir", "data/bursts", "configs/y.yaml", "--encoder=/models/whisper-base"]
    given += [
        "--output_dir",
        "/tmp/runs",
        "--output",
        "results/x.json",
        "--bursts_runs",
        "runs/a",
        "/runs/b",
        "--seeds",
    ]
    expected = ["configs/x.yaml", "--data_dir", "bursts", "configs/y.yaml", "--encoder=whisper-base"]
    expected += ["--output_dir", "runs", "--output", "results/x.json", "--bursts_runs", "runs/a", "b", "--seeds"]
    assert without_paths(given) == expected
