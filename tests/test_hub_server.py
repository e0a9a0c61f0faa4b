"""The Hub of the tests answers the real client as the Hub does."""

import subprocess
import sys

import pytest
from hub_rules import card_errors, eval_results_errors
from hub_server import HubServer

CLIENT = """
import os, sys
from pathlib import Path
from huggingface_hub import HfApi, ModelCard, hf_hub_download, snapshot_download
from huggingface_hub import errors

def fails(kind, action, *arguments, **options):
    try:
        action(*arguments, **options)
    except kind as error:
        return str(error)
    sys.exit(f"{action.__name__} did not fail")

folder = Path("model")
folder.mkdir()
(folder / "config.json").write_text("{}")
(folder / "weights.safetensors").write_bytes(bytes(range(256)) * 100)
api, reader, stranger = HfApi(token="hf_writer"), HfApi(token="hf_reader"), HfApi(token="hf_nobody")
assert api.create_repo("model").repo_id == "writer/model"
assert api.create_repo("writer/model", exist_ok=True).repo_id == "writer/model"
fails(errors.HfHubHTTPError, api.create_repo, "writer/model")
first = api.upload_folder(repo_id="writer/model", folder_path=folder, commit_message="one")
(folder / "config.json").write_text('{"newer": true}')
api.upload_folder(repo_id="writer/model", folder_path=folder, commit_message="two")
for revision, text in ((None, '{"newer": true}'), (first.oid, "{}")):
    copy = Path(snapshot_download("writer/model", revision=revision))
    assert (copy / "config.json").read_text() == text
    assert (copy / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()
assert set(api.list_repo_files("writer/model")) == {".gitattributes", "config.json", "weights.safetensors"}
api.create_branch("writer/model", branch="next")
api.create_branch("writer/model", branch="next", exist_ok=True)
(folder / "config.json").write_text('{"next": true}')
api.upload_folder(repo_id="writer/model", folder_path=folder, revision="next")
assert Path(hf_hub_download("writer/model", "config.json", revision="next")).read_text() == '{"next": true}'
assert Path(hf_hub_download("writer/model", "config.json")).read_text() == '{"newer": true}'
assert {branch.name for branch in api.list_repo_refs("writer/model").branches} == {"main", "next"}

fails(errors.EntryNotFoundError, hf_hub_download, "writer/model", "none.json")
fails(errors.RevisionNotFoundError, hf_hub_download, "writer/model", "config.json", revision="none")
fails(errors.RepositoryNotFoundError, hf_hub_download, "writer/none", "config.json", token="hf_reader")
assert "no right" in fails(errors.HfHubHTTPError, reader.upload_folder, repo_id="writer/model", folder_path=folder)
fails(errors.HfHubHTTPError, stranger.create_repo, "writer/other")
fails(errors.HfHubHTTPError, api.create_repo, "reader/other")

api.create_repo("secret", private=True)
api.upload_folder(repo_id="writer/secret", folder_path=folder)
assert Path(hf_hub_download("writer/secret", "config.json", token="hf_writer")).is_file()
for token in ("hf_reader", False):
    fails(errors.RepositoryNotFoundError, api.model_info, "writer/secret", token=token)

ModelCard("---\\nlicense: mit\\n---\\n# Good").validate()
bad = ModelCard("---\\nlicense: mine\\n---\\n# Bad")
fails(ValueError, bad.validate)
fails(ValueError, bad.push_to_hub, "writer/model", token="hf_writer")
(folder / "README.md").write_text(str(bad))
fails(ValueError, api.upload_folder, repo_id="writer/model", folder_path=folder)
"""

