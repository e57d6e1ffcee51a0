"""A trial of every channel of notifications."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from config.clock import utc_now
from config.errors import RetryError, UserError
from config.secrets import masked_message
from config.settings import Settings
from daemon.notifications.channel import RefusedError
from daemon.notifications.notice import Notice
from daemon.notifications.open import channels_of


@dataclass(frozen=True, slots=True)
class Tried:
    """What one channel did with a notification."""

    channel: str
    sent: bool
    problem: str | None


def try_channels(settings: Settings) -> list[Tried]:
    """Send one notification to each channel that is set up. Raises `UserError` where there is none."""
    channels = channels_of(settings.notifications)
    if not channels:
        message = "no channel is set up: set notifications.webhook_url, slack_url or email_host (docs/notifications.md)"
        raise UserError(message)
    now = utc_now()
    event = {"event_id": f"trial:{uuid.uuid4()}", "type": "trial", "task": "trial", "occurred_at": now.isoformat()}
    notice = Notice(
        event_id=event["event_id"], kind="alarm", task="trial", occurred_at=now, title="This is a trial",
        text="Somebody ran `perennial notify test`. Nothing has happened.", event=event,
    )  # fmt: skip
    found = []
    for channel in channels:
        try:
            channel.send(notice)
        except (RefusedError, RetryError) as error:
            found.append(Tried(channel.name, sent=False, problem=masked_message(error)))
        else:
            found.append(Tried(channel.name, sent=True, problem=None))
    return found
