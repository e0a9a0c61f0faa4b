"""A small Hub on loopback for the real `huggingface_hub` client: repositories with a history, and faults on demand.

    with HubServer({"writer": "hf_writer"}) as hub:
        subprocess.run([...], env=hub.environment(home, token="hf_writer"))
        hub.files("writer/model")

It answers what the client asks to create repositories, branches and tags, to commit (inline, or by LFS for large or
binary files) and to download. A commit is visible whole or not at all. Cards must keep the rules of `hub_rules.py`.
There are only models, and no pull requests.
"""

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from hub_rules import card_errors, card_warnings, eval_results_errors, read_metadata

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pkl", ".onnx", ".png")
LFS_SIZE = 10 * 1024**2
DATE = "2024-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Commit:
    """One revision: the files are names of blobs, by path."""

    oid: str
    parent: str | None
    message: str
    author: str
    files: dict[str, str]


@dataclass
class Repository:
    """A model: blobs by the SHA-256 of their content, commits, and names for commits."""

    private: bool
    blobs: dict[str, bytes] = field(default_factory=dict)
    lfs: set[str] = field(default_factory=set)
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def messages(self) -> list[str]:
        return [commit.message for commit in self.commits.values()]

    @property
    def revisions(self) -> dict[str, dict[str, bytes]]:
        """Contents by path, for each commit, the oldest first."""
        return {oid: self.contents(commit) for oid, commit in self.commits.items()}

    def contents(self, commit: Commit) -> dict[str, bytes]:
        return {path: self.blobs[blob] for path, blob in commit.files.items()}

    def store(self, content: bytes) -> str:
        blob = hashlib.sha256(content).hexdigest()
        self.blobs[blob] = content
        return blob

    def commit(self, branch: str, files: dict[str, str], message: str, author: str) -> Commit:
        parent = self.branches.get(branch)
        identity = json.dumps([len(self.commits), parent, message, author, sorted(files.items())])
        commit = Commit(hashlib.sha1(identity.encode()).hexdigest(), parent, message, author, files)
        self.commits[commit.oid] = commit
        # The one step that makes it visible.
        self.branches[branch] = commit.oid
        return commit

    def resolve(self, revision: str) -> Commit | None:
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(oid)

    def oid_of(self, blob: str) -> str:
        """What the Hub calls a blob: its SHA-256 in LFS, else Git's SHA-1."""
        content = self.blobs[blob]
        return blob if blob in self.lfs else hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def describe(self, path: str, blob: str) -> dict[str, Any]:
        size = len(self.blobs[blob])
        entry = {"type": "file", "path": path, "size": size, "oid": self.oid_of(blob)}
        return entry | ({"lfs": {"oid": blob, "size": size, "pointerSize": 130}} if blob in self.lfs else {})


@dataclass
class Fault:
    """What happens to the next requests that fit: an answer of this status, or a connection cut amid the upload."""

    method: str
    path: str
    status: int | Literal["drop"]
    times: int


@dataclass
class Reply:
    """An answer; what is no bytes is sent as JSON."""

    content: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        own = {"X-Error-Message": message.replace("\n", " ")} | ({"X-Error-Code": code} if code else {})
        self.reply = Reply({"error": message}, status, own | headers)


