"""Labels that a task excludes are neither learnt nor tested."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.tasks import TaskSpec
from consumers.training_set.selection import Candidate, Selection, select

_NOW = datetime(2026, 5, 1, tzinfo=UTC)


def task(kind: str, **training: Any) -> TaskSpec:
    return TaskSpec.model_validate({
        "name": "desk", "kind": kind, "backend": "transformer", "base_model": "minilm", "labels": "open",
        "new_label_min_examples": 1, "training": training, "promotion": {"metric": "macro_f1"},
    })  # fmt: skip


def chosen(spec: TaskSpec, targets: list[dict[str, Any]]) -> Selection:
    """Choose of rows of which every second one is held out."""
    candidates = [
        Candidate(
            example_id=str(number), event_time=_NOW + timedelta(seconds=number), text_sha256=f"{number:064d}",
            target=json.dumps(target, separators=(",", ":")), origin="import", selected_by="import", verdict=None,
            split=("train", "test")[number % 2], quality=1.0,
        )
        for number, target in enumerate(targets)
    ]  # fmt: skip
    return select(candidates, spec, renames=(), learnt=frozenset(), min_quality=0.0, max_rows=100)


def test_a_text_of_an_excluded_label_is_left_out_and_counted() -> None:
    targets = [{"label": name} for name in ("sport", "sport", "junk", "junk", "economy", "economy")]
    found = chosen(task("classification", exclude_labels=["junk"]), targets)
    assert set(found.rows) == {"0", "1", "4", "5"}
    assert found.labels == {"economy": 1, "sport": 1}
    assert found.left_out == {"label is excluded (training.exclude_labels)": 2}


def test_of_several_labels_the_others_stay() -> None:
    targets = [{"labels": labels} for labels in (["junk", "sport"], ["junk"], ["economy", "junk", "sport"], [])]
    found = chosen(task("multilabel", exclude_labels=["junk"]), targets)
    assert {key: json.loads(row.target)["labels"] for key, row in found.rows.items()} == {
        "0": ["sport"], "1": [], "2": ["economy", "sport"], "3": [],
    }  # fmt: skip
    assert found.labels == {"economy": 1, "sport": 2}
    assert not found.left_out


def test_nothing_is_excluded_unless_asked() -> None:
    found = chosen(task("classification"), [{"label": "sport"}, {"label": "junk"}])
    assert set(found.rows) == {"0", "1"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training": {"exclude_labels": ["sport"]}, "label_names": ["sport"]}, "which label_names declares"),
        ({"training": {"majority_share": 1.0}}, "less than 1"),
        (
            {
                "kind": "ner",
                "backend": "spacy",
                "promotion": {"metric": "entity_f1"},
                "training": {"class_weights": "balanced"},
            },
            "class_weights does not fit kind ner",
        ),
        (
            {"kind": "ner", "backend": "spacy", "promotion": {"metric": "entity_f1"}, "training": {"exclude_labels": ["A"]}},
            "does not fit kind ner",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TaskSpec.model_validate(task("classification").model_dump() | change)
