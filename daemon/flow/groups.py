"""Which consumer group reads which topic: shared by the daemon that consumes and the status that counts its lag."""

from __future__ import annotations

from collections.abc import Mapping

from consumers.events import schemas as events

# One consumer group per kind of event: a flood of articles does not delay a correction.
CONSUMERS: Mapping[str, str] = {
    "buffer-articles": events.ARTICLES_TOPIC,
    "buffer-feedback": events.FEEDBACK_TOPIC,
    "buffer-predictions": events.PREDICTIONS_TOPIC,
}
LABELS_TOPIC = events.FEEDBACK_TOPIC
"""Brings what is trained on, and the requests for runs."""
