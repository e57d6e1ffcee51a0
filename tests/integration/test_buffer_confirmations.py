"""A confirmation needs no target: what it confirms is the answer it cites, once that is there."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import Feedback
from tests.support.buffers import NOW, article, enrich, feedback, opened, prediction, stored
from tests.support.tables import rows_of

SPANS = [{"start": 0, "end": 4, "label": "ORG", "score": 0.9}, {"start": 5, "end": 9, "label": "GPE"}]


def confirmation(event_id: str, prediction_id: str = "p-1", **more: Any) -> Feedback:
    return feedback(event_id, prediction_id=prediction_id, target=None, verdict="confirmation", **more)


def examples(buffer: BufferWriter) -> dict[str, tuple[str, Any]]:
    rows = rows_of(buffer.folder, "examples", ["row_id", "text", "target"]).to_pylist()
    return {row["row_id"]: (row["text"], json.loads(row["target"])) for row in rows}


def status(buffer: BufferWriter, event_id: str) -> str:
    fate = buffer.feedback_fate(event_id)
    assert fate is not None
    return fate.status


@pytest.mark.parametrize("first", ["prediction", "confirmation"])
def test_the_cited_answer_is_what_is_confirmed(tmp_path: Path, first: str) -> None:
    pair = stored(prediction("p-1", answer={"label": "sport", "scores": {"sport": 0.9}}), confirmation("f-1"))
    with opened(tmp_path / "b") as buffer:
        for one in pair if first == "prediction" else reversed(pair):
            assert buffer.insert([one]).inserted == 1
            buffer.resolve_waiting()
        assert examples(buffer) == {"f-1": ("Rates rise", {"label": "sport"})}
        assert status(buffer, "f-1") == "joined"
        assert buffer.insert(pair).inserted == 0
        enrich(buffer)
        assert buffer.counts("news-topics").waiting == 0


@pytest.mark.parametrize("more", [{}, {"article_id": "a-1"}, {"text": "Rates rise"}])
def test_it_waits_in_sight_while_the_answer_is_not_there(tmp_path: Path, more: dict[str, Any]) -> None:
    with opened(tmp_path / "b", clock=lambda: NOW) as buffer:
        buffer.insert(stored(article("a"), confirmation("f-1", **more)))
        assert buffer.resolve_waiting() == 0
        assert (status(buffer, "f-1"), buffer.counts("news-topics").waiting) == ("waiting", 1)
        fate = buffer.feedback_fate("f-1")
        assert fate is not None
        assert "the prediction it confirms has not arrived yet" in fate.reason
    with opened(tmp_path / "b", clock=lambda: NOW + timedelta(hours=2)) as buffer:
        fate = buffer.feedback_fate("f-1")
        assert fate is not None
        assert "has been missing" in buffer.explain(fate).reason
        buffer.insert(stored(prediction("p-1")))
        assert buffer.resolve_waiting() == 1
        assert examples(buffer) == {"f-1": ("Rates rise", {"label": "sport"})}


def test_spans_are_confirmed_as_they_were_answered(tmp_path: Path) -> None:
    task = "news-entities"
    with opened(tmp_path / "b") as buffer:
        answer = {"spans": SPANS, "truncated": False}
        buffer.insert(stored(prediction("p-1", "Acme Lyon", task=task, answer=answer), confirmation("f-1", task=task)))
        buffer.resolve_waiting()
        expected = [{name: span[name] for name in ("start", "end", "label")} for span in SPANS]
        assert examples(buffer) == {"f-1": ("Acme Lyon", {"spans": expected})}


UNREADABLE: list[Any] = [{}, {"wrong": 1}, {"label": None}, {"spans": [{"start": 0, "end": 99, "label": "ORG"}]}, {"label": 5}]


@pytest.mark.parametrize("answer", UNREADABLE)
def test_an_answer_of_an_earlier_version_that_cannot_be_read_refuses_its_confirmation_alone(tmp_path: Path, answer: Any) -> None:
    """Such rows were stored unseen; they stopped the daemon at every start."""
    odd = prediction("p-1").model_copy(update={"answer": answer})
    with opened(tmp_path / "b") as buffer:
        events = [odd, confirmation("f-1"), feedback("f-2", prediction_id="p-1"), feedback("f-3", "Oil falls")]
        assert buffer.insert(stored(*events)).inserted == 4
        assert buffer.resolve_waiting() == 2
        assert {name: status(buffer, name) for name in ("f-1", "f-2", "f-3")} == {
            "f-1": "refused",
            "f-2": "joined",
            "f-3": "joined",
        }
        enrich(buffer)
        assert rows_of(buffer.folder, "feedback_judgements", ["row_id"]).num_rows == 2


def test_a_task_that_became_another_kind_leaves_what_was_said_before_alone(tmp_path: Path) -> None:
    old = prediction("p-1", "Acme Lyon").model_copy(update={"task": "news-entities", "answer": {"label": "sport"}})
    said = feedback("f-1", prediction_id="p-1", task="news-entities", target={"spans": [SPANS[1]]})
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(old, said, confirmation("f-2", task="news-entities")))
        buffer.resolve_waiting()
        assert (status(buffer, "f-1"), status(buffer, "f-2")) == ("joined", "refused")
        enrich(buffer)
        assert rows_of(buffer.folder, "feedback_judgements", ["row_id"]).num_rows == 1
