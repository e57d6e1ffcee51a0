"""Renames of labels, made one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def composed(renames: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return one mapping, old label to the name in force, for mappings that are applied in order."""
    all_at_once: dict[str, str] = {}
    for mapping in renames:
        all_at_once = {**mapping, **{old: mapping.get(new, new) for old, new in all_at_once.items()}}
    return {old: new for old, new in all_at_once.items() if old != new}
