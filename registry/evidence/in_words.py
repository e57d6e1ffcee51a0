"""A verdict in two sentences that anybody understands: what was measured, and what would decide it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from config.errors import PerennialError
from config.task_files.sections.promotion import Promotion
from config.words import counted
from registry.judging.gate import PAUSED, Decision
from registry.runs import Run
from registry.store import Registry
from trainers.compare.comparison import Comparison
from trainers.compare.guarding import refreshing
from trainers.compare.metrics.scale import POINTS
from trainers.compare.statistics import EQUAL_LEVEL

_PROBABLY = 0.2
"""Chance alone shows a gain that is called probable in fewer comparisons than this share."""
_LEAST_ODDS = 1e-4
_NOT_PROMOTED = "Not promoted: "


@dataclass(frozen=True, slots=True)
class InWords:
    """Two sentences about a verdict."""

    measured: str
    decides: str


@dataclass(frozen=True, slots=True)
class Lack:
    """What a verdict that could not be reached lacks."""

    test_rows: int
    """Further test rows; an estimate beyond the minimum of the policy."""
    differing: int | None
    """Those of them on which just one of the two would be right; None where right and wrong are a matter of degree."""


def tell(
    seen: Comparison,
    policy: Promotion | None,
    *,
    version: str,
    verdict: str,
    reasons: Sequence[str],
    test_fraction: float | None = None,
    asked: int = 0,
) -> InWords:
    """Return both sentences on a run's verdict; `asked`: so many texts people are asked about, where both models differ."""
    return InWords(
        measured=_measured(seen, version),
        decides=_decides(seen, policy, verdict, reasons, test_fraction=test_fraction, asked=asked),
    )


def told(
    seen: Comparison, policy: Promotion, run: Run, decision: Decision, *, test_fraction: float | None = None
) -> dict[str, str]:
    """Return both sentences as an outgoing event holds them: `measured` and `decides`."""
    words = tell(
        seen, policy, version=run.version or run.run_id, verdict=decision.verdict, reasons=decision.reasons,
        test_fraction=test_fraction,
    )  # fmt: skip
    return {"measured": words.measured, "decides": words.decides}


def of_run(registry: Registry, run: Run, policy: Promotion | None, *, test_fraction: float | None = None) -> InWords | None:
    """Return both sentences on a decided run, by the present `policy` of its task; None where no verdict can be read.

    Without a policy (its task has no file any more) the second sentence names no number of rows.
    """
    if run.comparison is None or run.verdict is None:
        return None
    try:
        seen = Comparison.model_validate(run.comparison)
    except (PerennialError, ValueError):
        # Recorded by a later release, or by a metric that is not registered here.
        return None
    pool = registry.pools.find(f"pool-{run.run_id}")
    asked = registry.pools.requests(pool.pool_id) if pool is not None and pool.state == "open" else []
    return tell(
        seen, policy, version=run.version or run.run_id, verdict=run.verdict, reasons=run.reasons, test_fraction=test_fraction,
        asked=sum(one.asked_at is not None and not one.gone for one in asked),
    )  # fmt: skip


def lack_of(seen: Comparison, policy: Promotion, verdict: str) -> Lack | None:
    """Return what an undecided comparison lacks; None where something else than rows is missing, or nothing is."""
    # Of fewer rows than the policy asks for nothing is known of how far the two are apart.
    few = seen.rows < policy.min_test_examples
    missing = (policy.min_test_examples if few else seen.required_rows) - seen.rows
    if verdict != "insufficient_evidence" or missing <= 0:
        return None
    return Lack(missing, None if seen.discordant is None or seen.rows == 0 else math.ceil(missing * seen.discordant))


def _measured(seen: Comparison, version: str) -> str:
    name, other = _short(version, seen.task), _short(seen.opponent_in_words, seen.task)
    if seen.rows == 0:
        return f"{name} was compared with {other} on no test row."
    rows = counted(seen.rows, "test row" if seen.asked is None else "labelled row")
    return f"{name} {_how(seen)} {other} ({_scores(seen)} on {rows}{_chance(seen)})."


def _how(seen: Comparison) -> str:
    if seen.gain == 0.0:
        return "is no better than"
    if seen.gain < 0.0:
        return "is worse than" if seen.upper_bound < 0.0 else "is probably no better than"
    if seen.p_equal <= EQUAL_LEVEL and seen.lower_bound > 0.0:
        return "is better than"
    return "is probably better than" if seen.p_equal <= _PROBABLY else "may be better than"


