"""The gate: a comparison and a policy become a decision with reasons. Pure; docs/how-promotion-decides.md explains it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from config.task_files.sections.promotion import Promotion
from config.words import counted
from trainers.compare import readiness, statistics
from trainers.compare.comparison import Comparison
from trainers.compare.guarding import figures, judging, refreshing
from trainers.compare.guarding.guard import Guard
from trainers.compare.guarding.served import Served
from trainers.compare.improvement import minimum_gain, share_base
from trainers.compare.metrics.scale import Scale
from trainers.compare.readiness import Judged, Readiness
from trainers.compare.sequential.pair import PairTest

Verdict = Literal["promote", "keep", "insufficient_evidence"]

_ASKED_NEXT = "the next texts on which the models differ are asked for, or label held-out articles"
PAUSED = "Paused: "
"""Begins the first reason of a verdict that waits for a guard alone."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on a candidate and the reasons for it, in sentences, the most important first."""

    verdict: Verdict
    reasons: tuple[str, ...]
    readiness: Readiness | None = None
    """Whether the candidate is good enough as such: FAIL where it is not to be deployed, REVIEW where a person is to look."""
    guards: tuple[Guard, ...] = ()
    """Every guard, whatever became of it."""
    paused: bool = False
    """Whether it would be promoted but for guards that cannot be judged (`promotion.strict`)."""

    def noted_in(self, comparison: Comparison) -> Comparison:
        """Return a comparison with what was judged of it, as it is recorded."""
        return comparison.model_copy(update={"readiness": self.readiness, "guards": self.guards})


def decide(
    comparison: Comparison,
    policy: Promotion,
    *,
    champion_must_go: bool = False,
    test_fraction: float | None = None,
    served: Served | None = None,
) -> Decision:
    """Return whether the candidate becomes champion under the policy. `policy.mode` is not considered here.

    `champion_must_go`: the champion learnt from texts that were erased, so a candidate that is not worse replaces it.
    `test_fraction` is the share of labelled rows that is kept for testing; with it, reasons say how many rows to import.
    `served` is what the sandbox measured. Every gain is an improvement in the metric's direction, so the rules are the same where
    lower is better. Raises `UserError` where the policy does not fit the metric's scale.
    """
    guards = judging.judge(comparison, policy, served)
    broken, unjudged = _sorted_out(guards)
    if champion_must_go:
        verdict, reasons = _weigh_replacement(comparison, policy, test_fraction)
    else:
        verdict, reasons = _by_either_way(comparison, policy, guards, test_fraction)
    limits, unchecked = _limits(comparison, policy)
    broken = [*(one.in_words for one in limits if one.level == "FAIL"), *broken]
    unchecked = [*(one.in_words for one in limits if one.level == "REVIEW"), *unchecked]
    # Few tasks have an anchor set from the start; only where all is to be judged that is a reason.
    notes = [one.in_words for one in unjudged if one.name != judging.ANCHOR or one.rows is not None] + unchecked
    if broken and verdict != "insufficient_evidence":
        return Decision("keep", (*broken, *reasons, *notes), _readiness("keep", limits), guards)
    if unjudged and policy.strict and verdict == "promote" and not champion_must_go:
        why = f"{PAUSED}promotion.strict is set, and {counted(len(unjudged), 'guard')} cannot be judged."
        told = (why, *(one.in_words for one in unjudged), *reasons, *unchecked)
        return Decision("insufficient_evidence", told, _readiness("insufficient_evidence", limits), guards, paused=True)
    return Decision(verdict, (*reasons, *broken, *notes), _readiness(verdict, limits), guards)


def _sorted_out(guards: tuple[Guard, ...]) -> tuple[list[str], list[Guard]]:
    """Return what is broken, in words, and the guards that cannot be judged."""
    # What the sandbox found of examples it tells itself; and who passes as usual is better on all test rows anyway.
    told = [one for one in guards if one.name not in {figures.MUST_NOT_BREAK, judging.OVERALL}]
    return [one.in_words for one in told if one.result == "broken"], [one for one in told if one.result == "not judged"]


