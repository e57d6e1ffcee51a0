"""Whether a candidate is good enough as such: its scores beside the absolute limits of its task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from config.errors import UserError
from config.task_files.sections.limits import Limit
from config.task_files.sections.promotion import Promotion
from trainers.compare.metrics import catalog
from trainers.compare.metrics.scale import MaybeInfinite, Scale

Level = Literal["DEPLOY", "REVIEW", "FAIL"]
_WORST_FIRST: tuple[Level, ...] = ("FAIL", "REVIEW", "DEPLOY")


class Judged(BaseModel):
    """One score beside its limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    title: str
    """Of the metric, as it stands in a sentence."""
    score: MaybeInfinite
    deploy: float
    review: float | None
    lower_is_better: bool
    level: Level

    @property
    def in_words(self) -> str:
        """Say how the score lies to the limits."""
        better, worse = ("below", "above") if self.lower_is_better else ("above", "below")
        score, deploy = f"{self.title} is {self.score:.4g}", f"{self.deploy:g}"
        if self.level == "DEPLOY":
            return f"{score}, {better} the limit of {deploy} (promotion.limits)."
        if self.level == "REVIEW":
            within = f"within the limit of {self.review:g} for a review"
            return f"{score}, not {better} the limit of {deploy}, but {within} (promotion.limits)."
        if self.review is None:
            return f"{score}, not {better} the limit of {deploy} (promotion.limits)."
        return f"{score}, {worse} the limit of {self.review:g} (promotion.limits)."


class Readiness(BaseModel):
    """What the gate says of a candidate as such, whatever then became of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Level
    limits: tuple[Judged, ...] = ()
    """Those of the task file at the decision that could be judged."""


def judge(scores: Mapping[str, float], limits: Mapping[str, Limit]) -> tuple[Judged, ...]:
    """Return each score that has a limit beside it, in the order of the task file; a score that is no number fails."""
    return tuple(_judged(name, limit, scores[name]) for name, limit in limits.items() if name in scores)


def worst(judged: tuple[Judged, ...]) -> Level:
    """Return the worst level; DEPLOY where nothing was judged."""
    levels = {one.level for one in judged}
    return next((level for level in _WORST_FIRST if level in levels), "DEPLOY")


def check(policy: Promotion) -> None:
    """Raise `UserError` for limits that cannot be read on the scale of their metric."""
    for problem in _problems(policy):
        raise UserError(problem)


def _problems(policy: Promotion) -> Iterator[str]:
    for name, limit in policy.limits.items():
        scale = catalog.find(name).scale
        last = limit.deploy if limit.review is None else limit.review
        if (last < limit.deploy) if scale.lower_is_better else (last > limit.deploy):
            way = "lower" if scale.lower_is_better else "higher"
            yield f"promotion.limits.{name}: review ({last:g}) is stricter than deploy ({limit.deploy:g}), and {way} is better"
        for key, value in (("deploy", limit.deploy), ("review", last)):
            if not scale.lowest <= value <= scale.highest:
                yield f"promotion.limits.{name}.{key} is {value:g}; {scale.title} is {scale.lowest:g} to {scale.highest:g}"


def _judged(name: str, limit: Limit, score: float) -> Judged:
    scale = catalog.find(name).scale
    return Judged(
        metric=name, title=scale.title, score=score, deploy=limit.deploy, review=limit.review,
        lower_is_better=scale.lower_is_better, level=_level(scale, limit, score),
    )  # fmt: skip


def _level(scale: Scale, limit: Limit, score: float) -> Level:
    sign = -1.0 if scale.lower_is_better else 1.0
    if sign * score > sign * limit.deploy:
        return "DEPLOY"
    within = limit.review is not None and sign * score >= sign * limit.review
    return "REVIEW" if within else "FAIL"
