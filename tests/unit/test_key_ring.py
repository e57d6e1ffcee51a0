"""Serving's view of the keys: new ones and revoked ones are noticed, the last known ones outlive the registry for a while."""

from __future__ import annotations

import hmac
import threading
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from config.errors import RetryError
from daemon.serving.access import key_ring
from daemon.serving.access.key_ring import KeyRing
from registry.people import api_keys
from registry.store import Registry
from tests.support.registries import Clock
from tests.support.served import eventually


class Away:
    """A registry that can be made to go away, and a clock for how long it has been."""

    def __init__(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.away, self.read_only = 0.0, False, False
        real_list, real_note = registry.api_keys.list, registry.api_keys.note_used
        monkeypatch.setattr(registry.api_keys, "list", lambda: self.unless(self.away) or real_list())
        monkeypatch.setattr(
            registry.api_keys, "note_used", lambda *about: self.unless(self.away or self.read_only) or real_note(*about)
        )

    def unless(self, gone: bool) -> None:
        if gone:
            message = "the registry did not answer"
            raise RetryError(message)

    def __call__(self) -> float:
        return self.now


def test_a_key_is_known_after_a_refresh_and_its_state_too(registry: Registry, clock: Clock) -> None:
    ring = KeyRing(registry.api_keys, clock=clock)
    assert not ring.exists
    key, secret = registry.api_keys.create("desk", ["predict"])
    assert ring.identify(secret.encode()) is None
    ring.refresh()
    assert ring.exists
    assert ring.identify(secret.encode()) == key
    registry.api_keys.revoke("desk")
    ring.refresh()
    found = ring.identify(secret.encode())
    assert found is not None
    assert found.state(clock.now) == "revoked"


@pytest.mark.parametrize(
    "presented",
    [
        b"", b"prn_", b"\xff\xfe", b"prn_" + b"0" * 12 + b"_" + b"0" * 64, b"x" * 60_000,
    ],
)  # fmt: skip
def test_what_is_no_key_is_nobody(registry: Registry, clock: Clock, presented: bytes) -> None:
    registry.api_keys.create("desk", ["predict"])
    assert KeyRing(registry.api_keys, clock=clock).identify(presented) is None


def test_a_key_with_one_wrong_character_is_nobody(registry: Registry, clock: Clock) -> None:
    _key, secret = registry.api_keys.create("desk", ["predict"])
    ring = KeyRing(registry.api_keys, clock=clock)
    for at in range(len(secret)):
        wrong = secret[:at] + ("0" if secret[at] != "0" else "1") + secret[at + 1 :]
        assert ring.identify(wrong.encode()) is None
    for other in (secret + "0", secret[:-1], secret.upper(), f" {secret}"):
        assert ring.identify(other.encode()) is None


def test_known_and_unknown_keys_cost_the_same_work(registry: Registry, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    _key, secret = registry.api_keys.create("desk", ["predict"])
    ring = KeyRing(registry.api_keys, clock=clock)
    work: list[tuple[str, int]] = []
    real_hash, real_compare = api_keys.hash_of, hmac.compare_digest
    monkeypatch.setattr(api_keys, "hash_of", lambda text: work.append(("hash", len(text))) or real_hash(text))
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: work.append(("compare", len(a + b))) or real_compare(a, b))
    spent = []
    for presented in (secret, secret[:-1] + "x", "prn_" + "0" * 12 + secret[16:], "z" * len(secret)):
        work.clear()
        ring.identify(presented.encode())
        spent.append(list(work))
    assert spent == [[("hash", len(secret)), ("compare", 128)]] * 4


def test_a_use_is_written_down_once_in_a_while(registry: Registry, clock: Clock) -> None:
    _key, secret = registry.api_keys.create("desk", ["predict"])
    ring = KeyRing(registry.api_keys, clock=clock)

    def used_at() -> timedelta | None:
        [key] = registry.api_keys.list()
        return None if key.last_used_at is None else key.last_used_at - start

    start = clock.now
    ring.refresh()
    assert used_at() is None
    for seconds in (0, 1, 300, 599):
        clock.now = start + timedelta(seconds=seconds)
        ring.identify(secret.encode())
        ring.refresh()
        assert used_at() == timedelta(0)
    clock.now = start + key_ring.NOTE_USE_EVERY
    ring.identify(secret.encode())
    assert used_at() == timedelta(0), "a request never waits for the registry"
    ring.refresh()
    assert used_at() == key_ring.NOTE_USE_EVERY


def test_the_last_known_keys_go_on_while_the_registry_is_away(
    registry: Registry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = registry.api_keys.create("desk", ["predict"])
    away = Away(registry, monkeypatch)
    ring = KeyRing(registry.api_keys, clock=clock, elapsed=away)
    away.away, away.now = True, 50.0
    with pytest.raises(RetryError):
        ring.refresh()
    assert ring.identify(secret.encode()) == key
    assert (ring.age_s, ring.exists) == (50.0, True)
    away.away = False
    ring.refresh()
    assert ring.age_s == 0.0
    [noted] = registry.api_keys.list()
    assert noted.last_used_at == clock.now, "what was used meanwhile is not forgotten"


def test_keys_stay_fresh_where_only_writing_fails(registry: Registry, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    _key, secret = registry.api_keys.create("desk", ["predict"])
    away = Away(registry, monkeypatch)
    ring = KeyRing(registry.api_keys, clock=clock, elapsed=away)
    ring.identify(secret.encode())
    registry.api_keys.revoke("desk")
    away.read_only, away.now = True, 50.0
    with pytest.raises(RetryError):
        ring.refresh()
    assert ring.age_s == 0.0
    found = ring.identify(secret.encode())
    assert found is not None
    assert found.state(clock.now) == "revoked"


def test_watching_goes_on_through_trouble_and_tells_it_once(
    registry: Registry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "REFRESH_S", 0.01)
    away = Away(registry, monkeypatch)
    ring = KeyRing(registry.api_keys, clock=clock, elapsed=away)
    stop = threading.Event()
    with capture_logs() as logs:
        watcher = threading.Thread(target=ring.watch, args=(stop,))
        watcher.start()
        try:
            away.away = True
            eventually(lambda: any(line["event"] == "serving.keys_unread" for line in logs))
            stop.wait(0.1)
            away.away = False
            _key, secret = registry.api_keys.create("desk", ["predict"])
            eventually(lambda: ring.identify(secret.encode()) is not None)
            eventually(lambda: logs[-1]["event"] == "serving.keys_read_again")
        finally:
            stop.set()
            watcher.join(10)
    assert [line["event"] for line in logs] == ["serving.keys_unread", "serving.keys_read_again"]


def test_without_a_registry_there_is_no_ring(registry: Registry, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Away(registry, monkeypatch)
    away.away = True
    with pytest.raises(RetryError):
        KeyRing(registry.api_keys, clock=clock)