def _by_either_way(
    seen: Comparison, policy: Promotion, guards: tuple[Guard, ...], test_fraction: float | None
) -> tuple[Verdict, tuple[str, ...]]:
    """Judge by the gain, and where that does not promote as a safe refresh, if the policy knows one."""
    verdict, reasons = _weigh(seen, policy, test_fraction)
    if verdict == "promote" or (way := refreshing.judge(seen, policy, guards)) is None:
        return verdict, reasons
    return ("promote", (way.in_words, *reasons)) if way.passed else (verdict, (*reasons, way.in_words))


def _limits(seen: Comparison, policy: Promotion) -> tuple[tuple[Judged, ...], list[str]]:
    """Return the candidate's scores beside the absolute limits, and notes on limits that could not be judged."""
    known = {seen.metric: seen.candidate_score, **seen.scores} if seen.rows else {}
    missing = [name for name in policy.limits if name not in known] if seen.rows else []
    note = "was not checked: the run began before the task file had it."
    return readiness.judge(known, policy.limits), [f"The limit of {name} {note}" for name in missing]


def _readiness(verdict: Verdict, limits: tuple[Judged, ...]) -> Readiness:
    level = readiness.worst(limits)
    if level == "FAIL" or verdict == "keep":
        return Readiness(level="FAIL", limits=limits)
    return Readiness(level="REVIEW" if verdict == "insufficient_evidence" else level, limits=limits)


def _weigh_replacement(seen: Comparison, policy: Promotion, test_fraction: float | None) -> tuple[Verdict, tuple[str, ...]]:
    """Non-inferiority test with margin `min_improvement`: both models learnt from nearly the same rows."""
    margin = minimum_gain(policy, seen.champion_score, seen.scale)
    measured = (
        f"{_measured(seen, policy)} {seen.opponent_in_words} must be replaced, because it learnt from erased texts; the "
        f"replacement may be up to {seen.scale.format_gain(margin)} worse."
    )
    if seen.rows < policy.min_test_examples:
        return "insufficient_evidence", _too_few(seen, policy, measured, test_fraction)
    if seen.lower_bound >= -margin:
        return "promote", (measured,)
    return ("keep" if seen.upper_bound < -margin else "insufficient_evidence"), (measured,)


def _weigh(seen: Comparison, policy: Promotion, test_fraction: float | None) -> tuple[Verdict, tuple[str, ...]]:
    """Judge the gain alone."""
    needed = seen.needed_gain
    asked = _asked(policy, seen.scale) if needed else "a statistically significant gain"
    measured = f"{_measured(seen, policy)} Promotion needs {asked}."
    if seen.rows < policy.min_test_examples:
        return "insufficient_evidence", _too_few(seen, policy, measured, test_fraction)
    if math.isinf(seen.required_gain):
        return "keep", (_out_of_reach(seen, policy), measured)
    if seen.asked is not None and seen.asked.test is not None:
        return _weigh_look(seen, seen.asked.test, needed, measured)
    if seen.gain > needed:
        doubts = _doubts(seen, needed, statistics.alpha_at(seen.looks * policy.ways), test_fraction)
        return ("insufficient_evidence", (*doubts, measured)) if doubts else ("promote", (measured,))
    if seen.upper_bound <= needed or seen.rows >= seen.required_rows:
        return "keep", (measured,)
    return "insufficient_evidence", (_needs_rows(seen, test_fraction), measured)


