"""The Hub of the tests answers the real client as the Hub does. Each script runs the client in its own process."""

import json
import subprocess
import sys

import pytest
import yaml
from hub_rules import card_errors, card_warnings, eval_results_errors
from hub_server import HubServer

REPO = "writer/model"

SHARED = """
import base64, json, sys
from pathlib import Path
from huggingface_hub import HfApi, ModelCard, errors, get_session, hf_hub_download, snapshot_download

writer, reader, stranger, nobody = (HfApi(token=token) for token in ("hf_writer", "hf_reader", "hf_wrong", False))

def fails(kind, action, *arguments, **options):
    try:
        action(*arguments, **options)
    except kind as error:
        return str(error)
    sys.exit(f"{action.__name__}{arguments}{options} did not fail")

def fill(folder, **contents):
    for name, content in contents.items():
        path = Path(folder, name.replace("__", "/").replace("_", "."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
"""


def run_client(hub, folder, script, **given):
    """Runs a script and gives what it printed as JSON, if anything."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", SHARED + script, json.dumps(given)],
        cwd=folder,
        env=hub.environment(folder / "home"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else None


@pytest.fixture
def hub():
    with HubServer({"writer": "hf_writer", "reader": "hf_reader"}) as running:
        yield running


ROUND_TRIP = """
weights = bytes(range(256)) * 1000
fill("model", config_json=b"{}", weights_safetensors=weights, sub__notes_txt=b"text", sub__raw_dat=b"a\\0b")
fill("model", empty_bin=b"")
assert writer.create_repo("model").repo_id == "writer/model"
assert writer.create_repo("model", exist_ok=True) == writer.create_repo("writer/model", exist_ok=True)
assert "already created" in fails(errors.HfHubHTTPError, writer.create_repo, "writer/model")
first = writer.upload_folder(repo_id="writer/model", folder_path="model", commit_message="one").oid
fill("model", config_json=b'{"newer": true}')
second = writer.upload_folder(repo_id="writer/model", folder_path="model", commit_message="two").oid
assert len(first) == len(second) == 40 and first != second
# What has not changed makes no commit.
assert writer.upload_folder(repo_id="writer/model", folder_path="model", commit_message="same").oid == second

writer.create_branch("writer/model", branch="next/one", revision=first)
writer.create_branch("writer/model", branch="next/one", exist_ok=True)
fails(errors.HfHubHTTPError, writer.create_branch, "writer/model", branch="next/one")
writer.create_tag("writer/model", tag="v1", revision=first)
fill("model", config_json=b'{"next": true}')
writer.upload_folder(repo_id="writer/model", folder_path="model", revision="next/one", commit_message="three")
writer.delete_folder("sub", "writer/model", revision="next/one", commit_message="four")

for revision, text in ((None, b'{"newer": true}'), (first, b"{}"), ("v1", b"{}"), ("next/one", b'{"next": true}')):
    copy = Path(snapshot_download("writer/model", revision=revision))
    assert (copy / "config.json").read_bytes() == text
    assert (copy / "weights.safetensors").read_bytes() == weights and (copy / "empty.bin").read_bytes() == b""
    assert (copy / "sub").exists() == (revision != "next/one")
    found = hf_hub_download("writer/model", "config.json", revision=revision, local_dir="plain")
    assert Path(found).read_bytes() == text
assert Path(snapshot_download("writer/model", revision=first), "sub/raw.dat").read_bytes() == b"a\\0b"

