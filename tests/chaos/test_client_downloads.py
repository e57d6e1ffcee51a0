"""Downloads under fire: the server killed, bytes changed on their way, a full disk, a cache that cannot be written."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from perennial_client import Client, Model, Retries, UnavailableError, download
from tests.support import disks, follower
from tests.support.proxies import Proxy, proxied
from tests.support.served import TASK, TEXT, ServedData, eventually
from tests.support.serving_process import serving

SIZE = 8 << 20
BALLAST = b"ballast:" + random.Random(3).randbytes(SIZE - 8)
QUICK = Retries(deadline_s=1.0, first_wait_s=0.01, longest_wait_s=0.1)


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    made = ServedData(tmp_path / "server")
    made.champion()
    return made


@pytest.fixture
def proxy(data: ServedData) -> Iterator[Proxy]:
    with serving(data.settings) as (_process, address), proxied(address) as proxy:
        eventually(lambda: httpx.get(f"{address}/readyz").status_code == 200, within_s=60)
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    with Client(proxy.address, retries=QUICK) as opened:
        yield opened


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disks.small_disk(tmp_path, instead="test_a_write_that_fails_leaves_the_old_version") as disk:
        yield disk


def follow(client: Client, cache: Path, **options: Any) -> Model:
    return Model.follow(TASK, client=client, cache_dir=cache, **{"poll_s": 0.05, "wait_s": 30} | options)


def label(model: Model) -> str:
    [prediction] = model.predict([TEXT])
    return prediction.spans[0].label


def half_fetched(cache: Path) -> int:
    return sum(path.stat().st_size for path in (cache / TASK).glob(".part-*/ballast"))


def test_a_server_killed_in_the_middle_of_a_file_costs_no_byte_twice(data: ServedData, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    large = BALLAST * 4  # more than sockets buffer

    def stall_at_half(answer: bytes) -> bytes:
        if half_fetched(cache) > len(large) // 2:
            proxy.open.clear()
            proxy.open.wait()
        return answer

    with (
        serving(data.settings) as (process, address),
        proxied(address) as proxy,
        Client(proxy.address, retries=QUICK) as client,
        follow(client, cache) as model,
    ):
        proxy.change = stall_at_half
        data.champion(ballast=large)
        eventually(lambda: not proxy.open.is_set(), within_s=60)
        process.kill()
        process.wait()
        proxy.change = lambda answer: answer
        proxy.target = "http://127.0.0.1:9"
        proxy.open.set()
        eventually(lambda: model.last_error, within_s=60)
        assert label(model) == "V1"
        here = half_fetched(cache)
        assert len(large) // 2 < here < len(large)
        before = proxy.answered
        with serving(data.settings) as (_again, proxy.target):
            eventually(lambda: label(model) == "V2", within_s=60)
            assert proxy.answered - before < len(large) - here + 100_000, "what was here was not sent again"
        assert f"range: bytes={here}-".encode() in proxy.requests.lower()
        assert next((cache / TASK).glob("v2-*/ballast")).read_bytes() == large


def test_an_app_killed_in_the_middle_goes_on_where_it_was(client: Client, proxy: Proxy, data: ServedData, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    data.champion(ballast=BALLAST)
    proxy.break_after = SIZE // 2
    command = [sys.executable, follower.__file__, proxy.address, TASK, str(cache)]
    app = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    eventually(lambda: half_fetched(cache) > SIZE // 4, within_s=60)
    app.kill()
    app.wait()
    here = half_fetched(cache)
    proxy.break_after = None
    before = proxy.answered
    with follow(client, cache) as model:
        assert label(model) == "V2"
    assert proxy.answered - before < SIZE - here + 100_000


def test_a_line_that_breaks_again_and_again_is_used_as_far_as_it_carries(
    client: Client, proxy: Proxy, data: ServedData, tmp_path: Path
) -> None:
    data.champion(ballast=BALLAST)
    proxy.break_after = 1 << 20
    with follow(client, tmp_path / "cache", wait_s=60) as model:
        assert label(model) == "V2"
    assert proxy.connections >= 8
    assert proxy.answered < SIZE + (1 << 20), "nothing is sent twice"


def test_bytes_changed_on_their_way_are_never_used(client: Client, proxy: Proxy, data: ServedData, tmp_path: Path) -> None:
    chance = random.Random(7)
    seen: set[str] = set()
    flips = 0

    def flip_one(answer: bytes) -> bytes:
        nonlocal flips
        if chance.random() >= 0.5:
            return answer
        flips += 1
        at = chance.randrange(len(answer))
        return answer[:at] + bytes([answer[at] ^ (1 << chance.randrange(8))]) + answer[at + 1 :]

    with follow(client, tmp_path / "cache") as model:
        proxy.change = flip_one
        data.champion()
        until = time.monotonic() + 5
        while time.monotonic() < until:
            seen.add(f"{model.version} {label(model)}")
        proxy.change = lambda answer: answer
        data.champion()
        eventually(lambda: label(model) == "V3", within_s=60)
    assert flips > 0
    assert seen <= {f"{TASK}/v1 V1", f"{TASK}/v2 V2"}


def test_a_full_disk_keeps_the_old_version_and_is_left_in_peace(
    client: Client, data: ServedData, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_SPARE_BYTES", 9 << 20)
    cache = small_disk / "cache"
    with follow(client, cache) as model:
        data.champion(ballast=BALLAST)
        eventually(lambda: "make room" in (model.last_error or ""), within_s=60)
        assert "17.0 MiB are needed" in (model.last_error or "")
        assert (label(model), half_fetched(cache)) == ("V1", 0)
        data.champion()
        eventually(lambda: label(model) == "V3", within_s=60)


def test_a_disk_that_fills_up_meanwhile_gets_its_room_back(
    client: Client, data: ServedData, proxy: Proxy, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_SPARE_BYTES", 0)
    cache = small_disk / "cache"
    ballast = small_disk / "ballast"
    passed = 0

    def fill_at_half(answer: bytes) -> bytes:
        # Counted here, not on the disk: a slow client may have all of the answer waiting in its socket.
        nonlocal passed
        passed += len(answer)
        if passed > SIZE // 2 and not ballast.exists():
            with suppress(OSError):  # the client writes meanwhile: full is full
                ballast.write_bytes(b"." * (shutil.disk_usage(small_disk).free - 400_000))
        return answer

    with follow(client, cache) as model:
        proxy.change = fill_at_half
        data.champion(ballast=BALLAST)
        eventually(lambda: "No space left" in (model.last_error or ""), within_s=60)
        assert (label(model), half_fetched(cache)) == ("V1", 0)
        ballast.unlink()
        proxy.change = lambda answer: answer
        eventually(lambda: label(model) == "V2", within_s=60)


def test_a_read_only_cache_is_read_and_never_fails_an_answer(
    client: Client, data: ServedData, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_SPARE_BYTES", 0)
    cache = small_disk / "cache"
    follow(client, cache).close()
    disks.remount(small_disk, "ro")
    with follow(client, cache) as model:
        eventually(lambda: model.age_s < 1)
        assert (label(model), model.last_error) == ("V1", None)
        data.champion()
        eventually(lambda: "Read-only file system" in (model.last_error or ""), within_s=60)
        assert label(model) == "V1"
        disks.remount(small_disk, "rw")
        eventually(lambda: label(model) == "V2", within_s=60)
    shutil.rmtree(cache)
    disks.remount(small_disk, "ro")
    with pytest.raises(UnavailableError, match="Read-only file system"):
        follow(client, cache, wait_s=0)


def test_a_write_that_fails_leaves_the_old_version(
    client: Client, data: ServedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"

    def fail(_part: Path, _files: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "cache")

    with follow(client, cache) as model:
        with monkeypatch.context() as patch:
            patch.setattr(download, "_need_room", fail)
            data.champion()
            eventually(lambda: "No space left" in (model.last_error or ""), within_s=60)
            assert label(model) == "V1"
        eventually(lambda: label(model) == "V2", within_s=60)
