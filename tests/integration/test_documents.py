"""Documents in the buffer: a split made sentence by sentence is fixed, lineage goes by document, labels get their share."""

from __future__ import annotations

from pathlib import Path

from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import Label
from consumers.rows.backlog import TextRow
from tests.support.buffers import (
    TOPICS,
    article,
    enrich,
    feedback,
    finding,
    judge,
    label,
    opened,
    prediction,
    spans,
    stored,
)
from tests.support.tables import rows_of

TASK = TOPICS.model_copy(update={"new_label_min_examples": 1})


def by_suffix(row: TextRow) -> str:
    """As an earlier version did: each text by itself."""
    return "anchor" if row.anchor else "test" if row.text.endswith("held out") else "train"


def roles(buffer: BufferWriter, folder: Path, learnt: frozenset[str] = frozenset()) -> dict[str, str]:
    """Freeze and return the role of each example."""
    training_set = buffer.freeze(TASK, run_id="r", folder=folder, learnt=learnt)
    return {
        example_id: role
        for role in ("train", "test", "anchor", "corrections")
        for example_id in training_set.rows(role)["example_id"].to_pylist()
    }


def splits(buffer: BufferWriter) -> dict[str, str]:
    rows = rows_of(buffer.folder, "example_enrichment", ["row_id", "split"])
    return dict(zip(rows["row_id"].to_pylist(), rows["split"].to_pylist(), strict=True))


