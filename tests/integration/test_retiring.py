"""Test, then train: what goes from the test side to training, what stays, and that it is the only move a row ever makes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from consumers.buffer.writer import BufferWriter
from consumers.enrichment.stories import Split
from consumers.rows.backlog import TextRow
from consumers.rows.documents import DocumentSides
from tests.support.buffers import ENTITIES, NOW, TOPICS, article, enrich, feedback, finding, judge, label, opened, spans, stored
from tests.support.tables import rows_of

DAYS = 24.0
TASK = TOPICS.model_copy(update={"new_label_min_examples": 1})
TASKS = {TASK.name: TASK}
WHY = "promotion.window_days"


def everything(task: str, row_ids: Collection[str]) -> Collection[str]:
    """All rows have judged."""
    del task
    return row_ids


def side(row: TextRow) -> str:
    return "anchor" if row.anchor else "train" if row.text.startswith("train") else "test"


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[BufferWriter]:
    with opened(tmp_path / "b") as made:
        yield made


def take(buffer: BufferWriter, *events: object, offset: int = 0) -> None:
    buffer.insert(stored(*events, offset=offset))  # type: ignore[arg-type]  # events
    enrich(buffer, "articles", split=side)
    enrich(buffer, split=side)


def placed(buffer: BufferWriter) -> dict[str, str]:
    rows = rows_of(buffer.folder, "example_enrichment", ["row_id", "split"])
    return dict(zip(rows["row_id"].to_pylist(), rows["split"].to_pylist(), strict=True))


def roles(buffer: BufferWriter, folder: Path, learnt: frozenset[str] = frozenset()) -> dict[str, str]:
    found = buffer.freeze(TASK, run_id="r", folder=folder, learnt=learnt)
    return {key: role for role in ("train", "test", "anchor") for key in found.rows(role)["example_id"].to_pylist()}


def test_what_has_judged_and_lies_behind_the_window_trains_from_then_on(buffer: BufferWriter, tmp_path: Path) -> None:
    take(
        buffer, label("new", "new"), label("old", "old", hours=91 * DAYS), label("older", "older", hours=200 * DAYS),
        label("unseen", "unseen", hours=300 * DAYS), label("anchor", "anchor", anchor=True, hours=300 * DAYS),
    )  # fmt: skip
    before = roles(buffer, tmp_path / "before")
    assert (before["new"], before.get("old"), before["anchor"]) == ("test", None, "anchor")
    counted = buffer.counts(TASK.name)
    found = buffer.retire(TASKS, lambda _task, row_ids: set(row_ids) - {"unseen"})
    assert {key for one in found for key in one.labels} == {"old", "older"}
    assert placed(buffer) == {"new": "test", "old": "train", "older": "train", "unseen": "test", "anchor": "anchor"}
    course = buffer.labels.course("old")
    assert course is not None
    assert (course.retired_at, WHY in (course.retired_because or "")) == (NOW, True)
    assert buffer.counts(TASK.name, after_seq=counted.max_seq).new == 2, "they are new examples for what starts a run"
    after = roles(buffer, tmp_path / "after")
    assert after == {"new": "test", "old": "train", "older": "train", "anchor": "anchor"}
    assert buffer.splits_moved == 1
    assert buffer.retire(TASKS, everything)[0].labels.keys() == {"unseen"}
    writes = buffer.writes
    assert buffer.retire(TASKS, everything) == []
    assert buffer.writes == writes


def test_a_row_moves_once_whichever_way(buffer: BufferWriter) -> None:
    take(buffer, *(label(f"train-{n}", f"train {n}", "sport", document_id=f"d-{n}", hours=100 * DAYS) for n in range(10)))
    (short,) = buffer.hold_out_more(TASK, test_fraction=0.2, learnt=frozenset())
    moved = set(short.rows)
    take(buffer, label("new", "new", "art"), label("old", "old", "art", hours=91 * DAYS), offset=100)
    retired = {key for one in buffer.retire(TASKS, everything) for key in one.labels}
    assert retired == {"old"}, "what was moved to the test side stays there"
    assert all(placed(buffer)[key] == "test" for key in moved)
    # A label that falls short takes nothing that has retired.
    more = TASK.model_copy(update={"name": TASK.name})
    taken = {key for one in buffer.hold_out_more(more, test_fraction=0.99, learnt=frozenset()) for key in one.rows}
    assert "old" not in taken
    assert placed(buffer)["old"] == "train"


def test_documents_and_stories_go_as_a_whole_with_articles_and_answers_or_not_at_all(buffer: BufferWriter) -> None:
    old = 100 * DAYS
    buffer.insert(
        stored(
            label("new", "new"),
            # One document, one of whose texts is like another document's.
            label("a-1", "a 1", document_id="a", hours=old), label("a-2", "alike 1", document_id="a", hours=old),
            label("b-1", "alike 2", article_id="b", hours=old), feedback("f-1", "alike 3", article_id="b", hours=old),
            article("b-article", "b", "alike 4", hours=old),
            # Of this one a text is within the window.
            label("c-1", "c 1", document_id="c", hours=old), label("c-2", "c 2", document_id="c"),
            # An anchor keeps its document, and a fresh article its story.
            label("d-1", "d 1", document_id="d", hours=old), label("d-2", "d 2", anchor=True, document_id="d", hours=old),
            label("e-1", "echo 1", hours=old), article("e-article", "e", "echo 2"),
        )
    )  # fmt: skip
    _place(buffer)
    retired = {key for one in buffer.retire(TASKS, everything) for key in one.labels}
    assert retired == {"a-1", "a-2", "b-1"}
    stand = placed(buffer)
    assert (stand["f-1"], stand["c-1"], stand["d-1"], stand["e-1"]) == ("train", "test", "test", "test")
    articles = rows_of(buffer.folder, "article_enrichment", ["row_id", "split"])["split"].to_pylist()
    assert sorted(articles) == ["test", "train"]
    sides: DocumentSides = buffer.documents()[0]
    assert (sides.side("a"), sides.side("b"), sides.side("c")) == ("train", "train", "test")


def _place(buffer: BufferWriter) -> None:
    for table in ("articles", "examples"):
        while rows := buffer.unenriched(table, 100):  # type: ignore[arg-type]  # a table of texts
            splits: list[Split] = ["anchor" if row.anchor else "test" for row in rows]
            buffer.apply_enrichment(
                table,  # type: ignore[arg-type]  # likewise
                [finding(row, split, story_id=f"s-{row.text.split()[0]}") for row, split in zip(rows, splits, strict=True)],
            )
    judge(buffer)


def test_a_document_of_two_tasks_waits_for_both(buffer: BufferWriter) -> None:
    both = {TASK.name: TASK, ENTITIES.name: ENTITIES}
    take(
        buffer, label("new", "new"), label("t-1", "t", document_id="d", hours=100 * DAYS),
        spans("n-1", "n", (0, 1, "ORG"), document_id="d", hours=100 * DAYS),
    )  # fmt: skip
    assert buffer.retire(TASKS, everything) == [], "the other task has no newer rows"
    take(buffer, spans("n-2", "n new", (0, 1, "ORG")), offset=100)
    assert {key for one in buffer.retire(both, everything) for key in one.labels} == {"t-1", "n-1"}


def test_a_retirement_that_was_cut_short_goes_on(buffer: BufferWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    take(
        buffer,
        label("new", "new"),
        article("old-article", "b", "old", hours=100 * DAYS),
        label("old", "old", article_id="b", hours=100 * DAYS),
    )
    enrichment = buffer._enrichment
    whole = enrichment.retire

    def dies(table: str, *arguments: object, as_new: bool) -> int:
        if as_new:
            raise KeyboardInterrupt
        return whole(table, *arguments, as_new=as_new)  # type: ignore[arg-type]  # as they came

    with monkeypatch.context() as patched:
        patched.setattr(enrichment, "retire", dies)
        with pytest.raises(KeyboardInterrupt):
            buffer.retire(TASKS, everything)
    assert placed(buffer)["old"] == "test"
    assert buffer.documents()[0].side("b") == "test", "a document stands where its labels do"
    assert [set(one.labels) for one in buffer.retire(TASKS, everything)] == [{"old"}]
    assert placed(buffer)["old"] == "train"
