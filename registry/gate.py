"""The gate: a comparison and a policy become a decision with reasons. Pure; docs/how-promotion-decides.md explains it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from config.tasks import Promotion
from config.words import counted
from trainers.compare import statistics
from trainers.compare.comparison import Comparison
from trainers.compare.improvement import minimum_gain, share_base
from trainers.compare.metrics.scale import Scale
from trainers.compare.slices import MIN_SLICE_ROWS, Slice

Verdict = Literal["promote", "keep", "insufficient_evidence"]

MIN_ANCHOR_ROWS = 50
"""A smaller anchor set says more of chance than of forgetting."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the candidate, and why, in sentences; the first reason is the one to read."""

    verdict: Verdict
    reasons: tuple[str, ...]


def decide(
    comparison: Comparison, policy: Promotion, *, champion_must_go: bool = False, test_fraction: float | None = None
) -> Decision:
    """Return whether the candidate becomes champion under the policy (`policy.mode` is the daemon's business).

    With `champion_must_go`, because it learnt from texts that were erased, the candidate need only be no worse. `test_fraction`
    is the share of labelled rows that is kept for testing; with it, reasons say how many rows to import. Every gain is an
    improvement in the metric's direction, so the rules are the same where lower is better. Raises `UserError` where the policy
    cannot be read on the metric's scale.
    """
    broken, notes = _guards(comparison, policy)
    weigh = _weigh_replacement if champion_must_go else _weigh
    verdict, reasons = weigh(comparison, policy, test_fraction)
    if broken and verdict != "insufficient_evidence":
        return Decision("keep", (*broken, *reasons, *notes))
    return Decision(verdict, (*reasons, *broken, *notes))


def _weigh_replacement(seen: Comparison, policy: Promotion, test_fraction: float | None) -> tuple[Verdict, tuple[str, ...]]:
    """Non-inferiority test with margin `min_improvement`: both models learnt from nearly the same rows."""
    margin = minimum_gain(policy, seen.champion_score, seen.scale)
    measured = (
        f"{_measured(seen, policy)} {seen.opponent} learnt from texts that were erased, so its replacement may be up to "
        f"{seen.scale.told_gain(margin)} worse."
    )
    if seen.rows < policy.min_test_examples:
        return "insufficient_evidence", _too_few(seen, policy, measured, test_fraction)
    if seen.lower_bound >= -margin:
        return "promote", (measured,)
    return ("keep" if seen.upper_bound < -margin else "insufficient_evidence"), (measured,)


def _weigh(seen: Comparison, policy: Promotion, test_fraction: float | None) -> tuple[Verdict, tuple[str, ...]]:
    """Judge the gain alone."""
    needed = _needed_gain(seen)
    measured = f"{_measured(seen, policy)} Promotion needs {_asked(policy, seen.scale) if needed else 'a gain beyond chance'}."
    if seen.rows < policy.min_test_examples:
        return "insufficient_evidence", _too_few(seen, policy, measured, test_fraction)
    if math.isinf(seen.required_gain):
        return "keep", (_out_of_reach(seen, policy), measured)
    if seen.gain > needed:
        doubts = _doubts(seen, needed, statistics.alpha_at(seen.looks), test_fraction)
        return ("insufficient_evidence", (*doubts, measured)) if doubts else ("promote", (measured,))
    if seen.upper_bound <= needed or seen.rows >= seen.required_rows:
        return "keep", (measured,)
    return "insufficient_evidence", (_needs_rows(seen, test_fraction), measured)


def _doubts(seen: Comparison, needed: float, alpha: float, test_fraction: float | None) -> tuple[str, ...]:
    """Return why a gain above the minimum is not believed yet."""
    doubts = []
    if seen.lower_bound <= 0.0 or seen.p_equal > alpha:
        again = f", because these rows have been compared {seen.looks} times" if seen.looks > 1 else ""
        limit = f"the limit is 1 in {1.0 / alpha:,.0f}{again}"
        doubts.append(f"Chance alone would show this gain in {_odds(seen.p_equal)} comparisons; {limit}.")
    if needed > 0.0 and not statistics.certainly_not_worse(seen.gain, seen.standard_error, needed):
        doubts.append(
            f"A candidate that is {seen.scale.told_gain(needed)} worse would show this gain in more than "
            f"{_odds(statistics.WORSE_LEVEL)} comparisons."
        )
    if doubts and seen.rows < seen.required_rows:
        return (_needs_rows(seen, test_fraction), *doubts)
    return tuple(doubts)


def _guards(seen: Comparison, policy: Promotion) -> tuple[list[str], list[str]]:
    """Return the guards that are broken, and notes on those that could not be judged."""
    broken: list[str] = []
    notes: list[str] = []
    slices = {part.name: part for part in seen.slices}
    for guard in policy.slices:
        part = slices.get(guard.slice)
        if part is None or part.rows < guard.min_rows:
            has = str(part.rows) if part else f"fewer than {MIN_SLICE_ROWS}"
            notes.append(f"Slice {guard.slice} was not checked: it has {has} of the {guard.min_rows} test rows needed.")
        elif (drop := _drop(part, guard.max_drop, seen.scale)) is not None:
            broken.append(f"Slice {guard.slice} is {drop}")
    if seen.anchor and seen.anchor.rows < MIN_ANCHOR_ROWS:
        notes.append(f"Forgetting was not checked: the anchor set has {seen.anchor.rows} of the {MIN_ANCHOR_ROWS} rows needed.")
    elif seen.anchor and (drop := _drop(seen.anchor, policy.max_forgetting, seen.scale)) is not None:
        broken.append(f"It forgets: the anchor set is {drop}")
    if seen.candidate_latency and seen.champion_latency:
        ours, theirs = seen.candidate_latency.p99_ms, seen.champion_latency.p99_ms
        if ours > policy.max_latency_ratio * theirs:
            allowed = f"{policy.max_latency_ratio:g} times as long is allowed (promotion.max_latency_ratio)"
            broken.append(f"It answers in {ours:.1f} ms (p99), the champion in {theirs:.1f} ms; {allowed}.")
    if seen.size_mib > policy.max_size_mib:
        broken.append(
            f"Its artifact has {seen.size_mib:,.0f} MiB; {policy.max_size_mib:,.0f} are allowed (promotion.max_size_mib)."
        )
    return broken, notes


