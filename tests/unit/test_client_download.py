"""Fetching one version into the cache: ranges, order of durable steps, answers that are wrong, two who want the same."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from perennial_artifact.manifest import MANIFEST_FILE
from perennial_client import Champion, Client, ModelError, RefusedError, Retries, UnavailableError, download
from perennial_client.cache import Cache
from registry.artifacts.local import LocalArtifacts

CONTENT = {"config.json": b"{}", "ner/model": bytes(range(256)) * 4, "ner/empty": b"", "ö #%?.txt": b"name"}
Answer = Callable[[str, httpx.Request], httpx.Response | None]


def sent(status: int, content: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    """Return an answer whose content is still to be read."""
    return httpx.Response(status, stream=httpx.ByteStream(content), headers=headers)


class Served:
    """A published version, answered for by hand; `change` may answer for a file in its own way."""

    def __init__(self, folder: Path) -> None:
        for name, content in CONTENT.items():
            (folder / "model" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "model" / name).write_bytes(content)
        published = LocalArtifacts(folder / "artifacts").publish("t", 1, folder / "model")
        self.folder = published.folder
        self.champion = Champion(
            "t",
            "t/v1",
            1,
            datetime(2026, 1, 1, tzinfo=UTC),
            "ner",
            "spacy",
            "fp32",
            published.manifest_sha256,
            published.size_bytes,
        )
        self.cache = Cache(folder / "cache" / "t", keep=2)
        self.asked: list[tuple[str, str | None]] = []
        self.change: Answer = lambda _name, _request: None
        self.stop = threading.Event()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1/models/t/v1/")
        if path == "manifest":
            return sent(200, (self.folder / MANIFEST_FILE).read_bytes())
        name = path.removeprefix("files/")
        self.asked.append((name, request.headers.get("Range")))
        changed = self.change(name, request)
        if changed is not None:
            return changed
        content = (self.folder / name).read_bytes()
        if (asked := request.headers.get("Range")) is None:
            return sent(200, content)
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return sent(206, content[start:], {"Content-Range": span})

    def fetch(self) -> Path:
        with Client("http://here", retries=Retries(deadline_s=0.1), transport=httpx.MockTransport(self)) as client:
            download.fetch(client, self.champion, self.cache, self.stop)
        return self.cache.folder(self.champion)

    @property
    def part(self) -> Path:
        whole = self.cache.folder(self.champion)
        return whole.with_name(f".part-{whole.name}")


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


def test_every_file_arrives_whatever_its_name(served: Served) -> None:
    folder = served.fetch()
    assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
    assert {name for name, _range in served.asked} == set(CONTENT) - {"ner/empty"}
    served.fetch()
    assert len(served.asked) == 3, "what is here is not asked for"


def test_bytes_are_durable_before_the_version_appears(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, object]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def seen_fsync(descriptor: int) -> None:
        steps.append(("fsync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def seen_rename(source: Path, target: Path) -> None:
        steps.append(("rename", Path(target).name))
        rename(source, target)

    def seen_replace(source: Path, target: Path) -> None:
        steps.append(("rename", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "rename", seen_rename)
    monkeypatch.setattr(os, "replace", seen_replace)
    folder = served.fetch()

    def synced(path: Path) -> tuple[str, object]:
        return ("fsync", path.stat().st_ino)

    manifest, appears = steps.index(("rename", MANIFEST_FILE)), steps.index(("rename", folder.name))
    for name in (*CONTENT, "ner"):
        assert steps.index(synced(folder / name)) < manifest
    assert steps.index(synced(folder / MANIFEST_FILE)) < manifest < appears
    assert synced(folder) in steps[manifest:appears]
    assert steps[appears + 1 :] == [synced(folder.parent), synced(folder.parent.parent)]


def test_a_half_fetched_file_is_gone_on_with(served: Served) -> None:
    (served.part / "ner").mkdir(parents=True)
    (served.part / "ner" / "model").write_bytes(CONTENT["ner/model"][:1000])
    folder = served.fetch()
    assert ("ner/model", "bytes=1000-") in served.asked
    assert (folder / "ner" / "model").read_bytes() == CONTENT["ner/model"]


@pytest.mark.parametrize(
    "answer",
    [
        (200, CONTENT["ner/model"]),
        (206, CONTENT["ner/model"][5:], {"Content-Range": "bytes 5-1023/1024"}),
        (206, CONTENT["ner/model"][1000:]),
    ],
    ids=["all of it", "another range", "no range told"],
)
def test_another_answer_than_the_range_begins_the_file_anew(served: Served, answer: tuple[Any, ...]) -> None:
    (served.part / "ner").mkdir(parents=True)
    (served.part / "ner" / "model").write_bytes(CONTENT["ner/model"][:1000])
    served.change = lambda name, request: sent(*answer) if name == "ner/model" and "Range" in request.headers else None
    assert (served.fetch() / "ner" / "model").read_bytes() == CONTENT["ner/model"]


def test_a_part_that_was_torn_is_fetched_anew_at_the_next_attempt(served: Served) -> None:
    (served.part / "ner").mkdir(parents=True)
    (served.part / "ner" / "model").write_bytes(b"x" * 1000)
    with pytest.raises(ModelError, match="file ner/model is not the one that was published"):
        served.fetch()
    assert (served.fetch() / "ner" / "model").read_bytes() == CONTENT["ner/model"]


def test_a_file_that_is_too_long_is_cut_off(served: Served) -> None:
    served.change = lambda name, _request: sent(200, b"x" * 10_000) if name == "ner/model" else None
    with pytest.raises(ModelError, match="longer than the published 1024 bytes"):
        served.fetch()
    assert (served.part / "ner" / "model").stat().st_size <= 1024
    served.change = lambda _name, _request: None
    assert served.fetch().is_dir()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, RefusedError), (404, RefusedError), (410, RefusedError), (500, UnavailableError), (503, UnavailableError)],
)
def test_a_refusal_is_passed_on_in_servings_words_and_keeps_what_is_here(
    served: Served, status: int, kind: type[Exception]
) -> None:
    refusal = {"error": {"field": "version", "message": "it went", "remedy": "ask the champion"}}
    served.change = lambda name, _request: httpx.Response(status, json=refusal) if name == "ner/model" else None
    with pytest.raises(kind, match=r"it went .*/files/ner/model.*; ask the champion"):
        served.fetch()
    assert (served.part / "config.json").read_bytes() == b"{}"
    assert len([name for name, _range in served.asked if name == "ner/model"]) == 1


def test_a_line_that_brings_no_byte_is_given_up_and_one_that_brings_some_is_not(served: Served) -> None:
    def dead(_name: str, _request: httpx.Request) -> httpx.Response:
        message = "cut"
        raise httpx.ReadError(message)

    served.change = dead
    with pytest.raises(UnavailableError, match=r"was interrupted \(ReadError: cut\).*byte 0 of 2.*continues there"):
        served.fetch()
    assert len(served.asked) == 5

    def bit_by_bit(name: str, request: httpx.Request) -> httpx.Response | None:
        if name != "ner/model":
            return None
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        status, headers = (206, {"Content-Range": f"bytes {start}-1023/1024"}) if start else (200, {})
        return sent(status, CONTENT[name][start : start + 100], headers)

    served.change = bit_by_bit
    assert (served.fetch() / "ner" / "model").read_bytes() == CONTENT["ner/model"]


def test_stopping_ends_a_download_between_two_pieces(served: Served) -> None:
    def stopped(_name: str, _request: httpx.Request) -> None:
        served.stop.set()

    served.change = stopped
    with pytest.raises(UnavailableError, match="stopped during the download"):
        served.fetch()


def test_two_that_want_the_same_wait_for_each_other(served: Served) -> None:
    other = Cache(served.part.parent, keep=2)
    with served.cache.fetching(served.champion, served.stop) as part:
        assert part is not None
        stop = threading.Event()
        threading.Timer(0.1, stop.set).start()
        with (
            pytest.raises(UnavailableError, match="another process downloaded it"),
            other.fetching(served.champion, stop),
        ):
            pass
    waited: list[Path | None] = []

    def wait() -> None:
        with other.fetching(served.champion, threading.Event()) as part:
            waited.append(part)

    with served.cache.fetching(served.champion, served.stop) as part:
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert part is not None
        served.cache.finish(part, served.champion)
    waiting.join(10)
    assert waited == [None], "it is whole"


def test_only_the_good_versions_and_the_one_to_come_stay(served: Served) -> None:
    served.fetch()
    served.cache.confirm(served.champion)
    home = served.part.parent
    for name in ("v7-0123456789ab", ".part-v8-0123456789ab", ".gone-x"):
        (home / name).mkdir()
    second = Champion(**{**_fields(served.champion), "version": "t/v2", "manifest_sha256": "1" * 64})
    with served.cache.fetching(second, served.stop) as part:
        assert part is not None
    names = {path.name for path in home.iterdir() if path.is_dir()}
    assert names == {served.cache.folder(served.champion).name, part.name}


def test_the_note_names_the_good_ones_the_last_first(served: Served) -> None:
    served.fetch()
    first = served.champion
    for number in (2, 3, 4):
        one = Champion(**{**_fields(first), "version": f"t/v{number}", "manifest_sha256": str(number) * 64})
        served.cache.folder(one).mkdir()
        (served.cache.folder(one) / MANIFEST_FILE).touch()
        served.cache.confirm(one)
        assert served.cache.good()[0].champion == one
    assert [good.champion.version for good in served.cache.good()] == ["t/v4", "t/v3"]
    assert served.cache.folder(first).is_dir(), "it never was good here"
    assert not any(path.name.startswith(("v2", ".gone")) for path in served.part.parent.iterdir())
    note = served.part.parent / "good.json"
    before = note.stat().st_ino
    served.cache.confirm(served.cache.good()[0].champion)
    assert note.stat().st_ino == before, "nothing is new"
    assert [entry["version"] for entry in json.loads(note.read_bytes())] == ["t/v4", "t/v3"]


def _fields(champion: Champion) -> dict[str, object]:
    return {**champion.as_json(), "since": champion.since}
