"""How busy serving is: rates and the slowest of a hundred, from cumulative counters."""

from __future__ import annotations

import math

import pytest

from daemon.serving.metrics import ServingMetrics
from daemon.views.installation.serving_pace import Paces, Reading, quantile_ms

LIMITS = (0.01, 0.1, 1.0, math.inf)


def within(*counts: float) -> list[tuple[float, float]]:
    return list(zip(LIMITS, counts, strict=True))


def test_a_quantile_lies_in_its_bucket() -> None:
    assert quantile_ms(within(0, 0, 0, 0), 0.99) is None
    assert quantile_ms(within(100, 100, 100, 100), 0.5) == 5.0
    assert quantile_ms(within(90, 100, 100, 100), 0.95) == pytest.approx(55.0)
    assert quantile_ms(within(0, 0, 0, 10), 0.99) == math.inf


def test_the_pace_is_that_of_the_last_minute() -> None:
    readings = iter([
        Reading(0.0, within(0, 0, 0, 0)), Reading(10.0, within(100, 100, 100, 100)), Reading(80.0, within(100, 100, 100, 100)),
        Reading(150.0, within(100, 170, 170, 170)),
    ])  # fmt: skip
    paces = Paces(lambda: next(readings), lambda: ({"t": "t/v1"}, {}))
    first = paces.look()
    assert (first.requests_per_s, first.over_s, first.serving) == (10.0, 10.0, {"t": "t/v1"})
    quiet = paces.look()
    assert (quiet.requests_per_s, quiet.p99_ms, quiet.over_s) == (0.0, None, 70.0)
    last = paces.look()
    assert (last.requests_per_s, last.over_s) == (1.0, 70.0)
    assert last.p99_ms is not None
    assert 10.0 < last.p99_ms < 100.0


def test_serving_counts_the_requests_of_a_route() -> None:
    metrics = ServingMetrics()
    assert metrics.answered_within("/p")[-1] == (math.inf, 0.0)
    metrics.request("/p", 200, 0.02)
    metrics.request("/other", 200, 0.02)
    found = dict(metrics.answered_within("/p"))
    assert (found[0.01], found[0.025], found[math.inf]) == (0.0, 1.0, 1.0)
