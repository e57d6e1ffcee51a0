"""Weak labels in the buffer: they train where nobody has spoken, never test, and are replaced when rules change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import AnyEvent
from consumers.labelling.weak.labelling import find, label
from consumers.labelling.weak.stored import Changes, changes, withdrawals
from consumers.rows.backlog import TextRow
from tests.support import buffers
from tests.support.weak import MONEY, SPORT, task

TASK = task(SPORT, MONEY, name="news-topics", new_label_min_examples=1)
WORDS = {"sport": "match", "economy": "rates"}
Opened = Iterator[BufferWriter]


@pytest.fixture
def buffer(tmp_path: Path) -> Opened:
    with buffers.opened(tmp_path / "buffer", tasks={"news-topics": TASK}) as opened:
        yield opened


def side(row: TextRow) -> str:
    return "test" if row.text.startswith("Held out") else "train"


def arrived(buffer: BufferWriter, *events: AnyEvent, offset: int = 0) -> None:
    buffer.insert(buffers.stored(*events, offset=offset))
    buffers.enrich(buffer, "articles", split=side)
    buffers.enrich(buffer, split=side)
    buffer.withdraw_weak_labels()


def look(buffer: BufferWriter, spec: TaskSpec = TASK) -> Changes:
    found = label(find(spec, buffer.weak_texts(spec, 1_000)))
    return changes(spec, found.labels, buffer.weak_labels(spec.name))


def applied(buffer: BufferWriter, spec: TaskSpec = TASK, *, offset: int) -> Changes:
    seen = look(buffer, spec)
    arrived(buffer, *seen.new, *withdrawals(spec.name, seen.withdrawn, "rules changed", buffers.NOW), offset=offset)
    return seen


def trained(buffer: BufferWriter, folder: Path, spec: TaskSpec = TASK) -> dict[str, tuple[str, float]]:
    """Text -> target and weight of the training rows."""
    frozen = buffer.freeze(spec, run_id=folder.name, folder=folder, learnt=frozenset())
    rows = frozen.rows("train").to_pylist()
    assert not frozen.rows("test", "anchor", "corrections").num_rows
    return {row["text"]: (row["target"], round(row["weight"], 2)) for row in rows}


def articles(*bodies: str) -> Sequence[AnyEvent]:
    return [buffers.article(f"e-{body}", f"a-{body}", body) for body in bodies]


def test_rules_label_articles_of_the_train_side_that_nobody_has_spoken_of(buffer: BufferWriter, tmp_path: Path) -> None:
    bodies = ("A match", "Rates rise", "Held out match", "A labelled match", "A corrected match", "Weather")
    arrived(buffer, *articles(*bodies))
    arrived(
        buffer,
        buffers.label("l-1", "A labelled match", "economy"),
        buffers.feedback("f-1", "A corrected match", "economy"),
        offset=50,
    )
    seen = applied(buffer, offset=100)
    assert {one.text: one.target["label"] for one in seen.new} == {"A match": "sport", "Rates rise": "economy"}
    assert all(one.origin == "weak" and one.weight == pytest.approx(0.4, abs=0.05) for one in seen.new)
    learnt = trained(buffer, tmp_path / "r-1")
    assert {text: target for text, (target, _) in learnt.items()} == {
        "A match": '{"label":"sport"}', "Rates rise": '{"label":"economy"}', "A labelled match": '{"label":"economy"}',
        "A corrected match": '{"label":"economy"}',
    }  # fmt: skip
    assert learnt["A match"][1] == pytest.approx(0.4, abs=0.05)
    assert learnt["A labelled match"][1] == 1.0
    counts = buffer.counts("news-topics")
    assert (counts.test, counts.train) == (0, 4)


def test_applying_again_changes_nothing_and_neither_does_a_redelivery(buffer: BufferWriter) -> None:
    arrived(buffer, *articles("A match", "Rates rise"))
    first = applied(buffer, offset=100)
    again = look(buffer)
    assert (len(again.new), len(again.withdrawn), again.unchanged) == (0, 0, 2)
    outcome = buffer.insert(buffers.stored(*first.new, offset=200))
    assert (outcome.inserted, outcome.duplicates, outcome.conflicts) == (0, 2, ())


def test_a_changed_rule_replaces_its_labels_and_changed_back_gives_them_anew(buffer: BufferWriter, tmp_path: Path) -> None:
    arrived(buffer, *articles("A match", "Rates rise"))
    before = applied(buffer, offset=100)
    other = task({**SPORT, "label": "games"}, name="news-topics", new_label_min_examples=1)
    buffer.use_tasks({"news-topics": other})
    changed = applied(buffer, other, offset=200)
    assert ([one.target["label"] for one in changed.new], len(changed.withdrawn)) == (["games"], 2)
    assert {text: target for text, (target, _) in trained(buffer, tmp_path / "r-1", other).items()} == {
        "A match": '{"label":"games"}'
    }
    fate = buffer.feedback_fate(changed.withdrawn[0])
    assert fate is not None
    assert (fate.status, "label withdrawn: rules changed" in fate.reason) == ("held_out", True)

    buffer.use_tasks({"news-topics": TASK})
    back = applied(buffer, offset=300)
    assert not {one.event_id for one in back.new} & {one.event_id for one in before.new}, "the withdrawn ones stay withdrawn"
    learnt = trained(buffer, tmp_path / "r-2")
    assert {text: target for text, (target, _) in learnt.items()} == {
        "A match": '{"label":"sport"}',
        "Rates rise": '{"label":"economy"}',
    }


def test_a_label_of_a_person_takes_the_place_of_a_weak_one_at_once_and_for_good(buffer: BufferWriter, tmp_path: Path) -> None:
    arrived(buffer, *articles("A match"))
    applied(buffer, offset=100)
    arrived(buffer, buffers.label("l-1", "A match", "economy", hours=99), offset=200)
    assert trained(buffer, tmp_path / "r-1") == {"A match": ('{"label":"economy"}', 1.0)}
    seen = look(buffer)
    assert (len(seen.new), len(seen.withdrawn)) == (0, 1)


def test_the_story_of_a_withdrawn_label_is_none_the_worse(buffer: BufferWriter) -> None:
    arrived(buffer, *articles("A match"))
    [one] = applied(buffer, offset=100).new
    arrived(buffer, *withdrawals("news-topics", [one.event_id], "rules changed", buffers.NOW), offset=200)
    members = {member.row_id: member for member in buffer.recent_stories(buffers.NOW, timedelta(days=1))}
    assert (members[one.event_id].split, members[one.event_id].counts) == ("dropped", False)


def test_a_withdrawal_waits_for_a_label_that_is_not_enriched_yet(buffer: BufferWriter, tmp_path: Path) -> None:
    arrived(buffer, *articles("A match"))
    [one] = look(buffer).new
    arrived(buffer, *withdrawals("news-topics", [one.event_id], "rules changed", buffers.NOW), offset=100)
    arrived(buffer, one, offset=200)
    assert trained(buffer, tmp_path / "r-1") == {}


def test_weak_labels_come_last_where_there_is_no_room_for_all(buffer: BufferWriter, tmp_path: Path) -> None:
    arrived(buffer, *articles(*(f"match {number}" for number in range(5))))
    applied(buffer, offset=100)
    arrived(buffer, *(buffers.label(f"l-{number}", f"old {number}", "economy", hours=999) for number in range(3)), offset=200)
    frozen = buffer.freeze(TASK, run_id="r", folder=tmp_path / "r", learnt=frozenset(), max_rows=4)
    assert sorted(frozen.rows("train")["origin"].to_pylist()) == ["gold", "gold", "gold", "weak"]


def test_they_hold_no_document_out_and_people_are_still_asked_about_their_texts(buffer: BufferWriter) -> None:
    arrived(buffer, *articles("A match", "Held out match"))
    applied(buffer, offset=100)
    assert buffer.hold_out_more(TASK, test_fraction=0.9, learnt=frozenset()) == []
    pool, _labels = buffer.asked_of_people(TASK, audit_per_week=10)
    assert not pool.labelled
