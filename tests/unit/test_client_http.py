"""The sync and the async client over scripted answers: one contract, kept by both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from consumers.events import schemas as events
from perennial_client import AsyncClient, Client, Prediction, RefusedError, Retries, Span, UnavailableError, __version__, feedback

PREDICTED = {
    "task": "t",
    "version": "t/v3",
    "predictions": [{"prediction_id": "p-1", "label": "a", "scores": {"a": 0.9, "b": 0.1}}],
}
ACCEPTED = {
    "event_id": "e",
    "task": "t",
    "status": "accepted",
    "accepted_at": "2026-11-21T10:00:00+00:00",
    "fate": "/v1/feedback/e",
}
QUICK = Retries(deadline_s=5, first_wait_s=0.001, longest_wait_s=0.01)
FEEDBACK: dict[str, Any] = {"user_id": "u", "verdict": "correction", "target": {"label": "b"}, "prediction_id": "p-1"}


class Script:
    """Answers one after the other, the last one for ever; keeps what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return httpx.Response(status, content=body) if isinstance(body, bytes) else httpx.Response(status, json=body)

    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.asked]


Ask = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Return `ask(script, method, *args, **kwargs)`, which makes one call of either client."""

    def sync(script: Script, method: str, *args: Any, api_key: str | None = None, url: str = "http://here", **kwargs: Any) -> Any:
        with Client(url, api_key=api_key, retries=QUICK, transport=httpx.MockTransport(script)) as client:
            return getattr(client, method)(*args, **kwargs)

    async def call(
        script: Script, method: str, *args: Any, api_key: str | None = None, url: str = "http://here", **kwargs: Any
    ) -> Any:
        async with AsyncClient(url, api_key=api_key, retries=QUICK, transport=httpx.MockTransport(script)) as client:
            return await getattr(client, method)(*args, **kwargs)

    return sync if request.param == "sync" else lambda *args, **kwargs: asyncio.run(call(*args, **kwargs))


@pytest.mark.parametrize("said", ["often", -0.5, 1.5, None, True])
def test_a_threshold_that_is_no_share_is_no_answer_of_serving(ask: Ask, said: object) -> None:
    body = {
        "task": "t", "version": "t/v3", "generation": 1, "since": "2026-11-21T10:00:00+00:00", "kind": "classification",
        "backend": "transformer", "precision": "fp32", "manifest_sha256": "0" * 64, "size_bytes": 1,
    }  # fmt: skip
    assert ask(Script((200, body)), "champion", "t").abstain_below == 0.0, "serving of a release that does not say"
    assert ask(Script((200, body | {"abstain_below": 0.4})), "champion", "t").abstain_below == 0.4
    with pytest.raises(RefusedError, match="not that of Perennial's serving"):
        ask(Script((200, body | {"abstain_below": said})), "champion", "t")


def test_an_answer_that_abstains_is_typed(ask: Ask) -> None:
    [one] = PREDICTED["predictions"]
    [prediction] = ask(Script((200, PREDICTED | {"predictions": [one | {"abstained": True}]})), "predict", "t", ["hello"])
    assert (prediction.abstained, prediction.label) == (True, "a")
    assert "abstained" not in prediction.answer


def test_a_prediction_is_typed(ask: Ask) -> None:
    script = Script((200, PREDICTED))
    [prediction] = ask(script, "predict", "t", ["hello"])
    assert prediction == Prediction("t", "t/v3", {"label": "a", "scores": {"a": 0.9, "b": 0.1}}, "p-1")
    assert (prediction.label, prediction.scores["a"]) == ("a", 0.9)
    with pytest.raises(TypeError, match="has no spans; it holds label, scores"):
        _ = prediction.spans
    [asked] = script.asked
    assert (asked.method, asked.url.path, json.loads(asked.content)) == ("POST", "/v1/tasks/t/predict", {"texts": ["hello"]})
    assert asked.headers["User-Agent"] == f"perennial-client/{__version__}"
    assert "Authorization" not in asked.headers


def test_spans_are_typed() -> None:
    prediction = Prediction("t", "t/v1", {"spans": [{"start": 0, "end": 3, "label": "ORG", "sure": 1}]})
    assert prediction.spans == (Span(0, 3, "ORG"),)


def test_the_key_goes_with_every_request(ask: Ask) -> None:
    script = Script((503, {}), (200, PREDICTED))
    ask(script, "predict", "t", ["hello"], api_key="s3cret")
    assert [request.headers["Authorization"] for request in script.asked] == ["Bearer s3cret"] * 2


def test_an_address_below_a_proxys_path_is_kept(ask: Ask) -> None:
    for url in ("https://here/news", "https://here/news/"):
        script = Script((200, PREDICTED))
        ask(script, "predict", "a/b c", ["hello"], url=url)
        assert str(script.asked[0].url) == "https://here/news/v1/tasks/a%2Fb%20c/predict"


def test_an_article_is_named_with_its_one_text(ask: Ask) -> None:
    script = Script((200, PREDICTED))
    ask(script, "predict", "t", ["hello"], article_id="a-1")
    assert script.bodies() == [{"text": "hello", "article_id": "a-1"}]
    with pytest.raises(ValueError, match="one by one"):
        ask(script, "predict", "t", ["a", "b"], article_id="a-1")


def test_texts_that_serving_would_refuse_are_refused_before_they_are_sent(ask: Ask) -> None:
    script = Script((200, PREDICTED))
    assert ask(script, "predict", "t", []) == []
    with pytest.raises(TypeError, match="give a list of texts"):
        ask(script, "predict", "t", "hello")
    with pytest.raises(RefusedError, match=r"number 1.*send text"):
        ask(script, "predict", "t", ["a", " \n"])
    with pytest.raises(RefusedError, match=r"number 0.*U\+FFFD"):
        ask(script, "predict", "t", ["a\ud800"])
    assert script.asked == []


def test_every_attempt_of_feedback_is_the_same_event(ask: Ask) -> None:
    script = Script((503, {}), httpx.ReadError("cut"), (429, {}), (202, ACCEPTED))
    receipt = ask(script, "feedback", "t", **FEEDBACK)
    first, *others = script.bodies()
    assert others == [first] * 3
    assert first["event_id"].startswith("fb-")
    assert {name: first[name] for name in FEEDBACK} == FEEDBACK
    assert (receipt.event_id, receipt.accepted_at) == ("e", datetime(2026, 11, 21, 10, tzinfo=UTC))


def test_another_call_is_another_event_unless_the_app_says_so(ask: Ask) -> None:
    script = Script((202, ACCEPTED))
    for given in ({}, {}, {"event_id": "mine"}, {"event_id": "mine"}):
        ask(script, "feedback", "t", **FEEDBACK, **given)
    ids = [body["event_id"] for body in script.bodies()]
    assert len(set(ids)) == 3
    assert ids[2:] == ["mine", "mine"]


def test_feedback_that_was_given_up_names_its_event(ask: Ask) -> None:
    script = Script(httpx.ConnectError("refused"))
    with pytest.raises(UnavailableError) as given_up:
        ask(script, "feedback", "t", **FEEDBACK, deadline_s=0.05)
    assert script.bodies()[0]["event_id"] in given_up.value.remedy
    assert "ConnectError: refused" in given_up.value.what
    assert len(script.asked) > 1


def test_times_are_sent_in_utc_and_none_counts_as_not_given(ask: Ask) -> None:
    script = Script((202, ACCEPTED))
    moment = datetime(2026, 11, 21, 12, tzinfo=timezone(timedelta(hours=2)))
    ask(script, "feedback", "t", **FEEDBACK, occurred_at=moment, text=None)
    [body] = script.bodies()
    assert body["occurred_at"] == "2026-11-21T10:00:00Z"
    assert "text" not in body
    with pytest.raises(ValueError, match="no time zone"):
        ask(script, "feedback", "t", **FEEDBACK, occurred_at=moment.replace(tzinfo=None))
    with pytest.raises(TypeError, match="has no field lable"):
        ask(script, "feedback", "t", **FEEDBACK, lable="b")


def test_the_client_knows_every_field_of_feedback() -> None:
    assert set(feedback._ORDER) == set(events.Feedback.model_fields)
    assert set(feedback.Feedback.__annotations__) | {"schema_version", "type", "task"} == set(events.Feedback.model_fields)


def test_half_a_character_reaches_the_server_which_says_where_it_stands(ask: Ask) -> None:
    script = Script((202, ACCEPTED))
    ask(script, "feedback", "t", **FEEDBACK | {"target": {"label": "\ud800"}})
    assert b"\\ud800" in script.asked[0].content
    with pytest.raises(ValueError, match="not JSON compliant"):
        ask(script, "feedback", "t", **FEEDBACK | {"target": {"label": float("nan")}})


def test_the_fate_of_feedback_is_typed(ask: Ask) -> None:
    told = {"event_id": "a/b", "task": "t", "status": "learnt", "reason": "r", "learnt_in": "t/v2", "champion": "t/v2"}
    script = Script((200, told | {"in_champion": True, "of a newer server": 1}))
    fate = ask(script, "fate", "a/b")
    assert (fate.status, fate.learnt_in, fate.in_champion) == ("learnt", "t/v2", True)
    assert script.asked[0].url.raw_path == b"/v1/feedback/a%2Fb"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        *(b'{"task": "t", "version": "v", "predictions": %b}' % wrong for wrong in (b"[]", b"[{}]", b"[3]")),
    ],
)
def test_an_answer_of_another_shape_is_not_taken_for_one(ask: Ask, answer: bytes) -> None:
    with pytest.raises(RefusedError, match=r"not that of Perennial's serving.*upgrade perennial-client"):
        ask(Script((200, answer)), "predict", "t", ["hello"])


def test_the_champion_of_another_task_is_not_taken(ask: Ask) -> None:
    champion = {
        "task": "u", "version": "u/v1", "generation": 1, "since": "2026-11-21T10:00:00Z", "kind": "ner", "backend": "spacy",
        "precision": "fp32", "manifest_sha256": "0" * 64, "size_bytes": 1,
    }  # fmt: skip
    assert ask(Script((200, champion)), "champion", "u").version == "u/v1"
    with pytest.raises(RefusedError, match="champion of task 'u'"):
        ask(Script((200, champion)), "champion", "t")


@pytest.fixture(params=[Client, AsyncClient])
def kind(request: pytest.FixtureRequest) -> Iterator[Any]:
    return request.param


def test_an_address_or_key_that_cannot_be_sent_is_refused(kind: Any) -> None:
    for url in ("", "localhost:8310", "ftp://here", "http://"):
        with pytest.raises(ValueError, match="give serving's address"):
            kind(url)
    for key in ("", " s3cret", "s3cret\n", "schlüssel", "a\x00"):
        with pytest.raises(ValueError, match="api_key"):
            kind("http://here", api_key=key)


def test_a_key_is_never_shown(kind: Any) -> None:
    assert "s3cret" not in repr(kind("http://here", api_key="s3cret"))