def _weigh_look(seen: Comparison, test: PairTest, needed: float, measured: str) -> tuple[Verdict, tuple[str, ...]]:
    """Judge a look at a pair for which labels were asked, by the test of that pair."""
    if test.passes(needed):
        return "promote", (measured, *_corrected(seen, test, needed))
    if seen.upper_bound <= needed:
        return "keep", (measured,)
    look, reach = f"look {test.number} at this pair", test.needed(needed)
    passing = (
        f"a gain of {seen.scale.format_gain(reach)} would pass, so that all looks together find a candidate that is no better in "
        f"fewer than {_odds(test.level)} cases"
        if math.isfinite(reach)
        else "no gain passes, because these labels say hardly more than those of the last look"
    )
    least = f", at least {seen.scale.format_gain(test.gain, sign=True)} whatever nobody could tell"
    least = least if test.gain < seen.gain else ""
    why = f"At {look} {passing}; it is {seen.scale.format_gain(seen.gain, sign=True)}{least}."
    if test.ended:
        return "keep", (f"{why} As many labels as were planned for this pair are there, so it is asked about no more.", measured)
    few = (_needs_rows(seen, None),) if seen.rows < seen.required_rows else (f"{_ASKED_NEXT[:1].upper()}{_ASKED_NEXT[1:]}.",)
    return "insufficient_evidence", (*few, why, measured)


def _corrected(seen: Comparison, test: PairTest, needed: float) -> tuple[str, ...]:
    """Say what the gain is about where a pair that had looks before passes: who stops when a gain is high measures too much."""
    if test.number == 1:
        return ()
    gain = seen.scale.format_gain(test.corrected(needed), sign=True)
    return (f"It passed at look {test.number} at this pair; corrected for the looks before, the gain is about {gain}.",)


def _doubts(seen: Comparison, needed: float, alpha: float, test_fraction: float | None) -> tuple[str, ...]:
    """Return why a gain above the minimum is not believed yet."""
    doubts = []
    if seen.lower_bound <= 0.0 or seen.p_equal > alpha:
        again = f", because these rows have been compared {seen.looks} times" if seen.looks > 1 else ""
        limit = f"the limit is 1 in {1.0 / alpha:,.0f}{again}"
        doubts.append(f"Chance alone would show this gain in {_odds(seen.p_equal)} comparisons; {limit}.")
    if needed > 0.0 and not statistics.certainly_not_worse(seen.gain, seen.standard_error, needed):
        doubts.append(
            f"The gain is too uncertain: even a candidate that is {seen.scale.format_gain(needed)} worse would show it in more "
            f"than {_odds(statistics.WORSE_LEVEL)} comparisons."
        )
    if doubts and seen.rows < seen.required_rows:
        return (_needs_rows(seen, test_fraction), *doubts)
    return tuple(doubts)


def _out_of_reach(seen: Comparison, policy: Promotion) -> str:
    """Say that no candidate can reach the minimum gain, and which setting would change that."""
    champion = seen.scale.format_score(seen.champion_score)
    if seen.scale.lower_is_better and seen.champion_score <= seen.scale.best:
        return f"The champion already has the best possible score ({champion}); no candidate can be better."
    # Not what is set now: recorded reasons are reached again word for word.
    return f"The champion is at {champion}, so no candidate can gain {_asked(policy, seen.scale)}. {remedy(seen.scale)}"


def remedy(scale: Scale, now: str = "") -> str:
    """Say what to change where no candidate can gain the minimum; `now` is what promotion.improvement is set to already."""
    if scale.lower_is_better:
        return "In the task file, lower promotion.min_improvement, or set promotion.improvement to relative."
    others = [one for one in ("error_reduction", "absolute") if one != now]
    return f"In the task file, set promotion.improvement to {' or '.join(others)}."


def _too_few(seen: Comparison, policy: Promotion, measured: str, test_fraction: float | None) -> tuple[str, ...]:
    needed = policy.min_test_examples
    more = _import_more(needed - seen.rows, test_fraction)
    if seen.asked is not None:
        return (f"Not decided: {seen.rows} of the {needed} labelled rows needed; {_ASKED_NEXT}.", measured)
    few = (
        f"Not decided: {seen.rows} of the {needed} test rows needed. {more}, label held-out articles "
        f"(`perennial review {seen.task}`, or the desk on the page), or lower promotion.min_test_examples."
    )
    return (few, measured) if seen.rows else (few,)


