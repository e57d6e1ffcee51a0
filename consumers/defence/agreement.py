"""Whether two answers about one text say the same: pure, asked of their kind."""

from __future__ import annotations

from config.kinds import catalog as kinds
from config.kinds.kind import Relation, Target


def relation(one: Target, other: Target) -> Relation:
    """Return how two targets of one text relate.

    Targets of two kinds, from before and after a task became one of another kind, are unlike.
    """
    kind = kinds.of(one)
    return kind.relation(one, other) if kinds.of(other) is kind else "unlike"
