"""Looks at evidence that goes on growing: errors stay within what was allowed, however often one looks."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trainers.compare.sequential import asymptotic, betting
from trainers.compare.sequential.allowance import A_YEAR, SAVED, TAKEN, Allowance
from trainers.compare.sequential.counted import Look, Motion, OneSided, corrected, power, threshold

QUICK = settings(deadline=None, max_examples=40)
DIFFERENCES = st.lists(st.sampled_from([-1.0, 0.0, 0.0, 1.0]), min_size=1, max_size=60)
Z_AT = NormalDist()


def capital(values: list[float], mean: float) -> float:
    return betting.log_capital(np.array(values), np.ones(len(values)), mean, lowest=-1.0)


def bound(values: list[float], alpha: float = 0.05) -> float:
    return betting.lower_bound(np.array(values), np.ones(len(values)), alpha, lowest=-1.0, highest=1.0)


@QUICK
@given(DIFFERENCES, st.floats(-0.9, 0.9), st.randoms(use_true_random=False))
def test_capital_does_not_depend_on_the_order_of_rows_and_falls_with_the_mean(
    values: list[float], mean: float, random: object
) -> None:
    shuffled = list(np.random.default_rng(len(values)).permutation(values))
    assert capital(values, mean) == pytest.approx(capital(shuffled, mean), abs=1e-9)
    assert capital(values, mean) >= capital(values, min(mean + 0.05, 0.95)) - 1e-9


@QUICK
@given(DIFFERENCES, st.floats(0.01, 0.4))
def test_more_evidence_in_favour_never_lowers_the_bound(values: list[float], alpha: float) -> None:
    assert bound([*values, 1.0], alpha) >= bound(values, alpha) - 1e-6
    assert bound(values, alpha) <= np.mean(values) + 1e-6
    assert bound(values, alpha / 2) <= bound(values, alpha) + 1e-6


@pytest.mark.parametrize("mean", [0.0, 0.3])
def test_one_round_of_a_bet_is_fair(mean: float) -> None:
    """Ville's inequality holds because the expected capital after each round is what was there before."""
    up = (1.0 + mean) / 2.0
    both = [math.exp(capital([value], mean)) for value in (1.0, -1.0)]
    assert up * both[0] + (1.0 - up) * both[1] == pytest.approx(1.0)


def test_looking_at_each_row_a_bet_seldom_refutes_the_truth() -> None:
    rng = np.random.default_rng(2)
    refuted = 0
    for _ in range(150):
        values = rng.choice([-1.0, 0.0, 1.0], size=200, p=[0.1, 0.8, 0.1])
        refuted += any(capital(list(values[:rows]), 0.0) > math.log(20.0) for rows in range(5, 201, 5))
    # 0.05 * 150 = 7.5 are allowed on average; 18 or more have a probability of less than 1 of 1,000 then.
    assert refuted < 18


def test_rows_of_a_document_are_one_round() -> None:
    values, documents = np.array([1.0, 1.0, 1.0, -1.0, 0.0, 1.0]), np.array([0, 0, 0, 1, 1, 2])
    sums, sizes = betting.by_document(values, documents)
    assert (sums.tolist(), sizes.tolist()) == ([3.0, -1.0, 1.0], [3.0, 2.0, 1.0])
    together = betting.log_capital(sums, sizes, 0.0, lowest=-1.0, largest=3.0)
    assert together < capital(list(values), 0.0)
    with pytest.raises(ValueError, match="document"):
        betting.log_capital(sums, sizes, 0.0, lowest=-1.0)
    assert betting.lower_bound(sums[:0], sizes[:0], 0.05, lowest=-1.0, highest=1.0) == -1.0
    assert math.isinf(betting.log_capital(sums, sizes, -1.0, lowest=-1.0, largest=3.0))


@QUICK
@given(st.floats(1e-4, 0.1), st.floats(1.0, 1e6))
def test_an_asymptotic_bound_is_tightest_near_the_plan_and_wider_than_one_look(alpha: float, planned: float) -> None:
    at_plan = asymptotic.width(planned, alpha, planned=planned)
    assert at_plan > -Z_AT.inv_cdf(alpha)
    assert at_plan <= asymptotic.width(planned / 30, alpha, planned=planned)
    assert at_plan <= asymptotic.width(planned * 30, alpha, planned=planned)
    assert asymptotic.width(planned, alpha / 2, planned=planned) > at_plan


def test_an_asymptotic_bound_covers_at_every_look_and_says_nothing_without_an_error() -> None:
    rng = np.random.default_rng(4)
    rows = np.arange(20, 1_001, 20)
    missed = 0
    for _ in range(400):
        sums = np.cumsum(rng.normal(size=1_000))[rows - 1]
        bounds = [asymptotic.lower_bound(s / n, n**-0.5, 0.05, planned=300.0) for s, n in zip(sums, rows, strict=True)]
        missed += max(bounds) > 0.0
    assert missed < 36  # 20 are allowed on average; more than 35 have a probability of less than 1 of 1,000 then
    assert asymptotic.lower_bound(0.1, 0.0, 0.05, planned=1.0) == -math.inf
    assert asymptotic.lower_bound(0.1, math.inf, 0.05, planned=1.0) == -math.inf


