"""A token bucket never gives more than it may, and gives what it has said it would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.serving.access.rate_limit import RateLimit

RATES = st.floats(0.01, 1000)
CAPACITIES = st.floats(1, 1000)
# What happens: so many seconds pass, then one of three callers asks for so much.
ASKED = st.lists(st.tuples(st.floats(0, 50), st.sampled_from("abc"), st.floats(0, 500)), max_size=60)


class Elapsed:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(RATES, CAPACITIES, ASKED)
def test_nobody_ever_gets_more_than_capacity_and_rate_allow(
    rate: float, capacity: float, asked: list[tuple[float, str, float]]
) -> None:
    elapsed = Elapsed()
    limit = RateLimit(rate, capacity, elapsed=elapsed)
    given_at: dict[str, list[tuple[float, float]]] = {"a": [], "b": [], "c": []}
    for seconds, caller, amount in asked:
        elapsed.now += seconds
        if not limit.take(caller, amount):
            given_at[caller].append((elapsed.now, min(amount, capacity)))
    for taken in given_at.values():
        for first in range(len(taken)):
            for last in range(first, len(taken)):
                total = sum(amount for _at, amount in taken[first : last + 1])
                seconds = taken[last][0] - taken[first][0]
                assert total <= (capacity + rate * seconds) * (1 + 1e-6) + 1e-6


@given(RATES, CAPACITIES, ASKED, st.floats(0.1, 500))
def test_what_was_refused_is_given_after_the_time_told_and_not_before(
    rate: float, capacity: float, asked: list[tuple[float, str, float]], wanted: float
) -> None:
    elapsed = Elapsed()
    limit = RateLimit(rate, capacity, elapsed=elapsed)
    for seconds, caller, amount in asked:
        elapsed.now += seconds
        limit.take(caller, amount)
    wait_s = limit.wait_s("a", wanted)
    assert 0 <= wait_s <= min(wanted, capacity) / rate * (1 + 1e-6)
    elapsed.now += wait_s * 0.9
    if wait_s > 1e-3:
        assert limit.take("a", wanted) > 0
    elapsed.now += wait_s * 0.1 + wait_s * 1e-6 + 1e-6
    assert limit.take("a", wanted) == 0


@given(RATES, CAPACITIES, ASKED)
def test_one_caller_never_takes_from_another(rate: float, capacity: float, asked: list[tuple[float, str, float]]) -> None:
    elapsed = Elapsed()
    together, alone = (RateLimit(rate, capacity, elapsed=elapsed) for _ in range(2))
    for seconds, caller, amount in asked:
        elapsed.now += seconds
        answered = together.take(caller, amount)
        if caller == "a":
            assert alone.take("a", amount) == answered


@given(RATES, CAPACITIES, ASKED, st.floats(0.1, 500))
def test_what_is_given_back_is_as_if_it_had_not_been_taken(
    rate: float, capacity: float, asked: list[tuple[float, str, float]], amount: float
) -> None:
    elapsed = Elapsed()
    limit = RateLimit(rate, capacity, elapsed=elapsed)
    for seconds, caller, taken in asked:
        elapsed.now += seconds
        limit.take(caller, taken)
    before = limit.wait_s("a", capacity)
    if not limit.take("a", min(amount, capacity)):
        limit.give_back("a", min(amount, capacity))
    assert limit.wait_s("a", capacity) <= before + 1e-6
    assert limit.wait_s("a", capacity) >= before - 1e-6 / rate - 1e-6
    limit.give_back("nobody", amount)
    assert limit.wait_s("nobody", capacity) == 0


@given(RATES, CAPACITIES, st.lists(st.integers(0, 500), max_size=300))
def test_no_number_of_callers_grows_it(rate: float, capacity: float, callers: list[int]) -> None:
    limit = RateLimit(rate, capacity, max_callers=20, elapsed=Elapsed())
    for caller in callers:
        limit.take(str(caller))
        assert len(limit) <= 20


@given(st.lists(st.floats(0, 1e9), max_size=50))
def test_a_rate_of_0_is_no_limit_and_remembers_nobody(amounts: list[float]) -> None:
    limit = RateLimit(0, 1, elapsed=Elapsed())
    assert all(limit.take("a", amount) == 0 for amount in amounts)
    assert len(limit) == 0
