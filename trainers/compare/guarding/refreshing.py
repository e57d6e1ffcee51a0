"""The second way to be promoted: better on the newest rows, and not worse anywhere by more than a margin. Pure.

On the newest window the rules are those of all test rows without a minimum: more than chance shows, with half of the level,
because there are two ways, and looks counted. Everywhere else the guards say that it is no worse: each of them has to be judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from config.task_files.sections.promotion import Promotion
from config.words import counted
from trainers.compare import statistics
from trainers.compare.comparison import Comparison
from trainers.compare.guarding.guard import Guard

PASSED = "Safe refresh: "
_NOT = "No safe refresh: "


@dataclass(frozen=True, slots=True)
class Way:
    """Whether a candidate passes this way, and why."""

    passed: bool
    in_words: str


def judge(seen: Comparison, policy: Promotion, guards: Sequence[Guard]) -> Way | None:
    """Return whether a candidate passes as a safe refresh; None where the policy knows none, or there is no champion.

    Labels that people were asked for say nothing more of the newest rows, so a look at them is none of this way.
    """
    if policy.safe_refresh is None or seen.champion_version is None or seen.asked is not None:
        return None
    wrong = _wrong(seen, policy, policy.safe_refresh.min_rows, guards)
    return Way(passed=True, in_words=_told(seen, guards)) if wrong is None else Way(passed=False, in_words=f"{_NOT}{wrong}")


def _wrong(seen: Comparison, policy: Promotion, min_rows: int, guards: Sequence[Guard]) -> str | None:
    """Return the first thing in the way, as a sentence behind a colon."""
    newest = seen.newest
    if newest is None:
        return "the newest window was not measured."
    if newest.rows < min_rows:
        return f"the newest {newest.days:g} days have {newest.rows} of the {min_rows} rows needed (promotion.safe_refresh)."
    alpha = statistics.alpha_at(seen.looks * policy.ways)
    if newest.gain <= 0.0 or newest.lower_bound <= 0.0 or newest.p_equal > alpha:
        odds = f"1 of {1 / newest.p_equal:,.0f} comparisons, and the limit is 1 in {1 / alpha:,.0f}"
        return f"{_on_the_newest(seen)}{f'; chance alone shows that in {odds}' if newest.gain > 0.0 else ''}."
    in_the_way = next((one for one in guards if one.result != "holds"), None)
    return None if in_the_way is None else f"{in_the_way.in_words[:1].lower()}{in_the_way.in_words[1:]}"


def _told(seen: Comparison, guards: Sequence[Guard]) -> str:
    return f"{PASSED}{_on_the_newest(seen)}, and not worse anywhere by more than a margin: each of {len(guards)} guards holds."


def _on_the_newest(seen: Comparison) -> str:
    newest, scale = seen.newest, seen.scale
    assert newest is not None  # noqa: S101 - checked by the callers; narrows the type
    side = "better" if newest.gain > 0.0 else "worse"
    word = f"{scale.format_gain(abs(newest.gain))} {side}" if newest.gain else "no better"
    scores = f"{scale.format_score(newest.candidate_score)} against {scale.format_score(newest.champion_score)}"
    return (
        f"{word} on the newest {newest.days:g} days ({scores} on {counted(newest.rows, 'row')} of "
        f"{counted(newest.documents, 'document')})"
    )
