"""Whether a champion's head can be solved by itself: found out once for a version, and recorded with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from config.errors import RunFailedError
from perennial_artifact.description import describe
from perennial_artifact.errors import UnusableError
from registry.artifacts.protocol import ArtifactStore
from registry.runs import Run
from registry.store import Registry
from registry.versions import Version
from trainers.job.passing import cause_that_passes, causes, is_allocation_failure
from trainers.learners.catalog import can_refresh
from trainers.learners.heads.published.conversion import OLD_FORMAT, why_not
from trainers.learners.opening import usable

log = structlog.get_logger(__name__)


class StandingHeadError(RunFailedError):
    """A champion's head cannot be solved by itself, and trying again changes nothing."""


@contextmanager
def of_the_champion() -> Iterator[None]:
    """Raise `StandingHeadError` where the champion's files cannot be used; `RunFailedError` where that may pass by itself."""
    try:
        with usable():
            yield
    except RunFailedError as error:
        if cause_that_passes(error) is not None or any(map(is_allocation_failure, causes(error))):
            raise
        raise StandingHeadError(str(error)) from error


def fetched(run: Run, champion: Version, artifacts: ArtifactStore) -> Path:
    """Return the champion's files, checked, for a run. Raises `RunFailedError` where they are damaged."""
    if not run.refresh:
        return artifacts.fetch(champion.artifact_id, champion.manifest_sha256)
    with of_the_champion():
        return artifacts.fetch(champion.artifact_id, champion.manifest_sha256)


def examine(task: str, registry: Registry, artifacts: ArtifactStore, *, fencing_token: int) -> None:
    """Record whether the champion's head can be solved by itself, where its run did not: the first release's did not.

    Files that cannot be read now are looked at again, and by the refresh itself.
    """
    alias = registry.versions.champion(task)
    champion = None if alias is None else registry.versions.get(alias.version)
    if champion is None or "refreshable" in champion.metrics:
        return
    folder = artifacts.folder(champion.artifact_id)
    try:
        description = describe(folder)
        solvable = can_refresh(description.kind, description.backend)
        why = why_not(folder) if solvable and description.format == OLD_FORMAT else None
    except (UnusableError, OSError):
        return
    registry.versions.note_head(champion.name, solvable=solvable and why is None, why=why or "", fencing_token=fencing_token)


def note_failure(run: Run, error: Exception, registry: Registry, *, fencing_token: int) -> None:
    """Record with the champion of a refresh that its head stands, where that is what `error` says: none is tried after it."""
    if isinstance(error, StandingHeadError) and run.refresh and run.parent is not None:
        log.warning("head.stands", version=run.parent, reason=str(error), next="the next run that tunes makes one that can")
        registry.versions.note_head(run.parent, solvable=False, why=str(error), fencing_token=fencing_token)
