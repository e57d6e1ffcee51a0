"""An app that follows a champion fetches only what it does not hold."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.serving.service import Service
from perennial_client import Client, Model, Retries
from perennial_client.cache import Cache
from tests.support.proxies import Proxy, proxied
from tests.support.reusing_format import Encoder, written
from tests.support.served import TOPICS, ServedData, eventually, listening, load_on_cpu

ENCODER = random.Random(1).randbytes(5 << 20)
OTHER = random.Random(2).randbytes(5 << 20)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServedData:
    monkeypatch.setattr(Encoder, "loaded", 0)
    made = ServedData(tmp_path / "server")
    promote(made, tmp_path, "one")
    return made


@pytest.fixture
def proxy(data: ServedData) -> Iterator[Proxy]:
    with Service.open(data.settings, load=load_on_cpu) as service, listening(service) as address, proxied(address) as proxy:
        eventually(lambda: service.slots[TOPICS].status().serving)
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    with Client(proxy.address, retries=Retries(deadline_s=30.0)) as opened:
        yield opened


def promote(data: ServedData, tmp_path: Path, head: str, *, encoder: bytes = b"e" + ENCODER) -> None:
    data.promote(data.publish_folder(TOPICS, written(tmp_path / "model", encoder=encoder, head=head)))


def follow(client: Client, cache: Path) -> Model:
    return Model.follow(TOPICS, client=client, cache_dir=cache, poll_s=60.0, wait_s=30.0)


def label(model: Model) -> str:
    (prediction,) = model.predict(["text"])
    assert prediction.label is not None
    return prediction.label


def test_a_new_head_moves_little_and_loads_no_encoder(client: Client, proxy: Proxy, data: ServedData, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with follow(client, cache) as model:
        assert (label(model), proxy.answered > len(ENCODER)) == ("onee", True)
        for head in ("two", "three", "four"):
            promote(data, tmp_path, head)
            before, loaded = proxy.answered, Encoder.loaded
            assert model.refresh()
            assert label(model) == f"{head}e"
            assert proxy.answered - before < 20_000, "a manifest, a head and a description"
            # Serving, in this process too, may swap meanwhile; it loads none either.
            assert Encoder.loaded == loaded
    kept = list(cache.glob("*/v*/encoder"))
    assert len(kept) == 2
    assert len({path.stat().st_ino for path in kept}) == 1, "on the disk once"


def test_another_encoder_is_fetched(client: Client, proxy: Proxy, data: ServedData, tmp_path: Path) -> None:
    with follow(client, tmp_path / "cache") as model:
        promote(data, tmp_path, "two", encoder=b"f" + OTHER)
        before = proxy.answered
        assert model.refresh()
        assert (label(model), proxy.answered - before > len(OTHER)) == ("twof", True)


def test_what_is_damaged_here_is_fetched_and_not_passed_on(
    client: Client, proxy: Proxy, data: ServedData, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    with follow(client, cache) as model:
        (held,) = cache.glob("*/v*/encoder")
        with held.open("r+b") as file:
            file.write(b"!")
        promote(data, tmp_path, "two")
        before = proxy.answered
        assert model.refresh()
        assert (label(model), proxy.answered - before > len(ENCODER)) == ("twoe", True)
    (second,) = cache.glob("*/v2-*/encoder")
    assert second.read_bytes() == b"e" + ENCODER
    assert held.read_bytes()[:1] == b"!", "nothing is written into a version"


def test_what_another_tasks_version_holds_is_not_fetched(client: Client, proxy: Proxy, data: ServedData, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with follow(client, cache):
        pass
    (cache / TOPICS).rename(cache / "another-task")
    before = proxy.answered
    with follow(client, cache) as model:
        assert label(model) == "onee"
    assert proxy.answered - before < 20_000


@pytest.mark.parametrize("removed", [False, True])
def test_nothing_is_written_into_a_held_file_that_a_killed_attempt_named_again(
    client: Client, data: ServedData, tmp_path: Path, removed: bool
) -> None:
    cache = tmp_path / "cache"
    with follow(client, cache) as model:
        promote(data, tmp_path, "two")
        champion = client.champion(TOPICS)
        (held,) = cache.glob("*/v1-*/encoder")
        torn = held.read_bytes()[:1_000]
        held.write_bytes(torn)
        (tmp_path / "witness").hardlink_to(held)
        whole = Cache(cache / TOPICS, keep=2).folder(champion)
        part = whole.with_name(f".part-{whole.name}")
        part.mkdir()
        (part / "encoder").hardlink_to(held)
        if removed:
            (held.parent / "manifest.json").unlink()
        assert model.refresh()
        assert label(model) == "twoe"
    assert (tmp_path / "witness").read_bytes() == torn
