"""The folder of a run: one run at a time, and a disk that is full or read-only is said in one sentence."""

import errno
import shutil
from collections import namedtuple

import pytest

from paravox.modeling.errors import ConfigError
from paravox.runs import output_folder
from paravox.runs.output_folder import claim_output_folder


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


def test_a_full_disk_elsewhere_is_named_and_errors_of_ours_stay(tmp_path):
    with pytest.raises(ConfigError, match=r"no disk space is left for /cache/states \("):
        with claim_output_folder(tmp_path / "run", empty=True):
            raise OSError(errno.ENOSPC, "No space left on device", "/cache/states")
    with pytest.raises(ConfigError, match=r"^audio cache x cannot be made \(Read-only file system\)$"):
        with claim_output_folder(tmp_path / "run", empty=True):
            raise ConfigError("audio cache x cannot be made (Read-only file system)")


def test_a_disk_that_became_read_only_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"the disk can only be read for output_dir .*run .*make it writable"):
        with claim_output_folder(tmp_path / "run", empty=True):
            raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("place", ["a file", "below a file", "a read-only disk"])
def test_a_folder_that_cannot_be_made_is_refused(place, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    folder = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "run"}.get(place, tmp_path / "run")
    if place == "a read-only disk":

        def mkdir(self, *arguments, **options):
            raise OSError(errno.EROFS, "Read-only file system", str(self))

        monkeypatch.setattr(type(tmp_path), "mkdir", mkdir)
    with pytest.raises(ConfigError, match=r"output_dir .* cannot be written \(.*\): give a folder"):
        with claim_output_folder(folder, empty=True):
            pass


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
