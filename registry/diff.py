"""`models diff`: what differs between two versions, as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from registry.store import Registry
from registry.versions import Version

Plain = str | float | int | bool | None

# They name the run, and so always differ without saying anything.
_NAMES_OF_THE_RUN = frozenset({"metrics.run_id", "metrics.comparison.candidate_run"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs; None where a side does not have it."""

    key: str
    """Dotted; it begins with `settings`, `lineage`, `counts` or `metrics`."""
    left: Plain
    right: Plain


def between(registry: Registry, left: str, right: str) -> list[Difference]:
    """Return what differs between two versions (`task/vN`). Raises `UserError` when one does not exist."""
    a, b = _described(registry, registry.versions.get(left)), _described(registry, registry.versions.get(right))
    keys = (key for key in dict.fromkeys((*a, *b)) if key not in _NAMES_OF_THE_RUN)
    return [Difference(key, a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)]


def flatten(values: Mapping[str, object]) -> dict[str, Plain]:
    """Return nested values under dotted names; named items of a list go by their name, plain lists become one text."""
    return dict(_leaves(values, ""))


def _described(registry: Registry, version: Version) -> dict[str, Plain]:
    return flatten({
        "settings": version.lineage.settings,
        "lineage": {
            "run": version.run_id,
            "parent": version.parent,
            "training_set": version.lineage.training_set_sha256,
            "seed": version.lineage.seed,
            "code": version.lineage.code,
        },
        "counts": {**version.lineage.counts, "learnt_with_parents": len(registry.versions.learnt(version.name))},
        "metrics": {**version.metrics, "size_bytes": version.size_bytes},
    })  # fmt: skip


def _leaves(value: object, name: str) -> Iterator[tuple[str, Plain]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        if all(isinstance(item, str | float | int) for item in value):
            yield name, ", ".join(str(item) for item in value)
            return
        for number, item in enumerate(value):
            key = next((item[word] for word in ("name", "slice") if isinstance(item, Mapping) and word in item), number)
            yield from _leaves(item, f"{name}.{key}")
    elif isinstance(value, str | float | int | None):
        yield name, value
