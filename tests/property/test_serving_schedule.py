"""Whose turn it is, for any mix of short and long requests that come at any time: without a thread and without a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from daemon.serving.models.pace import CALL_S, LEAST_CHARS, Pace
from daemon.serving.models.requests import Request
from daemon.serving.models.schedule import Schedule, Turn
from perennial_artifact.pieces import joined, pieces
from perennial_artifact.portions import MAX_CHARS, MAX_TEXTS
from perennial_artifact.predictor import Answer

LIMIT = 100


class InPieces:
    """Divides a text into pieces of 30 characters."""

    def divide(self, text: str) -> Sequence[tuple[int, int]]:
        return list(pieces(text, longest=30))

    def join(self, starts: Sequence[int], answers: Sequence[Answer]) -> Answer:
        return joined(starts, answers)


SHORT = st.lists(st.integers(1, 12), min_size=1, max_size=3)
LONG = st.one_of(st.lists(st.integers(60, 400), min_size=2, max_size=6), st.lists(st.integers(1, 5), min_size=33, max_size=70))
ARRIVALS = st.lists(st.tuples(st.integers(0, 12), st.one_of(SHORT, LONG), st.booleans()), min_size=1, max_size=40)
"""Of each request: after how many calls it comes, the lengths of its texts, and whether they are divided."""


@dataclass
class Run:
    """What happened: the requests in the order in which they came, and the calls."""

    requests: list[Request] = field(default_factory=list)
    came_after: list[int] = field(default_factory=list)
    calls: list[list[Turn]] = field(default_factory=list)

    def calls_with(self, request: Request) -> list[int]:
        """Return the numbers of the calls in which a request had a turn."""
        return [number for number, call in enumerate(self.calls) if any(one is request for one, _parts in call)]


def run(arrivals: list[tuple[int, list[int], bool]]) -> Run:
    schedule, done = Schedule(), Run()
    coming = sorted(arrivals, key=lambda arrival: arrival[0])
    while coming or schedule.chars:
        while coming and coming[0][0] <= len(done.calls):
            _after, lengths, divided = coming.pop(0)
            request = Request(
                ["word " * (length // 5) + "x" * (length % 5) for length in lengths], InPieces() if divided else None
            )
            schedule.add(request, LIMIT)
            done.requests.append(request)
            done.came_after.append(len(done.calls))
        call = schedule.next(LIMIT)
        if call:
            done.calls.append(call)
        else:
            assert coming, "something waits and nothing has a turn"
            coming = [(0, lengths, divided) for _after, lengths, divided in coming]
    assert (schedule.texts, schedule.chars) == (0, 0)
    return done


def is_short(request: Request) -> bool:
    return request.cost <= LIMIT and len(request.parts) <= MAX_TEXTS


@given(ARRIVALS)
def test_every_part_has_its_turn_once_and_in_order_and_no_call_is_larger_than_one_part_or_the_limit(
    arrivals: list[tuple[int, list[int], bool]],
) -> None:
    done = run(arrivals)
    for request in done.requests:
        assert [part for call in done.calls for one, parts in call if one is request for part in parts] == request.parts
    for call in done.calls:
        parts = [part for _request, parts in call for part in parts]
        assert len(parts) <= MAX_TEXTS
        assert len(parts) == 1 or sum(part.cost for part in parts) <= LIMIT


@given(ARRIVALS)
def test_a_short_request_waits_for_short_ones_before_it_and_for_one_call_of_a_long_one_with_each(
    arrivals: list[tuple[int, list[int], bool]],
) -> None:
    done = run(arrivals)
    for number, (request, after) in enumerate(zip(done.requests, done.came_after, strict=True)):
        if not is_short(request):
            continue
        (turn,) = done.calls_with(request)
        waited = done.calls[after:turn]
        short_calls = [call for call in waited if is_short(call[0][0])]
        assert len(waited) - len(short_calls) <= len(short_calls) + 1, "two long calls in a row went before it"
        before = done.requests[:number]
        assert all(any(one is other for other in before) for call in short_calls for one, _parts in call), "it was overtaken"


@given(ARRIVALS)
def test_a_long_request_has_a_turn_after_one_of_each_other_long_one_and_as_many_short_calls(
    arrivals: list[tuple[int, list[int], bool]],
) -> None:
    done = run(arrivals)
    for request, after in zip(done.requests, done.came_after, strict=True):
        if is_short(request):
            continue
        turns = done.calls_with(request)
        for last, turn in zip([after - 1, *turns], turns, strict=False):
            others = [call[0][0] for call in done.calls[last + 1 : turn] if not is_short(call[0][0])]
            assert len({id(other) for other in others}) == len(others), "another long one had two turns meanwhile"
            assert turn - last - 1 <= 2 * len(others) + 1, "short ones had two calls in a row while it waited"


@given(ARRIVALS, st.integers(0, 20))
def test_what_was_cancelled_has_no_further_turn(arrivals: list[tuple[int, list[int], bool]], gone: int) -> None:
    schedule = Schedule()
    requests = [Request(["x" * length for length in lengths]) for _after, lengths, _divided in arrivals]
    for request in requests:
        schedule.add(request, LIMIT)
    first = schedule.next(LIMIT)
    dropped = requests[gone % len(requests)]
    dropped.future.cancel()
    while call := schedule.next(LIMIT):
        assert all(request is not dropped for request, _parts in call)
    assert first
    assert (schedule.texts, schedule.chars) == (0, 0)


@given(st.floats(0.0, 0.01), st.lists(st.tuples(st.integers(1, 20_000), st.floats(0.0, 5.0))))
def test_the_pace_gives_calls_that_take_their_time_by_the_slowest_of_late(
    s_per_char: float, calls: list[tuple[int, float]]
) -> None:
    pace = Pace(s_per_char)
    for chars, seconds in calls:
        pace.note(chars, seconds)
        limit = pace.limit()
        assert LEAST_CHARS <= limit <= MAX_CHARS
        if chars >= LEAST_CHARS:
            assert limit == LEAST_CHARS or limit * seconds / chars <= CALL_S * (1 + 1e-9)
