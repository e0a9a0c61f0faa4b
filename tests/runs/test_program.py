"""How programs end, and how one starts another."""

import gc
import subprocess
import sys
import time

import pytest

from paravox.modeling.errors import AudioError, CheckpointError, ConfigError, CorpusError, ParavoxError, TrainingError
from paravox.runs import program
from paravox.runs.program import run, start


@pytest.mark.parametrize("error", [AudioError, CheckpointError, ConfigError, CorpusError, TrainingError])
def test_each_error_of_paravox_is_one_sentence(error):
    def main(argv):
        raise error(f"{argv[0]} is wrong")

    assert issubclass(error, ParavoxError) and issubclass(error, ValueError)
    with pytest.raises(SystemExit) as end:
        run(main, ["this"])
    assert end.value.code == f"{error.__name__}: this is wrong"  # Python prints it and exits with 1


def test_a_defect_keeps_its_traceback():
    def main(argv):
        raise ValueError("not ours")

    with pytest.raises(ValueError, match="not ours"):
        run(main)


def test_ctrl_c_says_how_to_go_on(capsys):
    def main(argv):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        run(main, go_on="do this")
    assert end.value.code == 130 and capsys.readouterr().err == "\nStopped. To go on, do this.\n"


def test_a_program_that_ends_well():
    with pytest.raises(SystemExit) as end:
        run(lambda argv: {"its": "result"})
    assert end.value.code == 0


def test_another_program_runs_in_a_process_of_its_own_and_its_failure_ends_this_one(monkeypatch):
    started = []

    def fake(command, **options):
        started.append(command)
        return subprocess.CompletedProcess(command, returncode=len(started) - 1)

    monkeypatch.setattr(program.subprocess, "run", fake)
    start("burst2vec.train", ["settings.yaml", "--seed", "3"])
    assert started[0] == [sys.executable, "-m", "paravox.recipes.burst2vec.train", "settings.yaml", "--seed", "3"]
    with pytest.raises(SystemExit) as end:
        start("burst2vec.train", [])
    assert end.value.code == 1


@pytest.mark.slow
def test_what_the_other_program_says_reaches_the_terminal(capfd):
    with pytest.raises(SystemExit) as end:
        start("burst2vec.train", ["nowhere.yaml"])
    assert end.value.code == 1
    assert "ConfigError: settings file nowhere.yaml does not exist" in capfd.readouterr().err


def test_what_an_interrupt_leaves_half_made_says_nothing(capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # which is put back after this test

    class HalfMade:
        def __del__(self):
            raise AttributeError("it was never finished")

    def main(argv):
        made = HalfMade()
        raise KeyboardInterrupt(made)

    with pytest.raises(SystemExit) as ended:
        run(main, [])
    assert ended.value.code == 130
    del ended
    gc.collect()
    assert capsys.readouterr().err == "\nStopped. To go on, start the same command again.\n"


def test_an_interrupt_that_python_drops_arrives_all_the_same(capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # which is put back after this test

    class Module:
        def __del__(self):
            raise KeyboardInterrupt

    def main(argv):
        Module()
        for _ in range(200):
            time.sleep(0.01)
        print("nobody stopped it")

    with pytest.raises(SystemExit) as ended:
        run(main, [], go_on="start it again")
    printed = capsys.readouterr()
    assert ended.value.code == 130 and printed.err == "\nStopped. To go on, start it again.\n" and not printed.out