files = {file.path: file for file in reader.list_repo_tree("writer/model", recursive=True)}
expected = {".gitattributes", "config.json", "empty.bin", "sub", "sub/notes.txt", "sub/raw.dat"}
assert set(files) == expected | {"weights.safetensors"}
assert files["weights.safetensors"].lfs.size == 256_000 and files["sub/raw.dat"].lfs and not files["config.json"].lfs
assert {file.path for file in reader.list_repo_tree("writer/model", "sub")} == {"sub/notes.txt", "sub/raw.dat"}
assert "sub/notes.txt" not in {file.path for file in reader.list_repo_tree("writer/model")}
refs = reader.list_repo_refs("writer/model")
assert {branch.name for branch in refs.branches} == {"main", "next/one"}
assert [(tag.name, tag.target_commit) for tag in refs.tags] == [("v1", first)]
assert [commit.title for commit in reader.list_repo_commits("writer/model")] == ["two", "one", "initial commit"]
assert reader.model_info("writer/model", files_metadata=True).siblings[-1].lfs.size == 256_000
late = dict(repo_id="writer/model", path_or_fileobj=b"late", path_in_repo="late.txt", parent_commit=first)
assert "412" in fails(errors.HfHubHTTPError, writer.upload_file, **late)
"""


def test_revisions_are_uploaded_and_downloaded(hub, tmp_path):
    run_client(hub, tmp_path, ROUND_TRIP)
    assert [commit.message for commit in hub.commits(REPO)] == ["initial commit", "one", "two", "three", "four"]
    assert [commit.author for commit in hub.commits(REPO)] == ["system"] + 4 * ["writer"]
    assert hub.files(REPO)["config.json"] == b'{"newer": true}' and hub.files(REPO, "v1")["config.json"] == b"{}"
    # The weights are the same in all commits: sent once. The empty file cannot be LFS.
    uploads = [path for method, path in hub.requests if method == "PUT"]
    assert len(uploads) == len(set(uploads)) == 2


ACCESS = """
folder = fill("model", config_json=b"{}", weights_bin=b"weights")
for name, private in (("open", False), ("secret", True)):
    writer.create_repo(name, private=private)
    writer.upload_folder(repo_id=f"writer/{name}", folder_path=folder)
assert writer.whoami()["name"] == "writer" and reader.model_info("writer/open").private is False
assert writer.model_info("writer/secret").private

# A private repository is as one that is not there.
for repo in ("writer/secret", "writer/none", "none"):
    for api in (reader, nobody):
        fails(errors.RepositoryNotFoundError, api.model_info, repo)
        fails(errors.RepositoryNotFoundError, api.hf_hub_download, repo, "config.json")
        fails(errors.RepositoryNotFoundError, api.snapshot_download, repo)
        fails(errors.RepositoryNotFoundError, api.upload_folder, repo_id=repo, folder_path=folder)

# Only now: what is in the cache is given to everybody, whatever the Hub says.
assert Path(hf_hub_download("writer/secret", "config.json", token="hf_writer")).read_bytes() == b"{}"
assert Path(hf_hub_download("writer/secret", "config.json", token="hf_reader")).read_bytes() == b"{}"

assert "403" in fails(errors.HfHubHTTPError, reader.upload_folder, repo_id="writer/open", folder_path=folder)
assert "403" in fails(errors.HfHubHTTPError, reader.create_repo, "writer/other")
for api in (stranger, nobody):
    assert "401" in fails(errors.HfHubHTTPError, api.upload_folder, repo_id="writer/open", folder_path=folder)
    assert "401" in fails(errors.HfHubHTTPError, api.create_repo, "writer/other")
fails(errors.HfHubHTTPError, stranger.whoami)
# A wrong token is no way to read either, not even what is open to all.
assert "Invalid credentials" in fails(errors.HfHubHTTPError, stranger.model_info, "writer/open")

fails(errors.EntryNotFoundError, hf_hub_download, "writer/open", "none.json")
fails(errors.RevisionNotFoundError, hf_hub_download, "writer/open", "config.json", revision="none")
fails(errors.RevisionNotFoundError, hf_hub_download, "writer/open", "config.json", revision="0" * 40)
fails(errors.RevisionNotFoundError, writer.upload_folder, repo_id="writer/open", folder_path=folder, revision="none")
response = get_session().get(f"{writer.endpoint}/api/none")
assert response.status_code == 404 and "no such endpoint" in response.json()["error"]
assert get_session().put(f"{writer.endpoint}/writer/open/lfs/{'0' * 64}", content=b"other").status_code == 422

