"""How often the gate is wrong: simulated candidates, equal, worse and better, through the shipped policy's gate.

What a user would pick instead stands beside it: promote when the point gain exceeds the minimum.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import gate_looks, gate_streams, report
from benchmarks.gate_worlds import Spread, World
from config.task_files.sections.promotion import Promotion
from registry.judging import gate
from trainers.compare import comparison, statistics
from trainers.compare.improvement import required_gain
from trainers.compare.metrics.f1 import ACCURACY, paired_counts
from trainers.compare.resampling.sums import PairedSums

POLICY = Promotion(metric="accuracy")
LOOKS_A_YEAR = 52
_WINDOW_WEEKS = 13
GAINS = (0.0, -0.05, 0.03, 0.05, 0.075, 0.10, 0.20)
"""True gains of candidates, as shares of the champion's score."""
_CHECKED_GAIN = 0.10
_ALL_WAYS = (0.0, _CHECKED_GAIN)
_SPREAD_LABELS = 250
_LONGEST_WAIT = 208
_SIZES = np.arange(1, 9)
_SHARED = 0.5
# Kish: 1 + (mean size met by a row - 1) * correlation; two rows correlate where both share the story's fate.
_DESIGN_EFFECT = 1.0 + (float((_SIZES**2).sum() / _SIZES.sum()) - 1.0) * _SHARED**2


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of look: two models of known truth, answering `rows` held-out rows."""

    accuracy: float
    """Of the champion."""
    discordant: float
    """Share of rows on which exactly one is right."""
    rows: int
    clustered: bool
    """Stories of 1 to 8 rows whose answers tend to be right or wrong together, instead of rows on their own."""
    gain: float
    """Of the candidate, in multiples of the minimum improvement: 0 equal, -1 worse by the minimum, 1.5 clearly better."""

    @property
    def points(self) -> float:
        """The candidate's true gain."""
        return self.gain * POLICY.min_improvement * self.accuracy

    @property
    def possible(self) -> bool:
        """Whether two such models exist: neither beyond 0..1, and their gain not above their discordance."""
        better, worse = (self.discordant + abs(self.points)) / 2, (self.discordant - abs(self.points)) / 2
        right_alone = worse if self.points > 0 else better
        return worse >= 0.0 and right_alone <= self.accuracy and self.accuracy + self.points + right_alone <= 1.0 + 1e-9

    @property
    def has_enough(self) -> bool:
        """Whether the rows are as many as the gate asks for, given the true discordance and how stories repeat themselves."""
        error = math.sqrt(self.discordant * (_DESIGN_EFFECT if self.clustered else 1.0) / self.rows)
        return self.rows >= statistics.required_rows(self.rows, error, POLICY.min_improvement * self.accuracy)


@dataclass(frozen=True, slots=True)
class Rates:
    """What became of the looks of one cell, as shares of all of them."""

    promoted: float
    kept: float | None
    """The gate saw no improvement (counted for better candidates only); the rest is insufficient evidence."""
    naive: float
    """The point gain alone exceeded the minimum."""


def simulate(cell: Cell, looks: int, seed: int) -> Rates:
    """Return the rates over independent looks at fresh rows."""
    rng = np.random.default_rng([seed, int(cell.accuracy * 1000), int(cell.discordant * 1000), cell.rows, cell.clustered])
    verdicts: Counter[str] = Counter()
    for look in range(looks):
        stories = _stories(cell, rng)
        answers = _answers(cell, stories, rng)
        candidate_score, champion_score = answers.scores()
        above = candidate_score - champion_score > required_gain(POLICY, champion_score, ACCURACY.scale)
        verdicts["naive"] += above
        # The gate promotes nothing below the minimum, so resampling is spared where only promotions are counted.
        if above or cell.gain > 0:
            verdicts[gate.decide(_compare(answers, stories, seed=look), POLICY).verdict] += 1
    return Rates(
        promoted=verdicts["promote"] / looks,
        kept=verdicts["keep"] / looks if cell.gain > 0 else None,
        naive=verdicts["naive"] / looks,
    )