def _out_of_reach(seen: Comparison, policy: Promotion) -> str:
    """Say that no candidate can bring the minimum, and which setting would change that."""
    champion = seen.scale.told(seen.champion_score)
    if seen.scale.lower_is_better and seen.champion_score <= seen.scale.best:
        return f"No candidate can be better than a champion at {champion}, the best there is."
    set_to = (
        "lower promotion.min_improvement, or set promotion.improvement to relative"
        if seen.scale.lower_is_better
        else "set promotion.improvement to error_reduction or absolute"
    )
    return f"No candidate can bring {_asked(policy, seen.scale)} over a champion at {champion}: {set_to} in the task file."


def _drop(part: Slice, allowed: float, scale: Scale) -> str | None:
    """Say by how much a part is worse, if by more than `allowed`: in points of a bounded metric, else a share of its score."""
    worse = -part.gain
    if worse <= (allowed if scale.bounded else allowed * abs(part.champion_score)):
        return None
    of_score = not scale.bounded and part.champion_score != 0.0
    drop = f"{worse / abs(part.champion_score) * 100:.1f} %" if of_score else scale.told_gain(worse)
    scores = f"{scale.told(part.candidate_score)} against {scale.told(part.champion_score)} on {counted(part.rows, 'row')}"
    return f"{drop} worse: {scores}; {scale.told_gain(allowed) if scale.bounded else _percent(allowed)} are allowed."


def _too_few(seen: Comparison, policy: Promotion, measured: str, test_fraction: float | None) -> tuple[str, ...]:
    needed = policy.min_test_examples
    more = _import_more(needed - seen.rows, test_fraction)
    few = f"Not decided: {seen.rows} of the {needed} test rows needed. {more}, or lower promotion.min_test_examples."
    return (few, measured) if seen.rows else (few,)


def _measured(seen: Comparison, policy: Promotion) -> str:
    """Say what was measured. Each bound is one-sided, so both enclose less than `confidence`."""
    scale = seen.scale
    scores = f"{scale.title} {scale.told(seen.candidate_score)} against {scale.told(seen.champion_score)}"
    bounds = f"{scale.told_gain(seen.lower_bound, sign=True, unit=False)} to {scale.told_gain(seen.upper_bound, sign=True)}"
    spread = f"{_percent(2.0 * seen.confidence - 1.0)} range of the {'gain' if scale.lower_is_better else 'change'}: {bounds}"
    direction = "lower is better; " if scale.lower_is_better else ""
    return f"{_change(seen, policy)} {seen.opponent}: {scores} on {counted(seen.rows, 'test row')} ({direction}{spread})."


def _change(seen: Comparison, policy: Promotion) -> str:
    if seen.gain == 0.0:
        return "No better than"
    word = "better" if seen.gain > 0 else "worse"
    base = share_base(policy, seen.champion_score, seen.scale)
    if _needed_gain(seen) == 0.0 or base <= 0.0:
        return f"{seen.scale.told_gain(abs(seen.gain))} {word} than"
    share = f"{abs(seen.gain) / base * 100:.1f} %"
    if policy.improvement == "error_reduction":
        return f"{share} {'fewer' if seen.gain > 0 else 'more'} errors than"
    return f"{share} {word} than"


def _needs_rows(seen: Comparison, test_fraction: float | None) -> str:
    return (
        f"Too few test rows to tell {seen.scale.told_gain(seen.required_gain)} from noise: {seen.rows} of about "
        f"{_rounded(seen.required_rows):,}. {_import_more(seen.required_rows - seen.rows, test_fraction)}."
    )


def _import_more(missing: int, test_fraction: float | None) -> str:
    """Say what brings the `missing` test rows."""
    if not test_fraction:
        return "Import more labelled rows"
    rows = _rounded(math.ceil(missing / test_fraction))
    return f"Import about {rows:,} more labelled rows ({_percent(test_fraction)} are kept for testing)"


def _needed_gain(seen: Comparison) -> float:
    """Return the gain to exceed: none for a first version and where the champion scores 0; there only certainty counts."""
    scores_nothing = seen.champion_score == 0.0 and not seen.scale.lower_is_better
    return 0.0 if seen.champion_version is None or scores_nothing else seen.required_gain


def _asked(policy: Promotion, scale: Scale) -> str:
    if policy.improvement == "error_reduction":
        return f"{_percent(policy.min_improvement)} fewer errors"
    least = scale.told_gain(policy.min_improvement) if policy.improvement == "absolute" else _percent(policy.min_improvement)
    return f"more than +{least}"


def _odds(probability: float) -> str:
    return f"1 of {1.0 / probability:,.0f}" if probability < 0.1 else f"{_percent(probability)} of"  # noqa: PLR2004 - reads better


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _rounded(rows: int) -> int:
    """Return `rows` at two digits: the estimate is no better than that."""
    digits = len(str(rows))
    return math.ceil(round(rows, 2 - digits)) if digits > 2 else rows  # noqa: PLR2004 - two digits