def test_of_a_document_on_both_sides_the_training_side_is_dropped_once(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(
            stored(
                label("l-1", "one", document_id="d"), label("l-2", "two held out", document_id="d"),
                label("l-3", "three", article_id="d"), label("l-4", "four", article_id="e"), label("l-5", "five"),
                feedback("f-1", "six", article_id="d"), feedback("f-2", "seven held out", article_id="e"),
            )
        )  # fmt: skip
        enrich(buffer, split=by_suffix)
        sides, dropped = buffer.documents()
        assert dropped == 3
        assert splits(buffer) == {
            "l-1": "dropped", "l-2": "test", "l-3": "dropped", "l-4": "train", "l-5": "train", "f-1": "dropped", "f-2": "test",
        }  # fmt: skip
        assert (sides.side("d"), sides.side("e"), sides.side("f")) == ("test", "train", None)
        fate = buffer.feedback_fate("l-1")
        assert fate is not None
        assert (fate.status, "d is held out" in fate.reason) == ("held_out", True)
        writes = buffer.writes
        assert buffer.documents()[1] == 0
        assert buffer.writes == writes


def test_feedback_belongs_to_the_article_that_its_prediction_was_about(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(
            stored(
                prediction("p-1", "one", article_id="a-1"), prediction("p-2", "two"), feedback("f-1", prediction_id="p-1"),
                feedback("f-2", prediction_id="p-2"), feedback("f-3", prediction_id="p-1", article_id="a-9"),
            )
        )  # fmt: skip
        buffer.resolve_waiting()
        rows = {row.row_id: (row.document_id, row.article_id) for row in buffer.unenriched("examples", 10)}
        assert rows == {"f-1": ("a-1", None), "f-2": (None, None), "f-3": (None, "a-9")}


def test_an_article_stands_where_its_labels_stand(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(article("e-1", "a-1", "one held out"), article("e-2", "a-2", "two held out")))
        buffer.insert(stored(label("l-1", "three", article_id="a-1"), offset=5))
        enrich(buffer, "articles", split=by_suffix)
        enrich(buffer, split=by_suffix)
        sides, dropped = buffer.documents()
        assert (sides.side("a-1"), sides.side("a-2"), dropped) == ("train", "test", 0)


def test_a_document_in_training_before_it_was_fixed_neither_trains_nor_judges_its_champion(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(
            stored(
                label("l-1", "one", document_id="d"), label("l-2", "two held out", document_id="d"),
                label("l-3", "three held out", document_id="e"), label("l-4", "four"), label("l-5", "five", document_id="g"),
                label("l-6", "six", anchor=True, document_id="g"), label("l-7", "seven", anchor=True),
            )
        )  # fmt: skip
        enrich(buffer, split=by_suffix)
        fresh = roles(buffer, tmp_path / "first")
        assert fresh == {"l-2": "test", "l-3": "test", "l-4": "train", "l-6": "anchor", "l-7": "anchor"}
        later = roles(buffer, tmp_path / "second", frozenset({"l-1", "l-5"}))
        assert later == {"l-3": "test", "l-4": "train", "l-7": "anchor"}


def test_a_near_copy_of_what_the_champion_learnt_does_not_judge_it_and_users_take_no_judge_away(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(
            stored(
                label("l-1", "one"), label("l-2", "one, held out"), label("l-3", "three held out", document_id="e"),
                feedback("f-1", "four", article_id="e"),
            )
        )  # fmt: skip
        while rows := buffer.unenriched("examples", 10):
            buffer.apply_enrichment("examples", [finding(row, by_suffix(row), story_id=row.text[:3]) for row in rows])
        judge(buffer)
        assert roles(buffer, tmp_path / "set", frozenset({"l-1", "f-1"})) == {"l-1": "train", "l-3": "test"}


def documents(count: int, *, name: str = "sport", start: int = 0, sentences: int = 2) -> list[Label]:
    """Labels of `count` documents, each of some sentences."""
    return [
        label(f"{name}-{start + number}-{at}", f"{name} {start + number} {at}", name, document_id=f"{name}:{start + number}")
        for number in range(count)
        for at in range(sentences)
    ]


def test_a_label_that_falls_short_takes_whole_documents_once(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(*documents(10), *documents(4, name="art"), feedback("f-1", "said", "sport", article_id="sport:99")))
        enrich(buffer)
        (found,) = buffer.hold_out_more(TASK, test_fraction=0.2, learnt=frozenset())
        assert (found.label, found.documents, found.held_out, len(found.taken)) == ("sport", 10, 0, 2)
        held_out = {row_id for row_id, split in splits(buffer).items() if split == "test"}
        assert held_out == {f"{name.replace(':', '-')}-{at}" for name in found.taken for at in range(2)}
        assert buffer.splits_moved == 1
        fate = buffer.feedback_fate(min(held_out))
        assert fate is not None
        assert (fate.status, "label sport" in fate.reason) == ("held_out", True)
        writes = buffer.writes
        assert buffer.hold_out_more(TASK, test_fraction=0.2, learnt=frozenset()) == []
        assert (buffer.writes, buffer.splits_moved) == (writes, 1)
        # Five more documents ask for one more; it comes from what no version has seen.
        buffer.insert(stored(*documents(5, start=10), offset=100))
        enrich(buffer)
        seen = frozenset(row_id for row_id, split in splits(buffer).items() if split == "train" and row_id != "sport-12-0")
        learnt = seen - {"sport-12-1"}
        (more,) = buffer.hold_out_more(TASK, test_fraction=0.2, learnt=learnt)
        assert more.taken == ("sport:12",)
        buffer.insert(stored(*documents(5, start=15), offset=200))
        enrich(buffer)
        everything = frozenset(splits(buffer))
        assert buffer.hold_out_more(TASK, test_fraction=0.2, learnt=everything) == []


def test_texts_without_a_document_are_documents_and_near_copies_leave_training(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        texts = [label(f"l-{number}", f"text {number}", "sport", hours=number) for number in range(5)]
        buffer.insert(stored(*texts, spans("n-1", "text 0", (0, 4, "ORG"))))
        rows = buffer.unenriched("examples", 10)
        # All alike: whatever moves, the others are near copies of it.
        buffer.apply_enrichment("examples", [finding(row, "train", story_id="one story") for row in rows])
        (found,) = buffer.hold_out_more(TASK, test_fraction=0.2, learnt=frozenset())
        assert len(found.taken) == 1
        stand = splits(buffer)
        assert sorted(set(stand.values())) == ["dropped", "test"]
        assert list(stand.values()).count("test") == (2 if stand["l-0"] == "test" else 1), "one text of two tasks is one document"
        assert stand["n-1"] == stand["l-0"]
