"""A small Hub on loopback that the true huggingface_hub client talks to: the routes that publishing and loading use.

Repositories, one-commit uploads, large files, trees, tags, private repositories with tokens, and downloads as the Hub
answers them: a file that git holds at once, a large file by a redirect to the storage. `damage` makes downloads fail.

    with hub_server.running() as hub:
        subprocess.run([...], env=hub.environment(home))
"""

import base64
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from hub_store import LARGE_SUFFIXES, Blob, Repository

# A token as the Hub's look, in two parts: no secret, but one that scanners would report.
TOKEN = "hf_" + "t" * 34
_KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
_NAME = r"(?P<repo>[\w.-]+/[\w.-]+?)"
_API = rf"/api/(?P<kind>models|datasets|spaces)/{_NAME}"
_FILES = rf"/(?:(?P<kind>datasets|spaces)/)?{_NAME}"
_PIECE = 1 << 18  # bytes of an answer that are sent at once
ROUTES: list[tuple[str, str, str]] = []


class Refused(Exception):
    """An answer that is an error, with the Hub's code for it."""

    def __init__(self, status: int, code: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status, self.code, self.more = status, code, more


class Hub:
    """What the server knows.

    Attributes:
        endpoint: its address.
        storage: address that large files are downloaded from.
        repositories: by kind and id.
        large_files: contents by sha256.
        requests: method and path of every request, in order.
        bytes_per_second: of all answers together; None for as fast as they go.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        # As on the Hub the storage is another host, so that the client does not follow when it asks for the header.
        self.storage = endpoint.replace("127.0.0.1", "localhost")
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large_files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.bytes_per_second: float | None = None
        self.lock = Lock()
        self._free_at = 0.0
        self._damage: dict[str, Callable[[bytes], bytes]] = {}

    def environment(self, home: Path, *, token: str | None = TOKEN) -> dict[str, str]:
        """Environment of a fresh process that speaks to this Hub, with caches below `home`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
        told = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        return {**kept, **told, "HF_HUB_DISABLE_TELEMETRY": "1"} | ({"HF_TOKEN": token} if token else {})

    def repository(self, repo_id: str, kind: str = "model") -> Repository:
        return self.repositories[kind, repo_id]

    def create(self, repo_id: str, kind: str = "model", *, private: bool = False) -> Repository:
        repository = Repository(repo_id, kind, private)
        self.repositories[kind, repo_id] = repository
        return repository

    def put(self, repo_id: str, folder: Path, *, kind: str = "model", private: bool = False) -> str:
        """Commit all files of a folder, without a client; returns the commit's id."""
        repository = self.repositories.get((kind, repo_id)) or self.create(repo_id, kind, private=private)
        files = dict(repository.files)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            files[path.relative_to(folder).as_posix()] = Blob(path.read_bytes(), path.suffix in LARGE_SUFFIXES)
        return repository.commit("main", files, f"{folder.name}")

    def damage(self, name: str, change: Callable[[bytes], bytes] | None) -> None:
        """Change what downloads of a file deliver, or with None no longer."""
        self._damage.pop(name, None)
        if change is not None:
            self._damage[name] = change

    def wait_for(self, n_bytes: int) -> None:
        """Take the time that a line of `bytes_per_second` needs; one request is answered at a time."""
        if self.bytes_per_second is not None:
            self._free_at = max(self._free_at, time.monotonic()) + n_bytes / self.bytes_per_second
            time.sleep(max(0.0, self._free_at - time.monotonic()))

    def delivered(self, path: str, content: bytes) -> bytes:
        return self._damage.get(path, bytes)(content)


def route(method: str, pattern: str) -> Callable:
    def add(function: Callable) -> Callable:
        ROUTES.append((method, pattern, function.__name__))
        return function

    return add


class Handler(BaseHTTPRequestHandler):
    """One request; the routes are methods that return (status, JSON) or have answered themselves."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at `hub.requests`."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if self._has_length() else b""
        with self.hub.lock:
            self.hub.requests.append(f"{self.command} {unquote(url.path)}")
            try:
                for method, pattern, name in ROUTES:
                    if method == self.command and (match := re.fullmatch(pattern, url.path)):
                        parts = {key: unquote(value) for key, value in match.groupdict().items() if value}
                        if (answer := getattr(self, name)(**parts)) is not None:
                            self._send(200, json.dumps(answer).encode())
                        return
                raise Refused(404, "NotFound", f"no route {self.command} {url.path}")
            except Refused as refused:
                headers = {"X-Error-Code": refused.code, "X-Error-Message": str(refused)}
                body = {"error": str(refused), "errors": [{"message": str(refused)}], **refused.more}
                self._send(refused.status, json.dumps(body).encode(), headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def _has_length(self) -> bool:
        if self.headers.get("Transfer-Encoding") == "chunked":
            raise AssertionError("the client sent a body in chunks, which this server does not read")
        return "Content-Length" in self.headers

    def _send(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for begin in range(0, len(content), _PIECE):
            piece = content[begin : begin + _PIECE]
            self.wfile.write(piece)
            self.hub.wait_for(len(piece))

    def _send_range(self, content: bytes) -> None:
        """Answer with the part of a file that is asked for, or with all of it."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._send(200, content, {"Accept-Ranges": "bytes"})
            return
        begin, end = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        if begin > end:
            self._send(416, headers={"Content-Range": f"bytes */{len(content)}"})
            return
        place = {"Content-Range": f"bytes {begin}-{end}/{len(content)}"}
        self._send(206, content[begin : end + 1], place)

    # Who asks, and for what

    def _is_known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repository(self, kind: str, repo: str, *, writes: bool = False) -> Repository:
        found = self.hub.repositories.get((_KINDS[kind], repo))
        if found is None or (found.private and not self._is_known()):
            # The Hub does not tell what is private from what is not there.
            status = 404 if self._is_known() else 401
            raise Refused(status, "RepoNotFound", "Repository not found")
        if writes and not self._is_known():
            raise Refused(401, "", "Invalid username or password.")
        return found

    def _commit_id(self, repository: Repository, revision: str) -> str:
        commit_id = repository.resolve(revision)
        if commit_id is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit_id

    # Repositories

    @route("POST", "/api/repos/create")
    def create_repository(self) -> dict:
        asked = json.loads(self.body)
        if not self._is_known():
            raise Refused(401, "", "Invalid username or password.")
        kind, repo_id = asked.get("type", "model"), f"{asked['organization']}/{asked['name']}"
        prefix = "" if kind == "model" else f"{kind}s/"
        url = f"{self.hub.endpoint}/{prefix}{repo_id}"
        if (kind, repo_id) in self.hub.repositories:
            raise Refused(409, "", "You already created this repo", url=url)
        self.hub.create(repo_id, kind, private=asked.get("visibility") == "private")
        return {"url": url, "name": repo_id}

    @route("POST", "/api/validate-yaml")
    def validate_card(self) -> dict:
        asked = json.loads(self.body)
        match = re.match(r"---\r?\n(.*?)\n---", asked["content"], re.DOTALL)
        metadata = yaml.safe_load(match[1]) if match else {}
        if not isinstance(metadata, dict):
            raise Refused(400, "", "metadata must be a mapping")
        if asked["repoType"] == "space" and "sdk" not in metadata:
            raise Refused(400, "", '"sdk" is required')
        return {"errors": [], "warnings": []}

    @route("GET", rf"{_API}(?:/revision/(?P<revision>[^/]+))?")
    def describe(self, kind: str, repo: str, revision: str = "main") -> dict:
        repository = self._repository(kind, repo)
        commit_id = self._commit_id(repository, revision)
        files = repository.commits[commit_id]
        return {
            "_id": commit_id[:24], "id": repo, "sha": commit_id, "private": repository.private, "tags": [],
            "downloads": 0, "likes": 0, "siblings": [{"rfilename": path} for path in sorted(files)],
        }  # fmt: skip

    @route("GET", rf"{_API}/refs")
    def list_refs(self, kind: str, repo: str) -> dict:
        repository = self._repository(kind, repo)
        named = {"branches": ("heads", repository.refs), "tags": ("tags", repository.tags)}
        refs = {
            key: [{"name": name, "ref": f"refs/{what}/{name}", "targetCommit": oid} for name, oid in found.items()]
            for key, (what, found) in named.items()
        }
        return {**refs, "converts": []}

    @route("POST", rf"{_API}/tag/(?P<revision>[^/]+)")
    def tag(self, kind: str, repo: str, revision: str) -> dict:
        repository = self._repository(kind, repo, writes=True)
        name = json.loads(self.body)["tag"]
        if name in repository.tags:
            raise Refused(409, "", f"Tag {name} exists already")
        repository.tags[name] = self._commit_id(repository, revision)
        return {}

    @route("GET", rf"{_API}/tree/(?P<revision>[^/]+)(?:/(?P<below>.+))?")
    def list_tree(self, kind: str, repo: str, revision: str, below: str = "") -> list:
        repository = self._repository(kind, repo)
        files = repository.commits[self._commit_id(repository, revision)]
        found = [
            blob.describe(path) for path, blob in sorted(files.items()) if path.startswith(f"{below}/" * bool(below))
        ]
        if below and not found:
            raise Refused(404, "EntryNotFound", f"{below} does not exist")
        return found

    @route("POST", rf"{_API}/paths-info/(?P<revision>[^/]+)")
    def describe_paths(self, kind: str, repo: str, revision: str) -> list:
        repository = self._repository(kind, repo)
        files = repository.commits[self._commit_id(repository, revision)]
        given = self.body.decode()
        asked = json.loads(given)["paths"] if given.startswith("{") else parse_qs(given)["paths"]
        return [files[path].describe(path) for path in asked if path in files]

    # Uploads

    @route("POST", rf"{_API}/preupload/(?P<revision>[^/]+)")
    def choose_modes(self, kind: str, repo: str, revision: str) -> dict:
        repository = self._repository(kind, repo, writes=True)
        there = repository.commits[self._commit_id(repository, revision)]
        files = []
        for file in json.loads(self.body)["files"]:
            mode = "lfs" if file["path"].endswith(LARGE_SUFFIXES) else "regular"
            known = there.get(file["path"])
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False,
                          "oid": known.etag if known else None})  # fmt: skip
        return {"files": files}

    @route("POST", rf"{_FILES}\.git/info/lfs/objects/batch")
    def offer_storage(self, repo: str, kind: str = "models") -> dict:
        self._repository(kind, repo, writes=True)
        objects = []
        for asked in json.loads(self.body)["objects"]:
            upload = {"upload": {"href": f"{self.hub.endpoint}/storage/{asked['oid']}"}}
            known = asked["oid"] in self.hub.large_files
            objects.append(asked if known else {**asked, "actions": upload})
        return {"transfer": "basic", "objects": objects}

    @route("PUT", r"/storage/(?P<sha256>\w{64})")
    def store(self, sha256: str) -> dict:
        if Blob(self.body, is_large=True).sha256 != sha256:
            raise Refused(400, "", "content does not match its checksum")
        self.hub.large_files[sha256] = self.body
        return {}

    @route("POST", rf"{_API}/commit/(?P<revision>[^/]+)")
    def commit(self, kind: str, repo: str, revision: str) -> dict:
        repository = self._repository(kind, repo, writes=True)
        files, message = dict(repository.commits[self._commit_id(repository, revision)]), ""
        for line in self.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "header":
                message = value["summary"]
            elif operation["key"] == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]), is_large=False)
            elif operation["key"] == "lfsFile":
                files[value["path"]] = Blob(self.hub.large_files[value["oid"]], is_large=True)
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        commit_id = repository.commit(revision, files, message)
        return {"success": True, "commitOid": commit_id, "commitUrl": f"{self.hub.endpoint}/{repo}/commit/{commit_id}"}

    # Downloads

    @route("HEAD", rf"{_FILES}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
    @route("GET", rf"{_FILES}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
    def download(self, repo: str, revision: str, path: str, kind: str = "models") -> None:
        repository = self._repository(kind, repo)
        commit_id = self._commit_id(repository, revision)
        blob = repository.commits[commit_id].get(path)
        if blob is None:
            raise Refused(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit_id, "ETag": f'"{blob.etag}"'}
        if blob.is_large:
            headers |= {"X-Linked-ETag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.content))}
            place = f"{self.hub.storage}/storage/{blob.sha256}?file={path}"
            self.hub.large_files[blob.sha256] = blob.content
            self._send(302, headers={**headers, "Location": place})
        elif self.command == "HEAD":
            self._send(200, blob.content, headers)
        else:
            self._send(200, self.hub.delivered(path, blob.content), headers)

    @route("GET", r"/storage/(?P<sha256>\w{64})")
    def deliver(self, sha256: str) -> None:
        self._send_range(self.hub.delivered(self.query["file"][0], self.hub.large_files[sha256]))


@contextmanager
def running() -> Iterator[Hub]:
    """A Hub on a free port of 127.0.0.1, in a thread of this process."""

    class OwnHandler(Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), OwnHandler)
    OwnHandler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield OwnHandler.hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
