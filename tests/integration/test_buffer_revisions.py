"""Articles that are edited, and edited back: each revision is stored once; a label is laid on the one in force at its time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import AnyEvent
from consumers.log.protocols import Position
from consumers.rows.arriving.event_rows import Stored
from consumers.tables.lance import Tables
from tests.support.buffers import article, feedback, label, opened, spans, stored
from tests.support.tables import rows_of

FIRST, SECOND = "Acme Corp wins contract in Lyon", "UPDATE: Big contract for Acme Corp, says mayor"


def revisions(buffer: BufferWriter) -> list[tuple[str, str]]:
    rows = rows_of(buffer.folder, "articles", ["event_id", "text", "event_time", "row_id"]).sort_by("event_time").to_pylist()
    assert len({row["row_id"] for row in rows}) == len(rows)
    return [(row["event_id"], row["text"]) for row in rows]


def texts(buffer: BufferWriter) -> dict[str, str]:
    rows = rows_of(buffer.folder, "examples", ["row_id", "text"])
    return dict(zip(rows["row_id"].to_pylist(), rows["text"].to_pylist(), strict=True))


def history(*bodies: str, start: float = 10) -> list[AnyEvent]:
    """Revisions an hour apart, `start` hours ago."""
    return [article(f"rev-{number}", body=body, hours=start - number) for number, body in enumerate(bodies)]


def test_a_label_is_laid_on_the_revision_that_was_in_force(tmp_path: Path) -> None:
    """An article reverted to what it was: the spans fit the third revision, not the second."""
    marks = [(0, 9, "ORG"), (27, 31, "GPE")]
    with opened(tmp_path / "b") as buffer:
        outcome = buffer.insert(stored(*history(FIRST, SECOND, FIRST), spans("l", None, *marks, article_id="a-1", hours=1)))
        assert outcome.inserted == 4
        assert [text for _, text in revisions(buffer)] == [FIRST, SECOND, FIRST]
        assert buffer.resolve_waiting() == 1
        assert texts(buffer) == {"l": FIRST}


@pytest.mark.parametrize(("hours", "expected"), [(20, "A"), (10, "A"), (9.5, "A"), (8.5, "B"), (7.5, "A"), (6.5, "C"), (0, "A")])
def test_each_moment_has_its_revision(tmp_path: Path, hours: float, expected: str) -> None:
    asked = [label("l", None, article_id="a-1", hours=hours), feedback("f", article_id="a-1", hours=hours)]
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(*history("A", "B", "A", "C", "A"), *asked))
        buffer.resolve_waiting()
        assert texts(buffer) == {"l": expected, "f": expected}


def test_what_is_crawled_again_is_no_revision(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        outcome = buffer.insert(stored(*history("A", "A", "B", "B", "A", "A")))
        assert (outcome.inserted, outcome.duplicates, outcome.conflicts) == (3, 3, ())
        assert [name for name, _ in revisions(buffer)] == ["rev-0", "rev-2", "rev-4"]


@pytest.mark.parametrize("cut", range(6))
def test_a_redelivery_from_anywhere_changes_nothing(tmp_path: Path, cut: int) -> None:
    events = stored(*history("A", "B", "A", "B", "B", "A"))
    with opened(tmp_path / "b") as buffer:
        buffer.insert(events[:cut])
        buffer.insert(events[cut:])
        before = revisions(buffer)
        assert [text for _, text in before] == ["A", "B", "A", "B", "A"]
        assert buffer.insert(events[cut:]).inserted == 0
    with opened(tmp_path / "b") as buffer:
        assert buffer.insert(events).inserted == 0
        assert revisions(buffer) == before


def test_revisions_in_other_partitions_and_of_the_past_are_told_apart(tmp_path: Path) -> None:
    late = Stored(article("late", body="B", hours=9.5), Position("perennial.articles", 1, 0))
    with opened(tmp_path / "b") as buffer:
        buffer.insert([*stored(*history("A", "C")), late])
        assert [text for _, text in revisions(buffer)] == ["A", "B", "C"]
        again = Stored(article("late-2", body="B", hours=9.4), Position("perennial.articles", 1, 1))
        assert buffer.insert([again]).duplicates == 1


def test_ten_thousand_revisions_of_one_article_stay_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch reads what is known of its articles once, and never their texts."""
    bodies = [article(f"r-{n}", body=f"State {n % 7} of it. {'x' * 500}", hours=200 - n / 60) for n in range(10_000)]
    events = stored(*bodies)
    asked = [label(f"l-{n}", None, article_id="a-1", hours=200 - n) for n in range(100)]
    read: list[tuple[int, Sequence[str]]] = []
    lookup = Tables.lookup

    def counted(self: Tables, name: str, column: str, values: Sequence[str], columns: Sequence[str], *where: str) -> Any:
        rows = lookup(self, name, column, values, columns, *where)
        if name == "articles":
            read.append((rows.num_rows, columns))
        return rows

    monkeypatch.setattr(Tables, "lookup", counted)
    with opened(tmp_path / "b") as buffer:
        for start in range(0, 10_000, 1_000):
            assert buffer.insert(events[start : start + 1_000]).inserted == 1_000
        buffer.insert(stored(*asked))
        assert buffer.resolve_waiting() == 100
        laid = texts(buffer)
        assert all(laid[f"l-{n}"].startswith(f"State {n * 60 % 7} ") for n in range(100))
    assert sum(rows for rows, _ in read) <= 10 * 10_000
    assert sum(rows for rows, columns in read if "text" in columns) <= 100
