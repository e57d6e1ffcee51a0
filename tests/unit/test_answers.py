"""Answers of models: refused by kind when they come, and harmless in rows of any age."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import DeadLetterError
from consumers.defence.agreement import relation
from consumers.defence.flips import moves
from consumers.events import parsing
from consumers.events import schemas as events
from consumers.events.answers import check_answer, stored_answer, target_of
from consumers.events.targets import read_target
from tests.support.sample_events import NOW, TASKS, wire

TEXT = "The ECB acted."
TOPICS, ENTITIES = TASKS["news-topics"], TASKS["news-entities"]
SPAN = {"start": 4, "end": 7, "label": "ORG"}


def made(task: str, answer: Any) -> dict[str, Any]:
    common = {"type": "prediction", "event_id": "p", "prediction_id": "p", "occurred_at": "2024-05-01T10:00:00Z"}
    return common | {"task": task, "model_version": f"{task}/v1", "text": TEXT, "answer": answer}


GOOD = [
    ("news-topics", {"label": "sport"}),
    ("news-topics", {"label": "sport", "scores": {"sport": 1.0000001, "economy": 0}, "truncated": True}),
    ("news-entities", {"spans": []}),
    ("news-entities", {"spans": [SPAN, {"start": 0, "end": 3, "label": "X", "score": 0.4}], "truncated": False}),
]


@pytest.mark.parametrize(("task", "answer"), GOOD)
def test_answers_of_their_kind_are_read(task: str, answer: Any) -> None:
    event = parsing.parse(wire(made(task, answer)), tasks=TASKS, now=NOW)
    assert isinstance(event, events.PredictionMade)
    assert event.answer == answer
    read = stored_answer(event.answer, TEXT)
    assert read is not None
    if task == "news-topics":
        assert read_target(TOPICS, target_of(read)) == {"label": "sport"}


BAD = [
    ("news-topics", {}, "answer.label"),
    ("news-topics", {"spans": []}, "answer.label"),
    ("news-topics", {"label": ""}, "answer.label"),
    ("news-topics", {"label": ["sport"]}, "answer.label"),
    ("news-topics", {"label": "sport", "scores": {"sport": 7}}, "answer.scores.sport"),
    ("news-topics", {"label": "sport", "scores": {"sport": "0.5"}}, "answer.scores.sport"),
    ("news-topics", {"label": "sport", "scores": [0.5]}, "answer.scores"),
    ("news-entities", {"label": "sport"}, "answer.spans"),
    ("news-entities", {"spans": [SPAN | {"end": 99}]}, "answer.spans"),
    ("news-entities", {"spans": [SPAN | {"start": -1}]}, "answer.spans.0.start"),
    ("news-entities", {"spans": [SPAN | {"end": 4}]}, "answer"),
    ("news-entities", {"spans": [SPAN, SPAN]}, "answer"),
    ("news-entities", {"spans": [{}] * 100_001}, "answer.spans"),
]


@pytest.mark.parametrize(("task", "answer", "field"), BAD)
def test_answers_of_no_kind_are_refused_at_parse(task: str, answer: Any, field: str) -> None:
    with pytest.raises(DeadLetterError) as caught:
        parsing.parse(wire(made(task, answer)), tasks=TASKS, now=NOW)
    assert caught.value.field == field
    assert len(caught.value.reason) < 1_000


LABELS = st.sampled_from(["sport", "caf\u00e9", "cafe\u0301", " a\u200b", "", "\u200b", "x" * 2_000])
OFFSETS = st.integers(-1, 16) | st.none() | st.floats()
SPANS = st.lists(st.fixed_dictionaries({}, optional={"start": OFFSETS, "end": OFFSETS, "label": LABELS}), max_size=3)
ANYTHING = st.fixed_dictionaries(
    {},
    optional={
        "label": LABELS | st.none(),
        "scores": st.dictionaries(LABELS, st.floats() | st.none(), max_size=2),
        "spans": SPANS,
    },
) | st.sampled_from([None, [], "sport", 7])
TARGETS = [{"label": "sport"}, {"spans": [SPAN]}, {"spans": [], "partial": True}]


@given(ANYTHING)
def test_whatever_earlier_versions_stored_is_read_or_passed_over(answer: Any) -> None:
    read = stored_answer(answer, TEXT)
    if read is None:
        return
    for target in TARGETS:
        relation(read, target)
        if ("spans" in read) == ("spans" in target):
            moves(read, target, 0.5)
    assert stored_answer(read, TEXT) == read
    check_answer(ENTITIES if "spans" in read else TOPICS, read, TEXT)