INTERRUPTED = """
import sys
from pathlib import Path
from huggingface_hub import HfApi
api = HfApi(token="hf_writer")
Path("upload").mkdir()
Path("upload/config.json").write_text('{"whole": true}')
Path("upload/new.safetensors").write_bytes(b"new weights")
try:
    api.upload_folder(repo_id="writer/model", folder_path="upload")
except Exception as error:
    print(type(error).__name__)
else:
    sys.exit("the upload was to be interrupted")
if sys.argv[1] == "retry":
    api.upload_folder(repo_id="writer/model", folder_path="upload")
"""


def run_client(hub, script, folder, *arguments):
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env=hub.environment(folder / "home"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture
def hub():
    with HubServer({"writer": "hf_writer", "reader": "hf_reader"}) as running:
        yield running


def test_the_client_is_answered_as_by_the_hub(hub, tmp_path):
    run_client(hub, CLIENT, tmp_path)
    assert hub.repositories["writer/model"].messages[:3] == ["initial commit", "one", "two"]
    assert b"license: mine" not in b"".join(hub.files("writer/model").values())


@pytest.mark.parametrize(("method", "path"), [("PUT", "/lfs/"), ("POST", "/commit/"), ("POST", "/preupload/")])
def test_nothing_of_an_interrupted_upload_is_visible(hub, tmp_path, method, path):
    run_client(hub, "from huggingface_hub import HfApi; HfApi(token='hf_writer').create_repo('model')", tmp_path)
    before = hub.files("writer/model")
    # The client itself tries five times again what failed with 5xx, and not what was refused.
    hub.fail_next(method, path, 403)
    run_client(hub, INTERRUPTED, tmp_path / "first", "stop")
    assert hub.files("writer/model") == before and len(hub.repositories["writer/model"].messages) == 1
    hub.fail_next(method, path, 403)
    run_client(hub, INTERRUPTED, tmp_path / "second", "retry")
    assert hub.files("writer/model")["new.safetensors"] == b"new weights"
    assert len(hub.repositories["writer/model"].messages) == 2


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ("license: mine", '"license" must be one of'),
        ("pipeline_tag: guess-mood", '"pipeline_tag" must be a task'),
        ("tags: speech", '"tags" must be a list'),
        ("datasets: [../corpora/bursts]", '"datasets" must hold names'),
        ("base_model: /models/whisper", '"base_model" must hold names'),
        ("language: English", '"language" must hold ISO 639 codes'),
        ("library_name: [transformers]", '"library_name" must be a string'),
        ("- license", "must be a mapping"),
        ("license: [", "is not YAML"),
        ("model-index: {name: x}", '"model-index" must be a list'),
        ("model-index: [{results: []}]", '"model-index[0].name" is required'),
        ("model-index: [{name: x}]", '"model-index[0].results" must be a list'),
        ("model-index: [{name: x, results: [{}]}]", '"model-index[0].results[0].task.type" is required'),
        (
            "model-index: [{name: x, results: [{task: {type: t}, dataset: {type: d, name: d}, metrics: [{type: ccc}]}]}]",
            '"model-index[0].results[0].metrics[0].value" is required',
        ),
    ],
)
def test_cards_are_held_to_the_rules(metadata, error):
    assert any(error in found for found in card_errors(f"---\n{metadata}\n---\n# Card"))


def test_good_cards_pass():
    good = (
        "license: cc-by-nc-sa-4.0\nlanguage: [en, pl]\nlibrary_name: transformers\npipeline_tag: audio-classification\n"
        "tags: [speech]\nbase_model: openai/whisper-base\nmodel-index:\n- name: x\n  results:\n  - task: {type: t}\n"
        "    dataset: {type: d, name: d}\n    metrics: [{type: ccc, value: 0.5}]"
    )
    assert card_errors(f"---\n{good}\n---\n# Card") == []
    assert card_errors("# No metadata") == []
    assert eval_results_errors("x", b"- {dataset: {id: a/b, task_id: t}, value: 1}") == []
    assert eval_results_errors("x", b"- {dataset: {id: /a/b}}") == [
        "x: dataset.id and dataset.task_id are required",
        "x: value is required",
    ]
