"""`models gc`: which artifacts may go. The records stay: a version without files is still somebody's parent."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from config.errors import UserError
from registry import aliases, versions
from registry.aliases import Alias
from registry.artifacts.protocol import ArtifactStore
from registry.database.schema import versions as version_table
from registry.people import pools
from registry.runs import Run
from registry.store import Registry
from registry.versions import Version


def collect(
    registry: Registry, artifacts: ArtifactStore, *, keep: int, referred: Collection[str] = (), dry_run: bool = False
) -> list[str]:
    """Remove the artifacts that nothing needs any more and return their ids; with `dry_run`, only return them.

    Kept are, per task, champion (so what is pinned), previous, what an unfinished run came from or has published, what people
    are asked to choose between, what is `referred` to (teachers in task files), and the newest `keep` versions. A version that
    lost its files is marked, and can never be promoted again. Artifacts that no version needs go too: a failed run left them, or
    a collection that was killed. Of a task without any version nothing is removed: this may be the wrong registry for these
    artifacts.
    """
    if keep < 0:
        message = f"keep is {keep}; give 0 or more"
        raise UserError(message)
    # The disk is read before the records: an artifact seen here whose run has ended by then will get no record any more.
    on_disk = artifacts.list()
    unfinished = registry.runs.unfinished()
    with registry.database.read() if dry_run else registry.database.write() as connection:
        known = versions.select_all(connection)
        asked_about = pools.needed(connection) | set(referred)
        tasks = sorted({version.task for version in known})
        going = [
            version
            for task in tasks
            for version in choose(
                [version for version in known if version.task == task],
                aliases.of_task(connection, task),
                unfinished,
                keep=keep,
                asked_about=asked_about,
            )
        ]
        if not dry_run and going:
            marked = version_table.c.name.in_([version.name for version in going])
            connection.execute(sa.update(version_table).where(marked).values(collected_at=registry.clock()))
    needed = {version.artifact_id for version in known if version.collected_at is None and version not in going}
    recorded = {version.artifact_id for version in known}
    # Where no version is known, or a run may still record what it has published, an unrecorded artifact is nobody's leftover.
    with_leftovers = set(tasks) - {run.task for run in unfinished}
    removed = [
        artifact_id
        for artifact_id in on_disk
        if artifact_id not in needed and (artifact_id in recorded or artifact_id.split("/")[0] in with_leftovers)
    ]
    if not dry_run:
        for artifact_id in removed:
            artifacts.remove(artifact_id)
        artifacts.sweep_temporary()
    return removed


def choose(
    of_task: Sequence[Version], pointed: Collection[Alias], unfinished: Collection[Run], *, keep: int,
    asked_about: Collection[str] = (),
) -> list[Version]:  # fmt: skip
    """Return the versions of one task whose files may go, oldest first (pure)."""
    present = sorted((version for version in of_task if version.collected_at is None), key=lambda version: version.number)
    newest = {version.name for version in present[max(0, len(present) - keep) :]}
    kept = newest | {alias.version for alias in pointed} | {run.parent for run in unfinished} | set(asked_about)
    runs = {run.run_id for run in unfinished}
    return [version for version in present if version.name not in kept and version.run_id not in runs]