writer.delete_repo("secret")
fails(errors.RepositoryNotFoundError, writer.delete_repo, "writer/secret")
"""


def test_rights_and_what_is_not_there(hub, tmp_path):
    run_client(hub, tmp_path, ACCESS)
    assert list(hub.repositories) == ["writer/open"] and len(hub.commits("writer/open")) == 2


INTERRUPTED = """
try:
    from httpx2 import TransportError
except ImportError:  # huggingface_hub 1
    from httpx import TransportError
writer.create_repo("model")
fill("model", config_json=b"{" + b" " * 3_000_000 + b"}", weights_safetensors=bytes(5_000_000))

def visible():
    return reader.model_info("writer/model").sha, reader.list_repo_files("writer/model")

def upload():
    return writer.upload_folder(repo_id="writer/model", folder_path="model")

before = visible()
for kind in (RuntimeError, errors.HfHubHTTPError, TransportError):
    fails(kind, upload)
    assert visible() == before
after = upload().oid
assert visible() == (after, [".gitattributes", "config.json", "weights.safetensors"])
assert [commit.commit_id for commit in reader.list_repo_commits("writer/model")] == [after, before[0]]
"""


def test_an_interrupted_upload_is_not_visible_and_can_be_tried_again(hub, tmp_path):
    hub.fail_next("PUT", "/lfs/", 403)
    # The client itself tries again what was cut or failed with 5xx, but for the commit.
    hub.fail_next("PUT", "/lfs/", "drop")
    hub.fail_next("POST", "/commit/", 500)
    hub.fail_next("POST", "/commit/", "drop")
    run_client(hub, tmp_path, INTERRUPTED)
    assert all(fault.times == 0 for fault in hub.faults)
    assert hub.files(REPO)["weights.safetensors"] == bytes(5_000_000) and len(hub.commits(REPO)) == 2
    called = [method + path.split("/")[-2] for method, path in hub.requests if method == "PUT" or "/commit/" in path]
    assert called == 3 * ["PUTlfs"] + 3 * ["POSTcommit"]


GOOD = {
    "license": "cc-by-nc-sa-4.0",
    "language": ["en", "pl", "yue", "multilingual"],
    "library_name": "transformers",
    "pipeline_tag": "audio-classification",
    "tags": ["speech"],
    "datasets": ["writer/bursts", "common_voice"],
    "base_model": "openai/whisper-base",
    "metrics": ["accuracy"],
    "own_key": {"allowed": True},
    "model-index": [
        {
            "name": "model",
            "results": [
                {
                    "task": {"type": "audio-classification", "name": "Emotion"},
                    "dataset": {"type": "writer/bursts", "name": "Bursts", "split": "test"},
                    "metrics": [{"type": "ccc", "value": 0.5, "name": "CCC"}],
                    "source": {"name": "Here", "url": "https://example.org"},
                }
            ],
        }
    ],
}


def with_result(**changes):
    return {"model-index": [{"name": "model", "results": [GOOD["model-index"][0]["results"][0] | changes]}]}


# A change to the good card, and what is said of it; one for each rule.
BAD = {
    "license": ({"license": "mine"}, "\"license\" with value 'mine' must be one of"),
    "pipeline_tag": ({"pipeline_tag": "vocal-burst-analysis"}, '"pipeline_tag" must be one of the tasks'),
    "language": ({"language": "English"}, "\"language\" with value 'English' must be an ISO 639 code"),
    "language of two letters": ({"language": ["en", "xx"]}, "\"language\" with value 'xx'"),
    "language no": ({"language": False}, '"language" with value False'),
    "tags": ({"tags": ["speech", 3]}, '"tags" must hold strings'),
    "metrics": ({"metrics": "accuracy"}, '"metrics" must be an array'),
    "datasets": ({"datasets": ["../corpora/bursts"]}, "\"datasets\" with value '../corpora/bursts' is not valid"),
    "base_model": ({"base_model": "/models/whisper"}, "\"base_model\" with value '/models/whisper' is not valid"),
    "base_model of many": (
        {"base_model": ["runs/of/whisper"]},
        "\"base_model\" with value 'runs/of/whisper' is not valid",
    ),
    "library_name": ({"library_name": ["transformers"]}, '"library_name" must be a string'),
    "index": ({"model-index": {"name": "model"}}, '"model-index" must be an array'),
    "index name": ({"model-index": [{"results": []}]}, '"model-index[0].name" is required'),
    "index results": ({"model-index": [{"name": "model"}]}, '"model-index[0].results" must be an array'),
    "task type": (with_result(task={"name": "Emotion"}), '"model-index[0].results[0].task.type" is required'),
    "dataset name": (with_result(dataset={"type": "bursts"}), 'results[0].dataset.name" is required'),
    "dataset type": (
        with_result(dataset={"type": "my bursts", "name": "x"}),
        "dataset.type\" with value 'my bursts' fails",
    ),
    "no metrics": (with_result(metrics=[]), 'results[0].metrics" must be an array that is not empty'),
    "metric type": (with_result(metrics=[{"value": 1}]), 'results[0].metrics[0].type" is required'),
    "metric value": (with_result(metrics=[{"type": "ccc", "value": None}]), 'results[0].metrics[0].value" is required'),
    "source": (with_result(source={"name": "Here"}), 'results[0].source.url" is required'),
    "no mapping": (["license"], "the metadata must be a mapping"),
    "no YAML": (None, "Invalid YAML in README.md"),
}

# ModelCard refuses these itself when it reads them, or corrects them, so that the server does not see them.
READ_BY_THE_CLIENT = {
    "index",
    "index name",
    "index results",
    "task type",
    "dataset name",
    "no metrics",
    "metric type",
    "source",
    "no mapping",
    "no YAML",
}


def write_card(changes):
    if changes is None:
        return "---\nlicense: [\n---\n# Card\n"
    metadata = GOOD | changes if isinstance(changes, dict) else changes
    return f"---\n{yaml.safe_dump(metadata)}---\n# Card\n"


CARDS = """
from types import SimpleNamespace
from huggingface_hub import repocard

