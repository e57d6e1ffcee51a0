"""What becomes of the answers that users gave about one text: pure, and the same whatever order they come in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.kinds.kind import Target
from consumers.defence.agreement import relation
from consumers.defence.standings import Decision, Standing
from consumers.rows.arriving.event_rows import canonical_json


@dataclass(frozen=True, slots=True)
class Opinion:
    """One answer of a user about a text."""

    row_id: str
    contributor: str
    target: Target
    arrived_seq: int
    vote: float
    """What it weighs beside others: the user's trust times the weight of its verdict."""
    over_cap: bool = False
    excluded: bool = False
    """Its user is."""
    alarmed: bool = False
    decision: Decision | None = None
    decided_seq: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """The standing of each answer by row id, and whether users disagreed."""

    standings: Mapping[str, Standing]
    contested: bool


def judge(opinions: Sequence[Opinion], gold: Target | None, majority: float) -> Judged:
    """Return the standing of each answer about one text.

    A person's decision goes first, then a cap, then the newest answer of each user, then trust, then gold (the newest label
    given without looking at a model), then the alarm; what is left votes, and `majority` of the votes must agree.
    """
    standings: dict[str, Standing] = {}
    accepted = max(
        (one for one in opinions if one.decision == "accept"), key=lambda one: (one.decided_seq, one.row_id), default=None
    )
    newest = _newest_of_each_user(opinions)
    voters: list[Opinion] = []
    for one in opinions:
        standing = _by_itself(one, newest)
        if standing is None and gold is not None:
            standing = "contradicts_gold" if relation(one.target, gold) == "contrary" else "effective"
        if standing is None and accepted is not None:
            standing = "outvoted" if relation(one.target, accepted.target) == "contrary" else "effective"
        if standing is None and one.alarmed:
            standing = "alarm"
        if standing is None and one.vote <= 0:
            # Its task gives such verdicts no weight: it trains nothing, and has nothing to say here either.
            standing = "effective"
        if standing is None:
            voters.append(one)
        else:
            standings[one.row_id] = standing
    voted = _vote(voters, majority)
    return Judged(standings | voted, contested=any(standing != "effective" for standing in voted.values()))


def _newest_of_each_user(opinions: Sequence[Opinion]) -> dict[str, Opinion]:
    """Return the last answer to arrive from each user; one over a cap replaces nothing."""
    newest: dict[str, Opinion] = {}
    for one in sorted(opinions, key=lambda one: (one.arrived_seq, one.row_id)):
        if not one.over_cap:
            newest[one.contributor] = one
    return newest


def _by_itself(one: Opinion, newest: Mapping[str, Opinion]) -> Standing | None:
    """Return the standing of an answer that does not depend on other answers about the text."""
    if one.decision is not None:
        return "effective" if one.decision == "accept" else "rejected"
    if one.over_cap:
        return "over_cap"
    if newest[one.contributor] is not one:
        return "replaced"
    return "distrusted" if one.excluded else None


def _vote(voters: Sequence[Opinion], majority: float) -> dict[str, Standing]:
    votes: dict[str, float] = defaultdict(float)
    targets: dict[str, Target] = {}
    for one in voters:
        key = canonical_json(one.target)
        votes[key] += one.vote
        targets[key] = one.target
    against = {
        key: {other for other in targets if other != key and relation(targets[key], targets[other]) == "contrary"}
        for key in targets
    }
    if not any(against.values()):
        return {one.row_id: "effective" for one in voters}
    total = sum(votes.values())
    support = {key: total - sum(votes[other] for other in against[key]) for key in targets}
    winner = max(support, key=lambda key: (support[key], key))
    if support[winner] < majority * total:
        return {one.row_id: "conflict" for one in voters}
    return {one.row_id: "outvoted" if canonical_json(one.target) in against[winner] else "effective" for one in voters}
