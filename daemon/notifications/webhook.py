"""A signed webhook, as the Standard Webhooks specification 1.0.0 (standardwebhooks.com) has it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

from config.clock import Clock, utc_now
from daemon.notifications.notice import Notice
from daemon.notifications.posting import post

SECRET_PREFIX = "whsec_"  # noqa: S105 - the form of a secret


class Webhook:
    """Posts each notice as JSON, signed where there is a secret."""

    name = "webhook"

    def __init__(self, url: str, secret: str = "", clock: Clock = utc_now) -> None:
        """`secret` is base64, with or without the prefix whsec_; empty: nothing is signed. Raises `ValueError` for another."""
        self._url = url
        self._key = key_of(secret) if secret else None
        self._clock = clock

    def send(self, notice: Notice) -> None:
        """Post one notice, as `Channel.send`."""
        told = {
            "type": notice.kind,
            "timestamp": notice.occurred_at.isoformat(),
            "data": {"task": notice.task, "title": notice.title, "text": notice.text, "event": dict(notice.event)},
        }
        body = json.dumps(told, ensure_ascii=False).encode()
        headers = {"content-type": "application/json", "webhook-id": notice.event_id}
        if self._key is not None:
            headers |= signature(self._key, notice.event_id, int(self._clock().timestamp()), body)
        post(self._url, body, headers, what="notifications.webhook_url")


def key_of(secret: str) -> bytes:
    """Return the key that a secret encodes. Raises `ValueError`."""
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """Return the headers that prove who sent `body`, and when: HMAC-SHA256 over id, seconds since 1970 and body."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {"webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{digest}"}
