"""How long a pair of models should be asked about: waits for a better candidate, and promotions in error, by weeks of asking.

As the daemon does it (decision 0058): a pair has the random test rows of 13 weeks, 20 asked labels come in a week, its looks are
one test whose level comes from the task's allowance; the next candidate begins without asked labels, with test rows of its own.
An estimate is a normal number with the spread that was measured row by row (`gate_worlds`). `python -m benchmarks.gate_pairs
[--quick]`.
"""

from __future__ import annotations

import argparse
import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate_streams import LABELS_A_WEEK, WEEKS_A_YEAR, WINDOW_WEEKS, Waited
from benchmarks.gate_worlds import LABELS, ON_DISAGREEMENTS, World
from config.tasks import TaskSpec
from trainers.compare.asked import compare_asked
from trainers.compare.comparison import Asked, Comparison
from trainers.compare.metrics import catalog
from trainers.compare.sequential.allowance import A_YEAR, SAVED, TAKEN
from trainers.compare.sequential.look import Look
from trainers.compare.sequential.pair import PairTest, planned
from trainers.pair.drawing import draw

ASKED_A_WEEK = 20
_RANDOM, _POOL = 250, 3_000
_WORLDS = (("macro_f1", 0.45), ("accuracy", 0.45), ("macro_f1", 0.80), ("accuracy", 0.80))
_HOPELESS = NormalDist().inv_cdf(0.95)
_LEVELS = np.geomspace(1e-6, 1e-2, 9)

Floats = NDArray[np.float64]


class Course:
    """What is known in each week of a pair's test, and what its gain must reach there, by level."""

    def __init__(self, minimum: float, per_random: float, per_asked: float, weeks: int) -> None:
        at = np.arange(1, weeks + 1)
        self.minimum, self.weeks, self.plan = minimum, weeks, planned(minimum)
        self.information = WINDOW_WEEKS * LABELS_A_WEEK / per_random**2 + at * ASKED_A_WEEK / per_asked**2
        looks = [
            Look(information=float(known), share=float(min(max(known / self.plan, week / weeks), 1.0)))
            for week, known in zip(at, self.information, strict=True)
        ]
        self._reaches = np.array([self._line(looks, float(level)) for level in _LEVELS])

    def needed(self, week: NDArray[np.intp], level: Floats) -> Floats:
        """Return the gain that must be reached (streams,) in the week of each stream's test, at its level."""
        logs = np.log(_LEVELS)
        place = np.clip((np.log(np.maximum(level, 1e-12)) - logs[0]) / (logs[1] - logs[0]), 0.0, len(logs) - 1.001)
        below = place.astype(np.intp)
        low, high = self._reaches[below, week - 1], self._reaches[below + 1, week - 1]
        return np.asarray(low + (place - below) * (high - low))

    def _line(self, looks: list[Look], level: float) -> list[float]:
        whole = PairTest(level=level, planned=self.plan, drawn=0.0, earlier=tuple(looks[:-1]), now=looks[-1])
        return [min(reach, 1e6) for reach in whole.reaches(self.minimum)]


def stream(course: Course, gain: float, *, streams: int, weeks: int, rng: np.random.Generator) -> Waited:
    """Return when a candidate passed first, where one with this true gain follows another."""
    left, level = np.full(streams, SAVED * (1.0 - TAKEN)), np.full(streams, SAVED * TAKEN)
    week, total, waited = np.zeros(streams, np.intp), np.zeros(streams), np.full(streams, np.inf)
    candidates = np.ones(streams)
    steps = np.diff(np.concatenate([[0.0], course.information]))
    for now in range(1, weeks + 1):
        left = np.minimum(left + A_YEAR / WEEKS_A_YEAR, SAVED)
        week += 1
        grown, known = steps[week - 1], course.information[week - 1]
        total += rng.normal(gain * grown, np.sqrt(grown))
        estimate = total / known
        waited = np.where(np.isinf(waited) & (estimate > course.needed(week, level)), now, waited)
        over = (estimate + _HOPELESS / np.sqrt(known) <= course.minimum) | (week >= course.weeks) | (known >= course.plan)
        ended = np.isinf(waited) & over
        level, left = np.where(ended, left * TAKEN, level), np.where(ended, left * (1.0 - TAKEN), left)
        candidates += ended
        restart = ended | ~np.isinf(waited)
        week, total = np.where(restart, 0, week), np.where(restart, 0.0, total)
    return Waited(waited, float(candidates.mean()))


