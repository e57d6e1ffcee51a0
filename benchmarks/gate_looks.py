"""Three ways to look again and again, for `gate_rates`: how many labels each needs to refute "no better", on the same rows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate_streams import LABELS_A_WEEK, Plan
from benchmarks.gate_worlds import World
from trainers.compare.sampling.inclusion import DIFFER
from trainers.compare.sequential import asymptotic, betting

LEVEL = 0.004
"""The level of a task's first candidate."""
_MOST = 1_700


def labels_to_refute(world: World, *, streams: int, rng: np.random.Generator) -> dict[str, float]:
    """Return the mean labels until "the candidate is no better" is refuted at `LEVEL`, looking each week; accuracy alone decides.

    All labels are asked for where both differ, and the 5 % rule is left out, so that only the looks differ. Counted looks have a
    plan with an end: who does not pass by then counts with all labels of the plan.
    """
    gold, ours, theirs = world.rows(streams * _MOST, rng, DIFFER)
    values = ((ours == gold).astype(float) - (theirs == gold)).reshape(streams, _MOST)
    at = np.arange(1, int(_MOST / LABELS_A_WEEK) + 1) * int(LABELS_A_WEEK)
    squares, sums = np.cumsum(values**2, axis=1)[:, at - 1], np.cumsum(values, axis=1)[:, at - 1]
    z = sums / np.sqrt(np.maximum(squares, 1.0))
    plan = Plan(world.minimum, world.differ * float(values.std()))
    limits = plan.limits(LEVEL)
    sequence = [asymptotic.width(float(week), LEVEL, planned=plan.weeks / 2.0) for week in range(1, len(at) + 1)]
    enough = math.log(1.0 / LEVEL)
    refuted = np.array(
        [[_capital(*counts) >= enough for counts in zip(*line, strict=True)] for line in zip(sums, squares, strict=True)]
    )
    return {
        "bet": _mean_labels(refuted, at),
        "asymptotic_sequence": _mean_labels(z >= np.array(sequence), at),
        "counted_looks": _mean_labels(z[:, : plan.weeks] >= limits, at[: plan.weeks]),
        "counted_looks_without_an_answer": float(1.0 - (z[:, : plan.weeks] >= limits).any(axis=1).mean()),
    }


def _capital(total: float, differing: float) -> float:
    """Return the logarithm of the capital after so many answers that one alone had right, with this sum of differences."""
    ups, downs = int(differing + total) // 2, int(differing - total) // 2
    values = np.repeat([1.0, -1.0], [ups, downs])
    return betting.log_capital(values, np.ones(len(values)), 0.0, lowest=-1.0)


def _mean_labels(refuted: NDArray[np.bool_], at: NDArray[np.intp]) -> float:
    """Return the mean of the labels at the first look that refutes, or of all labels."""
    return float(np.where(refuted.any(axis=1), at[refuted.argmax(axis=1)], at[-1]).mean())
