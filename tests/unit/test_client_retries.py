"""When the client sends again: driven by hand, on a clock that stands."""

from __future__ import annotations

import pickle
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial_client import PerennialError, RefusedError, Retries, UnavailableError
from perennial_client.retries import Outcome, Send, Wait, asked_wait_s, exchange

REFUSAL = {"error": {"field": "task", "message": "task: 'x' is not defined here", "remedy": "the tasks are a, b"}}


class Call:
    """One exchange and its clock."""

    def __init__(self, retries: Retries | None = None, **options: Any) -> None:
        self.now = 0.0
        self.steps = exchange("POST", "http://here", "/v1/x", retries or Retries(), clock=lambda: self.now, **options)

    def tell(self, outcome: Outcome) -> Send | Wait:
        return self.steps.send(outcome)


def answer(status: int = 200, **options: Any) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("POST", "http://here/v1/x"), **options)


def test_the_first_good_answer_is_returned() -> None:
    call = Call(content=b"{}")
    sent = call.tell(None)
    assert isinstance(sent, Send)
    assert (sent.method, sent.path, sent.content, sent.headers["Content-Type"]) == ("POST", "/v1/x", b"{}", "application/json")
    with pytest.raises(StopIteration) as done:
        call.tell(answer(202))
    assert done.value.value.status_code == 202


@pytest.mark.parametrize(
    "trouble",
    [answer(408), answer(425), answer(429), answer(502), answer(503), answer(504), httpx.ConnectError("no"),
     httpx.ReadTimeout(""), httpx.ReadError("cut"), httpx.RemoteProtocolError("closed")],
)  # fmt: skip
def test_what_may_pass_is_tried_again(trouble: Outcome) -> None:
    call = Call()
    for _ in range(4):
        assert isinstance(call.tell(None), Send)
        assert isinstance(call.tell(trouble), Wait)
    assert isinstance(call.tell(None), Send)
    with pytest.raises(StopIteration):
        call.tell(answer())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 415, 422])
def test_a_refusal_is_told_at_once_with_what_where_and_remedy(status: int) -> None:
    call = Call()
    call.tell(None)
    with pytest.raises(RefusedError) as refused:
        call.tell(answer(status, json=REFUSAL))
    error = refused.value
    assert (error.status, error.field, error.what) == (status, "task", "task: 'x' is not defined here")
    assert error.where == "POST http://here/v1/x, field task"
    assert error.remedy == "the tasks are a, b"
    assert str(error) == f"{error.what} ({error.where}); {error.remedy}"


def test_a_failure_inside_the_server_is_told_at_once_and_may_pass() -> None:
    call = Call(later="send it again with event_id='e'")
    call.tell(None)
    with pytest.raises(UnavailableError) as failed:
        call.tell(answer(500, text="<html>"))
    assert (failed.value.status, failed.value.remedy) == (500, "send it again with event_id='e'")


@pytest.mark.parametrize(
    ("response", "word"),
    [
        (answer(301, headers={"Location": "https://there/"}), "https://there/"),
        (answer(404, text="<html>"), "check url"),
        (answer(404, json=[1]), "check url"),
        (answer(404, json={"error": "no"}), "check url"),
        (answer(418), "check url"),
        (answer(499), "check url"),
    ],
)
def test_an_answer_that_is_not_servings_says_so(response: httpx.Response, word: str) -> None:
    call = Call()
    call.tell(None)
    with pytest.raises(RefusedError) as refused:
        call.tell(response)
    assert "not from Perennial's serving" in refused.value.what
    assert word in refused.value.remedy


def test_a_request_that_cannot_be_sent_is_not_tried_again() -> None:
    call = Call()
    call.tell(None)
    with pytest.raises(RefusedError, match="cannot be sent"):
        call.tell(httpx.LocalProtocolError("illegal header"))


def test_retry_after_is_waited_for_on_top_of_the_jitter() -> None:
    call = Call(Retries(first_wait_s=0.5))
    call.tell(None)
    waiting = call.tell(answer(503, headers={"Retry-After": "7"}))
    assert isinstance(waiting, Wait)
    assert 7 <= waiting.seconds <= 7.5


def test_a_retry_after_beyond_the_deadline_ends_the_call_at_once() -> None:
    call = Call(Retries(deadline_s=30))
    call.tell(None)
    with pytest.raises(UnavailableError) as given_up:
        call.tell(answer(429, headers={"Retry-After": "3600"}, json=REFUSAL))
    assert given_up.value.status == 429
    assert "gave up after 30 s" in given_up.value.what
    assert given_up.value.remedy == "the tasks are a, b"


def test_retry_after_is_read_as_seconds_or_date() -> None:
    def asked(value: str) -> float:
        return asked_wait_s(answer(503, headers={"Retry-After": value}))

    assert asked("2") == 2
    assert 50 < asked(format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)) <= 60
    assert asked(format_datetime(datetime.now(UTC) - timedelta(minutes=1), usegmt=True)) == 0
    for unreadable in ("", "soon", "-3", "1.5", "Wed, 99 Xxx 2026 00:00:00 GMT", "٣"):
        assert asked_wait_s(httpx.Response(503, headers=[(b"Retry-After", unreadable.encode())])) == 0
    assert asked_wait_s(answer(503)) == 0


@given(
    trouble=st.lists(st.sampled_from([answer(503), answer(429, headers={"Retry-After": "2"}), httpx.ConnectError("no")])),
    takes_s=st.floats(0, 20),
    deadline_s=st.floats(0.01, 100),
)
def test_no_attempt_and_no_wait_begins_after_the_deadline(trouble: list[Any], takes_s: float, deadline_s: float) -> None:
    call = Call(Retries(deadline_s=deadline_s))
    step = call.tell(None)
    with suppress(UnavailableError):
        for outcome in trouble:
            assert isinstance(step, Send)
            assert call.now < deadline_s
            assert step.timeout.read is not None
            assert step.timeout.read <= max(0.001, deadline_s - call.now)
            call.now += min(takes_s, step.timeout.read)
            waiting = call.tell(outcome)
            assert isinstance(waiting, Wait)
            call.now += waiting.seconds
            step = call.tell(None)


@given(attempt=st.integers(0, 10_000))
def test_waits_are_drawn_below_a_bound_that_doubles(attempt: int) -> None:
    retries = Retries(first_wait_s=0.1, longest_wait_s=5)
    assert 0 <= retries.wait_s(attempt) <= min(5, 0.1 * 2 ** min(attempt, 10))


def test_waits_differ_between_clients() -> None:
    assert len({Retries().wait_s(3) for _ in range(20)}) > 10


def test_senseless_patience_is_refused() -> None:
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=r"deadline_s is .*; give seconds above 0"):
            Retries(deadline_s=wrong)


@pytest.mark.parametrize(
    "error",
    [PerennialError("a", "b", "c"), RefusedError("a", "b", "c", 422, "task"), UnavailableError("a", "b", "c", 503)],
)
def test_errors_reach_other_processes_whole(error: PerennialError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert (type(again), again.args, str(again), vars(again)) == (type(error), error.args, str(error), vars(error))
