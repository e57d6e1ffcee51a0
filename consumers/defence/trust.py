"""How far a user's corrections are believed: from how often they agreed with labels given without looking at a model. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from config.kinds.kind import Relation

Evidence = Literal["agreed", "unearned", "contradicted"]
NEUTRAL = 0.5
"""The trust of a user of whom nothing is known: the mean of the prior."""
_CERTAINTY = 0.95


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one user in one task, in corrections."""

    agreed: int = 0
    """Right, against an answer of the model that was wrong."""
    unearned: int = 0
    """Right, but which answer was corrected is not known: it may have been copied from the model."""
    contradicted: int = 0
    """Wrong."""


def evidence(*, verdict: str, decision: str | None, gold: Relation | None, against_the_answer: bool | None) -> Evidence | None:
    """Return the evidence of one answer about its user.

    `gold` is how the answer stands to a label of its text or story that was given without looking at a model;
    `against_the_answer` whether it differs from the answer it cites (None: it cites none). To confirm what the model said
    tells nothing: it is mostly right, so that confirming everything would buy trust. So would a "correction" to it.
    """
    if verdict != "correction" and against_the_answer is False:
        return None
    if decision is not None:
        # A person has decided; being let in restores trust, but does not earn it.
        return "contradicted" if decision == "reject" else "unearned"
    if gold == "contrary":
        return "contradicted"
    if gold != "same" or against_the_answer is False:
        return None
    return "agreed" if against_the_answer and verdict == "correction" else "unearned"


def trust(record: Record) -> float:
    """Return how far a user is believed, 0..1.

    The mean of the Beta(1 + right, 1 + wrong) posterior (rule of succession, Laplace 1774): 0.5 for a new user. Agreement
    that was not earned can bring it back to 0.5 but never above.
    """
    with_unearned = _mean(record.agreed + record.unearned, record.contradicted)
    return with_unearned if with_unearned <= NEUTRAL else max(NEUTRAL, _mean(record.agreed, record.contradicted))


def is_excluded(record: Record, *, min_evidence: int, exclude_below: float) -> bool:
    """Return whether a user is more often wrong than may be, beyond doubt.

    There are `min_evidence` comparisons at least, and the 95 % quantile of the Beta(1 + right, 1 + wrong) posterior of the
    share of right ones (Gelman et al., Bayesian Data Analysis, 2.4) is below `exclude_below`.
    """
    right, wrong = record.agreed + record.unearned, record.contradicted
    if right + wrong < min_evidence:
        return False
    # A twentieth of what a daemon loads when it starts, and few users have that much behind them.
    from scipy.special import betaincinv  # noqa: PLC0415 - see above

    return bool(betaincinv(1 + right, 1 + wrong, _CERTAINTY) < exclude_below)


def _mean(right: int, wrong: int) -> float:
    return (1 + right) / (2 + right + wrong)
