"""Hostile events of every type that follow their schema: nothing is raised, set aside or lost behind parse."""

from __future__ import annotations

from pathlib import Path

import structlog

from benchmarks.fuzz import fuzz
from benchmarks.fuzz_events import TYPES

SLOWEST_S = 5.0
"""Far above what any text takes here, below what one that a stage is quadratic on takes."""


def test_nothing_that_follows_its_schema_ends_or_stalls_a_stage(tmp_path: Path) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    try:
        found = fuzz(tmp_path, per_type=60, seed=20, real_texts=0)
    finally:
        structlog.reset_defaults()
    assert (found.faults, found.set_aside) == ([], [])
    assert set(found.inputs.values()) == {60}
    assert set(found.inputs) == set(TYPES)
    assert found.outcomes["stored"] > 4 * 60
    assert found.outcomes["judged"] > 10
    assert found.outcomes["training rows: train"] > 5
    assert max(took for took, _ in found.slowest_s.values()) < SLOWEST_S
