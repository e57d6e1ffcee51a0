"""Labels given where two models disagree: for nothing while the pair is open, for training afterwards; and the pool itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import Label
from consumers.labelling.withheld import RequestAnswer, agreed
from consumers.rows.backlog import TextRow
from consumers.rows.labels.unlabelled import id_of
from tests.support import buffers

TASK = "news-topics"
LENIENT = buffers.TOPICS.model_copy(update={"new_label_min_examples": 1})


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[BufferWriter]:
    with buffers.opened(tmp_path / "buffer") as opened:
        yield opened


def side(row: TextRow) -> str:
    return "test" if row.text.startswith("Held out") else "train"


def place(buffer: BufferWriter) -> None:
    buffers.enrich(buffer, "articles", split=side)
    buffers.enrich(buffer, split=side)


def answered(event_id: str, text: str, name: str, request: str, **more: object) -> Label:
    return buffers.label(event_id, text, name, selected_by="disagreement", request=request, annotator="anna", **more)


def test_such_a_label_neither_trains_nor_tests_until_it_is_released_and_then_is_new(buffer: BufferWriter, tmp_path: Path) -> None:
    buffer.insert(buffers.stored(
        answered("d-1", "A disputed text", "sport", "pool-1-0"), answered("d-2", "Held out, disputed", "sport", "pool-1-1"),
        buffers.label("g-1", "A plain text", "economy"),
    ))  # fmt: skip
    place(buffer)
    before = buffer.counts(TASK)
    assert (before.train, before.test) == (1, 0)
    assert {(one.row_id, one.request) for one in buffer.withheld()} == {("d-1", "pool-1-0"), ("d-2", "pool-1-1")}
    fate = buffer.feedback_fate("d-1")
    assert fate is not None
    assert "pair of models" in buffer.explain(fate).reason
    frozen = buffer.freeze(LENIENT, run_id="r-1", folder=tmp_path / "before", learnt=frozenset())
    assert frozen.rows("train", "test")["example_id"].to_pylist() == ["g-1"]

    assert buffer.release(["d-1", "d-2", "g-1"]) == 2
    assert buffer.release(["d-1"]) == 0
    assert buffer.withheld() == []
    after = buffer.counts(TASK, after_seq=before.max_seq)
    # On the test side it stays for nothing: it was not drawn at random.
    assert (after.train, after.test, after.new) == (2, 0, 1)
    frozen = buffer.freeze(LENIENT, run_id="r-2", folder=tmp_path / "after", learnt=frozenset({"g-1"}))
    assert set(frozen.rows("train")["example_id"].to_pylist()) == {"d-1", "g-1"}
    assert frozen.manifest.new_rows == 1


def test_the_pool_is_of_articles_that_neither_model_knows_anything_of(buffer: BufferWriter) -> None:
    buffers.take(
        buffer,
        *(buffers.article(f"e-{n}", f"a-{n}", f"Article {n}") for n in range(8)),
        buffers.article("e-old", "a-old", "An old article", hours=24 * 365),
        buffers.article("e-held", "a-held", "Held out article"),
        buffers.article("e-again", "a-7", "Article 7, revised", hours=-0.01),
        buffers.label("l-0", "Article 0", "economy"),
        buffers.feedback("f-1", "Article 1", "economy"),
        buffers.label("l-2", "A part of article 2", "economy", document_id="a-2"),
    )
    place(buffer)
    drawn = buffer.frozen_pool(buffers.TOPICS, learnt=frozenset({"l-2", id_of("e-3")}), most=100, seed=3)
    # Labelled, said something of by a user, its document learnt, labelled by a teacher for a student, and an older revision.
    assert set(drawn["text"].to_pylist()) == {"Article 4", "Article 5", "Article 6", "Article 7, revised"}
    again = buffer.frozen_pool(buffers.TOPICS, learnt=frozenset({"l-2", id_of("e-3")}), most=2, seed=3)
    assert again["text"].to_pylist() == drawn["text"].to_pylist()[:2]
    known = buffer.texts_asked_about(drawn["text_sha256"].to_pylist())
    assert {one.document for one in known.values()} == {"a-4", "a-5", "a-6", "a-7"}
    assert buffer.texts_asked_about(["0" * 64]) == {}


def test_what_people_say_to_a_request_is_read_under_the_names_of_today(buffer: BufferWriter) -> None:
    buffer.insert(buffers.stored(
        answered("d-1", "One", "sport", "pool-1-0"), answered("d-2", "Two", "sport", "pool-2-0"),
        buffers.renaming("r-1", hours=1, sport="athletics"),
    ))  # fmt: skip
    found = buffer.answers_to(buffers.TOPICS, {"pool-1-0"})
    assert {request: [dict(one.target) for one in said] for request, said in found.items()} == {
        "pool-1-0": [{"label": "athletics"}]
    }


def said(annotator: str, name: str, *, settles: bool = False) -> RequestAnswer:
    return RequestAnswer(f"{annotator}-{name}", "pool-1-0", "0" * 64, {"label": name}, annotator, settles)


def test_people_who_contradict_each_other_have_said_nothing_until_it_is_settled() -> None:
    one, other = said("anna", "A"), said("bob", "B")
    assert agreed([one]) == one
    assert agreed([one, said("bob", "A")]) == said("bob", "A")
    assert agreed([one, other]) is None
    assert agreed([one, other, said("bob", "A")]) == said("bob", "A")
    assert agreed([one, other, said("carl", "B", settles=True)]) == said("carl", "B", settles=True)