def test_one_look_is_the_usual_test() -> None:
    reach, _after = OneSided(0.2, 0.01, planned=400.0, spending=power(1.0)).look(400.0)
    assert reach == pytest.approx(0.2 - Z_AT.inv_cdf(0.01) / 20.0, abs=1e-6)


def test_two_looks_are_pococks_and_obrien_and_flemings() -> None:
    """Jennison and Turnbull (2000), tables 2.1 and 2.3: two-sided 5 %, so one-sided 2.5 %, but for the other side's share."""
    for first, second in ((2.178, 2.178), (2.797, 1.977)):
        motion = Motion()
        spent = motion.passing(1.0, first)
        motion = motion.going_on(1.0, first)
        total = spent + motion.passing(2.0, second * math.sqrt(2.0))
        assert total == pytest.approx(0.025, abs=1e-4)
        assert threshold(motion, 2.0, 0.025 - spent) / math.sqrt(2.0) == pytest.approx(second, abs=3e-3)


@QUICK
@given(st.lists(st.floats(1.05, 3.0), min_size=1, max_size=6), st.floats(1e-4, 0.5), st.floats(0.5, 3.0))
def test_all_looks_together_spend_what_is_allowed(growth: list[float], level: float, exponent: float) -> None:
    information = np.cumprod(growth)
    test, spent, motion = OneSided(0.0, level, planned=float(information[-1]), spending=power(exponent)), 0.0, Motion()
    for each in information:
        reach, test = test.look(float(each))
        spent += motion.passing(float(each), reach * float(each)) if math.isfinite(reach) else 0.0
        motion = motion.going_on(float(each), reach * float(each))
    assert spent == pytest.approx(level, rel=1e-2, abs=1e-6)
    assert test.spent == pytest.approx(level)
    assert test.look(float(information[-1]) * 2.0)[0] == math.inf


def test_information_that_does_not_grow_is_no_look() -> None:
    test = OneSided(0.0, 0.01, planned=100.0, spending=power(1.0)).look(50.0)[1]
    reach, after = test.look(50.2)
    assert (reach, after) == (math.inf, test)


@QUICK
@given(st.floats(-0.2, 0.5), st.floats(10.0, 1e4))
def test_a_gain_at_the_first_look_needs_no_correction(estimate: float, information: float) -> None:
    assert corrected(estimate, information, []) == pytest.approx(estimate, abs=1e-6)
    lower, upper = (corrected(estimate, information, [], quantile=q) for q in (0.05, 0.95))
    assert (upper - lower) * math.sqrt(information) == pytest.approx(2 * 1.6449, abs=1e-3)


@QUICK
@given(st.floats(2.0, 3.5), st.floats(1.2, 3.0))
def test_who_could_have_passed_before_is_believed_less(z: float, growth: float) -> None:
    assume(growth * 10.0 > 11.0)
    before = [Look(10.0, 2.0 / math.sqrt(10.0))]
    information = 10.0 * growth
    estimate = z / math.sqrt(information)
    assert corrected(estimate, information, before) < estimate
    assert corrected(estimate, information, [Look(10.0, math.inf)]) == pytest.approx(estimate, abs=1e-4)


def test_the_corrected_gain_of_what_passed_is_right_in_the_median() -> None:
    rng, true, looks = np.random.default_rng(9), 0.3, [10.0, 20.0, 40.0, 80.0]
    test, reaches = OneSided(0.0, 0.05, planned=80.0, spending=power(1.0)), []
    for information in looks:
        reach, test = test.look(information)
        reaches.append(reach)
    raw, found, covered = [], [], 0
    for _ in range(300):
        steps = rng.normal(true * np.diff([0.0, *looks]), np.sqrt(np.diff([0.0, *looks])))
        estimates = np.cumsum(steps) / looks
        at = next((look for look in range(3) if estimates[look] >= reaches[look]), 3)
        before = [Look(information, reach) for information, reach in zip(looks[:at], reaches[:at], strict=True)]
        raw.append(float(estimates[at]))
        found.append(corrected(raw[-1], looks[at], before))
        covered += corrected(raw[-1], looks[at], before, quantile=0.05) <= true
    assert np.median(raw) > true
    assert 0.42 < np.mean(np.array(found) <= true) < 0.58
    assert covered / 300 == pytest.approx(0.95, abs=0.04)


@QUICK
@given(st.lists(st.floats(0.0, 40.0), min_size=1, max_size=200))
def test_a_year_of_candidates_takes_no_more_than_a_year_accrues(days: list[float]) -> None:
    allowance, taken = Allowance(), 0.0
    for each in days:
        level, allowance = allowance.at(allowance.day + each).take()
        taken += level
        assert 0.0 <= level <= TAKEN * SAVED
    assert taken <= SAVED + A_YEAR * allowance.day / 365.25 + 1e-12


def test_an_allowance_does_not_run_backwards() -> None:
    later = Allowance(0.0, day=10.0)
    assert later.at(5.0) == later
    assert later.at(10_000.0).left == SAVED
