"""The queue of one person in one lane: what is asked next, without what was skipped and what is on its way. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from consumers.labelling.lanes import LANES, Asked, Item
from consumers.labelling.offers import BySaid, Pool, Said


@dataclass(frozen=True, slots=True)
class OnTheWay:
    """What was decided and is not stored yet: it went into the event log, and the daemon reads it within seconds."""

    said: Sequence[Said] = ()
    """Oldest first."""
    decided: frozenset[str] = frozenset()
    """Ids of feedback that a person has decided about."""
    skipped: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By lane the texts (SHA-256) that this person has skipped."""


def with_what_is_on_the_way(pool: Pool, way: OnTheWay) -> Pool:
    """Return the pool as it will be once everything is stored."""
    stored = {one.event_id for one in pool.said}
    coming = [one for one in way.said if one.event_id not in stored]
    return replace(
        pool,
        said=(*pool.said, *coming),
        labelled=pool.labelled | {one.text_sha256 for one in coming},
        held=[one for one in pool.held if one.event_id not in way.decided],
    )


def queue(lane: str, pool: Pool, way: OnTheWay, asked: Asked) -> list[Item]:
    """Return the items of a lane for one person, the next one first. Raises `LookupError` for a lane that there is not."""
    found = LANES[lane]
    complete = with_what_is_on_the_way(pool, way)
    skipped = way.skipped.get(lane, ())
    items = found.items(complete, BySaid.among(complete.said), asked)
    return [item for item in items if item.text_sha256 not in skipped]
