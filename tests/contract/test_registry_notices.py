"""How far each channel of notifications has come, on SQLite and on Postgres."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from config.errors import StopError
from registry.database.copying import copy_all
from registry.store import Registry
from tests.support.registries import Clock


def queued(registry: Registry, *ids: str) -> None:
    for event_id in ids:
        registry.outbox.add({"event_id": event_id, "type": "model.promoted", "task": "t"})


def test_a_new_channel_begins_behind_the_newest_event(registry: Registry) -> None:
    queued(registry, "a", "b")
    at = registry.notices.begin("slack")
    queued(registry, "c")
    assert [row.event["event_id"] for row in registry.outbox.after(at)] == ["c"]
    assert registry.notices.begin("slack") == at


def test_a_channel_goes_on_where_it_was_and_never_back(registry: Registry) -> None:
    at = registry.notices.begin("slack")
    queued(registry, "a", "b", "c")
    numbers = [row.id for row in registry.outbox.after(at)]
    registry.notices.settle("slack", numbers[1])
    registry.notices.settle("slack", numbers[0])
    assert registry.notices.begin("slack") == numbers[1]
    assert registry.notices.begin("webhook") == numbers[2], "each channel has a place of its own"
    # What the event log has taken is not lost for a channel that lags.
    registry.outbox.mark_sent(numbers)
    assert [row.id for row in registry.outbox.after(numbers[1])] == numbers[2:]


def test_a_channel_ahead_of_all_events_begins_before_them(registry: Registry) -> None:
    queued(registry, "a")
    registry.notices.settle("slack", registry.notices.begin("slack") + 7)
    at = registry.notices.begin("slack")
    assert [row.event["event_id"] for row in registry.outbox.after(at)] == ["a"]
    assert registry.notices.begin("slack") == at


def test_what_was_sent_lately_is_known_for_its_channel(registry: Registry, clock: Clock) -> None:
    at = registry.notices.begin("slack")
    registry.notices.settle("slack", at + 1, repeats="the disk is full")
    began = clock.now
    clock.forward(60)
    assert registry.notices.sent_since("slack", "the disk is full", began - timedelta(seconds=1))
    assert not registry.notices.sent_since("slack", "the disk is full", began)
    assert not registry.notices.sent_since("webhook", "the disk is full", began - timedelta(seconds=1))
    registry.notices.settle("slack", at + 2, repeats="the disk is full")
    assert registry.notices.sent_since("slack", "the disk is full", began)


def test_who_leads_no_longer_writes_nothing(registry: Registry) -> None:
    with pytest.raises(StopError):
        registry.notices.begin("slack", fencing_token=5)
    at = registry.notices.begin("slack")
    with pytest.raises(StopError):
        registry.notices.settle("slack", at + 1, fencing_token=5)
    assert registry.notices.begin("slack") == at


def test_a_copy_of_the_registry_goes_on_at_the_same_place(registry: Registry, tmp_path: Path) -> None:
    queued(registry, "a")
    at = registry.notices.begin("slack")
    with Registry.open(f"sqlite:///{tmp_path / 'copy.db'}") as copy:
        copy_all(registry.database, copy.database)
        assert copy.notices.begin("slack") == at