class HubServer:
    """Runs in a thread while the context lasts.

    Args:
        users (`dict`): tokens by name. A user may write below their own name alone.
    """

    def __init__(self, users: dict[str, str]) -> None:
        self.users = {token: name for name, token in users.items()}
        self.repositories: dict[str, Repository] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """The environment of a process that takes this server for the Hub, and has its caches in a folder."""
        strange = re.compile(r"HF_|TRANSFORMERS_|PYTHONPATH$|.*_PROXY$", re.IGNORECASE)
        kept = {name: value for name, value in os.environ.items() if not strange.match(name)}
        # Without xet: the client has no way back from it to LFS.
        own = dict.fromkeys(("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "OMP_NUM_THREADS"), "1")
        own |= {"HF_ENDPOINT": self.url, "HF_HOME": str(home)}
        return kept | own | ({"HF_TOKEN": token} if token else {})

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """What a revision holds, by path."""
        repository = self.repositories[repo_id]
        return repository.contents(repository.resolve(revision))

    def commits(self, repo_id: str) -> list[Commit]:
        """The commits of all branches, the oldest first."""
        return list(self.repositories[repo_id].commits.values())

    def fail_next(self, method: str, path: str, status: int | Literal["drop"], times: int = 1) -> None:
        """Lets the next requests whose path contains `path` fail; faults that fit alike are taken in turn."""
        self.faults.append(Fault(method, path, status, times))

    def take_fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and fault.path in path:
                fault.times -= 1
                return fault
        return None


class Handler(BaseHTTPRequestHandler):
    """Answers requests: the methods named in ROUTES take what their pattern found, and give a reply."""

    hub: HubServer
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        size = int(self.headers.get("Content-Length") or 0)
        with self.hub.lock:
            self.hub.requests.append((self.command, unquote(path)))
            fault = self.hub.take_fault(self.command, unquote(path))
        if fault is not None and fault.status == "drop":
            self.rfile.read(size // 2)
            self.close_connection = True
            return
        self.body = self.rfile.read(size)
        try:
            if fault is not None:
                raise Refusal(fault.status, "this fault was asked for")
            with self.hub.lock:
                reply = self._dispatch(path)
        except Refusal as refusal:
            reply = refusal.reply
        except (KeyError, TypeError, ValueError) as error:
            reply = Refusal(400, f"malformed request: {error!r}").reply
        self._send(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def _dispatch(self, path: str) -> Reply:
        asked = "GET" if self.command == "HEAD" else self.command
        for method, pattern, action in ROUTES:
            # Matched as it was sent: a slash within a branch's name is still %2F.
            match = re.fullmatch(pattern, path) if method == asked else None
            if match:
                return action(self, **{name: unquote(value) for name, value in match.groupdict().items() if value})
        raise Refusal(404, f"no such endpoint: {self.command} {path}")

    def _send(self, reply: Reply) -> None:
        raw = isinstance(reply.content, bytes)
        content = reply.content if raw else json.dumps(reply.content, default=str).encode()
        kind = "application/octet-stream" if raw else "application/json"
        self.send_response(reply.status)
        for name, value in {"Content-Type": kind, **reply.headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Stays silent."""

    def _option(self, name: str) -> str | None:
        return parse_qs(urlsplit(self.path).query).get(name, [None])[0]

    # Who may do what.

    def _user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.users:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.users.get(token)

    def _logged_in(self) -> str:
        user = self._user()
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        return user

    def _readable(self, repo: str) -> Repository:
        user, repository = self._user(), self.hub.repositories.get(repo)
        # As on the Hub, a private repository does not show that it is there.
        if repository is None or (repository.private and user != repo.split("/")[0]):
            raise Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
        return repository

    def _writable(self, repo: str) -> Repository:
        repository = self._readable(repo)
        if self._logged_in() != repo.split("/")[0]:
            raise Refusal(403, f"You have no right to write to {repo}")
        return repository

    def _revision(self, repo: str, revision: str) -> tuple[Repository, Commit]:
        repository = self._readable(repo)
        commit = repository.resolve(revision)
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return repository, commit

    # Users and repositories.

    def whoami(self) -> Reply:
        access = {"type": "access_token", "accessToken": {"displayName": "tests", "role": "write"}}
        return Reply({"type": "user", "name": self._logged_in(), "orgs": [], "auth": access})

    def _named(self) -> tuple[str, dict[str, Any]]:
        """The repository that a request's content names, which must be the user's own."""
        asked, user = json.loads(self.body), self._logged_in()
        owner = asked.get("organization") or user
        if owner != user:
            raise Refusal(403, f"You have no right to create a model under the namespace {owner!r}")
        if asked.get("type", "model") != "model" or not re.fullmatch(r"\w[\w.-]*", asked["name"]):
            raise Refusal(400, f"no model can have this name or type: {asked}")
        return f"{owner}/{asked['name']}", asked

    def create(self) -> Reply:
        repo, asked = self._named()
        url = f"{self.hub.url}/{repo}"
        if repo in self.hub.repositories:
            return Reply({"error": "You already created this model repo", "url": url}, 409)
        repository = self.hub.repositories[repo] = Repository(private=asked.get("visibility") == "private")
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
        repository.commit("main", {".gitattributes": repository.store(attributes.encode())}, "initial commit", "system")
        return Reply({"url": url, "id": repo, "name": repo})

    def delete(self) -> Reply:
        repo, _ = self._named()
        self._writable(repo)
        del self.hub.repositories[repo]
        return Reply({})

    def branch(self, repo: str, branch: str) -> Reply:
        start = json.loads(self.body or b"{}").get("startingPoint", "main")
        return self._name_revision(repo, self._writable(repo).branches, branch, start)

    def tag(self, repo: str, revision: str) -> Reply:
        return self._name_revision(repo, self._writable(repo).tags, json.loads(self.body)["tag"], revision)

    def _name_revision(self, repo: str, names: dict[str, str], name: str, revision: str) -> Reply:
        if name in names:
            raise Refusal(409, f"Reference {name} already exists")
        names[name] = self._revision(repo, revision)[1].oid
        return Reply({})

    # Uploads.

    def validate(self) -> Reply:
        content = json.loads(self.body)["content"]
        errors = card_errors(content)
        # ModelCard.validate asks for text and shows it; create_commit reads JSON.
        if errors and self.headers.get("Accept") == "text/plain":
            return Reply("\n".join(errors).encode(), 400, {"Content-Type": "text/plain"})
        found = {"errors": errors, "warnings": [] if errors else card_warnings(content)}
        told = {kind: [{"message": message} for message in messages] for kind, messages in found.items()}
        return Reply(told, 400 if errors else 200)

    def preupload(self, repo: str, revision: str) -> Reply:
        repository = self._writable(repo)
        present = self._revision(repo, revision)[1].files
        modes = []
        for file in json.loads(self.body)["files"]:
            binary = b"\0" in base64.b64decode(file["sample"])
            large = binary or file["size"] > LFS_SIZE or file["path"].endswith(LFS_SUFFIXES)
            mode = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            # By this the client leaves out of its commit what has not changed.
            blob = present.get(file["path"])
            modes.append(mode | ({"oid": repository.oid_of(blob)} if blob else {}))
        return Reply({"files": modes})

    def lfs_batch(self, repo: str) -> Reply:
        repository = self._writable(repo)
        objects = []
        for entry in json.loads(self.body)["objects"]:
            href = f"{self.hub.url}/{repo}/lfs/{entry['oid']}"
            actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
            objects.append(entry | ({} if entry["oid"] in repository.lfs else {"actions": actions}))
        return Reply({"transfer": "basic", "objects": objects})

    def lfs_upload(self, repo: str, oid: str) -> Reply:
        # The client sends no token here: on the Hub the address itself is signed.
        repository = self.hub.repositories[repo]
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refusal(422, "the content does not have this hash")
        repository.lfs.add(repository.store(self.body))
        return Reply(b"")

    def lfs_verify(self, repo: str, oid: str) -> Reply:
        repository, size = self._writable(repo), json.loads(self.body)["size"]
        if oid not in repository.lfs or len(repository.blobs[oid]) != size:
            raise Refusal(404, "this object was not uploaded")
        return Reply({})

    def commit(self, repo: str, revision: str) -> Reply:
        repository = self._writable(repo)
        if self._option("create_pr"):
            raise Refusal(400, "this server has no pull requests")
        if revision not in repository.branches:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        parent = repository.branches[revision]
        header, *operations = (json.loads(line) for line in self.body.splitlines())
        if header["value"].get("parentCommit", parent) != parent:
            raise Refusal(412, f"{revision} has moved on to {parent}")
        files = dict(repository.commits[parent].files)
        for operation in operations:
            self._apply(repository, files, operation["key"], operation["value"])
        commit = repository.commit(revision, files, header["value"]["summary"], self._logged_in())
        url = f"{self.hub.url}/{repo}/commit/{commit.oid}"
        return Reply({"success": True, "commitOid": commit.oid, "commitUrl": url})

    def _apply(self, repository: Repository, files: dict[str, str], key: str, value: dict[str, Any]) -> None:
        """One line of a commit, on files that nobody sees yet."""
        path = value["path"]
        if path.startswith("/") or {"", ".", ".."} & set(path.rstrip("/").split("/")):
            raise Refusal(400, f"{path!r} leaves the repository")
        if key == "file":
            content = base64.b64decode(value["content"], validate=True)
            errors = card_errors(content.decode()) if path == "README.md" else []
            if re.fullmatch(r"\.eval_results/[^/]+\.ya?ml", path):
                errors = eval_results_errors(path, content)
            if errors:
                raise Refusal(400, "\n".join(errors))
            files[path] = repository.store(content)
        elif key == "lfsFile":
            if value["oid"] not in repository.lfs:
                raise Refusal(400, f"LFS pointer of {path} points to a file that does not exist")
            files[path] = value["oid"]
        elif key in ("deletedFile", "deletedFolder"):
            folder = path.rstrip("/") + "/"
            gone = [name for name in files if name == path or (key == "deletedFolder" and name.startswith(folder))]
            if not gone:
                raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            for name in gone:
                del files[name]
        else:
            raise Refusal(400, f"unknown operation {key}")

    # Downloads.

    def info(self, repo: str, revision: str = "main") -> Reply:
        repository, commit = self._revision(repo, revision)
        siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.files)]
        if self._option("blobs"):
            for entry in siblings:
                known = repository.describe(entry["rfilename"], commit.files[entry["rfilename"]])
                entry |= {"size": known["size"], "blobId": known["oid"]}
                # Here it has this name, and "oid" in the tree.
                entry |= {"lfs": known["lfs"] | {"sha256": known["lfs"]["oid"]}} if "lfs" in known else {}
        readme = repository.contents(commit).get("README.md", b"").decode()
        about = {"id": repo, "modelId": repo, "sha": commit.oid, "private": repository.private, "gated": False}
        return Reply(about | {"siblings": siblings, "tags": [], "cardData": read_metadata(readme) or {}})

    def tree(self, repo: str, revision: str, path: str = "") -> Reply:
        repository, commit = self._revision(repo, revision)
        base = PurePosixPath(path)
        deep = self._option("recursive") in ("true", "True", "1")
        below = {name: blob for name, blob in commit.files.items() if base in PurePosixPath(name).parents}
        if path and not below:
            raise Refusal(404, f"{path} does not exist on {revision}", "EntryNotFound")
        folders = {str(folder) for name in below for folder in PurePosixPath(name).parents if base in folder.parents}
        entries = [repository.describe(name, blob) for name, blob in below.items()]
        entries += [{"type": "directory", "path": name, "size": 0, "oid": "0" * 40} for name in folders]
        shown = [entry for entry in entries if deep or PurePosixPath(entry["path"]).parent == base]
        return Reply(sorted(shown, key=lambda entry: entry["path"]))

    def refs(self, repo: str) -> Reply:
        repository = self._readable(repo)
        found: dict[str, list] = {"branches": [], "tags": [], "converts": [], "pullRequests": []}
        for kind, place, names in (("branches", "heads", repository.branches), ("tags", "tags", repository.tags)):
            for name, oid in names.items():
                found[kind].append({"name": name, "ref": f"refs/{place}/{name}", "targetCommit": oid})
        return Reply(found)

    def history(self, repo: str, revision: str) -> Reply:
        repository, commit = self._revision(repo, revision)
        listed = []
        while commit is not None:
            entry = {"id": commit.oid, "title": commit.message, "message": "", "date": DATE}
            listed.append(entry | {"authors": [{"user": commit.author}]})
            commit = repository.commits.get(commit.parent)
        return Reply(listed)

    def download(self, repo: str, revision: str, path: str) -> Reply:
        repository, commit = self._revision(repo, revision)
        if path not in commit.files:
            # The client remembers by this commit that there is no such file.
            raise Refusal(404, f"Entry not found: {path}", "EntryNotFound", **{"X-Repo-Commit": commit.oid})
        known = repository.describe(path, commit.files[path])
        headers = {"ETag": f'"{known["oid"]}"', "X-Repo-Commit": commit.oid}
        if "lfs" in known:
            headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(known["size"])}
        return Reply(repository.blobs[commit.files[path]], 200, headers)


_REPO = r"(?P<repo>(?:[\w.-]+/)?[\w.-]+)"
_REVISION = r"(?P<revision>[^/]+)"
# What is more special comes first: without a namespace, `a/refs` could be a name as well.
ROUTES: list[tuple[str, str, Callable[..., Reply]]] = [
    ("GET", r"/api/whoami-v2", Handler.whoami),
    ("POST", r"/api/repos/create", Handler.create),
    ("DELETE", r"/api/repos/delete", Handler.delete),
    ("POST", r"/api/validate-yaml", Handler.validate),
    ("POST", rf"/api/models/{_REPO}/branch/(?P<branch>[^/]+)", Handler.branch),
    ("POST", rf"/api/models/{_REPO}/tag/{_REVISION}", Handler.tag),
    ("POST", rf"/api/models/{_REPO}/preupload/{_REVISION}", Handler.preupload),
    ("POST", rf"/api/models/{_REPO}/commit/{_REVISION}", Handler.commit),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    ("PUT", rf"/{_REPO}/lfs/(?P<oid>[0-9a-f]+)", Handler.lfs_upload),
    ("POST", rf"/{_REPO}/lfs/(?P<oid>[0-9a-f]+)/verify", Handler.lfs_verify),
    ("GET", rf"/api/models/{_REPO}/revision/{_REVISION}", Handler.info),
    ("GET", rf"/api/models/{_REPO}/tree/{_REVISION}(?:/(?P<path>.+))?", Handler.tree),
    ("GET", rf"/api/models/{_REPO}/commits/{_REVISION}", Handler.history),
    ("GET", rf"/api/models/{_REPO}/refs", Handler.refs),
    ("GET", rf"/api/models/{_REPO}", Handler.info),
    ("GET", rf"/{_REPO}/resolve/{_REVISION}/(?P<path>.+)", Handler.download),
]
