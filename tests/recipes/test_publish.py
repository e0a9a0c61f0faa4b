"""The publish program: which folder goes where, and what it says."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.recipes import publish


@pytest.fixture
def published(monkeypatch):
    """The arguments of the upload, which is not made."""
    calls = []

    def upload(folder, repo_id, **options):
        calls.append((folder, repo_id, options))
        return SimpleNamespace(repo_url="https://hub.example/me/bursts", oid="abc123")

    monkeypatch.setattr(publish, "publish_folder", upload)
    return calls


def test_what_is_given_is_passed_on(published, capsys):
    publish.main(["runs/model", "me/bursts", "--private", "--revision", "ensemble", "--commit_message", "A message"])
    publish.main(["runs/model", "me/bursts"])
    first = {"private": True, "revision": "ensemble", "commit_message": "A message"}
    # None leaves an existing repository, and the settings of its owner, as they are.
    second = {"private": None, "revision": None, "commit_message": "Upload model"}
    assert published == [(Path("runs/model"), "me/bursts", first), (Path("runs/model"), "me/bursts", second)]
    assert capsys.readouterr().out.splitlines()[0] == ("published: https://hub.example/me/bursts, revision abc123")


def test_no_option_is_abbreviated(published, capsys):
    with pytest.raises(SystemExit, match="2"):
        publish.main(["runs/model", "me/bursts", "--priv"])
    assert not published and "unrecognized arguments: --priv" in capsys.readouterr().err


def test_a_folder_that_must_not_be_published_is_refused_before_the_hub_is_asked(tmp_path):
    with pytest.raises(CheckpointError, match="has no config.json"):
        publish.main([str(tmp_path), "me/bursts"])
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text(json.dumps({"path": "/home/me/secret"}))
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigError, match="holds an absolute path"):
        publish.main([str(tmp_path), "me/bursts"])
