"""The list of erasures: durable, once per event, and the same for every process that looks."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from consumers.erasure.requests import STEPS, Derived, Erasures
from consumers.events.schemas import Erase
from consumers.log.protocols import Position
from tests.support.buffers import NOW, feedback
from tests.support.registries import Clock


def erase(event_id: str = "e-1", **named: str) -> Erase:
    return Erase(event_id=event_id, occurred_at=NOW, **named)


def test_a_request_is_listed_once_however_often_it_comes(tmp_path: Path) -> None:
    with closing(Erasures(tmp_path)) as erasures:
        assert erasures.request(erase(user_id="anna"), Position("t", 0, 4))
        assert not erasures.request(erase(user_id="anna"), Position("t", 0, 9))
        assert erasures.request(erase("e-2", user_id="anna", article_id="a"))
    with closing(Erasures(tmp_path)) as erasures:
        assert [(one.number, one.what, one.state) for one in erasures.all()] == [
            (2, "user and article", "requested"), (1, "user", "requested"),
        ]  # fmt: skip
        assert erasures.positions() == [("t", 0, 4), ("t", 0, 9)]
        assert erasures.of_event("e-2") == erasures.all()[0]
        assert erasures.of_event("e-3") is None


def test_the_state_is_the_last_step_that_was_reached(tmp_path: Path) -> None:
    clock = Clock()
    with closing(Erasures(tmp_path, clock=clock)) as erasures:
        erasures.request(erase(user_id="anna"))
        states = [erasures.all()[0].state]
        for step in STEPS:
            clock.forward(60)
            erasures.note(1, "it waits")
            erasures.reached(step, [1])
            states.append(erasures.all()[0].state)
        assert states == ["requested", "removed from tables", "purged from disk", "retrain queued", "done"]
        (done,) = erasures.all()
        assert done.done_at == done.requested_at + timedelta(minutes=4)
        assert done.note == ""
        assert erasures.unfinished() == []


def test_another_process_sees_new_tombstones_at_once(tmp_path: Path) -> None:
    with closing(Erasures(tmp_path)) as reader, closing(Erasures(tmp_path)) as writer:
        assert not reader.tombstones()
        writer.request(erase(user_id="anna"))
        assert writer.tombstones().covers(feedback("f", "any", user_id="anna"))
        assert reader.tombstones().covers(feedback("f", "any", user_id="anna"))
        assert reader.tombstones() is reader.tombstones(), "it is read again only when it has changed"
        assert reader.forget("user", "anna")
        assert not writer.tombstones()


def test_forgetting_takes_along_what_was_derived_and_nothing_else(tmp_path: Path) -> None:
    with closing(Erasures(tmp_path)) as erasures:
        erasures.request(erase(user_id="anna", article_id="a"))
        stones = erasures.tombstones()
        (article,), (user,) = stones.digests["article"], stones.digests["user"]
        erasures.derive([Derived("text", "0" * 64, article), Derived("prediction", "p-of-anna", user)])
        (text,) = erasures.tombstones().digests["text"]
        erasures.derive([Derived("prediction", "p-of-text", text)])
        assert not erasures.forget("article", "anna")
        assert erasures.forget("article", "a")
        left = erasures.tombstones()
        assert left.has("user", "anna")
        assert left.has("prediction", "p-of-anna")
        assert not any((left.has("article", "a"), left.has("text", "0" * 64), left.has("prediction", "p-of-text")))


def test_what_tables_were_taken_back_from_is_done_again_unless_it_is_purged(tmp_path: Path) -> None:
    with closing(Erasures(tmp_path)) as erasures:
        erasures.request(erase("e-1", user_id="anna"))
        erasures.request(erase("e-2", user_id="bert"))
        erasures.reached("removed_at", [1, 2])
        erasures.rewritten([1, 2], {"articles": 7})
        erasures.reached("purged_at", [1])
        erasures.start_over()
        assert [(one.number, one.state, one.rewritten_at is None) for one in erasures.unfinished()] == [
            (1, "purged from disk", False), (2, "requested", True),
        ]  # fmt: skip
        assert erasures.clean_versions(1) == {"articles": 7}


def test_work_is_kept_until_it_is_done(tmp_path: Path) -> None:
    with closing(Erasures(tmp_path)) as erasures:
        erasures.add_work("fragment", ["articles:1", "articles:2", "articles:1"])
        erasures.add_work("task", ["topics"])
        erasures.drop_work("fragment", ["articles:1"])
    with closing(Erasures(tmp_path)) as erasures:
        assert erasures.work("fragment") == {"articles:2"}
        erasures.drop_work("task")
        assert erasures.work("task") == frozenset()
        erasures.refused([(Position("t", 0, 1), {"f-1"}), (Position("t", 0, 1), {"f-1"})])
        erasures.drop_positions([Position("t", 0, 1), Position("t", 0, 2)])
        assert erasures.positions() == []
        assert erasures.work("event") == {"f-1"}
        erasures.vacuum()
        assert erasures.work("event") == {"f-1"}
