"""The publish program: which folder goes where, and what it says."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.recipes import publish
from paravox.trainers import publishing
from paravox.trainers.publishing import check_publishable


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


@pytest.fixture
def model_folder(make_model, tmp_path):
    """A model that may be published."""
    model = make_model("whisper")
    model.save_pretrained(tmp_path / "model")
    Burst2VecFeatureExtractor.for_config(model.config.encoder).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("A card.\n")
    return tmp_path / "model"


def test_each_kind_of_private_content_stops_a_push(model_folder, tmp_path, monkeypatch):
    check_publishable(model_folder)
    (tmp_path / "secret.md").write_text("outside")
    for spoil, message in (
        (lambda: (model_folder / "README.md").write_text("see file:///home/me"), "holds an address of a file"),
        (lambda: (model_folder / "README.md").write_text("Write to me@host.example.org"), "holds an e-mail address"),
        (lambda: (model_folder / "README.md").write_bytes(b"caf\xe9 C:/Users/me"), "holds a path of Windows"),
        (lambda: (model_folder / "README.md").write_text("it is ours-1234567"), "holds the token that you are logged"),
    ):
        spoil()
        monkeypatch.setattr(publishing, "get_token", lambda: "ours-1234567")
        with pytest.raises(ConfigError, match=message):
            publish.main([str(model_folder), "me/bursts"])


@pytest.mark.parametrize("target", ["../secret.md", "nowhere", "..", "/etc"])
def test_links_that_leave_the_folder_stop_a_push(model_folder, tmp_path, target):
    (tmp_path / "secret.md").write_text("outside")
    (model_folder / "README.md").rename(model_folder / "card.md")
    (model_folder / "README.md").symlink_to("card.md")
    with pytest.raises(ConfigError, match="1 files that are not part of a model .card.md"):
        check_publishable(model_folder)  # this link stays inside
    (model_folder / "README.md").unlink()
    (model_folder / "README.md").symlink_to(target)
    with pytest.raises(ConfigError, match="README.md is a link that leads out of the folder, to .*: put a copy"):
        check_publishable(model_folder)


def test_a_push_while_training_is_left_out_with_a_warning(model_folder, tmp_path, caplog, monkeypatch):
    asked = []
    monkeypatch.setattr(publishing.HfApi, "upload_folder", lambda self, **options: asked.append(options))
    trainer = SimpleNamespace(
        args=SimpleNamespace(output_dir=str(tmp_path), hub_strategy="every_save", hub_always_push=True, hub_token=None),
        state=SimpleNamespace(global_step=4),
        control=None,
        push_in_progress=None,
        hub_model_id="me/bursts",
        is_world_process_zero=lambda: True,
        callback_handler=SimpleNamespace(on_push_begin=lambda *arguments: None),
        _finish_current_push=lambda: None,
    )
    trainer.args.hub_revision = None
    trainer._push = lambda *given, **options: publishing.PublishingTrainer._push(trainer, *given, **options)
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-4" / "README.md").write_text("see /home/me")
    publishing.PublishingTrainer._push_from_checkpoint(trainer, str(tmp_path / "checkpoint-4"))
    assert (
        not asked and "nothing was pushed at step 4: " in caplog.text and "an absolute path (/home/me)" in caplog.text
    )
    (tmp_path / "checkpoint-4" / "README.md").write_text("A card.")
    publishing.PublishingTrainer._push_from_checkpoint(trainer, str(tmp_path / "checkpoint-4"))
    assert len(asked) == 1
