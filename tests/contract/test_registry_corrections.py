"""The corrections in force, on SQLite and on Postgres: what is put is what is read, until a version has learnt it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from config.errors import StopError
from registry.database.copying import copy_all
from registry.people.corrections import Correction
from registry.removal import erasure
from registry.store import Registry
from tests.support.registries import TASK, Clock, add_version

ONE, OTHER = "1" * 64, "2" * 64


def correction(event_id: str, text_sha256: str = ONE, name: str = "sport", *examples: str, accepted: bool = False) -> Correction:
    return Correction(text_sha256, event_id, {"label": name}, accepted, (event_id, *examples))


def answering(registry: Registry, version: str, after: int = 0) -> dict[str, str]:
    return {one.text_sha256: one.event_id for one in registry.corrections.not_learnt_by(version, TASK, after=after)}


def test_what_is_put_is_in_force_and_what_is_not_put_again_goes(registry: Registry) -> None:
    version = add_version(registry).name
    assert registry.corrections.put(TASK, [correction("f-1"), correction("f-2", OTHER)]) == (2, 0)
    assert answering(registry, version) == {ONE: "f-1", OTHER: "f-2"}
    assert registry.corrections.put(TASK, [correction("f-2", OTHER)]) == (0, 1)
    assert answering(registry, version) == {OTHER: "f-2"}
    assert registry.corrections.tasks() == [TASK]
    assert registry.corrections.not_learnt_by(version, "another") == []


def test_the_newest_are_listed_of_one_task_and_of_all(registry: Registry, clock: Clock) -> None:
    registry.corrections.put(TASK, [correction("f-1")])
    clock.forward(1)
    registry.corrections.put(TASK, [correction("f-1"), correction("f-2", OTHER)])
    clock.forward(1)
    registry.corrections.put("another", [correction("f-3")])
    assert [one.event_id for one in registry.corrections.newest(TASK, 9)] == ["f-2", "f-1"]
    assert [(one.task, one.event_id) for one in registry.corrections.newest(None, 2)] == [("another", "f-3"), (TASK, "f-2")]


def test_what_changes_nothing_leaves_time_and_generation(registry: Registry, clock: Clock) -> None:
    registry.corrections.put(TASK, [correction("f-1")])
    began, before = clock.now, registry.corrections.generations()
    clock.forward(60)
    assert registry.corrections.put(TASK, [correction("f-1")]) == (0, 0)
    assert registry.corrections.generations() == before
    # Another who says the same teaches the same; the correction stays what it was.
    assert registry.corrections.put(TASK, [correction("f-1", ONE, "sport", "f-9")]) == (0, 0)
    assert registry.corrections.generations() == before
    found = registry.corrections.of_event("f-1")
    assert found is not None
    assert found.answers_since == began


def test_a_renamed_label_answers_since_the_same_time_and_a_newer_correction_since_now(registry: Registry, clock: Clock) -> None:
    registry.corrections.put(TASK, [correction("f-1")])
    began = clock.now
    clock.forward(60)
    assert registry.corrections.put(TASK, [correction("f-1", ONE, "sports")]) == (1, 0)
    found = registry.corrections.of_event("f-1")
    assert found is not None
    assert (found.target, found.answers_since) == ({"label": "sports"}, began)
    assert registry.corrections.put(TASK, [correction("f-2")]) == (1, 0)
    assert registry.corrections.of_event("f-1") is None
    newer = registry.corrections.of_event("f-2")
    assert newer is not None
    assert newer.answers_since == began + timedelta(seconds=60)


def test_generations_tell_what_is_new_and_whether_something_went(registry: Registry) -> None:
    version = add_version(registry).name
    assert registry.corrections.generations() == {}
    registry.corrections.put(TASK, [correction("f-1")])
    first = registry.corrections.generations()[TASK]
    registry.corrections.put(TASK, [correction("f-1"), correction("f-2", OTHER)])
    second = registry.corrections.generations()[TASK]
    assert second.generation > first.generation
    assert second.taken_away == first.taken_away
    assert answering(registry, version, after=first.generation) == {OTHER: "f-2"}
    registry.corrections.put(TASK, [correction("f-2", OTHER)])
    third = registry.corrections.generations()[TASK]
    assert third.taken_away == third.generation > second.generation


def test_a_version_that_learnt_it_answers_itself_and_so_does_its_child_but_not_its_parent(registry: Registry) -> None:
    before = add_version(registry).name
    # Who says the same teaches the same: the row that was taken may be another user's.
    learner = add_version(registry, parent=before, learnt=["f-9"]).name
    child = add_version(registry, parent=learner).name
    registry.corrections.put(TASK, [correction("f-1", ONE, "sport", "f-9"), correction("f-2", OTHER)])
    assert answering(registry, before) == {ONE: "f-1", OTHER: "f-2"}
    assert answering(registry, learner) == answering(registry, child) == {OTHER: "f-2"}
    assert registry.corrections.answers_beside(before, TASK, "f-1")
    assert not registry.corrections.answers_beside(child, TASK, "f-1")
    assert not registry.corrections.answers_beside(None, TASK, "f-1")
    assert not registry.corrections.answers_beside(before, TASK, "f-3")


def test_an_erased_example_answers_no_more_and_leaves_no_id(registry: Registry) -> None:
    version = add_version(registry).name
    registry.corrections.put(TASK, [correction("f-1"), correction("f-2", OTHER, "sport", "f-3")])
    before = registry.corrections.generations()[TASK]
    erasure.mark_versions(registry, ["f-1", "f-3"])
    assert answering(registry, version) == {OTHER: "f-2"}
    after = registry.corrections.generations()[TASK]
    assert after.taken_away == after.generation > before.generation
    # f-3 teaches nothing any more: a version that had learnt it does not silence f-2.
    assert answering(registry, add_version(registry, learnt=["f-3"]).name) == {OTHER: "f-2"}


def test_a_former_leader_writes_nothing(registry: Registry) -> None:
    token = registry.lease.acquire("one", 60)
    assert token is not None
    registry.corrections.put(TASK, [correction("f-1")], fencing_token=token)
    with pytest.raises(StopError):
        registry.corrections.put(TASK, [], fencing_token=token - 1)
    assert registry.corrections.of_event("f-1") is not None


def test_a_copy_of_the_registry_holds_them(registry: Registry, tmp_path: Path) -> None:
    registry.corrections.put(TASK, [correction("f-1", ONE, "sport", "f-9")])
    with Registry.open(f"sqlite:///{tmp_path / 'copy.db'}") as copy:
        copy_all(registry.database, copy.database)
        assert copy.corrections.of_event("f-1") == registry.corrections.of_event("f-1")
        assert copy.corrections.generations() == registry.corrections.generations()
        assert not copy.corrections.answers_beside(add_version(copy, learnt=["f-9"]).name, TASK, "f-1")


def test_many_are_put_and_read(registry: Registry) -> None:
    version = add_version(registry, learnt=["f-7"]).name
    many = [correction(f"f-{n}", f"{n:064x}") for n in range(12_000)]
    assert registry.corrections.put(TASK, many) == (12_000, 0)
    found = answering(registry, version)
    assert len(found) == 11_999
    assert registry.corrections.put(TASK, []) == (0, 12_000)