def _compare(answers: PairedSums, stories: NDArray[np.intp], *, seed: int, looks: int = 1) -> comparison.Comparison:
    rows = len(stories)
    evidence = statistics.weigh(answers, stories, ACCURACY.scale, confidence=POLICY.confidence, seed=seed)
    candidate_score, champion_score = answers.scores()
    needed = required_gain(POLICY, champion_score, ACCURACY.scale)
    return comparison.Comparison(
        task="simulated", metric="accuracy", scale=ACCURACY.scale, candidate_run="simulated", champion_version="simulated/v1",
        opponent="simulated/v1", rows=rows, stories=int(stories.max()) + 1, champion_score=champion_score,
        candidate_score=candidate_score, gain=evidence.gain, confidence=POLICY.confidence, lower_bound=evidence.lower_bound,
        upper_bound=evidence.upper_bound, standard_error=evidence.standard_error, p_equal=evidence.p_equal,
        discordant=float(np.mean(np.any(answers.candidate != answers.opponent, axis=1))),
        required_gain=needed, looks=looks,
        required_rows=statistics.required_rows(rows, evidence.standard_error, needed, looks=looks),
    )  # fmt: skip


def _stories(cell: Cell, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return each row's story: on its own, or in stories of 1 to 8 rows."""
    if not cell.clustered:
        return np.arange(cell.rows)
    sizes = rng.choice(_SIZES, size=cell.rows)
    return np.repeat(np.arange(cell.rows), sizes)[: cell.rows]


def _answers(cell: Cell, stories: NDArray[np.intp], rng: np.random.Generator) -> PairedSums:
    """Return what both models have right; half the rows of a story share one fate."""
    own = rng.random(cell.rows)
    shared = rng.random(int(stories.max()) + 1)[stories]
    draw = np.where(rng.random(cell.rows) < _SHARED, shared, own) if cell.clustered else own
    only_candidate = (cell.discordant + cell.points) / 2
    only_champion = (cell.discordant - cell.points) / 2
    both = cell.accuracy - only_champion
    outcome = np.searchsorted(np.cumsum([only_candidate, only_champion, both]), draw, side="right")[:, None]
    ones = np.ones((cell.rows, 1))
    candidate, champion = (outcome == 0) | (outcome == 2), (outcome == 1) | (outcome == 2)
    return paired_counts(ones, candidate.astype(float), ones, champion.astype(float), ones)


def promotions_in_a_year(
    *, weekly_rows: int, counted: bool, rng: np.random.Generator, refreshes_a_week: int = 0, discordant: float = 0.15
) -> int:
    """Return how many equal candidates, one a week and `refreshes_a_week` beside, the gate lets pass in a year.

    Each week brings `weekly_rows` new held-out rows, and those of the last 13 weeks (90 days) decide, so that a row is looked at
    up to 13 times for each look a week. `counted`: the gate is told so; else every look passes for the first. All candidates of a
    week are drawn on their own, which is the worst case: refreshes of one week are much alike.
    """
    accuracy, looks_a_week = 0.8, 1 + refreshes_a_week
    champion = rng.random(weekly_rows * (LOOKS_A_YEAR + _WINDOW_WEEKS)) < accuracy
    passed = 0
    for week in (week for week in range(LOOKS_A_YEAR) for _look in range(looks_a_week)):
        seen = champion[weekly_rows * week : weekly_rows * (week + _WINDOW_WEEKS)]
        changed = rng.random(len(seen)) < np.where(seen, discordant / 2 / accuracy, discordant / 2 / (1.0 - accuracy))
        ones = np.ones((len(seen), 1))
        answers = paired_counts(ones, (seen ^ changed)[:, None].astype(float), ones, seen[:, None].astype(float), ones)
        candidate_score, champion_score = answers.scores()
        if candidate_score - champion_score > required_gain(POLICY, champion_score, ACCURACY.scale):
            looks = math.ceil((_WINDOW_WEEKS * looks_a_week + 1) / 2) if counted else 1
            found = _compare(answers, np.arange(len(seen)), seed=week, looks=looks)
            passed += gate.decide(found, POLICY).verdict == "promote"
    return passed


def cells(*, rows: Iterable[int], gain: float) -> Iterator[Cell]:
    """Return every possible cell of the grid."""
    for accuracy, discordant, count, clustered in itertools.product((0.5, 0.8, 0.93), (0.05, 0.15, 0.30), rows, (False, True)):
        cell = Cell(accuracy=accuracy, discordant=discordant, rows=count, clustered=clustered, gain=gain)
        if cell.possible:
            yield cell


def main() -> None:
    """Simulate, print and write the rates."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--only", choices=("looks", "waits"), help="only today's gate look by look, or only labels and waits")
    arguments = parser.parse_args()
    results: dict[str, object] = {}
    if arguments.only != "waits":
        results.update(looks_and_years(quick=arguments.quick))
    if arguments.only != "looks":
        results["labels_and_waits"] = labels_and_waits(quick=arguments.quick)
    report.write("gate_rates", arguments, results, arguments.json)


def looks_and_years(*, quick: bool) -> dict[str, object]:
    """Return how often today's gate passes whom, look by look and in a year."""
    rows = (200, 500) if quick else (200, 500, 2_000)
    results: dict[str, object] = {}
    for name, gain, looks in (("equal", 0.0, 5_000), ("worse_by_minimum", -1.0, 10_000), ("better_by_1.5_minimum", 1.5, 500)):
        count = looks // 10 if quick else looks
        found = {cell: simulate(cell, count, seed=20) for cell in cells(rows=rows, gain=gain)}
        every = {_name(cell): dataclasses.asdict(rates) for cell, rates in found.items()}
        results[name] = {"looks_per_cell": count, **_summary(found), "cells": every}
    years = 30 if quick else 300
    for weekly_rows, counted in itertools.product((16, 40), (False, True)):
        rng = np.random.default_rng(weekly_rows)
        passed = [promotions_in_a_year(weekly_rows=weekly_rows, counted=counted, rng=rng) for _ in range(years)]
        results[f"year of equal candidates, {weekly_rows} rows a week, looks {'' if counted else 'not '}counted"] = {
            "years": years,
            "promotions_a_year": float(np.mean(passed)),
            "years_with_one": float(np.mean(np.array(passed) > 0)),
        }
    for refreshes, discordant in itertools.product((3, 10, 30), (0.03, 0.15)):
        rng = np.random.default_rng(refreshes)
        some = max(3, years // (1 + refreshes))
        passed = [
            promotions_in_a_year(weekly_rows=40, counted=True, rng=rng, refreshes_a_week=refreshes, discordant=discordant)
            for _ in range(some)
        ]
        results[f"year of equal candidates, 40 rows a week, {refreshes} refreshes a week, {discordant:.0%} discordant"] = {
            "years": some,
            "promotions_a_year": float(np.mean(passed)),
            "years_with_one": float(np.mean(np.array(passed) > 0)),
        }
    return results


def labels_and_waits(*, quick: bool) -> dict[str, object]:
    """Return by metric and accuracy the labels that 80 % power needs, and how long streams wait, by each way of deciding."""
    runs, streams = (100, 2_000) if quick else (400, 20_000)
    found: dict[str, object] = {}
    for metric, accuracy in itertools.product(("macro_f1", "accuracy"), (0.45, 0.80)):
        name = f"{metric} at {accuracy}"
        found[name] = one_task(metric, accuracy, runs=runs, streams=streams, looks=100 if quick else 200, through_gate=not quick)
        print(f"{name}: {json.dumps(found[name])}", flush=True)
    found["labels that refute an equal candidate"] = gate_looks.labels_to_refute(
        World("accuracy", 0.45, _CHECKED_GAIN), streams=200 if quick else 400, rng=np.random.default_rng(5)
    )
    return found


def one_task(metric: str, accuracy: float, *, runs: int, streams: int, looks: int, through_gate: bool) -> dict[str, object]:
    """Return labels and waits for each true gain, from `runs` samples a spread and so many `streams`.

    So many `looks`, row by row, say whether the power at these labels is what was computed; random ones go through the gate
    itself (`through_gate`), which takes long.
    """
    found: dict[str, object] = {}
    for relative in GAINS:
        world = World(metric, accuracy, relative)
        spreads = [world.spread(asked=asked, labels=_SPREAD_LABELS, runs=runs, seed=20) for asked in (False, True)]
        found[f"gain {relative:+.1%}"] = {
            "true_gain": world.gain,
            **_labels(world, *spreads),
            **(_checks(world, *spreads, looks=looks, through_gate=through_gate) if relative == _CHECKED_GAIN else {}),
            **_waits(world, *spreads, streams=streams),
        }
    return found


def _labels(world: World, random: Spread, asked: Spread) -> dict[str, float]:
    """Return how far estimates spread, and how many labels 80 % power needs at one look."""
    return {
        "deviation_random": random.deviation,
        "deviation_asked": asked.deviation,
        "said_by_asked": asked.said,
        "bias_asked": asked.bias,
        "labels_random": world.labels_for(random.per_label),
        "labels_asked": world.labels_for(asked.per_label),
        "times_fewer": (random.per_label / asked.per_label) ** 2,
    }


def _checks(world: World, random: Spread, asked: Spread, *, looks: int, through_gate: bool) -> dict[str, float]:
    """Return how often candidates pass at the labels that were computed for 80 %, row by row."""
    rng = np.random.default_rng(3)
    labels = math.ceil(world.labels_for(asked.per_label))
    found = {"asked_pass": float(np.mean([world.beyond(*world.asked(labels, rng)) for _ in range(looks)]))}
    if through_gate:
        rows = max(POLICY.min_test_examples, math.ceil(world.labels_for(random.per_label)))
        compared = (_compare(world.pair(world.rows(rows, rng)), np.arange(rows), seed=look) for look in range(looks))
        found["random_pass_the_shipped_gate"] = float(
            np.mean([gate.decide(one, POLICY).verdict == "promote" for one in compared])
        )
    return found


def _waits(world: World, random: Spread, asked: Spread, *, streams: int) -> dict[str, object]:
    """Return mean waits in weeks where the candidate is better, else promotions within a year."""
    rng = np.random.default_rng(4)
    better = world.relative > POLICY.min_improvement
    weeks = _LONGEST_WAIT if better else gate_streams.WEEKS_A_YEAR
    many = streams if better else 10 * streams
    plans = {"asked labels, counted looks": gate_streams.Plan(world.minimum, asked.per_label)}
    if world.relative in _ALL_WAYS:
        plans["random labels, counted looks"] = gate_streams.Plan(world.minimum, random.per_label)
        plans["asked labels, asymptotic sequence"] = gate_streams.Plan(world.minimum, asked.per_label, mixture=True)
    waited = {
        "today": gate_streams.of_today(world.gain, world.minimum, random.per_label, streams=many, weeks=weeks, rng=rng),
        **{name: gate_streams.by_looks(plan, world.gain, streams=many, weeks=weeks, rng=rng) for name, plan in plans.items()},
    }
    result: dict[str, object] = {
        name: {
            "promoted_within_a_year": one.within(gate_streams.WEEKS_A_YEAR),
            "candidates": one.candidates,
            **({"mean_wait_weeks": one.mean(_LONGEST_WAIT)} if better else {}),
        }
        for name, one in waited.items()
    }
    if world.relative == _CHECKED_GAIN:
        plan = plans["asked labels, counted looks"]
        result["gain_at_the_end_of_a_test"] = gate_streams.corrections(plan, world.gain, streams=min(streams // 10, 500), rng=rng)
    return result


def _summary(found: Mapping[Cell, Rates]) -> dict[str, float]:
    promoted, naive = np.array([rates.promoted for rates in found.values()]), np.array([rates.naive for rates in found.values()])
    summary = {
        "promoted_mean": float(promoted.mean()),
        "promoted_worst_cell": float(promoted.max()),
        "promoted_within_a_year_mean": float(np.mean(1.0 - (1.0 - promoted) ** LOOKS_A_YEAR)),
        "naive_mean": float(naive.mean()),
        "naive_worst_cell": float(naive.max()),
        "naive_within_a_year_mean": float(np.mean(1.0 - (1.0 - naive) ** LOOKS_A_YEAR)),
    }
    if next(iter(found)).gain > 0:
        summary["promoted_with_enough_rows_worst_cell"] = min(rates.promoted for cell, rates in found.items() if cell.has_enough)
        summary["kept_worst_cell"] = max(rates.kept or 0.0 for rates in found.values())
    return summary


def _name(cell: Cell) -> str:
    stories = "stories" if cell.clustered else "single"
    return f"accuracy={cell.accuracy} discordant={cell.discordant} rows={cell.rows} {stories}"


if __name__ == "__main__":
    main()
