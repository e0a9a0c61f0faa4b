"""The command: what it answers at once, what it says of a wrong name, and how it ends a program."""

import signal
import subprocess
import sys
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO

import pytest

import paravox
from paravox import cli
from paravox.recipes.burst2vec import train

# Runs the command, then says which of the heavy libraries were imported on the way.
WATCHED = """
import sys
sys.argv = ["paravox", *sys.argv[1:]]
from paravox.cli import main
try:
    main()
finally:
    print("imported:", *sorted({"torch", "transformers", "datasets", "numpy"} & set(sys.modules)))
"""


def command(*arguments, code=None):
    program = ["-c", code] if code else ["-m", "paravox"]
    return subprocess.run([sys.executable, *program, *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("asked", ["--help", "-h", "--version", "pedict"])
def test_it_answers_without_the_libraries(asked):
    done = command(asked, code=WATCHED)
    assert done.stdout.splitlines()[-1].split() == ["imported:"]
    assert done.returncode == (2 if asked == "pedict" else 0)
    if asked == "--version":
        assert done.stdout.splitlines()[0] == f"paravox {paravox.__version__}"
    elif asked == "pedict":
        assert done.stderr == "paravox: unknown command 'pedict': did you mean 'predict'?\n"
    else:
        assert all(f"  {name} " in done.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name not in cli.WITH_SETTINGS])
def test_help_is_the_programs_own_and_needs_no_library(name):
    """Asked as the command, without the libraries, and here from the program that has imported everything."""
    done = command(name, "--help", code=WATCHED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["imported:"]
    program = import_module(f"paravox.recipes.{cli.COMMANDS[name][0]}")
    with redirect_stdout(StringIO()) as text, pytest.raises(SystemExit):
        program.main(["--help"])
    # argparse names the program after the file that was started.
    usage, _, rest = text.getvalue().partition("\n\n")
    assert rest and rest in done.stdout and done.stdout.startswith(f"usage: paravox {name} ")


def test_a_name_that_is_near_to_none(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["paravox", "xyz"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "paravox: unknown command 'xyz': paravox --help lists the commands\n"


def test_without_a_command_it_shows_them_and_fails(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["paravox"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2 and "usage: paravox COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_every_command_names_it_and_is_short(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["paravox", name, "--help"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == 0 and lines[0].startswith(f"usage: paravox {name} ")
    assert 5 < len(lines) <= 80
    if name in ("train", "prefinetune", "few_shot"):
        assert lines[0] == f"usage: paravox {name} SETTINGS.yaml [--OPTION VALUE ...]"


def test_the_help_of_all_arguments_has_those_of_the_trainer_with_their_meaning(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["paravox", "train", "--help_all"])
    with pytest.raises(SystemExit):
        cli.main()
    text = capsys.readouterr().out
    for option in (
        "--tasks ",
        "--heads_first_epochs ",
        "--adam_beta2 ",
        "--gradient_checkpointing ",
        "--hub_strategy ",
    ):
        assert f"  {option}" in text
    assert len(text.splitlines()) > 150


@pytest.mark.parametrize("name", ["repeat", "score", "ensemble", "predict", "export", "publish", "describe", "report"])
def test_no_option_can_be_abbreviated(name, monkeypatch, capsys):
    """`--outpu` must not be taken for `--output` or `--output_dir`."""
    monkeypatch.setattr(sys, "argv", ["paravox", name, "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    options = [word.rstrip(",") for word in capsys.readouterr().out.split() if word.startswith("--")]
    longest = max((option for option in options if len(option) > 6), key=len)
    monkeypatch.setattr(sys, "argv", ["paravox", name, longest[:-1], "x"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code != 0


def test_an_error_is_one_sentence_and_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["paravox", "train", "nowhere.yaml"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert str(end.value.code).startswith("ConfigError: settings file nowhere.yaml does not exist: ")


def test_a_loss_that_is_not_finite_ends_every_way_of_starting_alike(monkeypatch):
    """It used to be one sentence from the program and a traceback from the command."""
    from paravox.modeling.errors import TrainingError

    def main(argv):
        raise TrainingError("the loss is nan")

    monkeypatch.setattr(train, "main", main)
    monkeypatch.setattr(sys, "argv", ["paravox", "train"])
    with pytest.raises(SystemExit, match="TrainingError: the loss is nan"):
        cli.main()


def test_ctrl_c_is_answered_by_how_to_go_on(monkeypatch, capsys):
    def main(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "main", main)
    monkeypatch.setattr(sys, "argv", ["paravox", "train", "settings.yaml"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130
    assert capsys.readouterr().err.strip() == f"Stopped. To go on, {train.GO_ON}."
    assert "--resume_from_checkpoint last" in train.GO_ON


SLEEPER = """
import time
from paravox.runs.program import run

def main(argv):
    print("ready", flush=True)
    time.sleep(60)

run(main, go_on="start it again")
"""


def test_ctrl_c_in_a_real_process_leaves_no_traceback():
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.strip() == "Stopped. To go on, start it again."


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help_all"]])
def test_a_reader_that_leaves_early_gets_no_traceback(arguments):
    """As in `paravox train --help_all | head -1`."""
    command_line = [sys.executable, "-m", "paravox", *arguments]
    process = subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    errors = process.stderr.read()
    assert (process.wait(timeout=120), errors) == (141, b"")
