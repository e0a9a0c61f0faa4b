"""A small Hub on loopback, which the real `huggingface_hub` client talks to: repositories with a history, and faults on demand.

    with HubServer({"writer": "hf_writer"}) as hub:
        subprocess.run([...], env=hub.environment(home, token="hf_writer"))
        hub.files("writer/model")

It knows what the client calls to create repositories and branches, to commit (inline, or by LFS for large kinds of files)
and to download. A commit is visible whole or not at all. Cards are held to the rules of `hub_rules.py`.
"""

import base64
import hashlib
import json
import os
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hub_rules import card_errors, eval_results_errors

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pkl", ".onnx", ".png")


@dataclass
class Repository:
    """A model's files, revision by revision."""

    private: bool
    branches: dict[str, str] = field(default_factory=dict)
    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        self.messages.append(message)
        oid = hashlib.sha1(repr((len(self.revisions), branch, message, sorted(files))).encode()).hexdigest()
        self.revisions[oid] = files
        self.branches[branch] = oid
        return oid

    def resolve(self, revision: str) -> str | None:
        oid = self.branches.get(revision, revision)
        return oid if oid in self.revisions else None


@dataclass
class Fault:
    """What happens to the next requests that fit: an answer of this status, or None to cut the connection."""

    method: str
    path: str
    status: int | None
    times: int


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class HubServer:
    """Runs in a thread while the context lasts.

    Args:
        users (`dict`): tokens by name. A user may write below their own name alone.
    """

    def __init__(self, users: dict[str, str]) -> None:
        self.users = {token: name for name, token in users.items()}
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """The environment of a process that takes this server for the Hub, and has its caches in a folder."""
        strange = ("HF_", "PYTHONPATH", "http_proxy", "HTTP_PROXY", "TRANSFORMERS_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        own = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return kept | own | {"OMP_NUM_THREADS": "1"} | ({"HF_TOKEN": token} if token else {})

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """What a revision holds, by path."""
        repository = self.repositories[repo_id]
        return repository.revisions[repository.resolve(revision)]

    def fail_next(self, method: str, path: str, status: int | None, times: int = 1) -> None:
        """Lets the next requests whose path contains `path` fail: with a status, or with a cut connection."""
        self.faults.append(Fault(method, path, status, times))

    def take_fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and fault.path in path:
                fault.times -= 1
                return fault
        return None


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    hub: HubServer
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        with self.hub.lock:
            self.hub.requests.append((self.command, path))
            fault = self.hub.take_fault(self.command, path)
            if fault is not None and fault.status is None:
                self.close_connection = True
                self.connection.close()
                return
            try:
                if fault is not None:
                    raise Refusal(fault.status, "this fault was asked for")
                for method, pattern, action in ROUTES:
                    match = re.fullmatch(pattern, path)
                    if method in (self.command, "GET" if self.command == "HEAD" else None) and match:
                        return action(self, body, **match.groupdict())
                raise Refusal(404, f"no such endpoint: {self.command} {path}")
            except Refusal as refusal:
                headers = {"X-Error-Message": str(refusal)} | ({"X-Error-Code": refusal.code} if refusal.code else {})
                self._send(json.dumps({"error": str(refusal)}).encode(), refusal.status, headers)

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def log_message(self, *arguments) -> None:
        """Stays silent."""

    def _send(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_json(self, value: object) -> None:
        self._send(json.dumps(value).encode())

    def _user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.users:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.users.get(token)

    def _readable(self, repo: str) -> Repository:
        repository = self.hub.repositories.get(repo)
        # As on the Hub, a private repository does not show that it is there.
        if repository is None or repository.private and self._user() != repo.split("/")[0]:
            raise Refusal(404 if self._user() else 401, "Repository not found", "RepoNotFound")
        return repository

    def _writable(self, repo: str) -> Repository:
        user = self._user()
        repository = self._readable(repo)
        if user is None:
            raise Refusal(401, "You must be logged in to write")
        if user != repo.split("/")[0]:
            raise Refusal(403, f"You have no right to write to {repo}")
        return repository

    def _revision(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]]:
        repository = self._readable(repo)
        oid = repository.resolve(revision)
        if oid is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return oid, repository.revisions[oid]

    def whoami(self, body: bytes) -> None:
        user = self._user()
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        self._send_json({"type": "user", "name": user, "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    def create(self, body: bytes) -> None:
        asked, user = json.loads(body), self._user()
        if user is None:
            raise Refusal(401, "You must be logged in to create a repository")
        repo = f"{asked.get('organization') or user}/{asked['name']}"
        if repo.split("/")[0] != user:
            raise Refusal(403, f"You have no right to create a model under the namespace {repo.split('/')[0]!r}")
        if repo in self.hub.repositories:
            return self._send(
                json.dumps({"error": "You already created this model repo", "url": f"{self.hub.url}/{repo}"}).encode(), 409
            )
        repository = self.hub.repositories[repo] = Repository(private=asked.get("visibility") == "private")
        repository.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        self._send_json({"url": f"{self.hub.url}/{repo}", "id": repo, "name": repo})

    def branch(self, body: bytes, repo: str, branch: str) -> None:
        repository = self._writable(repo)
        if branch in repository.branches:
            raise Refusal(409, f"Reference refs/heads/{branch} already exists")
        start = json.loads(body or b"{}").get("startingPoint", "main")
        repository.branches[branch] = self._revision(repo, start)[0]
        self._send_json({})

    def validate(self, body: bytes) -> None:
        errors = card_errors(json.loads(body)["content"])
        if errors:
            return self._send(json.dumps({"errors": [{"message": error} for error in errors], "warnings": []}).encode(), 400)
        self._send_json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        self._writable(repo)
        self._revision(repo, revision)
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self._send_json({"files": modes})

    def lfs_batch(self, body: bytes, repo: str) -> None:
        self._writable(repo)
        objects = [
            entry
            if entry["oid"] in self.hub.uploads
            else entry
            | {
                "actions": {
                    "upload": {"href": f"{self.hub.url}/lfs/{entry['oid']}"},
                    "verify": {"href": f"{self.hub.url}/lfs/{entry['oid']}/verify"},
                }
            }
            for entry in json.loads(body)["objects"]
        ]
        self._send_json({"transfer": "basic", "objects": objects})

    def lfs_upload(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refusal(422, "the content does not have this hash")
        self.hub.uploads[oid] = body
        self._send(b"")

    def lfs_verify(self, body: bytes, oid: str) -> None:
        if oid not in self.hub.uploads:
            raise Refusal(404, "this object was not uploaded")
        self._send_json({})

    def commit(self, body: bytes, repo: str, revision: str) -> None:
        repository = self._writable(repo)
        if revision not in repository.branches:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        files = dict(self._revision(repo, revision)[1])
        message = ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.uploads:
                    raise Refusal(400, f"LFS pointer of {value['path']} points to a file that does not exist")
                files[value["path"]] = self.hub.uploads[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"], None)
            else:
                raise Refusal(400, f"unknown operation {line['key']}")
        errors = card_errors(files["README.md"].decode()) if "README.md" in files else []
        for path, content in files.items():
            errors += eval_results_errors(path, content) if path.startswith(".eval_results/") else []
        if errors:
            raise Refusal(400, "; ".join(errors))
        oid = repository.commit(revision, files, message)
        self._send_json({"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{repo}/commit/{oid}"})

    def info(self, body: bytes, repo: str, revision: str = "main") -> None:
        oid, files = self._revision(repo, revision)
        siblings = [{"rfilename": path} for path in sorted(files)]
        private = self.hub.repositories[repo].private
        self._send_json({"id": repo, "modelId": repo, "sha": oid, "private": private, "siblings": siblings, "tags": []})

    def tree(self, body: bytes, repo: str, revision: str) -> None:
        _, files = self._revision(repo, revision)
        entries = []
        for path, content in sorted(files.items()):
            entry = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            if path.endswith(LFS_SUFFIXES):
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            entries.append(entry)
        self._send_json(entries)

    def refs(self, body: bytes, repo: str) -> None:
        branches = self._readable(repo).branches
        listed = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": oid} for name, oid in branches.items()]
        self._send_json({"branches": listed, "tags": [], "converts": []})

    def download(self, body: bytes, repo: str, revision: str, path: str) -> None:
        oid, files = self._revision(repo, revision)
        if path not in files:
            raise Refusal(404, f"Entry not found: {path}", "EntryNotFound")
        etag = hashlib.sha256(files[path]).hexdigest()
        self._send(
            files[path], headers={"Content-Type": "application/octet-stream", "ETag": f'"{etag}"', "X-Repo-Commit": oid}
        )


_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
ROUTES = [
    ("GET", r"/api/whoami-v2", Handler.whoami),
    ("POST", r"/api/repos/create", Handler.create),
    ("POST", r"/api/validate-yaml", Handler.validate),
    ("POST", rf"/api/models/{_REPO}/branch/(?P<branch>.+)", Handler.branch),
    ("POST", rf"/api/models/{_REPO}/preupload/(?P<revision>.+)", Handler.preupload),
    ("POST", rf"/api/models/{_REPO}/commit/(?P<revision>.+)", Handler.commit),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    ("PUT", r"/lfs/(?P<oid>\w+)", Handler.lfs_upload),
    ("POST", r"/lfs/(?P<oid>\w+)/verify", Handler.lfs_verify),
    ("GET", rf"/api/models/{_REPO}/revision/(?P<revision>.+)", Handler.info),
    ("GET", rf"/api/models/{_REPO}/tree/(?P<revision>[^/]+)", Handler.tree),
    ("GET", rf"/api/models/{_REPO}/refs", Handler.refs),
    ("GET", rf"/api/models/{_REPO}", Handler.info),
    ("GET", rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Handler.download),
]
