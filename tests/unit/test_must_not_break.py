"""Examples of a task file: refused where no model of the task could answer so, kept or broken by answers."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from config.task_files.sections.must_not_break import broken, target_of
from config.tasks import TaskSpec

KINDS: dict[str, dict[str, Any]] = {
    "classification": {"promotion": {"metric": "macro_f1"}},
    "multilabel": {"promotion": {"metric": "micro_f1"}},
    "ner": {"promotion": {"metric": "entity_f1"}},
    "regression": {"promotion": {"metric": "mae"}, "dimensions": [{"name": "mood", "low": 1, "high": 5}]},
    "signals": {
        "promotion": {"metric": "signal_score"},
        "signals": [{"name": "crime", "tags": [{"name": "theft", "score": -0.5}]}],
    },
}
ADA = "Ada went to Berlin."
EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "classification": ({"text": "a", "label": "sport"}, {"label": "sport"}, {"label": "politics"}),
    "multilabel": ({"text": "a", "labels": ["a", "b"]}, {"labels": ["b", "a"]}, {"labels": ["a"]}),
    "ner": (
        {"text": ADA, "entities": [{"text": "Berlin", "label": "LOC"}]},
        {"spans": [{"start": 12, "end": 18, "label": "LOC"}]},
        {"spans": [{"start": 0, "end": 3, "label": "PER"}, {"start": 12, "end": 18, "label": "LOC"}]},
    ),
    "regression": ({"text": "a", "values": {"mood": 4}, "within": 0.5}, {"values": {"mood": 4.4}}, {"values": {"mood": 4.6}}),
    "signals": (
        {"text": "a", "signals": {"crime": {"score": -0.6, "tag": "theft"}}, "within": 0.3},
        {"signals": {"crime": {"score": -0.4, "tag": "theft"}}},
        {"signals": {"crime": {"score": -0.6, "tag": "none"}}},
    ),
}


def of_kind(kind: str, *examples: dict[str, Any], **more: Any) -> TaskSpec:
    values = {"name": "toy", "kind": kind, "backend": "transformer", "base_model": "minilm", "must_not_break": examples}
    labels = {} if kind in ("regression", "signals") else {"labels": "open"}
    return TaskSpec.model_validate(values | labels | KINDS[kind] | more)


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_kept_by_the_right_answer_and_broken_by_another(kind: str) -> None:
    example, right, wrong = EXAMPLES[kind]
    task = of_kind(kind, example)
    (read,) = task.must_not_break
    assert broken(read, task, right) is None
    assert "must be answered" in (broken(read, task, wrong) or "")
    assert TaskSpec.model_validate(task.model_dump(mode="json")).must_not_break == task.must_not_break


@pytest.mark.parametrize(
    ("kind", "example", "said"),
    [
        ("classification", {"text": "a"}, "kind classification needs `label`"),
        ("classification", {"text": "a", "labels": ["b"]}, "kind classification needs `label`"),
        ("classification", {"label": "b"}, "text"),
        ("classification", {"text": "", "label": "b"}, "text"),
        ("classification", {"text": "a", "label": "b", "within": 1.0}, "within"),
        ("multilabel", {"text": "a", "label": "b"}, "labels"),
        ("ner", {"text": "a", "spans": [{"start": 0, "end": 9, "label": "LOC"}]}, "ends outside the text"),
        ("ner", {"text": ADA, "entities": [{"text": "Paris", "label": "LOC"}]}, "occurs 0 times"),
        ("ner", {"text": "a a", "entities": [{"text": "a", "label": "LOC"}]}, "occurs 2 times"),
        ("ner", {"text": ADA, "entities": ["Berlin"]}, "keys text and label"),
        ("ner", {"text": ADA, "entities": 3}, "must be a list"),
        ("ner", {"text": ADA, "spans": [], "partial": True}, "partial"),
        ("regression", {"text": "a", "values": {"mood": 9}}, "ranges from 1 to 5"),
        ("regression", {"text": "a", "values": {"other": 3}}, "is not one of the task's"),
        ("regression", {"text": "a", "values": {"mood": 4}, "within": 0}, "within"),
        ("signals", {"text": "a", "signals": {"crime": {"score": -0.5, "tag": "arson"}}}, "arson"),
    ],
)
def test_an_example_that_no_answer_could_meet_is_refused_when_the_file_is_read(
    kind: str, example: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        of_kind(kind, example)
    assert said in str(refused.value)


def test_a_closed_task_refuses_other_labels_and_renames_hold() -> None:
    with pytest.raises(ValidationError, match="not one of label_names"):
        of_kind("classification", {"text": "a", "label": "b"}, labels="closed", label_names=["c"])
    task = of_kind("classification", {"text": "a", "label": "b"}, labels="closed", label_names=["c"], renames={"b": "c"})
    (example,) = task.must_not_break
    assert target_of(example, task) == {"label": "c"}
