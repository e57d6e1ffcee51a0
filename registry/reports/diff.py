"""`models diff`: what differs between two versions, as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.store import Registry
from registry.versions import SANDBOX, Version

Plain = str | float | int | bool | None

# They name the run, and so always differ without saying anything.
_NAMES_OF_THE_RUN = frozenset({"metrics.run_id", "metrics.comparison.candidate_run"})

# Of rows that one run held back for itself, or of one process: never side by side.
_OF_ONE_RUN = frozenset({"tried", "teacher", "baseline_score", SANDBOX})

# Dozens of figures, drawn on the card; others sum them up.
_FOR_A_PICTURE = ("_probabilities.reliability.", ".levels.", "metrics.comparison.labels.")


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs; None where a side does not have it."""

    key: str
    """Dotted; it begins with `settings`, `lineage`, `counts`, `metrics` or `scores`."""
    left: Plain
    right: Plain


@dataclass(frozen=True, slots=True)
class Diff:
    """All that differs, and which rows the scores among it are of."""

    differences: tuple[Difference, ...]
    scores: str
    """In words."""


def between(registry: Registry, left: str, right: str) -> Diff:
    """Return what differs between two versions (`task/vN`). Raises `UserError` when one does not exist.

    Scores stand side by side only where both are of the same rows: of one frozen set, or of a run that compared the two.
    """
    first, second = registry.versions.get(left), registry.versions.get(right)
    a, b = _described(registry, first), _described(registry, second)
    if first.lineage.training_set_sha256 == second.lineage.training_set_sha256:
        scores = "Scores are of the same test rows."
    else:
        a, b = _without_scores(a), _without_scores(b)
        shared = _shared_scores(first, second)
        if shared is None:
            scores = "Scores are left out: no run compared these two versions on the same test rows."
        else:
            a |= shared[0]
            b |= shared[1]
            scores = f"Scores are those of {shared[2]}'s run, in which both answered the same test rows."
    for metric in sorted(_lower_is_better(first) | _lower_is_better(second)):
        scores += f" Of {metric} lower is better."
    keys = (
        key for key in dict.fromkeys((*a, *b)) if key not in _NAMES_OF_THE_RUN and not any(part in key for part in _FOR_A_PICTURE)
    )
    return Diff(tuple(Difference(key, a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)), scores)


def _lower_is_better(version: Version) -> set[str]:
    """Return the metric that a version was compared on, where it is one of which lower is better."""
    seen = version.metrics.get("comparison") or {}
    return {seen["metric"]} if seen.get("scale", {}).get("better") == "lower" else set()


def _without_scores(described: dict[str, Plain]) -> dict[str, Plain]:
    return {key: value for key, value in described.items() if not key.startswith("metrics.comparison.")}


def _shared_scores(left: Version, right: Version) -> tuple[dict[str, Plain], dict[str, Plain], str] | None:
    """Return the scores of both from the run that compared them, and the version that it made; None where none did."""
    for candidate, opponent in ((right, left), (left, right)):
        seen = candidate.metrics.get("comparison")
        if seen is not None and seen["champion_version"] == opponent.name:
            parts = {
                seen["metric"]: seen,
                **{part["name"]: part for part in (seen.get("anchor"), *seen.get("slices", ())) if part},
                **_probability_scores(seen),
            }
            ours, theirs = (
                {f"scores.{name}": part[side] for name, part in parts.items()} for side in ("candidate_score", "champion_score")
            )
            return (theirs, ours, candidate.name) if candidate is right else (ours, theirs, candidate.name)
    return None


def _probability_scores(seen: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return how good both models' probabilities are, by figure, in the form of a slice; nothing where it was not measured."""
    sides = {side: seen.get(f"{side}_probabilities") for side in ("candidate", "champion")}
    if not all(sides.values()):
        return {}
    return {
        name: {f"{side}_score": found[name] for side, found in sides.items() if found is not None}
        for name in ("calibration_error", "top_2", "top_3", "abstained", "accuracy_of_others")
        if any(found is not None and found.get(name) is not None for found in sides.values())
    }


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
        "metrics": {
            **{name: value for name, value in version.metrics.items() if name not in _OF_ONE_RUN},
            "size_bytes": version.size_bytes,
        },
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
