"""The gate: a comparison and a policy become a decision with reasons. Pure; docs/how-promotion-decides.md explains it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from config.tasks import Promotion
from trainers import statistics
from trainers.comparison import MIN_SLICE_ROWS, Comparison, Slice, minimum_points

Verdict = Literal["promote", "keep", "insufficient_evidence"]

MIN_ANCHOR_ROWS = 50
"""A smaller anchor set says more of chance than of forgetting."""
_METRIC_NAMES = {"macro_f1": "macro F1", "entity_f1": "entity F1", "accuracy": "accuracy"}


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the candidate, and why, in sentences; the first reason is the one to read."""

    verdict: Verdict
    reasons: tuple[str, ...]


def decide(comparison: Comparison, policy: Promotion, *, champion_must_go: bool = False) -> Decision:
    """Return whether the candidate becomes champion under the policy (`policy.mode` is the daemon's business).

    With `champion_must_go`, because it learnt from texts that were erased, the candidate need only be no worse.
    """
    broken, notes = _guards(comparison, policy)
    verdict, reasons = _weigh_replacement(comparison, policy) if champion_must_go else _weigh(comparison, policy)
    if broken and verdict != "insufficient_evidence":
        return Decision("keep", (*broken, *reasons, *notes))
    return Decision(verdict, (*reasons, *broken, *notes))


def _weigh_replacement(seen: Comparison, policy: Promotion) -> tuple[Verdict, tuple[str, ...]]:
    """Judge whether a candidate is no worse, by what would count as better: it learnt from nearly the same rows."""
    loss = minimum_points(policy, seen.champion_score)
    asked = "needs to be no worse"
    measured = (
        f"{_measured(seen, policy, asked)}. {seen.opponent} learnt from texts that were erased; up to {_points(loss)} may be lost"
    )
    if seen.rows < policy.min_test_examples:
        return "insufficient_evidence", _too_few(seen, policy, measured)
    if seen.lower_bound >= -loss:
        return "promote", (measured,)
    return ("keep" if seen.upper_bound < -loss else "insufficient_evidence"), (measured,)


def _weigh(seen: Comparison, policy: Promotion) -> tuple[Verdict, tuple[str, ...]]:
    """Judge the gain alone."""
    asked = "needs to be better" if _needed_gain(seen) == 0.0 else f"needs more than {_minimum(policy)}"
    measured = _measured(seen, policy, asked)
    if seen.rows < policy.min_test_examples:
        return "insufficient_evidence", _too_few(seen, policy, measured)
    if math.isinf(seen.required_gain):
        ceiling = (
            f"no candidate can be better by more than {_minimum(policy)} than a champion at {seen.champion_score:.3f}; "
            "set promotion.improvement to error_reduction or absolute in the task file"
        )
        return "keep", (ceiling, measured)
    needed = _needed_gain(seen)
    alpha = statistics.alpha_at(seen.looks)
    if seen.gain > needed:
        doubts = _doubts(seen, needed, alpha)
        return ("insufficient_evidence", (*doubts, measured)) if doubts else ("promote", (measured,))
    if seen.upper_bound <= needed:
        return "keep", (
            f"{measured}; with {_percent(seen.confidence)} confidence the gain is no more than {_points(seen.upper_bound)}",
        )
    if seen.rows >= seen.required_rows:
        return "keep", (measured,)
    return "insufficient_evidence", (_needs_rows(seen), measured)


def _doubts(seen: Comparison, needed: float, alpha: float) -> tuple[str, ...]:
    """Return why a gain above the minimum is not believed yet."""
    doubts = []
    if seen.lower_bound <= 0.0 or seen.p_equal > alpha:
        again = f" at look {seen.looks} at these rows" if seen.looks > 1 else ""
        doubts.append(
            f"an equally good candidate would look this much better in {_odds(seen.p_equal)};{again} fewer than {_odds(alpha)} "
            "are accepted"
        )
    if needed > 0.0 and not statistics.certainly_not_worse(seen.gain, seen.standard_error, needed):
        doubts.append(
            f"a candidate that is worse by the minimum would look this much better in more than {_odds(statistics.WORSE_LEVEL)}"
        )
    if doubts and seen.rows < seen.required_rows:
        return (_needs_rows(seen), *doubts)
    return tuple(doubts)


