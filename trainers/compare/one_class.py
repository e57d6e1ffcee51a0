"""Rows that all carry the same label: whoever always gives it is right on all of them, so they cannot choose between models."""

from __future__ import annotations

from collections.abc import Iterable

from config.kinds import catalog as kinds
from trainers.compare.metrics.metric import Target


def only_label(gold: Iterable[Target | None]) -> str:
    """Return the label that all rows carry; empty where there are several, or their kind has none.

    Rows whose target is None are passed over. Labels that stand at places in a text are no class of it: a task may well have one
    type of entities, which is found or missed.
    """
    found: set[str] = set()
    for target in gold:
        if target is not None:
            kind = kinds.of(target)
            found.update([""] if kind.positional else kind.labels(target) or [""])
            if len(found) > 1:
                return ""
    return next(iter(found), "")
