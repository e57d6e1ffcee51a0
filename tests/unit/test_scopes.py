"""Which labels the annotators of a row knew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from config.kinds import catalog as kinds
from config.kinds.ner.models import NerTarget
from consumers.training_set import scopes

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Given:
    example_id: str
    target: str
    event_time: datetime = START
    accepted_labels: str | None = None


def target(*labels: str, types: Sequence[str] | None = None) -> str:
    spans = [{"start": at, "end": at + 1, "label": label} for at, label in enumerate(labels)]
    return json.dumps({"spans": spans} | ({} if types is None else {"types": list(types)}))


def given(example_id: str, *labels: str, days: float = 0, **fields: str | None) -> Given:
    return Given(example_id, target(*labels), START + timedelta(days=days), **fields)


def test_a_row_knows_the_types_that_had_appeared_by_the_end_of_its_day() -> None:
    rows = [
        given("first", "PERSON"),
        given("silent", days=1),
        given("later", "BILL", days=1.3),
        given("last", days=4),
    ]
    assert scopes.of(rows, {}) == {
        "first": ("PERSON",),
        "silent": ("BILL", "PERSON"),
        "later": ("BILL", "PERSON"),
        "last": ("BILL", "PERSON"),
    }


def test_a_closed_task_tells_what_it_accepted_then_under_the_names_in_force() -> None:
    rows = [
        given("then", "PERSON", accepted_labels='["CITY","PERSON"]'),
        given("now", accepted_labels='["BILL","GPE","PERSON"]'),
    ]
    assert scopes.of(rows, {"CITY": "GPE"}) == {"then": ("GPE", "PERSON"), "now": ("BILL", "GPE", "PERSON")}


def test_what_the_target_tells_comes_first() -> None:
    told = Given("told", target("PERSON", types=["PERSON", "ORG"]), accepted_labels='["BILL"]')
    assert scopes.of([told, given("other", "BILL")], {})["told"] == ("ORG", "PERSON")


@pytest.mark.parametrize(("count", "known"), [(200, ("GPE", "PERSON")), (199, ("BILL", "GPE", "PERSON"))])
def test_a_large_import_follows_one_guideline_and_a_small_one_is_as_any_row(count: int, known: tuple[str, ...]) -> None:
    rows = [given(f"import-ab-{at}", "GPE" if at == 150 else "PERSON", days=5) for at in range(count)]
    assert scopes.of([given("before", "BILL"), *rows], {})["import-ab-7"] == known


def test_two_imports_are_two_guidelines() -> None:
    one = [given(f"import-a-{at}", "PERSON") for at in range(200)]
    other = [given(f"import-b-c-{at}", "BILL") for at in range(200)]
    found = scopes.of([*one, *other], {})
    assert (found["import-a-0"], found["import-b-c-0"]) == (("PERSON",), ("BILL",))


def test_an_entity_target_may_tell_the_types_and_leaves_out_none_of_its_own() -> None:
    value = json.loads(target("PERSON", types=["ORG", "PERSON"]))
    assert NerTarget.model_validate(value).types == ("ORG", "PERSON")
    with pytest.raises(ValidationError, match="types leaves out PERSON"):
        NerTarget.model_validate(json.loads(target("PERSON", types=["ORG"])))
    with pytest.raises(ValidationError):
        NerTarget.model_validate(json.loads(target(types=[])))


def test_renames_reach_the_types_that_a_target_tells() -> None:
    kind = kinds.get("ner")
    value = json.loads(target("PER", types=["CITY", "TOWN", "PER"]))
    new_names = {"PER": "PERSON", "CITY": "GPE", "TOWN": "GPE"}
    assert kind.renamed(value, lambda name: new_names.get(name, name))["types"] == ["GPE", "PERSON"]
    assert kind.as_read(json.loads(target(" PER ", types=["PER "])))["types"] == ["PER"]
    assert "types" not in kind.renamed(json.loads(target("PER")), str.lower)
