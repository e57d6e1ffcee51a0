"""Agreement in numbers by published examples and properties, and people who label everything alike."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.labelling.agreement import agreements, interval_alpha, nominal_alpha
from consumers.labelling.offers import Said
from consumers.labelling.one_sided import binomial_tail, one_sided

# Four observers, twelve units, missing answers: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C.
FOUR = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
UNITS = [[float(one[unit]) for one in FOUR if one[unit] != "."] for unit in range(12)]
NUMBERS = st.lists(st.lists(st.floats(-100, 100).map(lambda one: round(one, 3)), min_size=1, max_size=4), max_size=8)


def said(annotator: str, text: str, target: dict[str, object], by: str = "audit") -> Said:
    return Said(text, annotator, target, f"{annotator}-{text}", by)


def test_alpha_of_the_published_example() -> None:
    assert interval_alpha(UNITS) == pytest.approx(0.849, abs=0.0006)
    labels = [[{"label": f"l{value:g}"} for value in unit] for unit in UNITS if len(unit) > 1]
    assert nominal_alpha(labels) == pytest.approx(0.743, abs=0.0006)


def test_alpha_by_dimension_stands_beside_the_nominal_one() -> None:
    people = [
        said(who, f"t{text}", {"values": {"hope": float(value), "fear": 1.0}})
        for who, row in zip("abcd", FOUR, strict=True)
        for text, value in enumerate(row)
        if value != "."
    ]
    every = agreements(people)[0]
    assert every.between == ()
    hope = {one.name: one for one in every.numbers}["hope"]
    assert hope.alpha == pytest.approx(0.849, abs=0.0006)
    assert {one.name: one.alpha for one in every.numbers}["fear"] is None, "all the same: nothing to expect"
    assert every.alpha == pytest.approx(0.743, abs=0.0006)


@given(NUMBERS, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_alpha_is_at_most_1_and_knows_no_unit(units: list[list[float]], scale: float, shift: float) -> None:
    alpha = interval_alpha(units)
    if alpha is None:
        return
    assert alpha <= 1 + 1e-9
    moved = interval_alpha([[value * scale + shift for value in unit] for unit in units])
    assert moved is None or moved == pytest.approx(alpha, abs=1e-3)
    assert interval_alpha([list(reversed(unit)) for unit in reversed(units)]) == pytest.approx(alpha)


@given(NUMBERS)
def test_alpha_is_1_where_all_agree(units: list[list[float]]) -> None:
    alike = [[unit[0]] * 2 for unit in units]
    alpha = interval_alpha(alike)
    assert alpha is None or alpha == pytest.approx(1.0)


def people(alike: int, other: int, *, by: str = "audit", of_others: int = 40) -> list[Said]:
    found = [said("anna", f"a{n}", {"label": "sport" if n < alike else "economy"}, by) for n in range(alike + other)]
    return [*found, *(said("bo", f"b{n}", {"label": "sport" if n % 2 else "economy"}) for n in range(of_others))]


def test_whoever_labels_everything_alike_is_named_with_numbers() -> None:
    (found,) = one_sided(people(20, 1))
    assert (found.annotator, found.same, found.of, found.others, found.of_others) == ("anna", 20, 21, 20, 40)
    assert found.chance < 0.001
    assert "anna" in found.told
    assert "20 of 21" in found.told


@pytest.mark.parametrize(
    "given_", [people(9, 0), people(20, 5), people(20, 0, of_others=5), people(20, 0, by="model"), people(0, 0)]
)
def test_few_answers_mixed_ones_and_what_a_model_chose_accuse_nobody(given_: list[Said]) -> None:
    assert not one_sided(given_)


def test_where_all_say_the_same_nobody_is_one_sided() -> None:
    both = [said(who, f"{who}{n}", {"label": "sport"}) for who in ("anna", "bo") for n in range(30)]
    assert not one_sided(both)


def test_entities_are_compared_by_their_types_and_the_newest_answer_counts() -> None:
    nothing = [said("anna", f"a{n}", {"spans": []}) for n in range(12)]
    marked = {"spans": [{"start": 0, "end": 3, "label": "ORG"}]}
    others = [said("bo", f"b{n}", marked) for n in range(30)]
    assert [one.words for one in one_sided([*nothing, *others]) if one.annotator == "anna"] == ["nothing"]
    again = [said("anna", f"a{n}", marked) for n in range(12)]
    assert not one_sided([*nothing, *again, *others])


@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_the_tail_is_a_probability_that_falls(of: int, share: float) -> None:
    tails = [binomial_tail(least, of, share) for least in range(of + 1)]
    assert tails[0] == pytest.approx(1.0)
    assert all(one >= other - 1e-12 for one, other in pairwise(tails))
    assert tails[-1] == pytest.approx(math.exp(of * math.log(share)))
