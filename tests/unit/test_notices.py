"""What people are told of an outgoing event."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.settings import load_settings
from daemon.notifications.notice import KINDS, notice_of
from daemon.notifications.open import channels_of
from daemon.notifications.webhook import key_of, signature

BASE = {"event_id": "e-1", "occurred_at": "2026-11-30T10:00:00+00:00", "task": "news-topics"}


def event(type_: str, **said: Any) -> dict[str, Any]:
    return {**BASE, "type": type_, **said}


FINISHED = {"run_id": "r-1", "version": "news-topics/v2", "reasons": ["Too few test rows."]}


@pytest.mark.parametrize(
    ("told", "kind", "in_title", "in_text"),
    [
        (event("model.promoted", version="t/v2", previous="t/v1", reasons=["Better."]), "promoted", "t/v2", "t/v1"),
        (event("model.promoted", version="t/v1", previous=None, reason="By hand."), "promoted", "t/v1", "By hand."),
        (event("model.rolled_back", version="t/v1", previous="t/v2", actor="ann", reason="wrong"), "rolled_back", "t/v1", "ann"),
        (event("training.finished", verdict="keep", **FINISHED), "refused", "news-topics/v2", "Too few"),
        (event("training.finished", verdict="insufficient_evidence", **FINISHED), "labels_wanted", "news-topics/v2", "Too few"),
        (event("training.failed", run_id="r-1", error="the disk is full"), "run_failed", "r-1", "the disk is full"),
        (
            event("alarm.raised", reason="30 of 40 say a -> b", next="they wait", remedy="look", runbook="x.md"),
            "alarm",
            "alarm",
            "30 of",
        ),
    ],
)
def test_an_event_in_words(told: Mapping[str, Any], kind: str, in_title: str, in_text: str) -> None:
    notice = notice_of(told)
    assert notice is not None
    assert (notice.kind, notice.task, notice.event_id) == (kind, "news-topics", "e-1")
    assert in_title in notice.title
    assert in_text in notice.text


@pytest.mark.parametrize(
    "told",
    [
        event("training.started", run_id="r-1"),
        event("model.pinned", version="t/v1"),
        event("training.finished", verdict="promote", **FINISHED),
        event("training.finished", verdict="keep", refresh=True, **FINISHED),
    ],
)
def test_what_is_no_news(told: Mapping[str, Any]) -> None:
    assert notice_of(told) is None


def test_both_sentences_stand_first_and_no_reason_is_told_twice() -> None:
    said = {
        **FINISHED,
        "measured": "v2 is worse than v1.",
        "decides": "That decided. Too large.",
        "reasons": ["Too large.", "No."],
    }
    notice = notice_of(event("training.finished", verdict="keep", **said))
    assert notice is not None
    assert notice.text == "v2 is worse than v1. That decided. Too large. No."


def test_which_notices_repeat_each_other() -> None:
    def repeats(told: Mapping[str, Any]) -> str | None:
        notice = notice_of(told)
        assert notice is not None
        return notice.repeats

    failed = {run: repeats(event("training.failed", run_id=run, error=f"run {run}: no disk")) for run in ("r-1", "r-2")}
    assert failed["r-1"] == failed["r-2"]
    assert failed["r-1"] != repeats(event("training.failed", run_id="r-1", error="another"))
    wanted = [
        repeats(event("training.finished", verdict="insufficient_evidence", reasons=[text])) for text in ("3 rows", "5 rows")
    ]
    assert wanted[0] == wanted[1]
    assert wanted[0] != repeats(event("training.finished", verdict="keep", reasons=["3 rows"]))
    assert repeats(event("alarm.raised", move="a -> b", reason="3")) == repeats(event("alarm.raised", move="a -> b", reason="4"))
    assert repeats(event("alarm.raised", move="a -> b")) != repeats(event("alarm.raised", move="a -> c"))
    assert repeats(event("model.promoted", version="t/v2")) is None


@given(st.text(), st.sampled_from(["model.promoted", "training.failed", "alarm.raised"]))
def test_whatever_stands_in_an_event_its_title_is_one_line(said: str, type_: str) -> None:
    notice = notice_of(event(type_, version=said, run_id=said, reason=said, error=said))
    assert notice is not None
    assert len(notice.title.splitlines()) == 1
    assert len(notice.text) < 2_100 + 3 * 20


def test_a_signature_is_that_of_the_standard() -> None:
    body = json.dumps({"test": 2432232314}).encode()
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature(key, "msg_1", 1614265330, body)
    assert key == b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert headers["webhook-timestamp"] == "1614265330"
    by_hand = b64encode(hmac.digest(key, b"msg_1.1614265330." + body, sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{by_hand}"


def test_no_channel_is_set_up_by_default_and_all_kinds_are_wanted() -> None:
    settings = load_settings().notifications
    assert channels_of(settings) == []
    assert set(settings.wanted) == set(KINDS)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"webhook_url": "ftp://x/"}, "http://"),
        ({"slack_url": "https://user:secret@x/"}, "without a user name"),
        ({"webhook_secret": "not base64!"}, "base64"),
        ({"email_host": "mail.example"}, "notifications.email_from and notifications.email_to"),
        ({"email_host": "m", "email_from": "a@b", "email_to": "c@d\nBcc: e@f"}, "name@host"),
        ({"kinds": "promoted,forgotten"}, "kinds"),
        ({"email_port": 0}, "email_port"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(values: Mapping[str, Any], said: str) -> None:
    present = load_settings().notifications
    with pytest.raises(ValidationError, match=said):
        type(present).model_validate({**present.model_dump(), **values})
