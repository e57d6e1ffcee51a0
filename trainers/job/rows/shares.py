"""How much of a run may be feedback, and how much of one user's: pure, deterministic by seed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from config.task_files.sections.feedback import FeedbackPolicy


@dataclass(frozen=True, slots=True)
class Limits:
    """How many rows of a run may be feedback."""

    feedback: int
    user: int
    """Of any one user."""


def limits(others: int, by_user: Sequence[int], policy: FeedbackPolicy) -> Limits:
    """Return the largest limits that hold in a run of `others` rows beside as much of the users' (`by_user`) as they allow.

    Each row left out makes the run smaller and so the limits: they are lowered until they hold for what is left.
    """
    total = others + sum(by_user)
    while True:
        found = Limits(int(policy.max_share * total), int(policy.max_user_share * total))
        kept = min(found.feedback, sum(min(count, found.user) for count in by_user))
        if others + kept == total:
            return found
        total = others + kept


def kept(rows: pa.Table, policy: FeedbackPolicy, seed: int) -> pa.Array:
    """Return which rows of a run (columns `weight`, `is_new`, `contributor`) stay, as booleans in their order.

    Of feedback the new rows stay first, then what weighs more. Beside each other users are served in turn, so that whoever
    sends much takes nothing from who sends little; what then is equal falls to chance, because whoever sends events chooses
    their times and ids.
    """
    users = rows["contributor"].to_pylist()
    counts = Counter(user for user in users if user is not None)
    allowed = limits(users.count(None), list(counts.values()), policy)
    weights, new = rows["weight"].to_pylist(), rows["is_new"].to_pylist()
    drawn = np.random.default_rng(seed).permutation(len(users)).tolist()
    feedback = sorted(
        (at for at, user in enumerate(users) if user is not None), key=lambda at: (not new[at], -weights[at], drawn[at])
    )
    turns: dict[int, int] = defaultdict(int)
    in_turn: list[tuple[bool, float, int, int, int]] = []
    for at in feedback:
        if turns[users[at]] < allowed.user:
            turns[users[at]] += 1
            in_turn.append((not new[at], -weights[at], turns[users[at]], drawn[at], at))
    stays = {at for *_, at in sorted(in_turn)[: allowed.feedback]}
    return pa.array([user is None or at in stays for at, user in enumerate(users)], pa.bool_())
