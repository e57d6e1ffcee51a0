"""A server that speaks the Hugging Face Hub's language, as far as its own client uses it to publish and to fetch."""

from __future__ import annotations

import hashlib
import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from huggingface_hub.utils.sha import git_hash

TOKEN = "hf_secretsecretsecret"
OWNER = "newsroom"
LFS_FROM_BYTES = 20_000
SHA_DIGITS = 40


@dataclass
class Repository:
    """Content by commit; the newest commit is `main`."""

    private: bool
    commits: list[dict[str, bytes]] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)

    def files(self, revision: str = "main") -> dict[str, bytes] | None:
        """Files at a revision; None where there is none."""
        if revision == "main":
            return self.commits[-1] if self.commits else {}
        if len(revision) == SHA_DIGITS:
            return self.commits[int(revision, 16) - 1]
        return self.commits[self.tags[revision]] if revision in self.tags else None


@dataclass
class Hub:
    """What the server holds and has been asked; `faults` are told the method and path, and may return a status to answer."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    """By `owner/name`; data sets by `datasets/owner/name`."""
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    faults: Callable[[str, str], int | None] = lambda _method, _path: None

    def commits(self) -> int:
        return sum(len(one.commits) for one in self.repositories.values())


CUT = -1
"""A fault: the connection ends without an answer."""


@contextmanager
def hub_server() -> Iterator[Hub]:  # noqa: C901 - one handler
    """Serve an empty hub whose one token belongs to `newsroom`."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, status: int, content: Any = None, **headers: str) -> None:
            said = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", "content-length": str(len(said)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(said)

        def _refuse(self, status: int, code: str, message: str) -> None:
            self._answer(status, {"error": message}, x_error_code=code, x_error_message=message)

        def _handle(self) -> None:
            place = urlsplit(self.path)
            body = self._body()
            hub.asked.append((self.command, place.path))
            if (fault := hub.faults(self.command, place.path)) is not None:
                if fault == CUT:
                    self.close_connection = True
                    self.connection.close()
                    return
                self._answer(fault, {"error": "not now"})
                return
            if place.path.startswith("/lfs-objects/"):
                self._take_object(place.path.rpartition("/")[2], body)
            elif self.headers.get("authorization") != f"Bearer {TOKEN}":
                self._refuse(401, "", "Invalid credentials in Authorization header")
            elif place.path == "/api/validate-yaml":
                self._answer(200, {"errors": [], "warnings": []})
            elif place.path == "/api/repos/create":
                self._create(json.loads(body))
            elif place.path.endswith(".git/info/lfs/objects/batch"):
                self._batch(json.loads(body))
            elif "/resolve/" in place.path:
                self._give(place.path)
            else:
                self._of_repository(place.path, parse_qs(place.query), body)

        do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815 - the library's names

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("content-length") or 0))

        def _create(self, said: dict[str, Any]) -> None:
            owner, name = said.get("organization") or OWNER, said["name"]
            if owner != OWNER:
                self._refuse(403, "", f"You don't have the rights to create a model under the namespace {owner!r}")
                return
            inside = "datasets/" if said.get("type") == "dataset" else ""
            repo, private = f"{inside}{owner}/{name}", said.get("visibility") != "public"
            if repo in hub.repositories:
                self._answer(409, {"error": "You already created this model repo", "url": f"{hub.url}/{repo}"})
                return
            hub.repositories[repo] = Repository(private, [{".gitattributes": b"*.safetensors filter=lfs\n"}])
            self._answer(200, {"url": f"{hub.url}/{repo}", "name": repo})

        def _batch(self, said: dict[str, Any]) -> None:
            found = []
            for one in said["objects"]:
                action = {"upload": {"href": f"{hub.url}/lfs-objects/{one['oid']}"}}
                found.append({**one, **({} if one["oid"] in hub.objects else {"actions": action})})
            self._answer(200, {"transfer": "basic", "objects": found})

        def _take_object(self, oid: str, body: bytes) -> None:
            assert hashlib.sha256(body).hexdigest() == oid
            hub.objects[oid] = body
            hub.uploaded.append(oid)
            self._answer(200, {})

        def _give(self, path: str) -> None:
            repo, _, rest = unquote(path).strip("/").partition("/resolve/")
            revision, _, name = rest.partition("/")
            repository = hub.repositories.get(repo)
            content = (repository.files(revision) or {}).get(name) if repository else None
            if content is None:
                self._refuse(404, "EntryNotFound", "Entry not found")
                return
            self.send_response(200)
            sha = hashlib.sha256(content).hexdigest()
            for header, value in (("content-length", len(content)), ("etag", f'"{sha}"'), ("x-repo-commit", revision)):
                self.send_header(header, str(value))
            self.end_headers()
            if self.command == "GET":
                hub.fetched.append(name)
                self.wfile.write(content)

        def _of_repository(  # noqa: C901 - one case an address
            self, path: str, query: dict[str, list[str]], body: bytes
        ) -> None:
            _, api, kind, owner, name, *rest = [unquote(part) for part in path.split("/")]
            assert api == "api"
            repo = f"{owner}/{name}" if kind == "models" else f"{kind}/{owner}/{name}"
            repository = hub.repositories.get(repo)
            if repository is None or (owner != OWNER and repository.private):
                self._refuse(404, "RepoNotFound", "Repository not found")
                return
            what, revision = (rest[0] if rest else ""), (rest[1] if len(rest) > 1 else "main")
            files = repository.files(revision)
            if what in ("preupload", "commit", "tag") and owner != OWNER:
                self._refuse(403, "", "Authorization error")
            elif files is None:
                self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            elif what in ("", "revision"):
                at = len(repository.commits)
                self._answer(200, {"id": f"{owner}/{name}", "private": repository.private, "sha": f"{at:040x}", "siblings": []})
            elif what == "refs":
                refs = {"tags": [(tag, f"refs/tags/{tag}", at) for tag, at in repository.tags.items()],
                        "branches": [("main", "refs/heads/main", len(repository.commits) - 1)]}  # fmt: skip
                listed = {
                    key: [{"name": tag, "ref": ref, "targetCommit": f"{at + 1:040x}"} for tag, ref, at in found]
                    for key, found in refs.items()
                }
                self._answer(200, {**listed, "converts": []})
            elif what == "tree":
                self._answer(200, [_listed(path, content) for path, content in sorted(files.items())])
            elif what == "preupload":
                modes = [
                    {
                        "path": one["path"],
                        "uploadMode": "lfs" if one["size"] >= LFS_FROM_BYTES else "regular",
                        "shouldIgnore": False,
                    }
                    for one in json.loads(body)["files"]
                ]
                self._answer(200, {"files": modes})
            elif what == "commit":
                self._commit(repo, [json.loads(line) for line in body.splitlines()])
            elif what == "tag":
                tag = json.loads(body)["tag"]
                if tag in repository.tags:
                    self._refuse(409, "", f"Tag {tag} exists already")
                    return
                repository.tags[tag] = len(repository.commits) - 1
                self._answer(200, {})
            else:
                self._answer(501, {"error": f"{self.command} {path} {query}"})

        def _commit(self, repo: str, operations: list[dict[str, Any]]) -> None:
            repository = hub.repositories[repo]
            files = dict(repository.commits[-1])
            for one in operations:
                said = one["value"]
                if one["key"] == "file":
                    files[said["path"]] = b64decode(said["content"])
                elif one["key"] == "lfsFile":
                    files[said["path"]] = hub.objects[said["oid"]]
                elif one["key"] == "deletedFile":
                    del files[said["path"]]
            repository.commits.append(files)
            oid = f"{len(repository.commits):040x}"
            self._answer(
                200, {"success": True, "commitOid": oid, "commitUrl": f"{hub.url}/{repo}/commit/{oid}", "hookOutput": ""}
            )

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listed(path: str, content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
    if len(content) >= LFS_FROM_BYTES:
        found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return found