def post_here(url, **request):
    # ModelCard.validate of huggingface_hub 1 asks the real Hub, whatever HF_ENDPOINT says.
    return get_session().post(url.replace("https://huggingface.co", writer.endpoint), **request)

repocard.get_session = lambda: SimpleNamespace(post=post_here)
given = json.loads(sys.argv[1])
writer.create_repo("model")

def commit(path, content):
    # Past the check that the client makes before it uploads, and behind a file with which nothing is wrong.
    lines = [{"key": "header", "value": {"summary": "past the check"}}]
    for name, text in (("other.txt", "fine"), (path, content)):
        lines.append({"key": "file", "value": {"path": name, "content": base64.b64encode(text.encode()).decode()}})
    body = "\\n".join(map(json.dumps, lines))
    url = f"{writer.endpoint}/api/models/writer/model/commit/main"
    return get_session().post(url, content=body, headers={"Authorization": "Bearer hf_writer"}).text

good = ModelCard(given["good"])
good.validate()
good.push_to_hub("writer/model", token="hf_writer", commit_message="good")
assert ModelCard.load("writer/model", token="hf_reader").data.eval_results[0].metric_value == 0.5
assert reader.model_info("writer/model").card_data.license == "cc-by-nc-sa-4.0"
said = {}
for name, content in given["bad"].items():
    readme = {"path_or_fileobj": content.encode(), "path_in_repo": "README.md", "repo_id": "writer/model"}
    said[name] = [fails(ValueError, writer.upload_file, **readme), json.loads(commit("README.md", content))["error"]]
    if name not in given["read"]:
        card = ModelCard(content)
        said[name].append(fails(ValueError, card.validate))
        said[name].append(fails(ValueError, card.push_to_hub, "writer/model", token="hf_writer"))
