"""The policy's minimum improvement, read on the scale of a metric."""

from __future__ import annotations

import math

from config.errors import UserError
from config.task_files.sections.promotion import Promotion
from trainers.compare.metrics import catalog
from trainers.compare.metrics.metric import KnowsLabels
from trainers.compare.metrics.scale import Scale

_LABEL_SLICE = "label:"


def required_gain(policy: Promotion, champion_score: float, scale: Scale) -> float:
    """Return the gain that a candidate must exceed, on the scale of the scores; infinite where no candidate can.

    That is where champion and minimum together lie beyond the best score, and where the champion makes no error at all.
    """
    minimum = minimum_gain(policy, champion_score, scale)
    if scale.lower_is_better:
        return minimum if champion_score - minimum >= scale.best and champion_score > scale.best else math.inf
    return minimum if champion_score + minimum <= scale.best else math.inf


def minimum_gain(policy: Promotion, champion_score: float, scale: Scale) -> float:
    """Return the policy's minimum improvement on the scale of the scores, whether it can be reached or not.

    For accuracy 0.8 and a minimum of 0.05: 0.04 (relative), 0.05 (absolute), 0.01 (error_reduction). For a mean absolute error of
    0.8, 0.04 (relative: a share of the error) or 0.05. Raises `UserError` for error_reduction of an error or without a highest
    score.
    """
    if policy.improvement == "absolute":
        return policy.min_improvement
    return policy.min_improvement * share_base(policy, champion_score, scale)


def share_base(policy: Promotion, champion_score: float, scale: Scale) -> float:
    """Return what `relative` and `error_reduction` take a share of, never below 0; 0 for `absolute`.

    It is the champion's score (of an error: the error), or what the champion lacks to the highest score. Of a score below 0, as a
    correlation may have, there is no share.
    """
    if policy.improvement == "absolute":
        return 0.0
    if policy.improvement == "error_reduction":
        _refuse_error_reduction(scale)
        return scale.highest - champion_score
    return max(champion_score, 0.0)


def _refuse_error_reduction(scale: Scale) -> None:
    """Raise `UserError` where the scale has no highest score from which errors could be counted, or counts errors itself."""
    if scale.lower_is_better or math.isinf(scale.highest):
        why = "is an error itself" if scale.lower_is_better else "has no highest score"
        message = (
            f"promotion.improvement error_reduction does not fit: {scale.title} {why}. Write `improvement: relative` "
            f"({'the share of the error that goes' if scale.lower_is_better else 'a share of the score'}) or "
            "`improvement: absolute`"
        )
        raise UserError(message)


def check(policy: Promotion) -> None:
    """Raise `UserError` where the policy's metric is unknown, or where it cannot be read as the policy asks."""
    metric = catalog.find(policy.metric)
    if policy.improvement == "error_reduction":
        _refuse_error_reduction(metric.scale)
    guarded = next((guard.slice for guard in policy.slices if guard.slice.startswith(_LABEL_SLICE)), None)
    if guarded is not None and not isinstance(metric, KnowsLabels):
        message = f"promotion.slices guards {guarded}, and {metric.scale.title} has no labels; remove that guard"
        raise UserError(message)
