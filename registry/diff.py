"""`models diff`: two versions side by side, as a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from registry.store import Registry
from registry.versions import Version

Plain = str | float | int | bool | None
_NOT_SHOWN = frozenset({"run_id", "status", "error", "comparison.task", "comparison.candidate_run"})


@dataclass(frozen=True, slots=True)
class Line:
    """One named value on both sides; None where a side has none."""

    name: str
    left: Plain
    right: Plain

    @property
    def differs(self) -> bool:
        """Whether the sides differ."""
        return self.left != self.right

    @property
    def change(self) -> float | None:
        """Right minus left, where both are numbers."""
        if isinstance(self.left, bool | str | None) or isinstance(self.right, bool | str | None):
            return None
        return self.right - self.left


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """Two versions, section by section."""

    left: str
    right: str
    settings: tuple[Line, ...]
    """Only what differs: most settings never do."""
    lineage: tuple[Line, ...]
    counts: tuple[Line, ...]
    """Rows of the training sets, and examples learnt, parents included."""
    metrics: tuple[Line, ...]


def diff(registry: Registry, left: str, right: str) -> VersionDiff:
    """Compare two versions by name (`task/vN`). Raises `UserError` when one does not exist."""
    a, b = registry.versions.get(left), registry.versions.get(right)
    learnt_a, learnt_b = registry.versions.learnt(left), registry.versions.learnt(right)
    settings = _side_by_side(a.lineage.settings, b.lineage.settings)
    return VersionDiff(
        left=left,
        right=right,
        settings=tuple(line for line in settings if line.differs),
        lineage=_side_by_side(_origin(a), _origin(b)),
        counts=(
            *_side_by_side(a.lineage.counts, b.lineage.counts),
            Line("examples learnt", len(learnt_a), len(learnt_b)),
            Line("learnt by this one only", len(learnt_a - learnt_b), len(learnt_b - learnt_a)),
        ),
        metrics=tuple(line for line in _side_by_side(a.metrics, b.metrics) if line.name not in _NOT_SHOWN),
    )


def flatten(values: Mapping[str, object]) -> dict[str, Plain]:
    """Return nested values under dotted names; named items of a list go by their name, plain lists become one text."""
    return dict(_leaves(values, ""))


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


def _origin(version: Version) -> dict[str, Plain]:
    return {
        "run": version.run_id,
        "parent": version.parent,
        "training set": version.lineage.training_set_sha256,
        "seed": version.lineage.seed,
        "code": version.lineage.code,
        "size in MiB": round(version.size_bytes / 2**20, 2),
        "created": version.created_at.isoformat(timespec="seconds"),
    }


def _side_by_side(left: Mapping[str, object], right: Mapping[str, object]) -> tuple[Line, ...]:
    a, b = flatten(left), flatten(right)
    return tuple(Line(name, a.get(name), b.get(name)) for name in dict.fromkeys((*a, *b)))