def _guards(seen: Comparison, policy: Promotion) -> tuple[list[str], list[str]]:
    """Return the guards that are broken, and notes on those that could not be judged."""
    broken: list[str] = []
    notes: list[str] = []
    slices = {part.name: part for part in seen.slices}
    for guard in policy.slices:
        part = slices.get(guard.slice)
        if part is None or part.rows < guard.min_rows:
            has = f"has {part.rows} rows" if part else f"has fewer than {MIN_SLICE_ROWS} rows"
            notes.append(f"slice {guard.slice} {has}, fewer than the {guard.min_rows} its guard needs; it was not judged")
        elif -part.gain > guard.max_drop:
            broken.append(f"slice {guard.slice} gets worse by {_drop(part, guard.max_drop)}")
    if seen.anchor and seen.anchor.rows < MIN_ANCHOR_ROWS:
        notes.append(f"the anchor set has {seen.anchor.rows} rows; forgetting is judged from {MIN_ANCHOR_ROWS} on")
    elif seen.anchor and -seen.anchor.gain > policy.max_forgetting:
        broken.append(f"it forgets: worse on the anchor set by {_drop(seen.anchor, policy.max_forgetting)}")
    if seen.candidate_latency and seen.champion_latency:
        ours, theirs = seen.candidate_latency.p99_ms, seen.champion_latency.p99_ms
        if ours > policy.max_latency_ratio * theirs:
            allowed = f"{policy.max_latency_ratio:g} times is allowed"
            broken.append(f"it answers in {ours:.1f} ms (p99) where the champion needs {theirs:.1f} ms; {allowed}")
    if seen.size_mib > policy.max_size_mib:
        broken.append(
            f"its artifact has {seen.size_mib:,.0f} MiB; {policy.max_size_mib:,.0f} are allowed (promotion.max_size_mib)"
        )
    return broken, notes


def _drop(part: Slice, allowed: float) -> str:
    scores = f"{part.champion_score:.3f} -> {part.candidate_score:.3f} on {part.rows} rows"
    return f"{_points(-part.gain)} ({scores}); {_points(allowed)} are allowed"


def _too_few(seen: Comparison, policy: Promotion, measured: str) -> tuple[str, ...]:
    few = (
        f"{seen.rows} held-out rows are too few to decide on (min_test_examples is {policy.min_test_examples}); "
        "labels of held-out stories, chosen without looking at a model, bring more"
    )
    return (few, measured) if seen.rows else (few,)


def _measured(seen: Comparison, policy: Promotion, asked: str) -> str:
    """Say what was measured, and what was asked for."""
    scores = f"{seen.champion_score:.3f} -> {seen.candidate_score:.3f} {_METRIC_NAMES[seen.metric]}"
    bound = f"{_percent(seen.confidence)} lower bound {_points(seen.lower_bound, sign=True)}"
    return (
        f"{_change(seen, policy)} than {seen.opponent} ({scores}, {asked}) on {seen.rows} rows of {seen.stories} stories; {bound}"
    )


def _change(seen: Comparison, policy: Promotion) -> str:
    if seen.gain == 0.0:
        return "no better"
    word = "better" if seen.gain > 0 else "worse"
    base = {"relative": seen.champion_score, "absolute": 0.0, "error_reduction": 1.0 - seen.champion_score}[policy.improvement]
    if _needed_gain(seen) == 0.0 or base <= 0.0:
        return f"{word} by {_points(abs(seen.gain))}"
    of = " of the errors" if policy.improvement == "error_reduction" else ""
    return f"{word} by {abs(seen.gain) / base * 100:.1f} %{of}"


def _needs_rows(seen: Comparison) -> str:
    differ = f"the models differ on {_percent(seen.discordant)} of them, from which {_points(seen.required_gain)} must stand out"
    bring = "fresh labels of held-out stories bring them"
    return f"needs about {_rounded(seen.required_rows):,} held-out rows, has {seen.rows}: {differ}; {bring}"


def _needed_gain(seen: Comparison) -> float:
    """Return the points to exceed: none for a first version and where the champion scores 0; there only certainty counts."""
    return 0.0 if seen.champion_version is None or seen.champion_score == 0.0 else seen.required_gain


def _minimum(policy: Promotion) -> str:
    if policy.improvement == "absolute":
        return _points(policy.min_improvement)
    return _percent(policy.min_improvement)


def _odds(probability: float) -> str:
    return f"1 of {1.0 / probability:,.0f} looks" if probability < 0.1 else f"{_percent(probability)} of looks"  # noqa: PLR2004 - reads better


def _points(value: float, *, sign: bool = False) -> str:
    number = f"{value * 100:+.1f}" if sign else f"{value * 100:.1f}"
    return f"{number} points"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _rounded(rows: int) -> int:
    """Return `rows` at two digits: the estimate is no better than that."""
    digits = len(str(rows))
    return math.ceil(round(rows, 2 - digits)) if digits > 2 else rows  # noqa: PLR2004 - two digits
