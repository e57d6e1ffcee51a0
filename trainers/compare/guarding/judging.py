"""Guards are judged: non-inferiority with a margin where rows tell, a limit where a figure stands for itself. Pure.

A part of the rows is no worse than its margin where the lower bound of its gain is above minus the margin. The bounds of all
parts that have their rows are wrong, any of them, with probability `promotion.guard_error` at most: each has an equal share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from config.task_files.sections.promotion import Promotion
from config.words import counted
from trainers.compare.comparison import Comparison
from trainers.compare.guarding import calibration, figures
from trainers.compare.guarding.guard import Guard, Result
from trainers.compare.guarding.served import Served
from trainers.compare.guarding.spread import cautious, needed_rows, quantile
from trainers.compare.metrics.scale import Scale
from trainers.compare.parts.slices import MIN_SLICE_ROWS, Slice

MIN_ANCHOR_ROWS = 50
"""A smaller anchor set says more of chance than of forgetting."""
ANCHOR = "anchor set"
OVERALL = "all test rows"
"""The guard of a safe refresh: a usual promotion is better there anyway."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """A part of the rows that a policy guards, and how far it may drop."""

    name: str
    part: Slice | None
    """None: too few rows for a slice at all, or not measured."""
    max_drop: float
    min_rows: int
    scale: Scale
    setting: str
    missing: str = ""
    """Why there is no part, in words."""

    @property
    def has_rows(self) -> bool:
        """Whether it takes part of the error that is shared."""
        return self.part is not None and self.part.rows >= self.min_rows and self.part.standard_error is not None

    @property
    def margin(self) -> float:
        """The largest drop on the scale of the scores: of an unbounded metric a share of the champion's score."""
        return self.max_drop if self.scale.bounded or self.part is None else self.max_drop * abs(self.part.champion_score)


def judge(seen: Comparison, policy: Promotion, served: Served | None = None) -> tuple[Guard, ...]:
    """Return every guard of a policy with what follows from the comparison, and from what the sandbox `served`."""
    watched = list(_watched(seen, policy))
    judged = sum(one.has_rows for one in watched)
    share = policy.guard_error / max(judged, 1)
    return (*(_of_rows(one, share) for one in watched), *figures.judge(seen, policy, served))


def _watched(seen: Comparison, policy: Promotion) -> Iterator[_Watched]:
    if policy.safe_refresh is not None and seen.champion_version is not None and seen.asked is None:
        whole = Slice(
            name=OVERALL, rows=seen.rows, champion_score=seen.champion_score, candidate_score=seen.candidate_score,
            lower_is_better=seen.scale.lower_is_better, documents=seen.stories, standard_error=seen.standard_error,
        )  # fmt: skip
        setting = "promotion.safe_refresh.max_drop"
        yield _Watched(OVERALL, whole, policy.safe_refresh.max_drop, policy.min_test_examples, seen.scale, setting)
    slices = {part.name: part for part in seen.slices}
    few = f"it has fewer than {MIN_SLICE_ROWS}"
    for guard in policy.slices:
        setting = "promotion.slices"
        yield _Watched(
            f"slice {guard.slice}", slices.get(guard.slice), guard.max_drop, guard.min_rows, seen.scale, setting,
            f"{few} of the {guard.min_rows} rows needed",
        )  # fmt: skip
    if seen.champion_version is not None:
        # A first version has nothing to forget.
        yield _Watched(
            ANCHOR, seen.anchor, policy.max_forgetting, MIN_ANCHOR_ROWS, seen.scale, "promotion.max_forgetting",
            f"there is none yet; `perennial anchor import {seen.task} FILE` brings one",
        )  # fmt: skip
        if policy.max_calibration_rise is not None:
            yield _Watched(
                calibration.NAME, seen.calibration, policy.max_calibration_rise, policy.min_test_examples, calibration.SCALE,
                "promotion.max_calibration_rise", "answers carry no probabilities, or the run began before it was a guard",
            )  # fmt: skip


def _of_rows(one: _Watched, error: float) -> Guard:
    part, scale, name = one.part, one.scale, one.name[:1].upper() + one.name[1:]
    if part is None:
        return Guard(name=one.name, result="not judged", in_words=f"{name} cannot be judged: {one.missing}.")
    known: dict[str, Any] = {
        "rows": part.rows, "documents": part.documents, "measured": part.gain, "allowed": one.margin, "unit": scale.unit,
    }  # fmt: skip
    if part.standard_error is None:
        why = "the run began before the task file had this guard"
        return Guard(name=one.name, result="not judged", in_words=f"{name} cannot be judged: {why}.", **known)
    if part.rows < one.min_rows:
        why = f"{counted(part.rows, 'row')} of the {one.min_rows} needed"
        return Guard(name=one.name, result="not judged", in_words=f"{name} cannot be judged: it has {why}.", **known)
    spread = cautious(part.standard_error, part.documents, scale)
    off = quantile(error) * spread
    needed = needed_rows(part.rows, spread, one.margin, error)
    result = _result(part.gain, off, one.margin, enough=part.rows >= needed)
    words = f"{name} {_in_words(one, part, part.gain - off, result, needed)}"
    if one.name == ANCHOR and result == "broken":
        words = f"It forgets what the champion knew: the {words[:1].lower()}{words[1:]}"
    return Guard(name=one.name, result=result, in_words=words, bound=part.gain - off, **known)


def _result(gain: float, off: float, margin: float, *, enough: bool) -> Result:
    """Return what follows from a gain whose bounds lie `off` to either side."""
    if gain - off >= -margin:
        return "holds"
    return "broken" if enough or gain + off < -margin else "not judged"


def _in_words(one: _Watched, part: Slice, bound: float, result: Result, needed: float) -> str:
    scale = one.scale
    scores = f"{scale.format_score(part.candidate_score)} against {scale.format_score(part.champion_score)}"
    on = f"{scores} on {counted(part.rows, 'row')} of {counted(part.documents, 'document')}"
    allowed = f"at most {_told(one, one.margin)} allowed ({one.setting})"
    if result == "holds":
        least = f"at most {_told(one, bound)} worse" if bound < 0.0 else f"at least {_told(one, bound)} better"
        return f"holds: {on}, so {least}; {allowed}."
    possible = f"{_told(one, bound)} worse is possible"
    if result == "broken":
        change = "is no better" if part.gain == 0.0 else f"got {_told(one, part.gain)} {'better' if part.gain > 0.0 else 'worse'}"
        return f"{change}: {on}; {possible}, and {allowed}."
    rows = "" if math.isinf(needed) else f"; about {_rounded(needed):,} rows would tell"
    return f"cannot be judged: {on}; {possible}, and {allowed}{rows}."


def _told(one: _Watched, gain: float) -> str:
    """Return how large a change or a margin is: in the unit of the scores, of an unbounded metric as a share."""
    before = 0.0 if one.part is None else abs(one.part.champion_score)
    return one.scale.format_gain(abs(gain)) if one.scale.bounded or before == 0.0 else f"{abs(gain) / before * 100:.3g} %"


def _rounded(rows: float) -> int:
    """Return `rows` at two digits: the estimate is no better than that."""
    whole = math.ceil(rows)
    digits = len(str(whole))
    return math.ceil(round(whole, 2 - digits)) if digits > 2 else whole  # noqa: PLR2004 - two digits