def passing(metric: str, accuracy: float, pairs: int, *, level: float = 0.05, weeks: int = 4) -> int:
    """Return how many of so many pairs of equal models pass the test against "no better" at `level`, row by row.

    As the daemon compares: 250 random test rows, and asked ones of a pool of 3,000 that come in by the week.
    """
    task = TaskSpec.model_validate({
        "name": "t", "kind": "classification", "backend": "transformer", "base_model": "minilm", "labels": "open",
        "promotion": {"metric": metric, "min_test_examples": 100},
    })  # fmt: skip
    scale = catalog.of(task).scale
    before = Comparison(
        task="t", metric=metric, scale=scale, candidate_run="r", champion_version="t/v1", opponent="t/v1", rows=_RANDOM,
        stories=_RANDOM, champion_score=0.5, candidate_score=0.5, gain=0.0, confidence=0.95, lower_bound=-0.1, upper_bound=0.1,
        standard_error=0.05, p_equal=0.5, discordant=0.2, required_gain=0.025, required_rows=900,
    )  # fmt: skip
    world, labels = World(metric, accuracy, 0.0), [{"label": f"label-{number}"} for number in range(LABELS)]
    found = 0
    for seed in range(pairs):
        gold, ours, theirs = world.rows(_RANDOM + _POOL, np.random.default_rng(seed))
        differ = (ours != theirs).astype(np.intp)
        drawn = draw(
            differ[_RANDOM:].astype(float),
            numbers=False,
            labels=weeks * ASKED_A_WEEK,
            agreements=1.0 - ON_DISAGREEMENTS,
            seed=seed,
        ).rows
        earlier: tuple[Look, ...] = ()
        for week in range(1, weeks + 1):
            rows = np.concatenate([np.arange(_RANDOM), _RANDOM + drawn[: ASKED_A_WEEK * week]])
            test = PairTest(level=level, planned=math.inf, drawn=week / weeks, earlier=earlier)
            asked = Asked(pool=_POOL, disagreement=0.0, requests=len(rows) - _RANDOM, labelled=len(rows) - _RANDOM, test=test)
            said = ([labels[number] for number in column[rows].tolist()] for column in (gold, ours, theirs))
            right, candidate, opponent = said
            seen = compare_asked(
                task, before, gold=right, candidate=candidate, opponent=opponent,
                strata=differ[rows], sizes=np.bincount(differ, minlength=2).astype(float), clusters=np.arange(len(rows)),
                random=_RANDOM, looks=1, seed=1, asked=asked,
            )  # fmt: skip
            after = seen.asked.test if seen.asked else None
            if after is None or after.now is None or after.passes(0.0):
                found += after is not None and after.passes(0.0)
                break
            earlier = (*earlier, after.now)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer streams")
    parser.add_argument(
        "--rows", type=int, metavar="PAIRS", help="instead: how many of so many equal pairs pass at 5 %%, row by row"
    )
    given = parser.parse_args()
    if given.rows:
        for metric, accuracy in _WORLDS:
            print(f"{metric} {accuracy:.2f}: {passing(metric, accuracy, given.rows)} of {given.rows} passed", flush=True)
        return
    quick = given.quick
    for metric, accuracy in _WORLDS:
        world = World(metric, accuracy, 0.10)
        per_random, per_asked = (
            world.spread(asked=asked, labels=250, runs=100 if quick else 400, seed=1).per_label for asked in (False, True)
        )
        for weeks in (4, 8, 13, 26):
            course = Course(world.minimum, per_random, per_asked, weeks)
            told = [f"{metric} {accuracy:.2f}, {weeks:2d} weeks"]
            for relative in (0.10, 0.20):
                gain = World(metric, accuracy, relative).gain
                found = stream(course, gain, streams=2_000, weeks=2 * WEEKS_A_YEAR, rng=np.random.default_rng(5))
                told.append(f"{relative:+.0%}: {found.mean(2 * WEEKS_A_YEAR):.1f} weeks")
            for name, gain in (("equal", 0.0), ("worse", -world.minimum)):
                found = stream(
                    course, gain, streams=20_000 if quick else 200_000, weeks=WEEKS_A_YEAR, rng=np.random.default_rng(6)
                )
                told.append(f"{name}: {100 * found.within(WEEKS_A_YEAR):.2f} % of years")
            print(" | ".join(told), flush=True)


if __name__ == "__main__":
    main()
