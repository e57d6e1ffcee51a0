"""From rules to weak labels of each kind, and what is told of the rules."""

from __future__ import annotations

import math
from typing import Any

import pytest

from config.tasks import TaskSpec
from consumers.labelling.weak.figures import Figures, figures
from consumers.labelling.weak.labelling import Labelled, disjoint, find, label
from consumers.labelling.weak.texts import Texts, WeakText
from tests.support.weak import MONEY, SPORT, task, text, texts

STORM = {"name": "storms", "label": "storm", "words": ["storm"]}


def applied(spec: TaskSpec, given: Texts) -> tuple[Labelled, Figures]:
    found = find(spec, given)
    labelled = label(found)
    return labelled, figures(found, labelled)


def targets(labelled: Labelled) -> dict[str, Any]:
    return {one.text.text: one.target for one in labelled.labels}


def test_a_text_gets_the_label_that_its_rules_give() -> None:
    labelled, seen = applied(task(), texts("The match", "Rates rise", "Weather"))
    assert targets(labelled) == {"The match": {"label": "sport"}, "Rates rise": {"label": "economy"}}
    assert all(0.5 < one.probability < 1 for one in labelled.labels)
    assert (seen.texts, seen.covered, seen.labelled, seen.conflicts) == (3, 2, 2, 0)
    assert seen.labels == {"sport": 1, "economy": 1}


def test_texts_without_a_finding_get_the_label_that_is_named_for_them() -> None:
    labelled, _ = applied(task(SPORT, weak={"otherwise": "other"}), texts("The match", "Weather"))
    assert targets(labelled) == {"The match": {"label": "sport"}, "Weather": {"label": "other"}}


def test_rules_that_disagree_leave_a_text_without_a_label_where_nothing_tips_the_scales() -> None:
    both = [f"The match and rates {number}" for number in range(6)]
    labelled, seen = applied(task(SPORT, MONEY, weak={"min_probability": 0.7}), texts(*both, "A match", "Rates rise"))
    assert not targets(labelled).keys() & {*both}
    assert (seen.unsure, seen.conflicts) == (6, 6)
    assert [(rule.overlaps, rule.conflicts) for rule in seen.rules] == [(6, 6), (6, 6)]


def test_what_people_said_tells_how_often_a_rule_is_right() -> None:
    gold: dict[str, Any] = {f"match {number}": {"label": "sport" if number < 10 else "economy"} for number in range(40)}
    _, seen = applied(task(), texts("A match", gold=gold))
    [games, money] = seen.rules
    assert (games.judged, games.accuracy) == (40, 0.25)
    assert games.precision is not None
    assert games.precision < 0.6
    assert (money.judged, money.accuracy, money.precision) == (0, None, None)
    assert any("games is wrong more often than right" in warning for warning in seen.warnings)


def test_several_labels_a_text() -> None:
    labelled, seen = applied(task(SPORT, MONEY, kind="multilabel"), texts("The match and rates", "Rates", "Weather"))
    assert targets(labelled) == {"The match and rates": {"labels": ["economy", "sport"]}, "Rates": {"labels": ["economy"]}}
    assert seen.conflicts == 0, "a text may have both"


def test_signals_say_none_where_no_rule_of_a_category_finds_anything() -> None:
    spec = task(
        kind="signals",
        signals=(
            {"name": "crime", "tags": [{"name": "theft", "score": -0.5, "keywords": {"en": ["stolen"]}}]},
            {"name": "sky", "tags": [{"name": "storm", "score": 0.4, "keywords": {"en": ["storm"]}}]},
            {"name": "mute", "tags": [{"name": "x"}]},
        ),
    )
    labelled, seen = applied(spec, texts("A bike was stolen", "Calm"))
    silent = {"score": 0.0, "tag": "none"}
    assert targets(labelled) == {
        "A bike was stolen": {"signals": {"crime": {"score": -0.5, "tag": "theft"}, "sky": silent}},
        "Calm": {"signals": {"crime": silent, "sky": silent}},
    }, "of a category without rules nothing is known"
    assert {rule.name: rule.found for rule in seen.rules} == {"crime:theft": 1, "sky:storm": 0}


def test_entities_are_marked_without_overlaps_and_say_which_types_were_looked_for() -> None:
    spec = task(
        {"name": "firms", "label": "ORG", "words": ["Acme Corp"]},
        {"name": "people", "label": "PERSON", "words": ["Corp", "Ann"]},
        kind="ner",
    )  # fmt: skip
    labelled, seen = applied(spec, texts("Ann left Acme Corp", "Nobody"))
    [one] = labelled.labels
    spans = [{"start": 0, "end": 3, "label": "PERSON"}, {"start": 9, "end": 18, "label": "ORG"}]
    assert one.target == {"spans": spans, "types": ["ORG", "PERSON"]}
    assert seen.conflicts == 1


