"""What an app fetches to run the champion itself: its particulars, the manifest, files in ranges, and nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from daemon.serving.service import Service
from registry.removal import collection
from tests.support.served import TASK, TOPICS, ServedData, listening, load_on_cpu

CHAMPION = f"/v1/tasks/{TASK}/champion"
FILE = f"/v1/models/{TASK}/v1/files/entity_ruler/patterns.jsonl"


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    made = ServedData(tmp_path)
    made.champion()
    return made


@pytest.fixture
def client(data: ServedData) -> Iterator[httpx.Client]:
    with (
        Service.open(data.settings, load=load_on_cpu) as service,
        listening(service) as address,
        httpx.Client(base_url=address, timeout=30) as opened,
    ):
        yield opened


def test_the_champion_is_told_with_what_is_needed_to_fetch_it(client: httpx.Client, data: ServedData) -> None:
    version = data.registry.versions.get(f"{TASK}/v1")
    told = client.get(CHAMPION).json()
    since = told.pop("since")
    assert told == {
        "task": TASK, "version": f"{TASK}/v1", "generation": 1, "kind": "ner", "backend": "spacy",
        "format": "spacy-ner", "precision": "fp32", "abstain_below": 0.0,
        "manifest_sha256": version.manifest_sha256, "size_bytes": version.size_bytes,
    }  # fmt: skip
    assert since.startswith(data.registry.versions.champion(TASK).moved_at.isoformat()[:19])
    data.champion()
    assert (client.get(CHAMPION).json()["version"], client.get(CHAMPION).json()["generation"]) == (f"{TASK}/v2", 2)


def test_every_byte_can_be_fetched_and_checked(client: httpx.Client, data: ServedData) -> None:
    champion = client.get(CHAMPION).json()
    answer = client.get(f"/v1/models/{champion['version']}/manifest")
    assert hashlib.sha256(answer.content).hexdigest() == champion["manifest_sha256"]
    assert answer.headers["ETag"] == f'"{champion["manifest_sha256"]}"'
    files = json.loads(answer.content)["files"]
    assert "entity_ruler/patterns.jsonl" in files
    for name, entry in files.items():
        file = client.get(f"/v1/models/{TASK}/v1/files/{name}")
        assert (file.status_code, len(file.content)) == (200, entry["size_bytes"])
        assert hashlib.sha256(file.content).hexdigest() == entry["sha256"]
        assert file.headers["ETag"] == f'"{entry["sha256"]}"'
        assert file.headers["Accept-Ranges"] == "bytes"


def test_a_range_continues_a_broken_download(client: httpx.Client) -> None:
    whole = client.get(FILE)
    rest = client.get(FILE, headers={"Range": "bytes=10-", "If-Range": whole.headers["ETag"]})
    assert (rest.status_code, rest.content) == (206, whole.content[10:])
    assert rest.headers["Content-Range"] == f"bytes 10-{len(whole.content) - 1}/{len(whole.content)}"
    assert client.get(FILE, headers={"Range": "bytes=2-4"}).content == whole.content[2:5]
    changed = client.get(FILE, headers={"Range": "bytes=10-", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, whole.content)


@pytest.mark.parametrize(("asked", "status"), [("bytes=100000-", 416), ("bytes=5-2", 400), ("lines=1-2", 400), ("bytes", 400)])
def test_a_range_that_cannot_be_had_is_refused_in_the_common_shape(client: httpx.Client, asked: str, status: int) -> None:
    size = len(client.get(FILE).content)
    refused = client.get(FILE, headers={"Range": asked})
    assert refused.status_code == status
    assert refused.headers["Content-Range"] == f"bytes */{size}"
    assert refused.json()["error"]["field"] == "Range"
    assert "FIRST-LAST" in refused.json()["error"]["remedy"]


def test_what_has_not_changed_is_not_sent_again(client: httpx.Client) -> None:
    etag = client.get(FILE).headers["ETag"]
    again = client.get(FILE, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    assert client.get(FILE, headers={"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "manifest.json", "nothing", "entity_ruler", "", "/etc/passwd", "%2Fetc%2Fpasswd", "../manifest.json",
        "entity_ruler/../meta.json", "%2e%2e/%2e%2e/%2e%2e/registry.db", "..%2F..%2F..%2Fregistry.db",
        "entity_ruler//patterns.jsonl", "entity_ruler%5Cpatterns.jsonl", "./meta.json", "meta.json%00",
    ],
)  # fmt: skip
def test_only_files_of_the_manifest_are_sent(client: httpx.Client, path: str) -> None:
    # By hand: a client library would tidy the path before it sends it.
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30) as connection:
        asked = f"GET /v1/models/{TASK}/v1/files/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(asked.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    status, error = int(answer.split()[1]), json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert status == 404
    assert error["remedy"]


def test_a_link_or_another_file_in_its_place_is_not_sent(client: httpx.Client, data: ServedData, tmp_path: Path) -> None:
    place = data.artifact_file(f"{TASK}/v1")
    content = place.read_bytes()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / place.name).write_bytes(content)
    place.unlink()
    assert client.get(FILE).status_code == 500
    place.symlink_to(tmp_path / "elsewhere" / place.name)
    assert client.get(FILE).status_code == 500
    place.unlink()
    aside = place.parent.rename(tmp_path / "aside")
    place.parent.symlink_to(tmp_path / "elsewhere")
    refused = client.get(FILE)
    assert refused.status_code == 500
    assert "restore" in refused.json()["error"]["remedy"]
    place.parent.unlink()
    aside.rename(place.parent)
    place.write_bytes(content + b"x")
    assert client.get(FILE).status_code == 500
    place.write_bytes(content)
    assert client.get(FILE).content == content


def test_unknown_and_removed_versions_say_what_to_do(client: httpx.Client, data: ServedData) -> None:
    data.champion()
    data.champion()
    collection.collect(data.registry, data.artifacts, keep=0)
    for path in ("manifest", "files/meta.json"):
        for name in ("v9", "x", "%2e%2e"):
            assert client.get(f"/v1/models/{TASK}/{name}/{path}").status_code == 404
        gone = client.get(f"/v1/models/{TASK}/v1/{path}")
        assert gone.status_code == 410
        assert gone.json()["error"]["field"] == "version"
        assert "champion" in gone.json()["error"]["remedy"]


def test_a_damaged_artifact_is_told_and_not_sent(client: httpx.Client, data: ServedData) -> None:
    folder = data.artifacts.folder(data.registry.versions.get(f"{TASK}/v1").artifact_id)
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes() + b" ")
    for path in ("manifest", "files/meta.json"):
        assert client.get(f"/v1/models/{TASK}/v1/{path}").status_code == 500
    shutil.rmtree(folder)
    assert client.get(f"/v1/models/{TASK}/v1/manifest").status_code == 500


def test_tasks_without_champion_and_unknown_tasks_have_nothing_to_fetch(client: httpx.Client) -> None:
    none_yet = client.get(f"/v1/tasks/{TOPICS}/champion")
    assert (none_yet.status_code, none_yet.json()["error"]["code"]) == (409, "no_champion")
    assert "the tasks are" in client.get("/v1/tasks/weather/champion").json()["error"]["remedy"]
