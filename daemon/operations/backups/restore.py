"""`perennial restore`: puts a backup back, every byte checked before anything is changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from config.clock import Clock, utc_now
from config.errors import RetryError, StopError, UserError
from config.files import durable, scratch
from config.settings import Settings
from consumers.buffer import audit as buffer_audit
from consumers.buffer import folder as buffer_folder
from consumers.buffer.folder import WriterHeldError
from consumers.erasure.requests import Erasures
from daemon.operations.backups import manifest as names
from daemon.operations.backups.copying import REPLACED_PREFIX, remove_journals
from daemon.operations.backups.manifest import Backup
from daemon.operations.backups.take import registry_file
from daemon.process import half_restored, last_backup, presence
from registry.database import copying
from registry.database.engine import Database
from registry.store import Registry


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back, and where the former content is."""

    backup: Backup
    replaced: Path | None


def restore(settings: Settings, folder: Path, *, force: bool = False, clock: Clock = utc_now) -> Restored:
    """Put the backup in `folder` in the place of the data folder; with `force` what is there is moved aside first.

    Raises `UserError` when the backup is damaged, the data folder is not empty or a daemon or serving process uses it, and
    `RetryError` when the disk is full. Until the last step nothing is changed.
    """
    backup = Backup.read(folder)
    backup.verify(folder)
    data_dir = settings.data_dir
    _check_backend(settings, backup)
    _check_unused(settings, force=force)
    present = _present(settings)
    if present and not force:
        message = (
            f"{data_dir} is not empty ({', '.join(sorted(path.name for path in present)[:5])}); nothing was changed. Set "
            "data_dir to a new folder, or give --force, which moves the present files aside without removing them"
        )
        raise UserError(message)
    try:
        half_restored.sweep(data_dir)
        with scratch.scratch_folder(data_dir, half_restored.STAGING_PREFIX) as staging:
            _stage(folder, staging, backup)
            _begin_erasures_anew(staging)
            if registry_file(settings) is None:
                _check_postgres(settings, force=force)
            replaced = _put_in_place(settings, staging, clock(), present)
            last_backup.write(data_dir, folder.resolve(), backup.completed_at)
            return Restored(backup, replaced)
    except OSError as error:
        message = f"the backup could not be put into {data_dir} ({error}); free space and run the command again with --force"
        raise RetryError(message) from error


def check(folder: Path) -> Backup:
    """Read every byte of a backup and return its manifest. Raises `UserError` when it is damaged."""
    backup = Backup.read(folder)
    backup.verify(folder)
    return backup


def _begin_erasures_anew(staging: Path) -> None:
    """Have every erasure that was not purged done from its first step: its list is ahead of the other copies."""
    if Erasures.exist(staging):
        with closing(Erasures(staging)) as erasures:
            erasures.start_over()


def _check_backend(settings: Settings, backup: Backup) -> None:
    if settings.events.backend != backup.backend:
        message = (
            f"the backup was taken with events.backend {backup.backend!r}, and here it is {settings.events.backend!r}: the "
            "later events would be looked for in the wrong log. Nothing was changed; set events.backend to "
            f"{backup.backend!r}"
        )
        raise UserError(message)


def _check_unused(settings: Settings, *, force: bool) -> None:
    here = presence.read(settings.data_dir)
    if here is not None and presence.is_alive(here):
        message = (
            f"a serving process (pid {here.pid}, {here.address}) uses {settings.data_dir}; stop it first. Nothing was changed"
        )
        raise UserError(message)
    if settings.buffer_dir.exists():
        try:
            buffer_folder.lock_for_writing(settings.buffer_dir).close()
        except WriterHeldError as error:
            message = f"{error}. Nothing was changed"
            raise UserError(message) from None
    file = registry_file(settings)
    if file is not None and not file.exists():
        return
    try:
        with Registry.open(settings.registry_url, create=False) as registry:
            leader = registry.lease.holder()
    except UserError:  # a Postgres database that has no registry yet
        return
    except StopError as error:
        # Damaged, or of a newer version: what a backup is there for. A daemon that ran on it would hold the buffer.
        if file is None:
            message = (
                f"{error}. Nothing was changed. Empty the database first, after a pg_dump (`DROP SCHEMA public CASCADE; "
                "CREATE SCHEMA public`), and run the command again"
            )
            raise UserError(message) from None
        if not force:
            message = f"{error}. Nothing was changed; give --force, which moves it aside with the other present files"
            raise UserError(message) from None
        return
    if leader is not None:
        message = f"the daemon {leader} uses this registry; stop it and wait until its lease has expired. Nothing was changed"
        raise UserError(message)