def test_rules_for_entities_are_judged_by_what_people_marked() -> None:
    gold: dict[str, Any] = {f"Acme {n}": {"spans": [{"start": 0, "end": 4, "label": "ORG"}]} for n in range(30)}
    gold |= {f"May {n}": {"spans": []} for n in range(90)}
    spec = task(
        {"name": "firms", "label": "ORG", "words": ["Acme"]}, {"name": "may", "label": "PERSON", "words": ["May"]}, kind="ner"
    )
    labelled, seen = applied(spec, texts("Acme in May", gold=gold))
    assert [(rule.judged, rule.accuracy) for rule in seen.rules] == [(30, 1.0), (90, 0.0)]
    assert [span["label"] for span in labelled.labels[0].target["spans"]] == ["ORG"], (
        "a rule that is nearly always wrong marks nothing"
    )


@pytest.mark.parametrize(
    ("marks", "kept"),
    [
        ([(0, 4, 0), (2, 9, 1)], [(2, 9, 1)]),
        ([(0, 4, 1), (0, 4, 0)], [(0, 4, 0)]),
        ([(0, 4, 0), (4, 6, 1)], [(0, 4, 0), (4, 6, 1)]),
        ([], []),
    ],
)
def test_of_marks_that_overlap_the_longest_stays(marks: list[tuple[int, int, int]], kept: list[tuple[int, int, int]]) -> None:
    assert disjoint(marks) == kept


def warned(spec: TaskSpec, given: Texts) -> list[str]:
    return list(applied(spec, given)[1].warnings)


def test_rules_that_find_nothing_or_everything_are_named() -> None:
    said = warned(task(SPORT, MONEY, STORM), texts("match storm", "storm", "a storm, and rates"))
    assert any("rule storms finds something in every text" in one for one in said)
    said = warned(task(SPORT, STORM), texts("match", "match again"))
    assert "rule storms finds nothing" in said


def test_a_label_with_two_texts_and_a_label_without_rules_are_named() -> None:
    spec = task(SPORT, MONEY, label_names=("economy", "science", "sport"))
    said = warned(spec, texts("match 1", "match 2", *(f"rates {number}" for number in range(8))))
    assert any("label sport has 2 texts" in one for one in said)
    assert any("no rule gives science" in one for one in said)


def test_one_label_alone_is_too_few() -> None:
    assert any(
        "every labelled text has label sport" in one for one in warned(task(SPORT), texts(*(f"match {n}" for n in range(9))))
    )


def from_(publisher: str, *contents: str) -> list[WeakText]:
    return [text(content, publisher=publisher) for content in contents]


def test_a_label_whose_texts_have_one_source_is_named() -> None:
    sport = from_("Arena", *(f"match {number}" for number in range(25)))
    money = from_("Desk", *(f"rates {number}" for number in range(25)))
    said = warned(task(), texts(*sport, *money))
    assert sum("may learn the source" in one for one in said) == 2
    mixed = [
        *sport,
        *from_("Desk", *(f"match of {n}" for n in range(9))),
        *money,
        *from_("Arena", *(f"rates of {n}" for n in range(9))),
    ]
    assert not any("source" in one for one in warned(task(), texts(*mixed)))
    assert not any("source" in one for one in warned(task(), texts(*from_("A", *(f"match {n}" for n in range(25)))))), (
        "all have one"
    )


def test_nothing_to_look_at_is_said() -> None:
    labelled, seen = applied(task(), texts())
    assert not labelled.labels
    assert any("no article without a label" in one for one in seen.warnings)
    assert all(math.isclose(rule.coverage, 0.0) and rule.precision is None for rule in seen.rules)


def test_stored_answers_of_a_model_take_part_as_a_source_that_people_measure() -> None:
    gold: dict[str, Any] = {f"gold {number}": {"label": "sport"} for number in range(60)}
    right = {content: {"label": "sport"} for content in gold}
    said = {"mine/v1": {**right, "Weather": {"label": "sport"}, "Rates rise": {"label": "sport"}}}
    labelled, seen = applied(task(), texts("Weather", "Rates rise", gold=gold, answers=said))
    assert targets(labelled)["Weather"] == {"label": "sport"}, "a text of which no rule says anything"
    assert seen.models["mine/v1"] > 0.9
    assert seen.covered == 1, "what rules find is told apart from what models say"


def test_answers_of_a_model_take_part_in_several_labels_and_in_signals() -> None:
    said = {"mine/v1": {"The match": {"labels": ["economy", "sport"]}}}
    labelled, seen = applied(task(kind="multilabel"), texts("The match", answers=said))
    assert targets(labelled) == {"The match": {"labels": ["sport"]}}, "silence of the rules of economy weighs more"
    assert 0.5 < seen.models["mine/v1"] < 1.0
    crime = {"name": "crime", "tags": [{"name": "theft", "score": -0.5, "keywords": {"en": ["stolen"]}}]}
    answer = {"signals": {"crime": {"score": -0.5, "tag": "theft"}}}
    labelled, seen = applied(
        task(kind="signals", signals=(crime,)), texts("A stolen bike", answers={"mine/v1": {"A stolen bike": answer}})
    )
    assert targets(labelled) == {"A stolen bike": answer}
    assert set(seen.models) == {"mine/v1"}
