"""Versions made up for a test, and what must hold of every registry at any time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from registry.store import Registry
from registry.versions import Lineage, Version

TASK = "topics"
MOVE_EVENTS = {"promote": "model.promoted", "rollback": "model.rolled_back", "pin": "model.pinned", "unpin": "model.unpinned"}
LINEAGE = Lineage(training_set_sha256="0" * 64, seed=1, settings={"batch_size": 32}, code="perennial 0", counts={"train": 10})


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def add_version(
    registry: Registry,
    task: str = TASK,
    *,
    run_id: str | None = None,
    parent: str | None = None,
    learnt: Collection[str] = (),
    artifact_id: str | None = None,
) -> Version:
    """Record a next version without files."""
    number = registry.versions.next_number(task)
    return registry.versions.add(
        task,
        number,
        run_id=run_id or f"{task}-run-{number}",
        artifact_id=artifact_id or f"{task}/v{number}-{number:012x}",
        manifest_sha256="0" * 64,
        size_bytes=2**20,
        parent=parent,
        lineage=LINEAGE,
        metrics={"train_s": 1.5},
        learnt=learnt,
    )


def check_invariants(registry: Registry, task: str = TASK) -> None:
    """Exactly one champion, told the same by alias, history and outgoing events."""
    aliases = {alias.name: alias for alias in registry.versions.aliases(task)}
    history = registry.versions.history(task)
    champion = previous = None
    generation, pinned = 0, False
    for line in history:
        assert line.from_version == champion or line.kind in ("pin", "unpin")
        if line.kind in ("promote", "rollback"):
            assert not pinned
            assert line.generation == generation + 1
            previous, champion, generation = champion, line.to_version, line.generation
        else:
            assert line.to_version == line.from_version == champion
            assert line.generation == generation
            pinned = line.kind == "pin"
    assert (aliases["champion"].version if "champion" in aliases else None) == champion
    assert (aliases["previous"].version if "previous" in aliases else None) == previous
    if champion is not None:
        assert (aliases["champion"].generation, aliases["champion"].pinned) == (generation, pinned)
    told = [queued.event for queued in registry.outbox.pending(limit=10_000) if queued.event["type"].startswith("model.")]
    assert [(event["type"], event["version"], event["generation"]) for event in told] == [
        (MOVE_EVENTS[line.kind], line.to_version, line.generation) for line in history
    ]
