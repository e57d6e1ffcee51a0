"""Who is asked what: the lanes, who labels a text a second time, what was skipped, and how far people agree."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.labelling.agreement import agreements
from consumers.labelling.lanes import LANES, Asked, is_doubled
from consumers.labelling.offers import Held, Offer, Pool, Said
from consumers.labelling.queue import OnTheWay, queue

NOW = datetime(2024, 5, 1, tzinfo=UTC)
NOBODY_TWICE, EVERYBODY_TWICE = 0.0, 1.0


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def offer(name: str, story: str | None = None) -> Offer:
    return Offer(f"row-{name}", f"a-{name}", sha(name), story or f"story-{name}", NOW, test=True)


def said(name: str, annotator: str, label: str, *, settles: bool = False) -> Said:
    return Said(sha(name), annotator, {"label": label}, f"e-{name}-{annotator}-{label}", "held_out", settles)


def asks(
    lane: str, pool: Pool, annotator: str = "anna", share: float = NOBODY_TWICE, way: OnTheWay | None = None
) -> Sequence[str]:
    return [item.text_sha256 for item in queue(lane, pool, way or OnTheWay(), Asked(annotator, share))]


def test_unlabelled_held_out_articles_are_asked_about_in_order_one_of_a_story() -> None:
    pool = Pool(
        held_out=[offer("1"), offer("2", "s"), offer("3", "s"), offer("4"), offer("5", "measured"), offer("6")],
        labelled=frozenset({sha("4")}), measured=frozenset({"measured"}),
    )  # fmt: skip
    assert asks("test", pool) == [sha("1"), sha("2"), sha("6")]


def test_what_was_just_answered_or_skipped_is_not_asked_again_and_a_skip_is_of_one_person() -> None:
    pool = Pool(held_out=[offer("1"), offer("2"), offer("3")])
    way = OnTheWay(said=[said("1", "bob", "A")], skipped={"test": {sha("2")}, "audit": {sha("3")}})
    assert asks("test", pool, way=way) == [sha("3")]
    assert asks("test", pool, "bob", way=OnTheWay(said=way.said)) == [sha("2"), sha("3")]


def test_a_doubled_text_is_asked_of_one_other_person_and_no_third() -> None:
    once = Pool(held_out=[offer("1")], labelled=frozenset({sha("1")}), said=[said("1", "bob", "A")])
    assert asks("test", once, "anna", NOBODY_TWICE) == []
    assert asks("test", once, "anna", EVERYBODY_TWICE) == [sha("1")]
    assert asks("test", once, "bob", EVERYBODY_TWICE) == []
    twice = Pool(held_out=once.held_out, labelled=once.labelled, said=[*once.said, said("1", "anna", "A")])
    assert asks("test", twice, "carl", EVERYBODY_TWICE) == []


def test_a_label_without_a_name_is_doubled_by_nobody() -> None:
    assert asks("test", Pool(held_out=[offer("1")], labelled=frozenset({sha("1")})), share=EVERYBODY_TWICE) == []


def test_differences_wait_until_somebody_settles_them() -> None:
    pool = Pool(held_out=[offer("1"), offer("2")], said=[
        said("1", "anna", "A"), said("1", "bob", "B"), said("2", "anna", "A"), said("2", "bob", "A"),
    ])  # fmt: skip
    assert asks("adjudication", pool) == [sha("1")]
    settled = OnTheWay(said=[said("1", "carl", "B", settles=True)])
    assert asks("adjudication", pool, way=settled) == []
    assert asks("test", pool, "dora", EVERYBODY_TWICE, settled) == []


def test_the_newest_that_a_person_said_counts() -> None:
    pool = Pool(said=[said("1", "anna", "A"), said("1", "bob", "B"), said("1", "anna", "B")])
    assert asks("adjudication", pool) == []


def test_conflicts_are_asked_about_by_text_without_those_that_are_decided() -> None:
    held = [Held(f"f-{at}", sha(name), f"u-{at}", {"label": "A"}, "conflict", NOW) for at, name in enumerate("1121")]
    items = queue("conflicts", Pool(held=held), OnTheWay(decided=frozenset({"f-1"})), Asked("anna", 0.1))
    assert [(item.text_sha256, [one.event_id for one in item.held]) for item in items] == [
        (sha("1"), ["f-0", "f-3"]), (sha("2"), ["f-2"]),
    ]  # fmt: skip


def test_a_share_of_texts_is_doubled_whoever_asks() -> None:
    doubled = [name for name in map(str, range(2_000)) if is_doubled(sha(name), 0.1)]
    assert 150 < len(doubled) < 250
    assert not any(is_doubled(sha(name), 0.0) for name in doubled)
    assert all(is_doubled(sha(name), 1.0) for name in doubled)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("12345678"), st.sampled_from(["anna", "bob", "carl"]), st.sampled_from("AB")), max_size=9),
    st.sampled_from(sorted(LANES)),
    st.floats(0, 1),
)
def test_nobody_is_asked_of_a_text_that_they_have_labelled(answers: list[tuple[str, str, str]], lane: str, share: float) -> None:
    given_ = [said(*one) for one in answers]
    pool = Pool(
        held_out=[offer(name) for name in "12345678"], drawn=[offer(name) for name in "2468"], said=given_,
        labelled=frozenset(one.text_sha256 for one in given_),
    )  # fmt: skip
    asked = asks(lane, pool, "anna", share)
    assert len(asked) == len(set(asked))
    if lane != "adjudication":
        assert not set(asked) & {one.text_sha256 for one in given_ if one.annotator == "anna"}


def test_agreement_of_two_people_is_theirs_and_alpha_takes_out_chance() -> None:
    # The example of two observers and ten units in Krippendorff's paper of 2011, section A: alpha is 0.095.
    first, second = "0100000010", "1110010000"
    answers = [said(str(n), who, label) for n in range(10) for who, label in (("anna", first[n]), ("bob", second[n]))]
    (found,) = agreements(answers)
    assert found.between == ("anna", "bob")
    assert (found.compared, found.same) == (10, 6)
    assert found.alpha == pytest.approx(0.095, abs=0.0006)


def test_agreement_is_told_of_all_of_each_person_and_of_each_pair() -> None:
    found = agreements([
        said("1", "anna", "A"), said("1", "bob", "A"), said("2", "bob", "A"), said("2", "carl", "B"), said("3", "anna", "A"),
        said("2", "dora", "B", settles=True),
    ])  # fmt: skip
    assert [(one.between, one.share) for one in found] == [
        ((), 0.5), (("anna",), 1.0), (("bob",), 0.5), (("carl",), 0.0), (("anna", "bob"), 1.0), (("bob", "carl"), 0.0),
    ]  # fmt: skip


def test_entities_have_no_alpha_and_one_answer_no_agreement() -> None:
    spans = {"spans": [{"start": 0, "end": 4, "label": "ORG"}]}
    pair = [Said(sha("1"), who, spans, f"e-{who}", "held_out") for who in ("anna", "bob")]
    (found,) = agreements(pair)
    assert (found.share, found.alpha) == (1.0, None)
    assert agreements(pair[:1]) == []
