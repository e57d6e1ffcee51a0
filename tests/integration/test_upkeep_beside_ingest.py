"""Removing, rewriting, merging and purging beside ingest: nobody waits for them, and nothing slips in or gets lost meanwhile."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.buffer.writer import BufferWriter
from consumers.erasure import rows as erasure
from consumers.erasure.requests import Erasures
from consumers.events.schemas import Erase
from consumers.tables.columns import SCHEMAS
from tests.support.buffers import NOW, SETTINGS, article, enrich, feedback, judge, label, opened, prediction, stored
from tests.support.tables import rows_of

LIMIT_S = 60.0
EAGER = SETTINGS.model_copy(update={"optimize_every": 2})


@pytest.fixture
def erasures(tmp_path: Path) -> Iterator[Erasures]:
    with closing(Erasures(tmp_path)) as made:
        yield made


@pytest.fixture
def buffer(tmp_path: Path, erasures: Erasures) -> Iterator[BufferWriter]:
    with opened(tmp_path / "b", EAGER, erasures=erasures) as made:
        yield made


class Beside:
    """A step in a thread of its own."""

    def __init__(self, step: Callable[[], Any]) -> None:
        self.result: Any = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(step,), daemon=True)
        self._thread.start()

    def end(self) -> Any:
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "it waits for somebody"
        if self._failure is not None:
            raise self._failure
        return self.result

    def _run(self, step: Callable[[], Any]) -> None:
        try:
            self.result = step()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._failure = error


def ask(erasures: Erasures, **named: str) -> None:
    erasures.request(Erase(event_id=f"erase-{len(erasures.all())}", occurred_at=NOW, **named))


def ids(buffer: BufferWriter, table: str) -> list[str]:
    key = {"predictions": "prediction_id", "articles": "event_id", "feedback": "event_id"}.get(table, "row_id")
    return sorted(rows_of(buffer.folder, table, [key])[key].to_pylist())


def test_ingest_waits_for_nothing_that_works_on_the_tables(buffer: BufferWriter) -> None:
    buffer.insert(stored(label("l-0", "zero"), article("e-0")))
    with buffer._upkeep.changing(*SCHEMAS), buffer._upkeep.pinned():
        assert Beside(lambda: buffer.insert(stored(label("l-1", "one"), article("e-1", "a-9"), offset=9))).end().inserted == 2
        rows = Beside(lambda: buffer.unenriched("examples", 9)).end()
        assert [row.row_id for row in rows] == ["l-0", "l-1"]
        assert Beside(lambda: buffer.counts("news-topics")).end().unenriched == 2
        waits = Beside(lambda: judge(buffer))
        assert Beside(lambda: buffer.insert(stored(label("l-2", "two"), offset=19))).end().inserted == 1, (
            "who waits for a table's turn holds up nobody"
        )
    waits.end()


def test_what_comes_in_while_an_erasure_looks_goes_too(
    buffer: BufferWriter, erasures: Erasures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prediction and an answer slip in after the tables were read, and before what was found is named."""
    buffer.insert(stored(article("e-1", "gone", "its text"), label("l-1", "kept"), prediction("p-0", "its text")))
    real, late = erasure.derived, []

    def derived(*args: Any) -> Any:
        found = real(*args)
        if not late:
            late.append(
                buffer.insert(
                    stored(
                        prediction("p-1", "its text"), feedback("f-1", prediction_id="p-1"), label("l-2", "its text"), offset=20
                    )
                )
            )
            buffer.resolve_waiting()
        return found

    monkeypatch.setattr(erasure, "derived", derived)
    ask(erasures, article_id="gone")
    buffer.erase()
    assert late[0].inserted == 3, "they did come in"
    assert {name: ids(buffer, name) for name in ("articles", "examples", "feedback", "predictions")} == {
        "articles": [], "examples": ["l-1"], "feedback": [], "predictions": [],
    }  # fmt: skip
    again = buffer.insert(stored(prediction("p-2", "its text"), feedback("f-2", prediction_id="p-1"), offset=40))
    assert (again.inserted, len(again.erased)) == (0, 2)


