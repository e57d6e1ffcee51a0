"""The mirror brings a real MLflow server to what our registry says, whatever either has been through."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from daemon.mirroring.mirror import CHANNEL, COLLECTED_TAG, URI_TAG, VERSION_TAG, Mirror, metrics_of
from daemon.mirroring.mlflow import Access, MirrorRefusedError, Mlflow
from registry import promotion
from registry.database.schema import versions
from registry.store import Registry
from tests.support.mlflow_server import mlflow_server
from tests.support.registries import Clock, add_version

pytestmark = [pytest.mark.slow, pytest.mark.process]


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as found:
        yield found


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(f"sqlite:///{tmp_path}/registry.db", clock=Clock()) as found:
        yield found


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def mirror_of(registry: Registry, url: str, prefix: str, clock_s: Seconds | None = None) -> Mirror:
    server = Mlflow(Access(url))
    return Mirror(
        server, registry, prefix=prefix, uri=lambda name: f"http://apps.example/v1/models/{name}/manifest", fencing_token=None,
        clock_s=clock_s or Seconds(),
    )  # fmt: skip


def settle(mirror: Mirror) -> None:
    for _ in range(20):
        if mirror.step() > 0.0:
            return
    pytest.fail("it does not come to rest")


def ask(url: str, path: str, **params: Any) -> Any:
    return httpx.get(f"{url}/api/2.0/mlflow{path}", params=params, timeout=60).json()


def model(url: str, name: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Aliases with our versions' names, and the tags of each of our versions."""
    listed = ask(url, "/model-versions/search", filter=f"name='{name}'", max_results=100).get("model_versions", [])
    tags = {one["version"]: {tag["key"]: tag["value"] for tag in one["tags"]} for one in listed}
    found = ask(url, "/registered-models/get", name=name)["registered_model"].get("aliases", [])
    aliases = {one["alias"]: tags[one["version"]][VERSION_TAG] for one in found}
    assert len({own[VERSION_TAG] for own in tags.values()}) == len(tags), "none is there twice"
    return aliases, {own[VERSION_TAG]: own for own in tags.values()}


def promoted(registry: Registry, name: str) -> None:
    promotion.promote_by_hand(registry, name, actor="test", reason="better")


def test_versions_aliases_and_figures_are_mirrored(registry: Registry, url: str) -> None:
    first, second = add_version(registry).name, add_version(registry, parent="topics/v1").name
    promoted(registry, first)
    promoted(registry, second)
    mirror = mirror_of(registry, url, "whole-")
    settle(mirror)
    aliases, tags = model(url, "whole-topics")
    assert aliases == {"champion": second, "previous": first}
    assert tags[second]["perennial.parent"] == first
    assert tags[second][URI_TAG] == "http://apps.example/v1/models/topics/v2/manifest"
    experiment = ask(url, "/experiments/get-by-name", experiment_name="whole-topics")["experiment"]["experiment_id"]
    body = {"experiment_ids": [experiment]}
    runs = httpx.post(f"{url}/api/2.0/mlflow/runs/search", json=body, timeout=60).json()["runs"]
    assert sorted(run["info"]["run_name"] for run in runs) == [first, second]
    assert {one["key"]: one["value"] for one in runs[0]["data"]["metrics"]}["train_s"] == 1.5
    assert all(run["info"]["status"] == "FINISHED" for run in runs)


def test_only_what_changed_is_asked_about_and_a_rollback_is_followed(registry: Registry, url: str) -> None:
    first, second = add_version(registry).name, add_version(registry).name
    promoted(registry, first)
    promoted(registry, second)
    mirror = mirror_of(registry, url, "moved-")
    settle(mirror)
    asked: list[str] = []
    mirror._server._client.event_hooks["request"].append(lambda request: asked.append(request.url.path))
    settle(mirror)
    assert not asked
    promotion.rollback(registry, "topics", actor="test", reason="worse")
    settle(mirror)
    assert model(url, "moved-topics")[0] == {"champion": first, "previous": second}
    assert registry.notices.begin(CHANNEL) == registry.outbox.after(0)[-1].id


