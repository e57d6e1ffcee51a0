"""What the client refuses before it publishes is what ingest would refuse, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.errors import DeadLetterError
from consumers.events import parsing
from perennial_client.errors import RefusedError
from perennial_client.feedback import event
from perennial_client.kafka import _checked
from tests.support.sample_events import NOW, TASKS

GOOD: dict[str, Any] = {
    "user_id": "desk-7", "verdict": "correction", "text": "Oil falls", "target": {"label": "economy"}, "occurred_at": NOW,
}  # fmt: skip
CONFIRMED = {"target": None, "verdict": "confirmation"}
CHANGES: list[dict[str, Any]] = [
    {}, {"user_id": "auth0|x"}, {"user_id": "a+b@c"}, {"user_id": "åsa"}, {"user_id": "two words"}, {"user_id": " a"},
    {"user_id": ""},
    {"user_id": "a\nb"}, {"user_id": "a\u200bb"}, {"user_id": "بین\u200cالملل"}, {"user_id": "é" * 257}, {"user_id": 7},
    {"article_id": "https://site.example/?p=1"}, {"article_id": "a\u00a0b"}, {"prediction_id": "x" * 513},
    {"target": None}, CONFIRMED, CONFIRMED | {"prediction_id": "p-1"}, CONFIRMED | {"prediction_id": "p-1", "text": None},
    {"verdict": "meh"}, {"text": " "}, {"text": None},
]  # fmt: skip


@pytest.mark.parametrize("changes", CHANGES, ids=repr)
def test_the_client_and_ingest_agree(changes: dict[str, Any]) -> None:
    fields: Any = GOOD | changes
    sent = event("news-topics", fields)
    try:
        value = _checked(sent)
    except RefusedError:
        value = None
    if value is None:
        with pytest.raises(DeadLetterError):
            parsing.parse(json.dumps(sent).encode(), tasks=TASKS, now=NOW)
    else:
        parsing.parse(value, tasks=TASKS, now=NOW)