def test_rows_that_a_merge_moves_after_they_were_found_go_too(
    buffer: BufferWriter, erasures: Erasures, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        buffer.insert(stored(feedback(f"f-{number}", f"text {number}", user_id="anna" if number % 2 else "ben"), offset=number))
    real, moved = erasure.erased_rows, []

    def erased_rows(*args: Any) -> Any:
        found = real(*args)
        if not moved:
            moved.append(buffer._upkeep.compact(["examples", "feedback"], timedelta(hours=1)))
        return found

    monkeypatch.setattr(erasure, "erased_rows", erased_rows)
    ask(erasures, user_id="anna")
    buffer.erase()
    assert moved == [("examples", "feedback")]
    assert ids(buffer, "examples") == ids(buffer, "feedback") == [f"f-{number}" for number in (0, 2, 4, 6, 8)]


def test_findings_of_a_text_that_was_being_enriched_go_too(
    buffer: BufferWriter, erasures: Erasures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enrichment had read the text before; its findings come while the row is being removed."""
    buffer.insert(stored(feedback("f-1", "of anna", user_id="anna"), label("l-1", "kept")))
    real = erasure.erased_rows

    def erased_rows(*args: Any) -> Any:
        found = real(*args)
        enrich(buffer)
        return found

    monkeypatch.setattr(erasure, "erased_rows", erased_rows)
    ask(erasures, user_id="anna")
    buffer.erase()
    assert ids(buffer, "example_enrichment") == ids(buffer, "examples") == ["l-1"]
    assert ids(buffer, "feedback_judgements") == []


@pytest.mark.filterwarnings("ignore:optimize:UserWarning")
def test_a_reader_of_an_old_version_is_waited_for(buffer: BufferWriter) -> None:
    for number in range(6):
        buffer.insert(stored(label(f"l-{number}", f"text {number}"), offset=number))
    with buffer._upkeep.pinned(["examples"]) as tables:
        purging = Beside(lambda: buffer.purge(timedelta(0)))
        assert buffer.insert(stored(label("l-6", "text 6"), offset=9)).inserted == 1
        assert sorted(tables.scan("examples", ["text"])["text"].to_pylist()) == [f"text {number}" for number in range(6)]
    purging.end()
    assert ids(buffer, "examples") == [f"l-{number}" for number in range(7)]
    assert buffer.insert(stored(label("l-7", "text 7"), offset=10)).inserted == 1


@pytest.mark.filterwarnings("ignore:optimize:UserWarning")
def test_all_at_once_nothing_is_lost_doubled_or_left(tmp_path: Path, erasures: Erasures) -> None:  # noqa: C901 - one thread each
    """Ingest, enrichment, compaction, erasure, rewriting, purging and retention in a thread each, over the same tables."""
    rounds, folder = 30, tmp_path / "b"
    with opened(folder, EAGER, erasures=erasures) as buffer:
        done = threading.Event()

        def until_done(step: Callable[[], Any]) -> Callable[[], None]:
            def run() -> None:
                while not done.is_set():
                    step()

            return run

        def work_an_erasure_off() -> None:
            buffer.erase()
            while buffer.rewrite_erased() is None:
                pass
            buffer.purge(timedelta(hours=1))

        def take_in() -> None:
            for number in range(rounds):
                user = "anna" if number % 3 == 0 else "ben"
                batch = [
                    label(f"l-{number}", f"text {number}"), article(f"e-{number}", f"a-{number}", f"body {number}"),
                    feedback(f"f-{number}", article_id=f"a-{number}", user_id=user),
                    feedback(f"g-{number}", f"said {number}", user_id=user),
                ]  # fmt: skip
                buffer.insert(stored(*batch, offset=10 * number))
                buffer.sync()
                buffer.resolve_waiting()
                if number == rounds // 2:
                    ask(erasures, user_id="anna")

        others = [
            Beside(until_done(step))
            for step in (lambda: enrich(buffer), buffer.optimize_if_due, work_an_erasure_off, buffer.enforce_retention)
        ]
        try:
            Beside(take_in).end()
        finally:
            done.set()
        for other in others:
            other.end()
        buffer.resolve_waiting()
        enrich(buffer)
        work_an_erasure_off()
        of_ben = [number for number in range(rounds) if number % 3]
        expected = {
            "articles": [f"e-{number}" for number in range(rounds)],
            "examples": [*(f"l-{n}" for n in range(rounds)), *(f"f-{n}" for n in of_ben), *(f"g-{n}" for n in of_ben)],
        }
        for name, wanted in expected.items():
            assert Counter(ids(buffer, name)) == Counter(wanted)
        assert ids(buffer, "example_enrichment") == ids(buffer, "examples")
        assert buffer.counts("news-topics").waiting == 0
    with opened(folder, erasures=erasures) as buffer:
        assert (buffer.repairs, buffer.holds_erased()) == ((), False)
        assert buffer.table_counts() == {"articles": 30, "examples": 70, "feedback": 40, "predictions": 0, "requests": 0}