@pytest.mark.parametrize("after", ["/runs/create", "/runs/log-batch", "/model-versions/create", "/registered-models/alias"])
def test_a_mirror_that_ends_at_any_call_is_made_whole_by_the_next(registry: Registry, url: str, after: str) -> None:
    class Ends(BaseException):
        """The process ends."""

    def end(answer: httpx.Response) -> None:
        if answer.request.url.path.endswith(after):
            raise Ends

    prefix = f"ends-{after.replace('/', '-')}-"
    name = add_version(registry).name
    promoted(registry, name)
    first = mirror_of(registry, url, prefix)
    first._server._client.event_hooks["response"].append(end)
    with pytest.raises(Ends):
        settle(first)
    settle(mirror_of(registry, url, prefix))
    aliases, tags = model(url, f"{prefix}topics")
    assert aliases == {"champion": name}
    assert list(tags) == [name]
    experiment = ask(url, "/experiments/get-by-name", experiment_name=f"{prefix}topics")["experiment"]["experiment_id"]
    body = {"experiment_ids": [experiment]}
    assert len(httpx.post(f"{url}/api/2.0/mlflow/runs/search", json=body, timeout=60).json()["runs"]) == 1


def test_versions_without_files_stay_and_say_so(registry: Registry, url: str) -> None:
    for _ in range(3):
        add_version(registry)
    promoted(registry, "topics/v3")
    clock_s = Seconds()
    mirror = mirror_of(registry, url, "gone-", clock_s)
    settle(mirror)
    with registry.database.write() as connection:
        older = versions.c.name.in_(["topics/v1", "topics/v2"])
        connection.execute(sa.update(versions).where(older).values(collected_at=registry.clock()))
    clock_s.now += 4_000.0
    settle(mirror)
    _aliases, tags = model(url, "gone-topics")
    assert [COLLECTED_TAG in tags[f"topics/v{number}"] for number in (1, 2, 3)] == [True, True, False]
    settle(mirror_of(registry, url, "late-"))
    assert list(model(url, "late-topics")[1]) == ["topics/v3"], "what has no files any more is not added"


def test_a_server_that_lost_a_version_gets_it_again(registry: Registry, url: str) -> None:
    name = add_version(registry).name
    promoted(registry, name)
    settle(mirror_of(registry, url, "lost-"))
    body = {"name": "lost-topics", "version": "1"}
    httpx.request("DELETE", f"{url}/api/2.0/mlflow/model-versions/delete", json=body, timeout=60).raise_for_status()
    settle(mirror_of(registry, url, "lost-"))
    assert model(url, "lost-topics")[0] == {"champion": name}


@contextmanager
def answering(status: int, content: bytes) -> Iterator[str]:
    """A server that says the same to everything."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_server_that_is_away_is_tried_again_later_and_later(registry: Registry, url: str) -> None:
    promoted(registry, add_version(registry).name)
    mirror = mirror_of(registry, "http://127.0.0.1:9", "away-")
    assert [mirror.step() for _ in range(4)] == [2.0, 4.0, 8.0, 16.0]
    mirror._server = Mlflow(Access(url))
    settle(mirror)
    assert model(url, "away-topics")[0] == {"champion": "topics/v1"}


@pytest.mark.parametrize(
    ("status", "content", "waits"),
    [
        (503, b"", True),
        (429, b"{}", True),
        (404, b"<html>no such page", False),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}', False),
        (302, b"", False),
        (200, b"<html>sign in", False),
        (200, b'{"registered_model": {"aliases": [{"name": "of another version"}]}}', False),
        (200, b'{"registered_model": {}, "model_versions": [{"number": 1}]}', False),
        (200, b"[]", False),
    ],
)
def test_whatever_a_server_answers_the_daemon_goes_on(registry: Registry, status: int, content: bytes, waits: bool) -> None:
    promoted(registry, add_version(registry).name)
    with answering(status, content) as elsewhere:
        mirror = mirror_of(registry, elsewhere, "odd-")
        assert mirror.step() == (2.0 if waits else 1.0)
        # Refused for good: until something changes it is not asked again.
        assert mirror.step() == (4.0 if waits else 1.0)


def test_who_asks_is_told_to_the_server_and_not_to_the_log() -> None:
    server = Mlflow(Access("http://127.0.0.1:9", username="ada", password="secret-word"))
    assert isinstance(server._client.auth, httpx.BasicAuth)
    bearer = Mlflow(Access("http://127.0.0.1:9", token="secret-word"))
    assert bearer._client.headers["authorization"] == "Bearer secret-word"
    with answering(401, json.dumps({"message": "sign in"}).encode()) as elsewhere, pytest.raises(MirrorRefusedError) as refused:
        Mlflow(Access(elsewhere, token="secret-word")).aliases("topics")
    assert "secret-word" not in str(refused.value)


def test_figures_that_are_no_numbers_are_left_out(registry: Registry) -> None:
    version = add_version(registry)
    assert metrics_of(version) == {"size_bytes": float(2**20), "train_s": 1.5}
