"""Whether the margins of a policy can be read on the scale of its metric."""

from __future__ import annotations

from collections.abc import Iterator

from config.errors import UserError
from config.task_files.sections.promotion import Promotion
from trainers.compare.metrics import catalog


def check(policy: Promotion) -> None:
    """Raise `UserError` for a margin that no drop can exceed: the guard would never hold anything up."""
    scale = catalog.find(policy.metric).scale
    most = scale.highest - scale.lowest if scale.bounded else 1.0
    for name, margin in _margins(policy):
        if margin >= most:
            unit = "its range" if scale.bounded else "a share of 1, which is all of the champion's score"
            message = (
                f"{name} is {margin:g}; {scale.title} cannot drop by more than {most:g} ({unit}), so write less, such as 0.03"
            )
            raise UserError(message)


def _margins(policy: Promotion) -> Iterator[tuple[str, float]]:
    yield "promotion.max_forgetting", policy.max_forgetting
    for guard in policy.slices:
        yield f"promotion.slices, max_drop of {guard.slice}", guard.max_drop
    if policy.safe_refresh is not None:
        yield "promotion.safe_refresh.max_drop", policy.safe_refresh.max_drop
