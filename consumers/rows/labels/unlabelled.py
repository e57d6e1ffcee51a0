"""What a training set calls an article that nobody labelled for its task."""

from __future__ import annotations

_PREFIX = "article:"


def id_of(event_id: str) -> str:
    """Return the id of an article in training sets and lineages: by the event that brought it, and like no example's."""
    return f"{_PREFIX}{event_id}"


def is_article(example_id: str) -> bool:
    """Return whether an id in a training set or a lineage is that of an article which nobody labelled."""
    return example_id.startswith(_PREFIX)
