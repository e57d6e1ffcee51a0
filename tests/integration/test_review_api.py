"""`GET` and `POST /v1/review`: answers over HTTP decide between two models; who may answer, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.clock import utc_now
from daemon.serving.service import Service
from tests.support.pairs import NAME, Undecided, truth
from tests.support.served import listening, load_on_cpu

ASK = {"task": NAME, "lane": "disagreement"}


@pytest.fixture
def news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Undecided]:
    with Undecided(tmp_path, monkeypatch) as room:
        room.disagree(60, 100)
        yield room


@contextmanager
def served(news: Undecided) -> Iterator[httpx.Client]:
    serving = news.settings.serving.model_copy(update={"port": 0, "refresh_interval_s": 0.05, "threads": 1})
    with (
        Service.open(news.settings.model_copy(update={"serving": serving}), load=load_on_cpu) as service,
        listening(service) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        yield client


def test_answers_over_http_decide_between_two_models(news: Undecided) -> None:
    run = news.compare()
    with served(news) as client:
        desk = client.get("/v1/review", params={**ASK, "annotator": "anna", "limit": 100}).json()
        assert (desk["lane"]["name"], desk["lane"]["cannot_tell"], len(desk["items"])) == ("disagreement", True, 20)
        assert desk["pair"] | {
            "candidate": run.version, "champion": f"{NAME}/v1", "articles": 160, "disagreement": 0.375, "asked": 20, "drawn": 67,
            "state": "open", "answered": 0, "left": 67, "looks": 0,
        } == desk["pair"]  # fmt: skip
        assert all(item["request"].startswith(f"pool-{run.run_id}-") for item in desk["items"])
        # Nothing that is sent says what a model says, or in which stratum a text lies.
        assert {name for item in desk["items"] for name in item} == {
            "item", "lane", "request", "text", "chars", "article_id", "event_time", "said", "held", "yours", "why",
        }  # fmt: skip
        unsure, *others = desk["items"]
        told = client.post("/v1/review", json={**ASK, "item": unsure["item"], "annotator": "anna", "cannot_tell": True})
        assert (told.status_code, told.json()["done"]) == (200, True)
        for item in others:
            answer = {**ASK, "item": item["item"], "annotator": "anna", "target": {"label": truth(item["text"])}}
            told = client.post("/v1/review", json=answer)
            assert (told.status_code, told.json()) == (200, {"done": True, "said": "A."})
        assert client.get("/v1/review", params={**ASK, "annotator": "anna"}).json()["items"] == []
        news.take_in()
        news.cycle.step()
        assert news.champion() == run.version
        assert news.pool().outcome == "promoted"
        assert news.buffer.withheld() == []
        late = client.post("/v1/review", json={**ASK, "item": unsure["item"], "annotator": "bob", "target": {"label": "A"}})
        assert (late.status_code, late.json()["done"]) == (200, False)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({**ASK, "item": "0" * 64, "target": {"label": "A"}}, 422, "body"),
        ({**ASK, "item": "0" * 64}, 422, None),
        ({**ASK, "item": "0" * 64, "target": {"label": "A"}, "skip": True}, 422, None),
        ({**ASK, "lane": "nowhere", "item": "0" * 64, "skip": True}, 422, "body"),
        ({**ASK, "lane": "test", "item": "0" * 64, "cannot_tell": True}, 422, "body"),
        ({**ASK, "task": "none-such", "item": "0" * 64, "skip": True}, 404, "task"),
        ({**ASK, "item": "0" * 64, "annotator": "key:editor", "skip": True}, 422, "body"),
    ],
)
def test_what_is_not_right_is_refused_and_changes_nothing(
    shared: Any, body: dict[str, Any], status: int, field: str | None
) -> None:
    news, client = shared
    refused = client.post("/v1/review", json=body)
    assert refused.status_code == status, refused.text
    error = refused.json()["error"]
    assert error["remedy"]
    assert field is None or error["field"] == field
    assert news.registry.desk.of(NAME) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"label_id": "nobody"}, "body"), ({"label_id": ""}, "label_id"), ({"label_id": "x" * 1_001}, "label_id"),
        ({"target": {"spans": []}}, "body"), ({"target": "A"}, "target"), ({"reason": ""}, "reason"),
        ({"reason": " \n "}, "reason"), ({"annotator": "key:editor"}, "body"), ({"colour": "red"}, "colour"),
    ],
)  # fmt: skip
def test_a_correction_that_is_not_right_is_refused(shared: Any, changes: dict[str, Any], field: str) -> None:
    news, client = shared
    body = {"label_id": min(news.buffer.example_ids()), "target": {"label": "Z"}, "reason": "wrong", **changes}
    refused = client.post("/v1/labels/correct", json=body)
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, field), refused.text
    news.clock.now = utc_now()
    news.take_in()
    assert news.buffer.labels.corrections() == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Undecided, httpx.Client]]:
    with pytest.MonkeyPatch.context() as patch, Undecided(tmp_path_factory.mktemp("news"), patch) as news, served(news) as client:
        yield news, client


def test_a_key_needs_the_right_to_correct_and_its_name_is_the_annotators(news: Undecided) -> None:
    news.compare()
    _key, editor = news.registry.api_keys.create("editor", ["correct"])
    _key, reader = news.registry.api_keys.create("reader", ["predict", "feedback"])
    with served(news) as client:
        allowed, refused = ({"Authorization": f"Bearer {secret}"} for secret in (editor, reader))
        assert client.get("/v1/review", params=ASK).status_code == 401
        assert client.get("/v1/review", params=ASK, headers=refused).status_code == 403
        found = client.get("/v1/review", params={**ASK, "annotator": "somebody else"}, headers=allowed).json()
        assert found["annotator"] == "key:editor"
        answer = {**ASK, "item": found["items"][0]["item"], "target": {"label": "A"}}
        assert client.post("/v1/review", json=answer, headers=refused).status_code == 403
        assert client.post("/v1/review", json=answer, headers=allowed).json()["done"] is True
        [done] = news.registry.desk.of(NAME)
        assert (done.annotator, done.lane, done.did) == ("key:editor", "disagreement", "label")
        wrong = min(news.buffer.example_ids())
        body = {"label_id": wrong, "target": {"label": "Z"}, "reason": "it was wrong", "annotator": "somebody else"}
        assert client.post("/v1/labels/correct", json=body, headers=refused).status_code == 403
        taken = client.post("/v1/labels/correct", json=body, headers=allowed)
        assert (taken.status_code, taken.json()["label_id"]) == (200, wrong)
        news.clock.now = utc_now()
        news.take_in()
        [correction] = news.buffer.labels.corrections(NAME)
        assert (correction.label_id, correction.annotator, correction.note) == (wrong, "key:editor", "it was wrong")
