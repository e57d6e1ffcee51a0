"""`perennial backup`: a consistent copy of an installation, taken while it runs.

Nothing is held up, so each store is copied at a moment of its own. What makes the copies fit together is their order (the ADR on
backups proves it): first the positions in the event log, then what they promise to be stored, last the log itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from importlib import metadata
from pathlib import Path

import structlog
from sqlalchemy.engine import make_url

from config.clock import Clock, utc_now
from config.errors import RetryError, RunFailedError, StopError, UserError
from config.files import durable, scratch
from config.settings import Settings
from consumers.buffer import copying as buffer_copy
from consumers.enrichment import feature_store
from consumers.erasure import requests as erasures
from consumers.erasure import tombstones
from consumers.erasure.requests import Erasures
from consumers.log.embedded.copying import copy_log
from consumers.log.open import open_event_log
from daemon.flow.groups import CONSUMERS
from daemon.operations.backups import manifest as names
from daemon.operations.backups.copying import Copies, others
from daemon.operations.backups.manifest import Backup
from daemon.process import last_backup
from registry.artifacts.local import LocalArtifacts
from registry.artifacts.open import open_store
from registry.database import copying
from registry.runs import Run
from registry.store import Registry
from registry.versions import Version
from trainers.job import spec as job_spec

_ATTEMPTS = 3
# What a run that is not finished needs to continue, by the state it has reached.
_NEEDED = {
    "frozen": (job_spec.SPEC_FILE,),
    "training": (job_spec.SPEC_FILE,),
    "trained": (job_spec.SPEC_FILE, job_spec.RESULT_FILE, job_spec.MODEL_FOLDER),
    "published": (job_spec.SPEC_FILE, job_spec.RESULT_FILE),
}

_UNFINISHED_PREFIX = ".perennial-backup-"

log = structlog.get_logger(__name__)


class _ChangedError(Exception):
    """Something that a copy needs was removed before it was copied; the next attempt sees what came in its place."""


def take(settings: Settings, target: Path, *, link_to: Path | None = None, clock: Clock = utc_now) -> Backup:
    """Back the installation up into the new folder `target`, which appears whole or not at all; return what it holds.

    Raises `UserError` for a folder that cannot be used or where nothing has run yet, `RetryError` when a store does not answer or
    the disk is full, `StopError` when a store is corrupt.
    """
    _check(settings, target)
    earlier = (link_to, Backup.read(link_to)) if link_to is not None else None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # What a backup left that was killed is a copy of all texts.
        scratch.sweep(target.parent.glob(f"{_UNFINISHED_PREFIX}*"))
    except OSError as error:
        message = f"{target.parent} is no folder that can be written to ({error}); nothing was written. Name another folder"
        raise UserError(message) from error
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            with scratch.scratch_folder(target.parent, _UNFINISHED_PREFIX) as folder:
                folder.chmod(0o700)
                backup = _Attempt(settings, Copies(folder, earlier), clock).all()
                durable.write_atomic(folder / names.FILE_NAME, backup.model_dump_json(indent=1).encode())
                durable.sync_tree(folder)
                folder.rename(target)
        except (_ChangedError, FileNotFoundError) as error:
            reason = str(error)
            log.info("backup.again", reason=reason)
            continue
        except OSError as error:
            message = f"the backup could not be written to {target} ({error}) and was removed. Free space, or name another folder"
            raise RetryError(message) from error
        durable.sync_folder(target.parent)
        last_backup.write(settings.data_dir, target.resolve(), backup.completed_at)
        return backup
    message = f"the installation changed during the backup, {_ATTEMPTS} times ({reason}); nothing was written. Try again"
    raise RetryError(message)


class _Attempt:
    """One way through all stores, in the order that matters."""

    def __init__(self, settings: Settings, copies: Copies, clock: Clock) -> None:
        self._settings = settings
        self._copies = copies
        self._clock = clock
        self._begun_at = clock()
        self._warnings: list[str] = []

    def all(self) -> Backup:
        """Copy everything. Raises `_ChangedError` or FileNotFoundError when the next attempt may succeed."""
        positions = self._positions()
        self._copy_registry()
        with Registry.open(f"sqlite:///{self._copies.folder / names.REGISTRY}", read_only=True) as registry:
            versions = registry.versions.list()
            runs = {run.run_id: run for run in registry.runs.list(limit=10**9)}
            aliases = {task: registry.versions.champion(task) for task in sorted({version.task for version in versions})}
        rows = self._copy_buffer()
        # After registry and buffer: what an erasure took out of them meanwhile is still on its list. Before the files that it
        # searches for itself when it begins again, as it does after a restore.
        self._copy_erasures()
        self._copy_others()
        self._copy_artifacts([version for version in versions if version.collected_at is None])
        self._copy_runs(runs)
        self._copy_log(positions)
        self._copies.tidy()
        return Backup(
            program=metadata.version("perennial"),
            begun_at=self._begun_at,
            completed_at=self._clock(),
            data_dir=str(self._settings.data_dir.resolve()),
            backend=self._settings.events.backend,
            positions=positions,
            champions={task: alias.version for task, alias in aliases.items() if alias is not None},
            rows=rows,
            warnings=tuple(self._warnings),
            files=self._copies.files,
        )

    def _positions(self) -> dict[str, dict[int, int]]:
        with closing(open_event_log(self._settings)) as event_log:
            return {
                topic: {part.partition: offset for part, offset in event_log.committed(group, topic).items()}
                for group, topic in CONSUMERS.items()
            }

    def _copy_registry(self) -> None:
        file = registry_file(self._settings)
        if file is not None:
            self._copies.database(file, names.REGISTRY)
            return
        with (
            Registry.open(self._settings.registry_url, create=False) as live,
            Registry.open(f"sqlite:///{self._copies.folder / names.REGISTRY}") as copy,
        ):
            copying.copy_all(live.database, copy.database)
        self._copies.note(names.REGISTRY)

    def _copy_erasures(self) -> None:
        # The key is made before the first entry: whoever has copied the list has a key to copy.
        for name in (erasures.FILE_NAME, tombstones.KEY_FILE):
            if (path := self._settings.data_dir / name).exists():
                self._copies.any(path, name)
        if (self._copies.folder / erasures.FILE_NAME).exists():
            with closing(Erasures(self._copies.folder, self._clock)) as copied:
                if any(one.purged_at is not None and one.purged_at >= self._begun_at for one in copied.all()):
                    message = "an erasure was purged meanwhile, and its list no longer says what the copied registry must forget"
                    raise _ChangedError(message)
            self._copies.note(erasures.FILE_NAME)

    def _copy_others(self) -> None:
        settings, data_dir = self._settings, self._settings.data_dir.resolve()
        own = [settings.buffer_dir, settings.artifacts_dir, settings.runs_dir, settings.event_log_file, data_dir / names.REGISTRY]
        own += [data_dir / erasures.FILE_NAME, data_dir / tombstones.KEY_FILE]
        # A cache: what is not there is computed when it is needed.
        own += [data_dir / f"{feature_store.FILE_NAME}{suffix}" for suffix in ("", "-journal")]
        if (registry := registry_file(settings)) is not None:
            own.append(registry)
        for path in others(data_dir, taken=frozenset(path.resolve() for path in own)):
            self._copies.any(path, path.relative_to(data_dir).as_posix())

    def _copy_buffer(self) -> dict[str, int]:
        source = self._settings.buffer_dir
        tables = buffer_copy.cut(source)
        for path in buffer_copy.files_of(source, tables):
            self._copies.file(path, f"{names.BUFFER}/{path.relative_to(source).as_posix()}")
        try:
            return buffer_copy.count_rows(self._copies.folder / names.BUFFER, tables)
        except StopError as error:
            # A version that was cleaned away while it was copied; one that is torn stays so and ends in the last attempt.
            raise _ChangedError(str(error)) from error

    def _copy_artifacts(self, versions: Sequence[Version]) -> None:
        live, copied = open_store(self._settings.artifacts_dir), LocalArtifacts(self._copies.folder / names.ARTIFACTS)
        for version in versions:
            source = live.folder(version.artifact_id)
            if not source.is_dir() and self._was_collected(version):
                message = f"the files of {version.name} were collected"
                raise _ChangedError(message)
            for path in sorted(path for path in source.rglob("*") if path.is_file()):
                self._copies.model_file(path, f"{names.ARTIFACTS}/{version.artifact_id}/{path.relative_to(source).as_posix()}")
            try:
                copied.fetch(version.artifact_id, version.manifest_sha256)
            except RunFailedError as error:
                if self._was_collected(version):
                    raise _ChangedError(str(error)) from error
                self._warnings.append(f"{version.name} is damaged in the installation: {error}")

    def _was_collected(self, version: Version) -> bool:
        with Registry.open(self._settings.registry_url, create=False) as registry:
            return registry.versions.get(version.name).collected_at is not None

    def _copy_runs(self, runs: dict[str, Run]) -> None:
        root = self._settings.runs_dir
        for run_id, run in runs.items():
            folder = root / run_id
            # Checkpoints are large, change under the copy, and only save time; the champion stands among the artifacts.
            left_out = {folder / name for name in (job_spec.WORK_FOLDER, job_spec.CHAMPION_FOLDER, job_spec.TEACHER_FOLDER)}
            found = [path for path in sorted(folder.rglob("*")) if path.is_file() and left_out.isdisjoint(path.parents)]
            for path in found:
                try:
                    self._copies.file(path, f"{names.RUNS}/{path.relative_to(root).as_posix()}")
                except FileNotFoundError:
                    if not run.finished:
                        raise
            if not run.finished:
                self._check_goes_on(run)

    def _check_goes_on(self, run: Run) -> None:
        prefix = f"{names.RUNS}/{run.run_id}/"
        there = {name.removeprefix(prefix).split("/")[0] for name in self._copies.files if name.startswith(prefix)}
        missing = [name for name in _NEEDED.get(run.state, ()) if name not in there]
        if run.state in _NEEDED and job_spec.TRAINING_SET_FOLDER not in there:
            missing.append(job_spec.TRAINING_SET_FOLDER)
        if missing:
            message = f"run {run.run_id} went on from {run.state!r} ({', '.join(missing)} not there)"
            raise _ChangedError(message)

    def _copy_log(self, positions: dict[str, dict[int, int]]) -> None:
        if self._settings.events.backend != "embedded":
            return
        first = copy_log(self._settings.event_log_file, self._copies.folder / names.EVENT_LOG)
        for topic, parts in positions.items():
            if first.get(topic, 0) > parts.get(0, 0):
                message = f"events of {topic} were removed by the retention after its position was read"
                raise _ChangedError(message)
        self._copies.note(names.EVENT_LOG)


def registry_file(settings: Settings) -> Path | None:
    """Return the registry's SQLite file; None when it is in Postgres."""
    url = make_url(settings.registry_url)
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def _check(settings: Settings, target: Path) -> None:
    if not settings.buffer_dir.exists():
        message = f"nothing has run in {settings.data_dir} yet, so there is nothing to back up; start with `perennial run`"
        raise UserError(message)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        message = f"{target} already exists; nothing was written. Name a new folder, for example one with the date"
        raise UserError(message)
    if target.resolve().is_relative_to(settings.data_dir.resolve()):
        message = f"{target} is inside the data folder {settings.data_dir}; name a folder outside it, best on another disk"
        raise UserError(message)
