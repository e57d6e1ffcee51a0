"""Whether two targets say the same, what an answer moves, how far a user is trusted, who wins a vote."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.defence import conflicts, flips, trust
from consumers.defence.agreement import relation
from consumers.defence.conflicts import Opinion
from consumers.defence.flips import Flow
from consumers.defence.trust import Record


def label(name: str) -> dict[str, Any]:
    return {"label": name}


def spans(*marks: tuple[int, int, str], partial: bool = False) -> dict[str, Any]:
    return {"spans": [{"start": start, "end": end, "label": name} for start, end, name in marks], "partial": partial}


PERSON, ORG, GPE = (0, 5, "PERSON"), (10, 15, "ORG"), (20, 25, "GPE")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (label("a"), label("a"), "same"),
        (label("a"), label("b"), "contrary"),
        (spans(), spans(), "same"),
        (spans(PERSON, ORG), spans(ORG, PERSON), "same"),
        (spans(PERSON), spans((0, 5, "ORG")), "contrary"),
        (spans(PERSON, ORG, GPE, (30, 35, "ORG")), spans(PERSON, ORG, GPE, (30, 35, "GPE")), "contrary"),
        (spans(PERSON), spans(), "contrary"),
        (spans(PERSON, ORG), spans(PERSON), "unlike"),
        (spans(PERSON, ORG, GPE), spans(PERSON, ORG), "same"),
        (spans(PERSON, ORG), spans((1, 5, "PERSON"), ORG), "unlike"),
        (spans((0, 9, "ORG")), spans((5, 12, "ORG")), "contrary"),
        (spans(PERSON, partial=True), spans(PERSON, ORG, GPE), "same"),
        (spans((0, 5, "ORG"), partial=True), spans(PERSON, ORG, GPE), "contrary"),
        (spans((6, 8, "ORG"), partial=True), spans(PERSON), "contrary"),
        (spans(PERSON, partial=True), spans(ORG, partial=True), "unlike"),
        (spans(PERSON, partial=True), spans(PERSON, ORG, partial=True), "same"),
        (spans(partial=True), spans(PERSON), "unlike"),
    ],
)
def test_relation(one: dict[str, Any], other: dict[str, Any], expected: str) -> None:
    assert relation(one, other) == expected
    assert relation(other, one) == expected, "it is the same from both sides"


def test_ten_thousand_spans_are_compared_at_once() -> None:
    many = spans(*((at, at + 1, "ORG") for at in range(0, 20_000, 2)))
    assert relation(many, many) == "same"


CONFIDENT, UNSURE = {"label": "a", "scores": {"a": 0.9}}, {"label": "a", "scores": {"a": 0.5}}


@pytest.mark.parametrize(
    ("answer", "target", "expected"),
    [
        (CONFIDENT, label("b"), ["(any) -> b", "a -> b"]),
        ({"label": "a"}, label("b"), ["(any) -> b", "a -> b"]),
        (UNSURE, label("b"), []),
        (CONFIDENT, label("a"), []),
        (None, label("b"), ["(any) -> b", "(unknown) -> b"]),
        (spans(PERSON, ORG), spans(PERSON, (10, 15, "GPE")), ["ORG -> GPE"]),
        (spans(), spans(PERSON), ["(nothing) -> PERSON"]),
        (spans(PERSON), spans(), ["PERSON -> (nothing)"]),
        (spans(PERSON, ORG), spans((0, 5, "ORG"), partial=True), ["PERSON -> ORG"]),
        (spans(PERSON), spans((0, 7, "PERSON")), []),
        (None, spans(PERSON, ORG), ["(unknown) -> ORG", "(unknown) -> PERSON"]),
    ],
)
def test_moves(answer: dict[str, Any] | None, target: dict[str, Any], expected: list[str]) -> None:
    assert flips.moves(answer, target, 0.8) == expected


@pytest.mark.parametrize(
    ("flow", "alarming"),
    [
        (Flow(moved=49, of=49, moved_before=0, of_before=0), False),
        (Flow(moved=50, of=50, moved_before=0, of_before=0), True),
        # Without a history half is usual: 60 of 100 lies inside 0.5 + 3 * 0.05.
        (Flow(moved=60, of=100, moved_before=0, of_before=0), False),
        (Flow(moved=66, of=100, moved_before=0, of_before=0), True),
        # 1 % before: (3 + 10) / (300 + 20) = 4 % usual.
        (Flow(moved=50, of=500, moved_before=3, of_before=300), True),
        (Flow(moved=50, of=1_000, moved_before=3, of_before=300), False),
        # A label that many corrections have always gone to.
        (Flow(moved=400, of=1_000, moved_before=400, of_before=1_000), False),
    ],
)
def test_the_alarm_compares_with_the_history(flow: Flow, alarming: bool) -> None:
    assert flow.is_alarming(50) is alarming


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Record(), 0.5),
        (Record(agreed=18), 0.95),
        (Record(unearned=1_000), 0.5),
        (Record(contradicted=8), 0.1),
        (Record(unearned=8, contradicted=8), 0.5),
        (Record(unearned=1_000, contradicted=8), 0.5),
        (Record(agreed=8, contradicted=8), 0.5),
    ],
)
def test_trust_starts_neutral_and_must_be_earned(record: Record, expected: float) -> None:
    assert trust.trust(record) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("record", "excluded"),
    [
        (Record(), False),
        (Record(contradicted=4), False),
        (Record(contradicted=5), True),
        (Record(agreed=1, contradicted=5), False),
        (Record(agreed=2, contradicted=20), True),
        (Record(agreed=20, contradicted=20), False),
    ],
)
def test_who_is_beyond_doubt_more_often_wrong_is_excluded(record: Record, excluded: bool) -> None:
    assert trust.is_excluded(record, min_evidence=5, exclude_below=0.5) is excluded


@pytest.mark.parametrize(
    ("verdict", "decision", "gold", "against", "expected"),
    [
        ("correction", None, "same", True, "agreed"),
        ("correction", None, "same", None, "unearned"),
        ("correction", None, "same", False, None),
        ("correction", None, "contrary", True, "contradicted"),
        ("correction", None, "contrary", None, "contradicted"),
        ("correction", None, "unlike", True, None),
        ("correction", None, None, True, None),
        ("confirmation", None, "same", False, None),
        ("confirmation", None, "contrary", False, None),
        ("confirmation", None, "contrary", None, "contradicted"),
        ("confirmation", None, "same", None, "unearned"),
        ("confirmation", None, "same", True, "unearned"),
        ("correction", "accept", "contrary", True, "unearned"),
        ("correction", "reject", "same", True, "contradicted"),
    ],
)
def test_what_an_answer_tells_of_its_user(
    verdict: str, decision: str | None, gold: Any, against: bool | None, expected: str | None
) -> None:
    assert trust.evidence(verdict=verdict, decision=decision, gold=gold, against_the_answer=against) == expected


def opinion(row_id: str, name: str, *, user: str = "", vote: float = 0.5, seq: int = 0, **more: Any) -> Opinion:
    return Opinion(row_id, user or f"u-{row_id}", label(name), seq or int(row_id), vote, **more)


def standings(*opinions: Opinion, gold: str | None = None) -> dict[str, str]:
    judged = conflicts.judge(opinions, label(gold) if gold else None, 0.6)
    assert conflicts.judge(opinions[::-1], label(gold) if gold else None, 0.6) == judged, "the order does not matter"
    return dict(judged.standings)


def test_two_who_are_trusted_alike_and_disagree_wait_for_a_person() -> None:
    assert standings(opinion("1", "a"), opinion("2", "b")) == {"1": "conflict", "2": "conflict"}


def test_a_majority_or_more_trust_decides() -> None:
    assert standings(opinion("1", "a"), opinion("2", "b"), opinion("3", "a")) == {
        "1": "effective",
        "2": "outvoted",
        "3": "effective",
    }
    assert standings(opinion("1", "a", vote=0.95), opinion("2", "b")) == {"1": "effective", "2": "outvoted"}
    assert standings(opinion("1", "a", vote=0.7), opinion("2", "b")) == {"1": "conflict", "2": "conflict"}, "not enough more"


def test_the_last_answer_of_a_user_counts_alone() -> None:
    assert standings(opinion("1", "a", user="u"), opinion("2", "b", user="u")) == {"1": "replaced", "2": "effective"}
    over = opinion("2", "b", user="u", over_cap=True)
    assert standings(opinion("1", "a", user="u"), over) == {"1": "effective", "2": "over_cap"}, (
        "what is over a cap replaces nothing"
    )


def test_gold_is_contradicted_by_nobody_unseen() -> None:
    assert standings(opinion("1", "a"), opinion("2", "b"), gold="a") == {"1": "effective", "2": "contradicts_gold"}


def test_a_person_goes_before_all_else() -> None:
    let_in = opinion("1", "a", decision="accept", excluded=True, over_cap=True)
    assert standings(let_in, opinion("2", "b"), opinion("3", "b")) == {"1": "effective", "2": "outvoted", "3": "outvoted"}
    assert standings(opinion("1", "a", decision="reject"), opinion("2", "b")) == {"1": "rejected", "2": "effective"}
    both = (
        opinion("1", "a", decision="accept", decided_seq=1),
        opinion("2", "b", decision="accept", decided_seq=2),
        opinion("3", "a"),
    )
    assert standings(*both) == {"1": "effective", "2": "effective", "3": "outvoted"}, "the later decision binds the others"


def test_excluded_and_held_answers_have_no_vote() -> None:
    assert standings(opinion("1", "a", excluded=True), opinion("2", "b")) == {"1": "distrusted", "2": "effective"}
    assert standings(opinion("1", "a", alarmed=True), opinion("2", "b")) == {"1": "alarm", "2": "effective"}
    assert standings(opinion("1", "a", alarmed=True), gold="a") == {"1": "effective"}, "gold says the same: nothing to hold"


def test_answers_that_weigh_nothing_dispute_nothing() -> None:
    assert standings(opinion("1", "a", vote=0.0), opinion("2", "b", vote=0.0), opinion("3", "c")) == {
        "1": "effective", "2": "effective", "3": "effective",
    }  # fmt: skip
