"""Whether two results of one order agree: pure.

A child on a processor gives the same bits for the same order, threads, precision, processor and versions. Where one of them
differs, sums are added in another order or rounded otherwise, and training carries the difference on: then scores are held to a
tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from daemon.views.models.repetition import Figure
from trainers.compare.comparison import Comparison
from trainers.compare.parts.slices import Slice
from trainers.job.spec import JobResult

CLOSE = 0.02
"""Two points; of an unbounded metric a share of the score. A choice: docs/commands.md says what was measured."""
CLOSE_ROWS = 3
"""On few test rows as much as so many of them are worth."""


@dataclass(frozen=True, slots=True)
class Expected:
    """How well two results must agree."""

    tolerance: float
    """0: to the last bit."""
    why: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether every figure must be equal to the last bit."""
        return self.tolerance == 0.0


def expected(then: JobResult, now: JobResult, *, code_then: str) -> Expected:
    """Return how well the two must agree, and why. `code_then`: the versions it was made with, empty where not recorded."""
    differ = [
        *_differs("hardware", then.hardware, now.hardware),
        *_differs("processor", then.processor, now.processor),
        *_differs("versions", code_then, now.code),
    ]
    if now.hardware and not now.hardware.startswith("CPU"):
        differ.append("a GPU adds in no fixed order")
    if not differ:
        return Expected(0.0, ("same settings, training set, seed, processor, threads, precision and versions",))
    rows = now.comparison.rows if now.comparison is not None else 0
    return Expected(max(CLOSE, CLOSE_ROWS / rows) if rows else CLOSE, tuple(differ))


def _differs(what: str, then: str, now: str) -> Iterator[str]:
    if not then:
        yield f"{what}: not recorded in the original run"
    elif then != now:
        yield f"{what}: {then} originally, {now} now"


def figures(then: JobResult, now: JobResult, wanted: Expected) -> tuple[Figure, ...]:
    """Return every figure of both, in the order that people read them. Time and latency are none: they are never the same."""
    one, other = _compared(then), _compared(now)
    bounded = one.scale.bounded
    counts = [
        ("rows learnt", then.rows_new + then.rows_replayed, now.rows_new + now.rows_replayed),
        ("rows scored", then.tested, now.tested),
    ]
    scores = [
        ("candidate", one.candidate_score, other.candidate_score),
        (one.opponent, one.champion_score, other.champion_score),
        *_pairs(one.anchor, other.anchor),
    ]
    derived = [
        ("gain", one.gain, other.gain),
        ("gain, lower bound", one.lower_bound, other.lower_bound),
        ("gain, upper bound", one.upper_bound, other.upper_bound),
        *(pair for part in one.slices for pair in _pairs(part, _called(part.name, other.slices))),
    ]
    return (
        *(_figure(name, a, b, counts=wanted.equal, within=0.0, bounded=bounded) for name, a, b in counts),
        *(_figure(name, a, b, counts=True, within=wanted.tolerance, bounded=bounded) for name, a, b in scores),
        *(_figure(name, a, b, counts=wanted.equal, within=wanted.tolerance, bounded=bounded) for name, a, b in derived),
    )


def _compared(result: JobResult) -> Comparison:
    assert result.comparison is not None  # noqa: S101 - a result that is done has one; narrows the type
    return result.comparison


def _called(name: str, parts: tuple[Slice, ...]) -> Slice | None:
    return next((part for part in parts if part.name == name), None)


def _pairs(then: Slice | None, now: Slice | None) -> Iterator[tuple[str, float, float]]:
    if then is not None:
        yield f"{then.name}, candidate", then.candidate_score, math.nan if now is None else now.candidate_score
        yield f"{then.name}, opponent", then.champion_score, math.nan if now is None else now.champion_score


def _figure(name: str, then: float, now: float, *, counts: bool, within: float, bounded: bool) -> Figure:
    room = within if bounded else within * abs(then)
    agrees = then == now or (math.isnan(then) and math.isnan(now)) or abs(now - then) <= room
    return Figure(name=name, then=then, now=now, counts=counts, agrees=agrees)