entry = {"repo_id": "writer/model", "path_in_repo": ".eval_results/bursts.yaml"}
said["eval"] = fails(errors.BadRequestError, writer.upload_file, path_or_fileobj=b"- dataset: {id: a/b}", **entry)
writer.upload_file(path_or_fileobj=b"- {dataset: {id: a/b, task_id: t}, value: 1}", commit_message="eval", **entry)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """What was said of each bad card, by the client and past its check, and the commits and files at the end."""
    with HubServer({"writer": "hf_writer", "reader": "hf_reader"}) as hub:
        bad = {name: write_card(changes) for name, (changes, _) in BAD.items()}
        said = run_client(
            hub, tmp_path_factory.mktemp("cards"), CARDS, good=write_card({}), bad=bad, read=list(READ_BY_THE_CLIENT)
        )
        return said, hub.repositories[REPO].messages, hub.files(REPO).keys()


@pytest.mark.parametrize("name", BAD)
def test_bad_cards_are_refused(cards, name):
    message = BAD[name][1]
    assert any(message in error for error in card_errors(write_card(BAD[name][0])))
    said, *_ = cards
    assert len(said[name]) == (2 if name in READ_BY_THE_CLIENT else 4)
    assert all(message in words for words in said[name])


def test_only_good_cards_are_committed(cards):
    said, messages, files = cards
    assert files == {".gitattributes", "README.md", ".eval_results/bursts.yaml"}
    assert messages == ["initial commit", "good", "eval"]
    assert 'bursts.yaml[0].dataset.task_id" is required' in said["eval"]


def test_warnings_are_no_errors():
    assert card_errors("# Card") == [] and card_warnings("# Card") == ["empty or missing yaml metadata in repo card"]
    assert card_errors("---\n\n---\n") == [] and card_warnings("---\n\n---\n") == card_warnings("# Card")
    other = write_card({"license": "other"})
    assert card_errors(other) == [] and len(card_warnings(other)) == 2
    named = write_card({"license": "other", "license_name": "mine", "license_link": "LICENSE"})
    assert card_errors(named) == card_warnings(named) == []
    assert (
        card_errors(write_card({"license": "mine"}).replace("\n", "\r\n"))
        == card_errors(write_card({"license": "mine"}))
        != []
    )


@pytest.mark.parametrize(
    ("content", "errors"),
    [
        ("- {dataset: {id: a/b, task_id: t}, value: 0.4, date: 2025-01-15, notes: n, source: {url: u, user: x}}", []),
        ("dataset: {id: a/b}", ["x: must be an array"]),
        ("- {dataset: {id: a/b, task_id: t}}", ['"x[0].value" is required']),
        ("- {dataset: {id: /a/b, task_id: t}, value: 1}", ['"x[0].dataset.id" is not a dataset id']),
        ("- {dataset: {id: a/b, task_id: t}, value: 1, source: {name: n}}", ['"x[0].source.url" is required']),
        ("- {dataset: {id: a/b, task_id: t}, value: 1, date: soon}", ['"x[0].date" must be a date of ISO 8601']),
        ("- {dataset: {id: a/b, task_id: t}, value: 1, notes: 3}", ['"x[0].notes" must be a string']),
        ("- text", ['"x[0].dataset.id" is required', '"x[0].dataset.task_id" is required']),
    ],
)
def test_eval_results_are_held_to_the_rules(content, errors):
    assert eval_results_errors("x", content.encode()) == errors


MODEL = """
import torch
from transformers import AutoModel, BertConfig, BertModel
sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=32)
model = BertModel(BertConfig(**sizes, max_position_embeddings=16))
model.push_to_hub("bert", token="hf_writer", private=True)
again = AutoModel.from_pretrained("writer/bert", token="hf_writer")
assert type(again) is BertModel and again.state_dict().keys() == model.state_dict().keys()
assert all(torch.equal(weights, again.state_dict()[name]) for name, weights in model.state_dict().items())
fails(OSError, AutoModel.from_pretrained, "writer/bert", token="hf_reader", cache_dir="other")
"""


@pytest.mark.slow
def test_transformers_pushes_a_model_and_opens_it(hub, tmp_path):
    run_client(hub, tmp_path, MODEL)
    assert {"config.json", "model.safetensors", "README.md"} <= hub.files("writer/bert").keys()
