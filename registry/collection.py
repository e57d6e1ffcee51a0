"""`models gc`: which artifacts may go. The records stay: a version without files is still somebody's parent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from config.errors import UserError
from registry import aliases, versions
from registry.aliases import Alias
from registry.artifacts import Artifacts
from registry.runs import Run
from registry.schema import versions as version_table
from registry.store import Registry
from registry.versions import Version


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be."""

    versions: tuple[str, ...]
    orphans: tuple[str, ...]
    """Artifacts that no version on record needs: left by a failed run, or by a collection that was killed."""
    freed_bytes: int


def collect(registry: Registry, artifacts: Artifacts, *, keep_last: int, dry_run: bool = False) -> Collected:
    """Remove the files of versions that nothing needs any more and mark those versions; report only when `dry_run`.

    Kept are, per task, champion, previous, whatever an unfinished run came from or has published, and the newest
    `keep_last` versions.
    """
    if keep_last < 0:
        message = f"keep_last is {keep_last}; give 0 or more"
        raise UserError(message)
    # The disk is read before the records: an artifact seen here whose run has ended by then will get no record any more.
    on_disk = artifacts.list()
    unfinished = registry.runs.unfinished()
    with registry.database.read() if dry_run else registry.database.write() as connection:
        known = versions.select_all(connection)
        pointed = {name: aliases.of_task(connection, name) for name in {version.task for version in known}}
        going = [
            version
            for task in sorted(pointed)
            for version in choose(
                [version for version in known if version.task == task], pointed[task], unfinished, keep_last=keep_last
            )
        ]
        if not dry_run:
            names = [version.name for version in going]
            marked = sa.update(version_table).where(version_table.c.name.in_(names)).values(collected_at=registry.clock())
            connection.execute(marked)
    chosen = [version.artifact_id for version in going if version.artifact_id in on_disk]
    needed = {version.artifact_id for version in known if version.collected_at is None}
    recorded = {version.artifact_id for version in known}
    busy = {run.task for run in unfinished}
    orphans = [name for name in on_disk if name not in needed and (name in recorded or name.split("/")[0] not in busy)]
    freed_bytes = sum(artifacts.size_bytes(artifact_id) for artifact_id in (*chosen, *orphans))
    if not dry_run:
        for artifact_id in (*chosen, *orphans):
            artifacts.remove(artifact_id)
        artifacts.sweep_temporary()
    return Collected(tuple(version.name for version in going), tuple(orphans), freed_bytes)


def choose(
    of_task: Sequence[Version], pointed: Collection[Alias], unfinished: Collection[Run], *, keep_last: int
) -> list[Version]:
    """Return the versions of one task whose files may go, oldest first (pure)."""
    present = sorted((version for version in of_task if version.collected_at is None), key=lambda version: version.number)
    newest = {version.name for version in present[len(present) - min(keep_last, len(present)) :]}
    kept = newest | {alias.version for alias in pointed} | {run.parent for run in unfinished}
    runs = {run.run_id for run in unfinished}
    return [version for version in present if version.name not in kept and version.run_id not in runs]
