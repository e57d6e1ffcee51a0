"""Names of evidence bundles: the run's id, and of a later look at its pair that look's number behind it."""

from __future__ import annotations

_LOOK = ".look-"


def name_of(run_id: str, look: int = 0) -> str:
    """Return the name of the bundle of a run, or of a later look at its pair, from 1."""
    return f"{run_id}{_LOOK}{look}" if look else run_id


def looks_of(run_id: str) -> str:
    """Return how the names of later looks at a run's pair begin."""
    return f"{run_id}{_LOOK}"


def run_of(name: str) -> str:
    """Return the run that a bundle is of."""
    return name.partition(_LOOK)[0]


def look_of(name: str) -> int:
    """Return which later look a bundle is of; 0: the verdict of the run itself."""
    number = name.partition(_LOOK)[2]
    return int(number) if number.isdigit() else 0
