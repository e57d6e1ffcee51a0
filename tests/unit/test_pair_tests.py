"""The test of a pair of models while labels come in: what its gain must reach, and what the gate says of it."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from registry.judging.gate import Decision, decide
from registry.judging.pair_tests import BegunTest
from tests.support.registries import Clock
from tests.unit.test_gate import POLICY, seen
from trainers.compare.comparison import Asked
from trainers.compare.sequential.allowance import A_YEAR, SAVED, TAKEN
from trainers.compare.sequential.look import Look
from trainers.compare.sequential.pair import WORSE_SHARE, PairTest, planned

MINIMUM = 0.04
Z = NormalDist().inv_cdf


def looks(*informations: float, plan: float) -> tuple[Look, ...]:
    return tuple(Look(information=one, share=min(one / plan, 1.0)) for one in informations)


def at(informations: list[float], *, level: float, plan: float, gain: float = 0.0) -> PairTest:
    *earlier, now = looks(*informations, plan=plan)
    return PairTest(level=level, planned=plan, drawn=0.0, earlier=tuple(earlier), now=now, gain=gain)


def test_one_look_at_the_end_of_the_plan_is_the_usual_test() -> None:
    error = 0.02
    found = PairTest(level=0.004, planned=error**-2, drawn=0.3).looked(0.06, error, enough=True)
    assert found.needed(MINIMUM) == pytest.approx(max(-Z(0.004) * error, MINIMUM, -Z(0.0004) * error - MINIMUM), abs=1e-6)
    assert found.passes(MINIMUM)
    assert not found.model_copy(update={"gain": 0.05}).passes(MINIMUM)
    assert found.corrected(MINIMUM) == pytest.approx(0.06, abs=1e-6)
    assert found.ended


def test_with_the_last_text_that_was_drawn_all_may_be_spent_however_little_is_known() -> None:
    early, last = (PairTest(level=0.01, planned=1e6, drawn=drawn).looked(0.1, 0.03, enough=True) for drawn in (0.25, 1.0))
    assert early.needed(0.0) == pytest.approx(-Z(0.0025) * 0.03, abs=1e-6)
    assert last.needed(0.0) == pytest.approx(-Z(0.01) * 0.03, abs=1e-6)
    assert not last.ended


@pytest.mark.parametrize(("error", "enough"), [(0.0, True), (math.inf, True), (0.02, False)])
def test_no_look_passes_where_rows_say_nothing_of_the_error_or_are_too_few(error: float, enough: bool) -> None:
    found = PairTest(level=0.01, planned=100.0, drawn=1.0).looked(0.9, error, enough=enough)
    assert (found.now, found.needed(MINIMUM), found.passes(MINIMUM), found.ended) == (None, math.inf, False, False)
    assert found.corrected(MINIMUM) == 0.9


def test_rows_that_say_no_more_than_at_the_last_look_pass_nobody() -> None:
    assert at([400.0, 401.0], level=0.01, plan=1_000.0, gain=0.9).needed(MINIMUM) == math.inf


def test_all_looks_together_err_as_often_as_is_allowed() -> None:
    plan, level, streams = 2_000.0, 0.05, 40_000
    informations = [300.0, 700.0, 1_200.0, 2_000.0]
    reaches = [at(informations[: count + 1], level=level, plan=plan).needed(MINIMUM) for count in range(4)]
    rng = np.random.default_rng(3)

    def passing(gain: float) -> float:
        grown = np.diff([0.0, *informations])
        sums = np.cumsum(rng.normal(gain * grown, np.sqrt(grown), (streams, 4)), axis=1)
        return float((sums / informations > reaches).any(axis=1).mean())

    assert passing(0.0) < level + 0.004
    assert passing(-MINIMUM) < level * WORSE_SHARE + 0.002
    # At the very minimum at most half of the candidates pass, although each of four looks may stop the test.
    assert passing(MINIMUM) < 0.51
    assert passing(2.5 * MINIMUM) > 0.8


def test_who_passes_later_is_corrected_for_the_looks_before() -> None:
    late = at([600.0, 1_000.0], level=0.02, plan=1_000.0, gain=0.09)
    assert late.passes(MINIMUM)
    assert MINIMUM < late.corrected(MINIMUM) < 0.09


def test_the_plan_asks_for_as_much_as_a_first_look_of_the_gate() -> None:
    assert planned(0.04) == pytest.approx((2.409 / 0.04) ** 2, rel=1e-3)
    assert planned(0.0) == planned(math.inf) == math.inf


def test_candidates_of_a_year_spend_no_more_than_a_year_allows() -> None:
    clock, last, levels = Clock(), None, []
    for _week in range(52):
        last = BegunTest.begun(last, math.inf, clock())
        levels.append(last.level)
        clock.forward(7 * 86_400)
    assert levels[0] == pytest.approx(TAKEN * SAVED)
    assert sum(levels) < SAVED + A_YEAR
    assert sum(levels) * WORSE_SHARE < 0.001
    # Whoever has saved for a year begins anew with all of it.
    clock.forward(400 * 86_400)
    assert BegunTest.begun(last, 1.0, clock()).level == pytest.approx(TAKEN * SAVED)


def test_a_test_is_stored_with_its_looks_and_an_endless_plan() -> None:
    begun = BegunTest.begun(None, math.inf, Clock()()).with_look(Look(information=12.5, share=0.25)).with_look(None)
    assert BegunTest.of_json(begun.as_json()) == begun
    assert BegunTest.of_json(None) is None


def decided(test: PairTest, **changes: Any) -> Decision:
    asked = Asked(pool=4_000, disagreement=0.2, requests=60, labelled=58, test_rows=220, test=test)
    values = {"rows": 278, "required_rows": 700, "required_gain": MINIMUM, "gain": test.gain, "p_equal": 0.9, **changes}
    return decide(seen(asked=asked, **values), POLICY)


def test_a_pair_passes_by_its_own_test_and_is_told_the_corrected_gain() -> None:
    first = decided(at([1_500.0], level=0.004, plan=2_000.0, gain=0.2), looks=30)
    assert (first.verdict, len(first.reasons)) == ("promote", 1)
    later = decided(at([1_500.0, 1_900.0], level=0.004, plan=2_000.0, gain=0.1))
    assert later.verdict == "promote"
    assert "look 2" in later.reasons[1]


def test_a_pair_that_does_not_pass_is_asked_about_further_and_told_what_would_pass() -> None:
    found = decided(at([400.0], level=0.004, plan=2_000.0, gain=0.06))
    assert found.verdict == "insufficient_evidence"
    assert "278 of about 700" in found.reasons[0]
    assert "look 1" in found.reasons[1]
    assert "1 of 250" in found.reasons[1]
    assert "no gain passes" in decided(at([400.0, 401.0], level=0.004, plan=2_000.0, gain=0.06)).reasons[1]


def test_a_pair_ends_where_its_upper_bound_or_its_plan_does() -> None:
    hopeless = decided(at([400.0], level=0.004, plan=2_000.0, gain=0.001), upper_bound=0.03)
    assert hopeless.verdict == "keep"
    over = decided(at([400.0, 2_100.0], level=0.004, plan=2_000.0, gain=0.041), upper_bound=0.08)
    assert over.verdict == "keep"


def test_what_nobody_could_tell_counts_against_the_candidate() -> None:
    test = at([1_500.0], level=0.004, plan=2_000.0, gain=0.03)
    found = decided(test, gain=0.2)
    assert found.verdict == "insufficient_evidence"
    assert "+3.0 points" in found.reasons[1]


def test_fewer_rows_than_the_policy_asks_for_decide_nothing() -> None:
    few = PairTest(level=0.004, planned=2_000.0, drawn=1.0).looked(0.3, 0.02, enough=False)
    assert decided(few, rows=100).verdict == "insufficient_evidence"
    assert decided(few, rows=100).reasons[0].startswith("Not decided: 100 of the 200")


def test_a_minimum_out_of_reach_ends_a_pair_and_a_record_without_a_test_is_judged_as_it_was() -> None:
    test = at([1_500.0], level=0.004, plan=math.inf, gain=0.2)
    assert decided(test, required_gain=math.inf).verdict == "keep"
    asked = Asked(pool=4_000, disagreement=0.2, requests=60, labelled=58)
    assert decide(seen(asked=asked), POLICY).verdict == "promote"
    assert decide(seen(asked=asked, p_equal=0.005, looks=3), POLICY).verdict != "promote"
