"""Who may ask for what: scopes of every address, keys and the token, rate limits, and what a refusal says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from consumers.events import schemas as events
from consumers.log.embedded.log import EmbeddedLog
from daemon.serving.access.callers import OPEN_PATHS, Access, Caller, scope_of
from daemon.serving.access.key_ring import KeyRing
from daemon.serving.http.api import create_app
from daemon.serving.http.errors import ApiError
from daemon.serving.service import Service
from registry.people.api_keys import SCOPES
from registry.store import Registry
from tests.support.registries import Clock
from tests.support.served import TASK, TEXT, ServedData, eventually, listening, load_on_cpu

PREDICT = f"/v1/tasks/{TASK}/predict"
FEEDBACK = {"task": TASK, "user_id": "u", "verdict": "correction", "text": TEXT, "target": {"spans": []}}
HERE, THERE = "192.0.2.1", "192.0.2.2"
TOKEN = "s3cret-token"
# Every address of the API and the scope it needs.
SCOPE_OF = {
    ("POST", "/v1/tasks/{task}/predict"): "predict",
    ("POST", "/v1/tasks/{task}/classify"): "predict",
    ("GET", "/v1/tasks"): "predict",
    ("GET", "/v1/tasks/{task}/explain"): "predict",
    ("GET", "/v1/models"): "predict",
    ("POST", "/v1/feedback"): "feedback",
    ("GET", "/v1/feedback/{event_id:path}"): "feedback",
    ("GET", "/metrics"): "admin",
    ("GET", "/healthz"): "open",
    ("GET", "/readyz"): "open",
}


class Elapsed:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Door:
    """Access over a real registry, whose times are held."""

    def __init__(self, registry: Registry, clock: Clock, data: ServedData, **serving: Any) -> None:
        self.registry, self.clock, self.elapsed = registry, clock, Elapsed()
        self.ring = KeyRing(registry.api_keys, clock=clock, elapsed=self.elapsed)
        self.refused: list[str] = []
        loopback = serving.pop("loopback", False)
        settings = data.settings_with(**serving).serving
        self.access = Access(
            settings, self.ring, loopback=loopback, clock=clock, report=self.refused.append, elapsed=self.elapsed
        )

    def key(self, name: str, *scopes: str, **more: Any) -> str:
        _key, secret = self.registry.api_keys.create(name, scopes, **more)
        self.ring.refresh()
        return secret

    def admit(self, bearer: str = "", *, method: str = "POST", path: str = PREDICT, address: str = HERE) -> Caller:
        return self.access.admit(method, path, address, f"Bearer {bearer}".encode() if bearer else b"")

    def refusal(self, bearer: str = "", **more: Any) -> ApiError:
        with pytest.raises(ApiError) as refused:
            self.admit(bearer, **more)
        assert refused.value.message
        assert refused.value.remedy
        return refused.value


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    return ServedData(tmp_path)


@pytest.fixture
def door(registry: Registry, clock: Clock, data: ServedData) -> Door:
    return Door(registry, clock, data, token=TOKEN)


def test_every_address_of_the_api_needs_the_scope_that_is_written_here(data: ServedData) -> None:
    with Service.open(data.settings, load=load_on_cpu) as service:
        routes = [route for route in create_app(service).routes if isinstance(route, APIRoute)]
    found = {(method, route.path): route.path_format for route in routes for method in route.methods}
    assert set(found) >= set(SCOPE_OF)
    for (method, path), needed in SCOPE_OF.items():
        example = found[method, path].format(task="t", event_id="e/1")
        assert ("open" if example in OPEN_PATHS else scope_of(method, example)) == needed


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/v1/models/news-topics/v3/manifest", "predict"),
        ("GET", "/v1/models/news-topics/v3/files/model.safetensors", "predict"),
        ("GET", "/v1/tasks/news-topics/champion", "predict"),
        ("DELETE", "/v1/models/news-topics/v3", "admin"),
        ("POST", "/v1/tasks/news-topics/retrain", "admin"),
        ("PUT", "/v1/feedback/x", "admin"),
        ("GET", "/v1/feedbacks", "admin"),
        ("GET", "/v1/tasksandmore", "admin"),
        ("GET", "/openapi.json", "admin"),
        ("GET", "/metrics/", "admin"),
        ("GET", "//v1/tasks", "admin"),
        ("HEAD", "/v1/tasks", "admin"),
        ("OPTIONS", "/v1/tasks/x/predict", "admin"),
        ("GET", "/", "admin"),
    ],
)
def test_what_is_not_named_needs_admin(method: str, path: str, needed: str) -> None:
    assert scope_of(method, path) == needed


def test_a_key_opens_its_scopes_and_no_other(door: Door) -> None:
    addresses = {"predict": ("GET", "/v1/tasks"), "feedback": ("POST", "/v1/feedback"), "admin": ("GET", "/metrics")}
    for scope in SCOPES:
        key = door.key(f"only-{scope}", scope)
        for needed, (method, path) in addresses.items():
            if needed == scope:
                caller = door.admit(key, method=method, path=path)
                assert (caller.key, caller.counted_as) == (f"only-{scope}", f"key:only-{scope}")
                continue
            refused = door.refusal(key, method=method, path=path)
            assert (refused.status, refused.field) == (403, "Authorization")
            assert f"has the scope {scope}; this needs {needed}" in refused.message
            assert f"--scope {needed}" in refused.remedy
            assert refused.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{needed}"'
    assert set(door.refused) == {"scope"}


def test_the_token_opens_everything_and_nobody_is_let_in_without(door: Door) -> None:
    assert door.admit(TOKEN).scopes == frozenset(SCOPES)
    assert door.admit(TOKEN, method="GET", path="/metrics").key is None
    for wrong in ("", "s3cret", TOKEN + " x", "prn_" + "0" * 12 + "_" + "0" * 64):
        refused = door.refusal(wrong)
        assert (refused.status, refused.headers) == (401, {"WWW-Authenticate": "Bearer"})
        assert "Authorization: Bearer TOKEN" in refused.remedy
        assert TOKEN not in refused.message + refused.remedy
    assert door.refused == ["no_key", *["wrong_key"] * 3]


@pytest.mark.parametrize("header", [b"Basic abc", b"Bearer", b"Bearer  ", b"bearer\xff", b"s3cret-token"])
def test_a_header_of_another_form_is_no_credential(door: Door, header: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        door.access.admit("POST", PREDICT, HERE, header)
    assert refused.value.message == "the bearer token is missing"


def test_the_word_bearer_may_be_written_in_any_case(door: Door) -> None:
    assert door.access.admit("POST", PREDICT, HERE, f"bEARER {TOKEN}".encode()).key is None


def test_an_ended_key_is_told_so(door: Door, clock: Clock) -> None:
    short, lasting = door.key("short", "predict", expires_in=timedelta(days=1)), door.key("lasting", "predict")
    clock.forward(86_400)
    assert door.refusal(short).message == "the key 'short' expired at 2026-01-02T12:00:00+00:00"
    door.registry.api_keys.revoke("lasting")
    assert door.admit(lasting).key == "lasting", "until the next refresh"
    door.ring.refresh()
    assert door.refusal(lasting).message == "the key 'lasting' was revoked"
    assert door.refused == ["expired", "revoked"]


def test_on_loopback_nothing_is_asked_until_the_first_key_and_ever_after(
    registry: Registry, clock: Clock, data: ServedData
) -> None:
    door = Door(registry, clock, data, loopback=True)
    assert door.admit().scopes == frozenset(SCOPES)
    key = door.key("first", "predict")
    assert door.refusal().status == 401
    assert door.admit(key).key == "first"
    registry.api_keys.revoke("first")
    door.ring.refresh()
    assert door.refusal().status == 401, "a revoked last key opens nothing"
    assert Door(registry, clock, data, loopback=True).refusal().status == 401, "after a restart neither"
    assert Door(registry, clock, data, loopback=False).refusal().status == 401


def test_when_the_registry_is_away_too_long_keys_get_503_and_the_token_goes_on(
    registry: Registry, clock: Clock, data: ServedData
) -> None:
    door = Door(registry, clock, data, token=TOKEN, keys_grace_s=60)
    key = door.key("desk", "predict")
    door.elapsed.now = 60
    assert door.admit(key).key == "desk"
    door.elapsed.now = 61
    refused = door.refusal(key)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert "the registry has not answered for 61 s" in refused.message
    assert door.admit(TOKEN).key is None
    door.ring.refresh()
    assert door.admit(key).key == "desk"


def test_guessing_the_token_ends_soon_and_disturbs_no_key(registry: Registry, clock: Clock, data: ServedData) -> None:
    door = Door(registry, clock, data, token=TOKEN, wrong_keys_per_min=6)
    key = door.key("desk", "predict")
    assert [door.refusal(f"guess-{number}").status for number in range(8)] == [401] * 6 + [429] * 2
    refused = door.refusal(TOKEN)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "10"), "nor is the right one told apart"
    assert door.refusal().status == 401, "who sends none guesses nothing"
    assert door.admit(key).key == "desk", "a key cannot be guessed, so its neighbours do not lock it out"
    assert door.admit(TOKEN, address=THERE).key is None
    door.elapsed.now += 10
    assert door.admit(TOKEN).key is None


def test_ipv6_addresses_of_one_site_count_as_one(registry: Registry, clock: Clock, data: ServedData) -> None:
    door = Door(registry, clock, data, token=TOKEN, wrong_keys_per_min=2)
    for number in range(2):
        door.refusal("guess", address=f"2001:db8:1:2::{number}")
    assert door.refusal(TOKEN, address="2001:db8:1:2:ffff::1").status == 429
    assert door.admit(TOKEN, address="2001:db8:1:3::1").key is None
    assert door.admit(TOKEN, address="::ffff:192.0.2.1").key is None
    assert door.admit(TOKEN, address="fe80::1%eth0").key is None
    assert door.admit(TOKEN, address="").key is None


def test_loopback_addresses_count_as_one(registry: Registry, clock: Clock, data: ServedData) -> None:
    door = Door(registry, clock, data, token=TOKEN, wrong_keys_per_min=3)
    for address in ("127.0.0.2", "127.9.9.9", "::ffff:127.0.0.3"):
        assert door.refusal("guess", address=address).status == 401
    for address in ("127.0.0.4", "::1", "::ffff:127.1.1.1", "127.0.0.2"):
        assert door.refusal(TOKEN, address=address).status == 429
    assert door.admit(TOKEN, address="192.0.2.1").key is None


def test_texts_are_limited_per_key_and_a_whole_request_always_fits(registry: Registry, clock: Clock, data: ServedData) -> None:
    door = Door(registry, clock, data, token=TOKEN, texts_per_s=10, burst_s=2, max_texts=50)
    key, other = door.key("desk", "predict"), door.key("other", "predict")
    door.access.charge(door.admit(key), 50)
    refused = door.refusal(key)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert "the key 'desk' asks for more than serving.texts_per_s allows (10 a second)" in refused.message
    door.access.charge(door.admit(other), 50)
    door.elapsed.now += 2
    with pytest.raises(ApiError) as larger:
        door.access.charge(door.admit(key), 40)
    assert larger.value.headers["Retry-After"] == "2"
    door.elapsed.now += 1.9
    for _ in range(10):
        with pytest.raises(ApiError):
            door.access.charge(door.admit(key), 40)
    door.elapsed.now += 0.1
    door.access.charge(door.admit(key), 40)
    assert door.admit(key, method="GET", path="/v1/tasks").key == "desk", "other requests have a limit of their own"


def test_requests_without_a_text_cost_one(registry: Registry, clock: Clock, data: ServedData) -> None:
    door = Door(registry, clock, data, token=TOKEN, texts_per_s=1, burst_s=1, max_texts=3)
    for _ in range(3):
        door.admit(TOKEN)
    assert door.refusal(TOKEN).status == 429


def test_other_requests_are_limited_too_by_address_without_a_key(registry: Registry, clock: Clock, data: ServedData) -> None:
    door = Door(registry, clock, data, token=TOKEN, requests_per_s=2, burst_s=2)
    for _ in range(4):
        door.admit(TOKEN, path="/v1/feedback")
    refused = door.refusal(TOKEN, path="/v1/feedback")
    assert "this address asks for more than serving.requests_per_s allows (2 a second)" in refused.message
    assert door.admit(TOKEN, path="/v1/feedback", address=THERE).counted_as == f"address:{THERE}"


def test_0_turns_a_limit_off(registry: Registry, clock: Clock, data: ServedData) -> None:
    door = Door(registry, clock, data, token=TOKEN, requests_per_s=0, texts_per_s=0, wrong_keys_per_min=0)
    for _ in range(500):
        door.access.charge(door.admit(TOKEN), 256)
        door.admit(TOKEN, path="/v1/feedback")
        assert door.refusal("guess").status == 401


@pytest.fixture
def served(data: ServedData) -> Iterator[tuple[Service, httpx.Client]]:
    data.champion()
    settings = data.settings_with(texts_per_s=1, requests_per_s=0, burst_s=1, max_texts=4, max_body_bytes=2_000_000)
    with (
        Service.open(settings, load=load_on_cpu) as service,
        listening(service) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        eventually(lambda: service.slots[TASK].status().serving)
        yield service, client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def logged_sources(data: ServedData) -> list[str | None]:
    log = EmbeddedLog(data.settings.event_log_file, retention=timedelta(days=1))
    source = log.source("reader", [events.FEEDBACK_TOPIC])
    try:
        return [events.Feedback.model_validate_json(raw.value).source for raw in source.poll(timeout_s=0.1, max_events=100)]
    finally:
        source.close()
        log.close()


def test_over_http_a_new_key_counts_and_a_revoked_one_does_not(served: tuple[Service, httpx.Client]) -> None:
    service, client = served
    assert client.get("/v1/tasks").status_code == 200
    _key, secret = service.registry.api_keys.create("desk", ["predict"])
    eventually(lambda: client.get("/v1/tasks").status_code == 401)
    assert client.get("/v1/tasks", headers=bearer(secret)).status_code == 200
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    service.registry.api_keys.revoke("desk")
    eventually(lambda: client.get("/v1/tasks", headers=bearer(secret)).status_code == 401)
    assert client.get("/healthz").status_code == 200


def test_over_http_a_limited_request_is_answered_with_429_and_its_body_read(served: tuple[Service, httpx.Client]) -> None:
    service, client = served
    assert client.post(PREDICT, json={"texts": [TEXT] * 4}).status_code == 200
    answer = client.post(PREDICT, content=b"x" * 1_900_000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert set(answer.json()["error"]) == {"code", "field", "message", "remedy"}
    metrics = client.get("/metrics").text
    assert 'perennial_http_turned_away_total{reason="rate"} 1.0' in metrics
    assert "perennial_predictions_total" in metrics
    assert service.slots[TASK].status().waiting_texts == 0


def test_feedback_is_recorded_under_the_name_of_the_key_whatever_it_says_of_itself(
    served: tuple[Service, httpx.Client], data: ServedData
) -> None:
    service, client = served
    plain = client.post("/v1/feedback", json={**FEEDBACK, "source": "desk-app"})
    assert plain.status_code == 202
    _key, secret = service.registry.api_keys.create("desk", ["feedback"])
    eventually(lambda: client.get("/v1/tasks").status_code == 401)
    for source in ({}, {"source": "desk-app"}, {"source": "key:other"}, {"source": None}):
        assert client.post("/v1/feedback", json={**FEEDBACK, **source}, headers=bearer(secret)).status_code == 202
    assert logged_sources(data) == ["desk-app", *["key:desk"] * 4]


def test_without_a_key_nobody_pretends_to_have_one(served: tuple[Service, httpx.Client], data: ServedData) -> None:
    _service, client = served
    refused = client.post("/v1/feedback", json={**FEEDBACK, "source": "key:desk"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "source")
    assert "post with that key" in refused.json()["error"]["remedy"]
    enveloped = {"specversion": "1.0", "id": "1", "source": "key:desk", "type": "perennial.feedback", "data": FEEDBACK}
    assert client.post("/v1/feedback", json=enveloped).json()["error"]["field"] == "source"
    assert logged_sources(data) == []