def _scores(seen: Comparison) -> str:
    scale = seen.scale
    if scale.unit == POINTS and (scale.lowest, scale.highest) == (0.0, 1.0):
        return f"{scale.title} {seen.champion_score * 100:.1f} to {seen.candidate_score * 100:.1f} %"
    better = ", lower is better," if scale.lower_is_better else ""
    return f"{scale.title} {scale.format_score(seen.champion_score)} to {scale.format_score(seen.candidate_score)}{better}"


def _chance(seen: Comparison) -> str:
    if seen.gain <= 0.0:
        return ""
    if seen.p_equal <= _LEAST_ODDS:
        return f"; chance alone in fewer than 1 of {1 / _LEAST_ODDS:,.0f}"
    return f"; chance alone in 1 of {1 / seen.p_equal:,.0f}"


def _decides(
    seen: Comparison, policy: Promotion | None, verdict: str, reasons: Sequence[str], *, test_fraction: float | None, asked: int
) -> str:
    first = reasons[0] if reasons else ""
    if first.startswith(_NOT_PROMOTED):
        return f"It passed, but {first.removeprefix(_NOT_PROMOTED)}"
    if first.startswith(PAUSED) or (verdict == "promote" and first.startswith(refreshing.PASSED)):
        return first
    if verdict == "promote":
        return "That decided: the gain is beyond the minimum and beyond chance, and no guard is broken."
    if verdict == "keep":
        wanted = seen.scale.format_gain(seen.required_gain)
        small = seen.gain <= seen.required_gain < math.inf and seen.champion_version is not None
        return f"That decided: a gain of more than {wanted} was needed." if small else f"That decided. {first}".rstrip()
    if asked:
        return _answers(seen, policy, verdict, asked)
    return (first or "It is not decided.") if policy is None else _lacked(seen, policy, verdict, first, test_fraction)


def _answers(seen: Comparison, policy: Promotion | None, verdict: str, asked: int) -> str:
    """Say how many answers are asked for, and about how many of them would decide."""
    texts, how = counted(asked, "text"), f"`perennial review {seen.task}`"
    needed = None if policy is None else answers_lacking(seen, policy, verdict)
    if needed is None:
        return f"Answers to {texts} on which the two differ are asked for and may decide: {how}."
    about = f"about {counted(_rounded(needed), 'more answer')} where they differ would decide"
    return f"Answers to {texts} on which the two differ are asked for; {about}: {how}."


def answers_lacking(seen: Comparison, policy: Promotion, verdict: str) -> int | None:
    """Return about how many more answers where the two differ would decide; None where that cannot be told.

    The error of a gain is made where the two differ, whatever the metric: of n such texts it shrinks with 1 / n. So many further
    test rows as would decide hold as many of them as one has to ask about. After a look, the information that it had says it: of
    the texts on which they differ, those that were asked about and those among the test rows, it is the share of what is planned.
    """
    if seen.asked is None:
        lack = lack_of(seen, policy, verdict)
        return None if lack is None or seen.rows < policy.min_test_examples else lack.differing or None
    test = seen.asked.test
    if verdict != "insufficient_evidence" or test is None or test.now is None or math.isinf(test.planned):
        return None
    differ = seen.asked.labelled + seen.asked.test_rows * seen.asked.disagreement
    return math.ceil(differ * (test.planned / test.now.information - 1.0)) if test.now.information < test.planned else None


def _lacked(seen: Comparison, policy: Promotion, verdict: str, first: str, test_fraction: float | None) -> str:
    """Say how many rows an undecided comparison lacks, or that none would decide it."""
    lack = lack_of(seen, policy, verdict)
    if lack is None:
        return f"More rows of the same kind would not decide it. {first}".rstrip()
    return _lacks(seen, policy, lack, test_fraction)


def _lacks(seen: Comparison, policy: Promotion, lack: Lack, test_fraction: float | None) -> str:
    imported = f", or import about {_rounded(math.ceil(lack.test_rows / test_fraction)):,} labelled rows" if test_fraction else ""
    how = f"`perennial review {seen.task}`{imported}"
    if seen.rows < policy.min_test_examples:
        return f"At least {lack.test_rows:,} more test rows are needed to decide it: {how}."
    of_them = f", about {lack.differing:,} of them where just one of the two is right," if lack.differing else ""
    return f"About {_rounded(lack.test_rows):,} more test rows{of_them} would decide: {how}."


def _short(name: str, task: str) -> str:
    return name.removeprefix(f"{task}/")


def _rounded(rows: int) -> int:
    """Return `rows` at two digits: the estimate is no better than that."""
    digits = len(str(rows))
    return math.ceil(round(rows, 2 - digits)) if digits > 2 else rows  # noqa: PLR2004 - two digits
