"""What the doctor finds where something is missing, old, broken or full."""

import configparser
import socket
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from paravox.modeling.errors import ConfigError
from paravox.recipes import doctor
from paravox.runs import installation
from paravox.runs.installation import EXTRAS, check_places, check_recordings, look_at_installation

REQUIRES = ["numpy>=1.20", "soxr>=0.3", 'av>=14.0; extra == "av"', 'optuna>=4; extra == "optuna"']
VERSIONS = {"numpy": "2.1.0", "soxr": "0.5.0", "av": "15.0"}


@pytest.fixture
def packages(monkeypatch):
    """Packages that a test may change: what paravox requires, and the versions that are installed."""
    required, versions = list(REQUIRES), dict(VERSIONS)

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(installation.metadata, "requires", lambda name: required)
    monkeypatch.setattr(installation.metadata, "version", version)
    return versions


def test_here_everything_that_is_needed_is_found_without_a_network(monkeypatch, capsys):
    def refuse(*arguments):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    found = doctor.main([])
    assert [title for title, findings in found.items() if any(one.state == "wrong" for one in findings)] == []
    printed = capsys.readouterr().out
    for words in (f"torch {metadata.version('torch')}", "running on ", "WAV, FLAC, Ogg Vorbis", "GB free", "study ("):
        assert words in printed


def test_every_extra_of_users_is_looked_at():
    options = configparser.ConfigParser()
    options.read(Path(__file__).parents[2] / "setup.cfg")
    # The earlier name of one, all of them, and what developers need.
    others = {"webm", "all", "tests", "quality", "release", "docs", "dev"}
    assert set(EXTRAS) == set(options["options.extras_require"]) - others


def test_what_is_missing_comes_with_the_line_that_installs_it(packages):
    findings = {one.what.split(" ")[0]: one for one in installation.check_extras()}
    assert findings["av"].state == "ok" and findings["av"].what.endswith("av 15.0")
    assert (findings["optuna"].state, findings["optuna"].advice) == ("missing", "pip install 'optuna>=4'")
    packages["av"] = "13.1"
    findings = {one.what.split(" ")[0]: one for one in installation.check_extras()}
    assert findings["av"].advice == "pip install 'av>=14.0'"
    assert "these need PyAV" in list(check_recordings())[-1].what


def test_what_is_needed_and_missing_or_old_ends_with_exit_code_1(packages, capsys):
    assert [one.what for one in installation.check_packages()] == ["2 other packages that are needed"]
    packages["numpy"] = "1.19"
    del packages["soxr"]
    with pytest.raises(
        ConfigError, match=r"\(numpy 1.19 does not fit >=1.20; soxr is not installed\): follow the advi"
    ):
        doctor.main([])
    assert "pip install 'soxr>=0.3'" in capsys.readouterr().out


def test_a_library_that_cannot_be_imported_is_a_finding(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = dict(look_at_installation())
    assert found["device"][0].state == "wrong" and "torch" in found["device"][0].what
    assert found["places"][0].state == "ok"


def test_paravox_as_a_folder_alone(monkeypatch):
    def unknown(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installation.metadata, "requires", unknown)
    (finding,) = dict(look_at_installation())["extras"]
    assert finding.state == "missing" and finding.advice.startswith("install it: pip install ")


def test_a_format_that_does_not_come_back_is_named(monkeypatch):
    monkeypatch.setattr(installation, "_by_soundfile", lambda container, coding: b"no audio")
    findings = [one for one in check_recordings() if one.state == "missing"]
    assert [one.what.split(" cannot")[0] for one in findings][:6] == list(installation.FORMATS)


def test_little_space_is_said(monkeypatch):
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda place: SimpleNamespace(free=1e9))
    findings = list(check_places())
    assert findings[0].state == "missing" and "1.0 GB free" in findings[0].what and "make space" in findings[0].advice
