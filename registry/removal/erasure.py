"""What an erasure leaves in the registry: marks of the runs and versions it touches, and no id of what was erased."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from registry import aliases
from registry import versions as version_records
from registry.artifacts.protocol import ArtifactStore
from registry.database.engine import portions
from registry.database.schema import learnt, looks, outbox, runs, versions
from registry.leases import check_token
from registry.people import corrections, desk
from registry.removal import collection
from registry.store import Registry
from registry.versions import Version

ENDED = "it was stopped because its training set contained erased texts, or it was based on a model that had learnt them"
_MESSAGE_GONE = "its error message was removed: it may have quoted erased texts"
_ALL = 10**9


def mark_versions(registry: Registry, example_ids: Collection[str], *, fencing_token: int | None = None) -> None:
    """Mark the versions that learnt from any of these examples, themselves or through a parent, and forget the examples' ids.

    A correction that is one of them answers no more, and the desk forgets it.
    A version that is marked keeps its first mark.
    """
    wanted = sorted(example_ids)
    with registry.database.write() as connection:
        check_token(connection, fencing_token)
        hit: set[int] = set()
        for some in portions(wanted):
            hit.update(connection.execute(sa.select(learnt.c.version_id).where(learnt.c.example_id.in_(some))).scalars())
        # Parents come before their children.
        for row in connection.execute(sa.select(versions.c.id, versions.c.parent_id).order_by(versions.c.id)):
            if row.parent_id in hit:
                hit.add(row.id)
        for marked in portions(sorted(hit)):
            unmarked = versions.c.id.in_(marked) & versions.c.affected_at.is_(None)
            connection.execute(sa.update(versions).where(unmarked).values(affected_at=registry.clock()))
            _forget_in_reports(connection, marked, example_ids)
        for some in portions(wanted):
            connection.execute(sa.delete(learnt).where(learnt.c.example_id.in_(some)))
            connection.execute(sa.delete(looks).where(looks.c.example_id.in_(some)))
        corrections.forget(connection, wanted)
        desk.forget(connection, wanted)


def _forget_in_reports(connection: sa.Connection, version_ids: Sequence[int], example_ids: Collection[str]) -> None:
    """Take the ids out of what the runs of these versions reported of single rows."""
    gone = set(example_ids)
    for row in connection.execute(sa.select(versions.c.id, versions.c.metrics).where(versions.c.id.in_(version_ids))).all():
        told = row.metrics.get("contradicted")
        if told and gone.intersection(told["strongest"]):
            plain = told | {"strongest": [example_id for example_id in told["strongest"] if example_id not in gone]}
            connection.execute(
                sa.update(versions).where(versions.c.id == row.id).values(metrics=row.metrics | {"contradicted": plain})
            )


def mark_runs(registry: Registry, run_ids: Collection[str], *, fencing_token: int | None = None) -> list[str]:
    """Mark runs whose training set held erased texts, and remove their error messages, which may quote them.

    Returns the ids of the outgoing events that told these messages.
    """
    told = [f"{run_id}:training.failed" for run_id in sorted(run_ids)]
    with registry.database.write() as connection:
        check_token(connection, fencing_token)
        chosen = runs.c.run_id.in_(run_ids)
        unmarked = chosen & runs.c.erased_at.is_(None)
        connection.execute(sa.update(runs).where(unmarked).values(erased_at=registry.clock()))
        quoting = chosen & runs.c.error.is_not(None) & (runs.c.error != ENDED)
        connection.execute(sa.update(runs).where(quoting).values(error=_MESSAGE_GONE))
        for row in connection.execute(sa.select(outbox).where(outbox.c.event_id.in_(told))).all():
            plain = row.event | {"error": _MESSAGE_GONE}
            connection.execute(sa.update(outbox).where(outbox.c.id == row.id).values(event=plain))
    return told


def affected(registry: Registry) -> list[Version]:
    """Return the versions that learnt from erased texts and still have their files, newest first."""
    with registry.database.read() as connection:
        return version_records.select_affected(connection)


def is_affected(registry: Registry, name: str | None) -> bool:
    """Return whether a version learnt from texts that were erased."""
    return name is not None and registry.versions.get(name).affected_at is not None


def collect(registry: Registry, artifacts: ArtifactStore, *, fencing_token: int | None = None) -> Sequence[str]:
    """Remove the artifacts of affected versions, champions apart, and of failed runs; return the ids that went.

    A version that an unfinished run came from or has published is left until that run ends.
    """
    unfinished = registry.runs.unfinished()
    with registry.database.write() as connection:
        check_token(connection, fencing_token)
        found = version_records.select_affected(connection)
        going: list[str] = []
        for task in {version.task for version in found}:
            champion = aliases.champion(connection, task)
            of_task = [version for version in found if version.task == task]
            chosen = collection.choose(of_task, [champion] if champion else [], unfinished, keep=0)
            going += [version.name for version in chosen]
        connection.execute(sa.update(versions).where(versions.c.name.in_(going)).values(collected_at=registry.clock()))
    # Also what a collection that was killed has left.
    return collection.collect(registry, artifacts, keep=_ALL)