def _measured(seen: Comparison, policy: Promotion) -> str:
    """Say what was measured. Each bound is one-sided, so the range between both has less than `confidence`."""
    scale = seen.scale
    scores = f"{scale.title} {scale.format_score(seen.candidate_score)} against {scale.format_score(seen.champion_score)}"
    bounds = f"{scale.format_gain(seen.lower_bound, sign=True, unit=False)} to {scale.format_gain(seen.upper_bound, sign=True)}"
    spread = f"{_percent(2.0 * seen.confidence - 1.0)} range of the {'gain' if scale.lower_is_better else 'change'}: {bounds}"
    direction = "lower is better; " if scale.lower_is_better else ""
    return f"{_change(seen, policy)} {seen.opponent_in_words}: {scores} on {_rows(seen)} ({direction}{spread})."


def _rows(seen: Comparison) -> str:
    """Say which rows were judged, and of how many that were asked for the right answer is not known."""
    asked = seen.asked
    if asked is None:
        return counted(seen.rows, "test row")
    unknown = [f"{asked.contradicted} contradicted"] if asked.contradicted else []
    unknown += [f"{asked.set_aside} of an annotator who cannot be believed"] if asked.set_aside else []
    told = f": {', '.join(unknown)}" if unknown else ""
    without = f"; {asked.unlabelled} more have no label that counts{told}" if asked.unlabelled else ""
    return (
        f"{counted(seen.rows, 'labelled row')}, {asked.labelled} of them asked for because the models differ on "
        f"{_percent(asked.disagreement)} of {asked.pool:,} articles{without}"
    )


def _change(seen: Comparison, policy: Promotion) -> str:
    if seen.gain == 0.0:
        return "No better than"
    word = "better" if seen.gain > 0 else "worse"
    base = share_base(policy, seen.champion_score, seen.scale)
    if seen.needed_gain == 0.0 or base <= 0.0:
        return f"{seen.scale.format_gain(abs(seen.gain))} {word} than"
    percent = f"{abs(seen.gain) / base * 100:.1f} %"
    share = "Less than 0.1 %" if percent == "0.0 %" else percent
    if policy.improvement == "error_reduction":
        return f"{share} {'fewer' if seen.gain > 0 else 'more'} errors than"
    return f"{share} {word} than"


def _needs_rows(seen: Comparison, test_fraction: float | None) -> str:
    if seen.asked is not None:
        return (
            f"Too few labelled rows to tell {seen.scale.format_gain(seen.required_gain)} from noise: {seen.rows} of about "
            f"{_rounded(seen.required_rows):,}; {_ASKED_NEXT}."
        )
    return (
        f"Too few test rows to tell {seen.scale.format_gain(seen.required_gain)} from noise: {seen.rows} of about "
        f"{_rounded(seen.required_rows):,}. {_import_more(seen.required_rows - seen.rows, test_fraction)}."
    )


def _import_more(missing: int, test_fraction: float | None) -> str:
    """Say how many rows to import for the `missing` test rows."""
    if not test_fraction:
        return "Import more labelled rows"
    rows = _rounded(math.ceil(missing / test_fraction))
    return f"Import about {rows:,} more labelled rows ({_percent(test_fraction)} are kept for testing)"


def _asked(policy: Promotion, scale: Scale) -> str:
    if policy.improvement == "error_reduction":
        return f"{_percent(policy.min_improvement)} fewer errors"
    least = scale.format_gain(policy.min_improvement) if policy.improvement == "absolute" else _percent(policy.min_improvement)
    return f"more than +{least}"


def _odds(probability: float) -> str:
    return f"1 of {1.0 / probability:,.0f}" if probability < 0.1 else f"{_percent(probability)} of"  # noqa: PLR2004 - reads better


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _rounded(rows: int) -> int:
    """Return `rows` at two digits: the estimate is no better than that."""
    digits = len(str(rows))
    return math.ceil(round(rows, 2 - digits)) if digits > 2 else rows  # noqa: PLR2004 - two digits
