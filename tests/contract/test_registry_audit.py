"""Audit entries, pauses, gaps, and what runs cost, on SQLite and on Postgres."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from config.errors import UserError
from registry.database.copying import copy_all
from registry.events.gaps import Gap
from registry.people.api_keys import hash_of
from registry.people.audit import By, refuse_named
from registry.store import Registry
from tests.support.registries import Clock


def told(registry: Registry, task: str | None = None) -> list[tuple[str, str | None, str, str]]:
    return [(one.action, one.task, one.actor, one.reason) for one in registry.audit.newest(task, 10)]


def test_entries_come_newest_first_of_one_task_or_of_all(registry: Registry, clock: Clock) -> None:
    registry.audit.add("dead_letter.drop", actor="operator", reason="spam", subject="dead letter 3", details={"letters": 1})
    clock.forward(60)
    registry.audit.add("pause", actor="key:desk-7, on the page", reason="elections", task="topics")
    assert told(registry) == [
        ("pause", "topics", "key:desk-7, on the page", "elections"), ("dead_letter.drop", None, "operator", "spam"),
    ]  # fmt: skip
    assert told(registry, "topics") == [("pause", "topics", "key:desk-7, on the page", "elections")]
    newest, oldest = registry.audit.newest(None, 10)
    assert newest.at - oldest.at == timedelta(seconds=60)
    assert (oldest.subject, oldest.details) == ("dead letter 3", {"letters": 1})


def test_an_entry_shares_the_fate_of_what_it_tells_of(registry: Registry) -> None:
    def fails() -> None:
        with registry.database.write() as connection:
            registry.audit.add("pause", actor="operator", reason="never happened", connection=connection)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert told(registry) == []


def test_a_pause_lasts_until_it_is_ended_and_both_are_told(registry: Registry, clock: Clock) -> None:
    assert registry.pauses.of("topics") is None
    made = registry.pauses.pause("topics", actor="operator", reason="elections")
    assert (registry.pauses.of("topics"), registry.pauses.of("entities")) == (made, None)
    with pytest.raises(UserError, match="paused already"):
        registry.pauses.pause("topics", actor="somebody else", reason="another")
    assert registry.pauses.of("topics") == made
    clock.forward(3600)
    assert registry.pauses.resume("topics", actor="token", reason="they are over") == made
    assert registry.pauses.every() == {}
    with pytest.raises(UserError, match="not paused"):
        registry.pauses.resume("topics", actor="token", reason="again")
    assert told(registry, "topics") == [
        ("resume", "topics", "token", "they are over"), ("pause", "topics", "operator", "elections"),
    ]  # fmt: skip


def test_a_key_is_told_by_its_name_and_nothing_of_it(registry: Registry, clock: Clock) -> None:
    _key, secret = registry.api_keys.create("desk-7", ["predict"], by=By("operator", "the new desk"))
    clock.forward(60)
    with pytest.raises(UserError, match="is taken"):
        registry.api_keys.create("desk-7", ["predict"], by=By("operator", "again"))
    for reason in ("it left", "it left twice"):
        registry.api_keys.revoke("desk-7", by=By("operator", reason))
    assert told(registry) == [
        ("key.revoke", None, "operator", "it left"), ("key.create", None, "operator", "the new desk"),
    ]  # fmt: skip
    entries = registry.audit.newest(None, 10)
    assert {one.subject for one in entries} == {"API key desk-7"}
    assert entries[-1].details == {"scopes": ["predict"]}
    _prefix, public, hidden = secret.split("_")
    assert not any(part in repr(entries) for part in (public, hidden, hash_of(secret)))


def test_a_reason_names_nobody_who_may_be_erased() -> None:
    refuse_named("asked by mail, ticket 7; annabel is another", {"user": "anna", "article": None})
    for reason in ("as Anna wished", "anna", "(anna)"):
        with pytest.raises(UserError, match="names the user"):
            refuse_named(reason, {"user": "anna", "article": None})


def test_what_a_run_cost_is_unknown_until_it_is_recorded(registry: Registry) -> None:
    run = registry.runs.create("topics", "threshold:1", "enough", full=True)
    assert run is not None
    assert run.cpu_s is None
    assert registry.runs.update(run.run_id, cpu_s=12.5).cpu_s == 12.5


def test_gaps_add_up_by_topic(registry: Registry, clock: Clock) -> None:
    assert registry.gaps.by_topic() == {}
    registry.gaps.add("perennial.articles", 5)
    clock.forward(60)
    registry.gaps.add("perennial.articles", 2)
    assert registry.gaps.by_topic() == {"perennial.articles": Gap("perennial.articles", 2, 7, clock.now)}


def test_a_copy_of_the_registry_has_them_too(registry: Registry, tmp_path: Path) -> None:
    registry.pauses.pause("topics", actor="operator", reason="elections")
    with Registry.open(f"sqlite:///{tmp_path / 'copy.db'}") as copy:
        copy_all(registry.database, copy.database)
        assert copy.pauses.every() == registry.pauses.every()
        copy.pauses.resume("topics", actor="operator", reason="elsewhere")
        assert [one.action for one in copy.audit.newest(None, 10)] == ["resume", "pause"]
