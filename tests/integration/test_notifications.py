"""Notifications against receivers on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.errors import RetryError
from daemon.notifications import email, posting
from daemon.notifications.channel import Channel, RefusedError
from daemon.notifications.email import Email, Server
from daemon.notifications.notice import KINDS, Notice, notice_of
from daemon.notifications.notifier import Notifier
from daemon.notifications.slack import Slack
from daemon.notifications.webhook import Webhook, signature
from registry.store import Registry
from tests.kafka.broker import free_port
from tests.support.certificates import self_signed
from tests.support.receivers import Receiver, dripping, http_receiver, mail_server
from tests.support.registries import Clock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(tmp_path: Path, clock: Clock) -> Iterator[Registry]:
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}", clock=clock) as opened:
        yield opened


def promoted(event_id: str = "t/moves/1", reason: str = "Better by 6 points.") -> dict[str, Any]:
    return {
        "event_id": event_id, "occurred_at": "2026-01-01T12:00:00+00:00", "type": "model.promoted", "task": "news-topics",
        "version": "news-topics/v2", "previous": "news-topics/v1", "actor": "daemon", "reason": reason,
    }  # fmt: skip


def failed(event_id: str, run_id: str = "r-1") -> dict[str, Any]:
    return {"event_id": event_id, "type": "training.failed", "task": "news-topics", "run_id": run_id, "error": "no disk"}


def a_notice(**changes: Any) -> Notice:
    notice = notice_of({**promoted(), **changes})
    assert notice is not None
    return notice


def notifier(channel: Channel, registry: Registry, clock: Clock, counted: Callable[[str, str], None] | None = None) -> Notifier:
    made = Notifier(
        channel, registry, kinds=KINDS, repeat_after=timedelta(hours=24), give_up_after=timedelta(hours=24),
        fencing_token=None, clock=clock, **({"counted": counted} if counted else {}),
    )  # fmt: skip
    made.step()
    return made


def until_quiet(one: Notifier) -> None:
    while one.step() == 0.0:
        pass


def test_a_webhook_is_signed_and_carries_the_event(receiver: Receiver, clock: Clock) -> None:
    channel = Webhook(receiver.url, SECRET, clock)
    channel.send(a_notice())
    told, headers = json.loads(receiver.bodies[0]), receiver.headers[0]
    assert told["type"] == "promoted"
    assert told["data"]["event"] == promoted()
    assert "news-topics/v2" in told["data"]["title"]
    assert headers["webhook-id"] == "t/moves/1"
    assert channel._key is not None
    proof = signature(channel._key, "t/moves/1", int(clock.now.timestamp()), receiver.bodies[0])
    assert {name: headers[name] for name in proof} == proof


def test_a_webhook_without_a_secret_is_not_signed(receiver: Receiver) -> None:
    Webhook(receiver.url).send(a_notice())
    assert "webhook-signature" not in receiver.headers[0]


def test_slack_gets_text_that_mentions_nobody(receiver: Receiver) -> None:
    Slack(receiver.url).send(a_notice(reason="label <!channel> & <https://evil.example|click>"))
    text = json.loads(receiver.bodies[0])["text"]
    assert "<" not in text
    assert "&lt;!channel&gt; &amp;" in text


@pytest.mark.parametrize(
    ("status", "error"), [(429, RetryError), (503, RetryError), (404, RefusedError), (410, RefusedError), (302, RefusedError)]
)
def test_what_a_receiver_answers_says_whether_to_try_again(receiver: Receiver, status: int, error: type[Exception]) -> None:
    receiver.answers = [status]
    with pytest.raises(error, match=str(status)) as raised:
        Slack(receiver.url).send(a_notice())
    assert "secret-part" not in str(raised.value)
    assert len(receiver.bodies) == 1, "a redirect is not followed"


def test_a_receiver_that_is_away_is_tried_again() -> None:
    with pytest.raises(RetryError, match=r"notifications\.webhook_url"):
        Webhook(f"http://127.0.0.1:{free_port()}/").send(a_notice())


@pytest.mark.parametrize("began", [b"HTTP/1.1 200 OK\r\nx-slow: ", b""])
def test_a_receiver_that_answers_byte_by_byte_is_given_up(monkeypatch: pytest.MonkeyPatch, began: bytes) -> None:
    monkeypatch.setattr(posting, "_LIMIT_S", 0.2)
    with dripping(began) as port, pytest.raises(RetryError):
        Webhook(f"http://127.0.0.1:{port}/").send(a_notice())


@pytest.mark.parametrize("security", ["none", "tls"])
def test_a_mail_server_that_answers_byte_by_byte_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: Any
) -> None:
    monkeypatch.setattr(email, "_LIMIT_S", 0.2)
    pair = self_signed(tmp_path, host="127.0.0.1") if security == "tls" else None
    with dripping(b"220-", pair) as port:
        server = Server("127.0.0.1", port, security, authorities=str(pair.certificate) if pair else "")
        with pytest.raises(RetryError):
            Email(server, "a@b.example", ["c@d.example"]).send(a_notice())


def test_mail_goes_over_starttls_with_a_login(tmp_path: Path) -> None:
    pair = self_signed(tmp_path, host="127.0.0.1")
    with mail_server(pair, login=("ann", "pass word")) as (mailbox, port):
        server = Server("127.0.0.1", port, "starttls", "ann", "pass word", str(pair.certificate))
        Email(server, "perennial@news.example", ["desk@news.example", "ops@news.example"]).send(
            a_notice(version="news-topics/v2\r\nBcc: x@evil.example")
        )
        with pytest.raises(RetryError):
            Email(
                Server("127.0.0.1", port, "starttls", "ann", "wrong", str(pair.certificate)), "a@b.example", ["c@d.example"]
            ).send(a_notice())
        with pytest.raises(RetryError, match="certificate"):
            Email(replace(server, authorities=""), "a@b.example", ["c@d.example"]).send(a_notice())
    (message,) = mailbox.messages
    assert message["To"] == "desk@news.example, ops@news.example"
    assert message["Bcc"] is None
    assert message["Message-ID"] == "<t-moves-1@perennial.invalid>"
    assert "news-topics/v2" in message["Subject"]


def test_mail_that_is_refused_for_now_is_tried_again_and_for_good_is_not() -> None:
    with mail_server() as (mailbox, port):
        channel = Email(Server("127.0.0.1", port, "none"), "a@b.example", ["c@d.example"])
        mailbox.refuse_with = [450]
        with pytest.raises(RetryError):
            channel.send(a_notice())
        mailbox.refuse_with = [550]
        with pytest.raises(RefusedError):
            channel.send(a_notice())
        channel.send(a_notice())
    assert len(mailbox.messages) == 1


def test_whom_the_mail_server_refuses_for_now_gets_the_message_later_and_nobody_gets_it_twice() -> None:
    with mail_server() as (mailbox, port):
        channel = Email(Server("127.0.0.1", port, "none"), "a@b.example", ["c@d.example", "e@d.example", "f@d.example"])
        mailbox.refuse_with = [451, 550]
        with capture_logs() as logs, pytest.raises(RetryError):
            channel.send(a_notice())
        channel.send(a_notice())
        channel.send(a_notice(event_id="t/moves/2"))
    got = [sorted(address.strip() for address in message["X-RcptTo"].split(",")) for message in mailbox.messages]
    assert got == [["f@d.example"], ["c@d.example"], ["c@d.example", "e@d.example", "f@d.example"]]
    assert [(log["receiver"], log["code"]) for log in logs if log["event"] == "notification.receiver_refused"] == [
        ("e@d.example", 550)
    ]


@pytest.mark.parametrize(
    ("changes", "secret"),
    [
        ({"username": "ann", "password": "pässwörd"}, "ä"), ({"username": "änn", "password": "x"}, "ä"),
        ({"host": "mail..example"}, None),
        ({"host": "m" * 80 + ".example"}, None),
    ],
)  # fmt: skip
def test_a_setting_that_mail_cannot_carry_is_an_error_that_waits(
    tmp_path: Path, changes: dict[str, str], secret: str | None
) -> None:
    pair = self_signed(tmp_path, host="127.0.0.1")
    with mail_server(pair, login=("ann", "pass word")) as (_mailbox, port):
        server = Server("127.0.0.1", port, "starttls", "ann", "x", str(pair.certificate))
        with pytest.raises(RetryError) as told:
            Email(replace(server, **changes), "a@b.example", ["c@d.example"]).send(a_notice())  # type: ignore[arg-type]  # all are text
    assert secret is None or secret not in str(told.value)


@pytest.mark.parametrize("url", ["http://[::1/hook", "http://[x]/hook", "http:///hook", "http://a..b/hook", "nothing"])
def test_an_address_that_is_none_is_refused_or_tried_again(url: str) -> None:
    with pytest.raises((RefusedError, RetryError)):
        Webhook(url, "", Clock()).send(a_notice())


def test_a_channel_that_fails_as_nobody_foresaw_stops_nothing(registry: Registry, clock: Clock) -> None:
    class Odd:
        name = "odd"

        def send(self, notice: Notice) -> None:
            message = f"{notice.event_id} was never seen before"
            raise KeyError(message)

    one = notifier(Odd(), registry, clock)
    registry.outbox.add(promoted())
    with capture_logs() as logs:
        until_quiet(one)
    assert [(entry["event"], entry["channel"]) for entry in logs] == [("notification.refused", "odd")]


def test_each_event_is_sent_once_in_order_and_past_ones_are_not(receiver: Receiver, registry: Registry, clock: Clock) -> None:
    registry.outbox.add(promoted("old"))
    counts: list[str] = []
    one = notifier(Webhook(receiver.url), registry, clock, lambda channel, fate: counts.append(f"{channel} {fate}"))
    registry.outbox.add({"event_id": "s", "type": "training.started", "task": "news-topics", "run_id": "r"})
    registry.outbox.add(promoted("a"))
    registry.outbox.add(promoted("b"))
    until_quiet(one)
    # Another process takes over, and the event log has all of them already.
    registry.outbox.mark_sent([row.id for row in registry.outbox.pending()])
    registry.outbox.add(promoted("c"))
    until_quiet(notifier(Webhook(receiver.url), registry, clock))
    assert [headers["webhook-id"] for headers in receiver.headers] == ["a", "b", "c"]
    assert counts == ["webhook sent", "webhook sent"]


def test_a_notice_is_tried_again_and_holds_up_no_other_channel(receiver: Receiver, registry: Registry, clock: Clock) -> None:
    with http_receiver() as other:
        slack, webhook = (notifier(channel, registry, clock) for channel in (Slack(receiver.url), Webhook(other.url)))
        registry.outbox.add(promoted("a"))
        receiver.answers = [503, 503, 200]
        with capture_logs() as logs:
            pauses = [slack.step(), slack.step()]
            until_quiet(webhook)
            until_quiet(slack)
        assert pauses == [2.0, 4.0]
        assert [log["attempt"] for log in logs if log["event"] == "notification.retry"] == [1, 2]
        assert len(other.bodies) == 1
        assert len(receiver.bodies) == 3


def test_what_is_not_taken_for_a_day_is_given_up(receiver: Receiver, registry: Registry, clock: Clock) -> None:
    one = notifier(Slack(receiver.url), registry, clock)
    registry.outbox.add(failed("a"))
    registry.outbox.add(promoted("b"))
    clock.forward(25 * 3600)
    receiver.answers = [503]
    with capture_logs() as logs:
        until_quiet(one)
    assert [log["event"] for log in logs] == ["notification.given_up", "notification.sent"]
    assert len(receiver.bodies) == 2


def test_what_is_refused_for_good_is_skipped(receiver: Receiver, registry: Registry, clock: Clock) -> None:
    one = notifier(Slack(receiver.url), registry, clock)
    registry.outbox.add(promoted("a"))
    registry.outbox.add(promoted("b"))
    receiver.answers = [404]
    with capture_logs() as logs:
        until_quiet(one)
    assert [log["event"] for log in logs] == ["notification.refused", "notification.sent"]


def test_the_same_error_is_told_once_a_day(receiver: Receiver, registry: Registry, clock: Clock) -> None:
    one = notifier(Slack(receiver.url), registry, clock)
    for number in range(3):
        registry.outbox.add(failed(f"a-{number}", f"r-{number}"))
    until_quiet(one)
    assert len(receiver.bodies) == 1
    clock.forward(25 * 3600)
    registry.outbox.add(failed("b", "r-9"))
    until_quiet(one)
    assert len(receiver.bodies) == 2
