"""The folder of a run: a full disk is said in one sentence, and a checkpoint that was cut off is passed over."""

import errno
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from paravox.modeling.errors import ConfigError
from paravox.runs import output_folder
from paravox.runs.output_folder import claim_output_folder, last_whole_checkpoint


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_said_and_how_to_go_on(tmp_path, error):
    with pytest.raises(ConfigError, match=r"no disk space is left for output_dir .*run .*start the command again"):
        with claim_output_folder(tmp_path / "run", empty=True):
            raise error


def test_a_writer_that_does_not_say_why_it_failed(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 1000))
    with pytest.raises(ConfigError, match="no disk space is left"):
        with claim_output_folder(tmp_path / "run", empty=True):
            raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), RuntimeError("shapes differ")])
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error), match=str(error.args[-1])):
        with claim_output_folder(tmp_path / "run", empty=True):
            raise error


@pytest.mark.parametrize("lacks", ["the module", "locks on this disk"])
def test_where_files_cannot_be_locked_a_run_says_so_and_goes_on(lacks, tmp_path, monkeypatch, capsys):
    if lacks == "the module":
        monkeypatch.setattr(output_folder, "fcntl", None)
    else:

        def flock(file, operation):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(output_folder.fcntl, "flock", flock)
    with claim_output_folder(tmp_path / "run", empty=True):
        with claim_output_folder(tmp_path / "run", empty=True):
            pass
    errors = capsys.readouterr().err
    assert errors.count("run cannot be locked (") == 2 and "start no second run in it" in errors


def test_the_newest_whole_checkpoint():
    assert last_whole_checkpoint(Path("nowhere")) is None
    parts = ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "rng_state_1.pth"]
    for step in (8, 9, 10, 11, 12):
        Path(f"run/checkpoint-{step}").mkdir(parents=True)
        for part in parts:
            Path(f"run/checkpoint-{step}/{part}").touch()
    assert last_whole_checkpoint(Path("run")) is None
    for step in (8, 9, 11, 12):
        Path(f"run/checkpoint-{step}/trainer_state.json").write_text("{}")
    # Killed before the state was written, while it was, and while the checkpoint was being removed.
    Path("run/checkpoint-11/trainer_state.json").write_text("")
    Path("run/checkpoint-12/optimizer.pt").unlink()
    assert last_whole_checkpoint(Path("run")) == "run/checkpoint-9"
