"""A model of before a change of labels answers under the labels in force, and never one that is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from config.task_files.sections.must_not_break import still_asked
from config.tasks import TaskSpec
from consumers.training_set.snapshot import Manifest
from perennial_artifact.labels import LabelSet
from tests.support.buffers import NOW
from tests.support.scored import compared, labelled, topics
from trainers.compare.in_force import known_in_force, with_labels_in_force
from trainers.compare.parts.slices import OVERLAP
from trainers.learners.label_set import grow

SPEC = TaskSpec.model_validate(
    {
        "name": "topics", "kind": "classification", "backend": "transformer", "base_model": "minilm", "labels": "open",
        "renames": {"cup": "sport", "league": "sport"}, "retired": ["gossip"], "promotion": {"metric": "macro_f1"},
    }
)  # fmt: skip


class Said:
    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    def predict(self, texts: Sequence[str]) -> list[Any]:
        return [self._answer for _text in texts]


def answered(answer: dict[str, Any]) -> Any:
    model = with_labels_in_force(Said(answer), SPEC, ["cup", "league", "gossip", "news"])
    return model.predict(["A text"])[0]


@pytest.mark.parametrize(
    ("answer", "now"),
    [
        (
            {"label": "news", "scores": {"news": 0.4, "cup": 0.35, "league": 0.25}, "truncated": False},
            {"label": "sport", "scores": {"sport": 0.6, "news": 0.4}, "truncated": False},
        ),
        ({"label": "gossip", "scores": {"gossip": 0.9, "news": 0.1}}, {"label": "news", "scores": {"news": 0.1}}),
        ({"label": "cup"}, {"label": "sport"}),
        (
            {"labels": ["cup", "gossip", "league"], "scores": {"cup": 0.9, "league": 0.8, "gossip": 0.7}},
            {"labels": ["sport"], "scores": {"sport": 0.9}},
        ),
        (
            {"spans": [{"start": 0, "end": 3, "label": "cup"}, {"start": 4, "end": 6, "label": "gossip"}]},
            {"spans": [{"start": 0, "end": 3, "label": "sport"}]},
        ),
        ({"values": {"impact": 1.0}}, {"values": {"impact": 1.0}}),
    ],
)
def test_answers_of_before(answer: dict[str, Any], now: dict[str, Any]) -> None:
    found = answered(answer)
    assert found.get("scores", {}) == pytest.approx(now.get("scores", {}))
    assert {**found, "scores": None} == {**now, "scores": None}


def test_a_model_whose_labels_have_not_changed_is_asked_as_it_is() -> None:
    model = Said({"label": "news"})
    assert with_labels_in_force(model, SPEC, ["news", "sport"]) is model


def test_the_next_model_keeps_ids_and_answers_nothing_that_is_gone() -> None:
    before = LabelSet(("cup", "gossip", "news"), frozenset({"cup", "gossip", "news"}))
    found = grow(SPEC, {"sport": 9, "news": 9}, before, from_base=False)
    assert found.names == ("sport", "gossip", "news")
    assert found.seen == {"sport", "news"}


def test_a_training_set_tells_its_learner_the_labels_in_force() -> None:
    manifest = Manifest(
        run_id="r", task="topics", created_at=NOW, rows_sha256="", file_sha256="", counts={}, new_rows=0, max_seq=0,
        table_versions={}, labels={}, renames={"cup": "sport"}, gone=("gossip", "old"), declared=("sport", "tennis"),
    )  # fmt: skip
    found = manifest.in_force(SPEC)
    assert (found.renames, found.retired, found.splits, found.label_names) == (
        {"cup": "sport"}, ("gossip", "old"), {}, ("sport", "tennis"),
    )  # fmt: skip
    assert TaskSpec.model_validate_json(found.model_dump_json()) == found, "the child reads it"


def test_an_example_of_a_label_that_is_gone_is_not_asked() -> None:
    examples = [{"text": "A", "label": "gossip"}, {"text": "B", "label": "cup"}]
    spec = TaskSpec.model_validate({**SPEC.model_dump(exclude_defaults=True), "must_not_break": examples})
    assert [example.text for example in still_asked(spec)] == ["B"]


def test_what_a_model_can_answer_is_told_by_the_names_in_force() -> None:
    assert known_in_force(SPEC, ["cup", "league", "gossip", "news"]) == {"sport", "news"}


def test_rows_whose_labels_both_know_are_a_slice() -> None:
    task = topics()
    gold = ["sport"] * 30 + ["football"] * 30
    table = labelled(gold, gold, ["sport"] * 60)
    found = {one.name: one for one in compared(task, table, known=["sport", "politics"]).slices}
    assert (found[OVERLAP].rows, found[OVERLAP].champion_score, found[OVERLAP].candidate_score) == (30, 1.0, 1.0)
    assert OVERLAP not in {one.name for one in compared(task, table, known=["sport", "football"]).slices}, "it knows them all"
    assert OVERLAP not in {one.name for one in compared(task, table).slices}, "nobody says what it knows"
