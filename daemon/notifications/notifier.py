"""Follows the outgoing events for one channel and sends what people want to know of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta

import structlog

from config.clock import Clock
from consumers.faults import in_words, of_the_machine
from daemon.notifications.channel import Channel, RefusedError
from daemon.notifications.notice import Notice, notice_of
from registry.store import Registry

log = structlog.get_logger(__name__)

_PAUSE_S = 1.0
_FIRST_BACKOFF_S = 2.0
_LONGEST_BACKOFF_S = 300.0
_MOST_DOUBLED = 10
_BATCH = 100


class Notifier:
    """One channel's reader of the outbox. A channel that does not answer holds up nobody but itself."""

    def __init__(
        self,
        channel: Channel,
        registry: Registry,
        *,
        kinds: Collection[str],
        repeat_after: timedelta,
        give_up_after: timedelta,
        fencing_token: int | None,
        clock: Clock,
        counted: Callable[[str, str], None] = lambda _channel, _fate: None,
    ) -> None:
        """`counted` is told the channel and what became of each notice: sent, repeated, given_up or refused."""
        self._channel = channel
        self._registry = registry
        self._kinds = frozenset(kinds)
        self._repeat_after = repeat_after
        self._give_up_after = give_up_after
        self._token = fencing_token
        self._clock = clock
        self._counted = counted
        self._failures = 0

    def step(self) -> float:
        """Send the next notice; return the seconds to wait. A receiver's trouble is logged and tried again, never raised.

        Raises `RetryError` when the registry does not answer, `StopError` when this process leads no longer.
        """
        notices = self._registry.notices
        at = notices.begin(self._channel.name, fencing_token=self._token)
        found = self._registry.outbox.after(at, _BATCH)
        for row in found:
            notice = notice_of(row.event)
            if notice is None or notice.kind not in self._kinds:
                continue
            fate = self._fate(notice)
            if fate is None:
                return min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(self._failures - 1, _MOST_DOUBLED))
            self._failures = 0
            sent = notice.repeats if fate == "sent" else None
            notices.settle(self._channel.name, row.id, repeats=sent, fencing_token=self._token)
            self._counted(self._channel.name, fate)
            # One at a time: a step ends within seconds.
            return 0.0
        if found:
            notices.settle(self._channel.name, found[-1].id, fencing_token=self._token)
        return 0.0 if len(found) == _BATCH else _PAUSE_S

    def _fate(self, notice: Notice) -> str | None:
        """Send a notice; return what became of it, or None where it must be tried again."""
        said = {"channel": self._channel.name, "kind": notice.kind, "task": notice.task, "event_id": notice.event_id}
        now = self._clock()
        if notice.repeats and self._registry.notices.sent_since(self._channel.name, notice.repeats, now - self._repeat_after):
            log.info("notification.repeated", **said, next="it was sent lately and is not sent again")
            return "repeated"
        try:
            self._channel.send(notice)
        except Exception as error:
            if isinstance(error, RefusedError) or not of_the_machine(error):
                foreseen = isinstance(error, RefusedError)
                log.error(  # noqa: TRY400 - what was foreseen explains itself
                    "notification.refused", **said, reason=str(error) if foreseen else in_words(error),
                    exc_info=None if foreseen else error, next="it is not sent again; check the settings",
                )  # fmt: skip
                return "refused"
            self._failures += 1
            if now - notice.occurred_at > self._give_up_after:
                log.error("notification.given_up", **said, reason=str(error), next="the next notice is tried")  # noqa: TRY400 - as above
                return "given_up"
            log.warning("notification.retry", **said, reason=str(error), attempt=self._failures)
            return None
        log.info("notification.sent", **said)
        return "sent"