def _present(settings: Settings) -> list[Path]:
    """Return what would be in the way."""
    found = (
        [path for path in settings.data_dir.iterdir() if not path.name.startswith((".", REPLACED_PREFIX))]
        if settings.data_dir.is_dir()
        else []
    )
    file = registry_file(settings)
    if file is not None and file.exists() and file.resolve() not in {path.resolve() for path in found}:
        found.append(file)
    return found


def _stage(folder: Path, staging: Path, backup: Backup) -> None:
    """Copy the backup into `staging`, made ready for its new place and durable."""
    staging.chmod(0o700)
    models: dict[names.BackupFile, Path] = {}
    for name, file in backup.files.items():
        target = staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not name.startswith(f"{names.ARTIFACTS}/") or not _is_named_again(models.setdefault(file, target), target):
            shutil.copy(folder / name, target)
    with ExitStack() as stack:
        database = Database(f"sqlite:///{staging / names.REGISTRY}")
        stack.callback(database.close)
        copying.forget_leader(database)
    remove_journals(staging, [names.REGISTRY])
    (staging / names.BUFFER).mkdir(exist_ok=True)
    buffer_audit.read_again_from(staging / names.BUFFER, backup.offsets)
    durable.sync_tree(staging)


def _is_named_again(there: Path, target: Path) -> bool:
    """Return whether `target` became a second name of a model's file that was put back already."""
    if there == target:
        return False
    try:
        os.link(there, target)
    except OSError:  # this file system knows no second name, or no further one
        return False
    return True


def _check_postgres(settings: Settings, *, force: bool) -> None:
    with Registry.open(settings.registry_url) as target:
        if not copying.is_empty(target.database) and not force:
            message = (
                f"the registry {target.database.name} is not empty; nothing was changed. Name another database in "
                "registry.url, or give --force: all that it holds, API keys too, is then replaced for good (take a pg_dump first)"
            )
            raise UserError(message)


def _fill_postgres(settings: Settings, file: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        # A copy: opening migrates an older registry to the newest schema.
        older = shutil.copy(file, Path(temporary) / names.REGISTRY)
        with Registry.open(f"sqlite:///{older}") as source, Registry.open(settings.registry_url) as target:
            copying.copy_all(source.database, target.database)


def _put_in_place(settings: Settings, staging: Path, now: datetime, present: list[Path]) -> Path | None:
    data_dir, replaced = settings.data_dir, None
    if present:
        replaced = data_dir / f"{REPLACED_PREFIX}{now:%Y%m%dT%H%M%S}"
        replaced.mkdir()
        for path in present:
            shutil.move(path, replaced / path.name)
    file = registry_file(settings)
    if file is not None and file.resolve() != (data_dir / names.REGISTRY).resolve():
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(staging / names.REGISTRY, file)
    # The buffer first: it carries the order to read the log again. A restore that ends half-way leaves what is visibly not whole.
    for path in sorted(staging.iterdir(), key=lambda path: path.name != names.BUFFER):
        if file is not None or path.name != names.REGISTRY:
            path.rename(data_dir / path.name)
    durable.sync_folder(data_dir)
    if file is None:
        # Last: it comes whole or not at all, and a restore that failed before has replaced nothing in it.
        _fill_postgres(settings, staging / names.REGISTRY)
    return replaced
