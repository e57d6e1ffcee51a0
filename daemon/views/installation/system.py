"""The installation itself: who leads, room on the disk, backups, and what the program is made of."""

from __future__ import annotations

import platform
from datetime import datetime
from importlib import metadata
from typing import TYPE_CHECKING

from config.files.durable import free_bytes
from config.settings import Settings
from daemon.process import last_backup
from daemon.views.view import View

if TYPE_CHECKING:
    from registry.store import Registry

_LIBRARIES = (
    "perennial", "fastapi", "kafka-python", "lancedb", "lz4", "pydantic", "scikit-learn", "sentence-transformers", "spacy",
    "sqlalchemy", "torch", "transformers", "uvicorn",
)  # fmt: skip


class System(View):
    """What was found at one moment."""

    leader: str | None
    """Host, process id and a random part; None when no daemon leads."""
    lease_until: datetime | None
    """When the lease ends unless it is renewed; None before the first."""
    data_dir: str
    free_bytes: int
    needed_bytes: int
    """Ingest pauses while less is free."""
    registry: str
    """Its database, without a password."""
    event_log: str
    """`embedded`, or the servers of the cluster."""
    last_backup_at: datetime | None
    python: str
    versions: dict[str, str]
    """Of the program and the libraries that matter."""


def read(settings: Settings, registry: Registry, leader: str | None) -> System:
    """Return what there is. Raises `RetryError` when the registry cannot be read now."""
    last = registry.lease.last()
    kafka = settings.events.backend == "kafka"
    return System(
        leader=leader,
        lease_until=None if last is None else last[1],
        data_dir=str(settings.data_dir),
        free_bytes=free_bytes(settings.data_dir),
        needed_bytes=settings.ingest.min_free_disk_mib << 20,
        registry=registry.database.name,
        event_log=settings.kafka.bootstrap_servers if kafka else "embedded",
        last_backup_at=last_backup.last_backup_at(settings.data_dir),
        python=platform.python_version(),
        versions={name: version for name in _LIBRARIES if (version := _version(name)) is not None},
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
