"""Where the files of a version can be read, every byte checked."""

from __future__ import annotations

from pathlib import Path

from config.errors import UserError
from config.settings import Settings
from registry.artifacts.open import open_store
from registry.store import Registry


def folder_of(settings: Settings, registry: Registry, name: str) -> Path:
    """Return a folder of this machine with a version's files, which nobody writes into.

    Raises `UserError` for a version that is not there, or whose files were removed; `RunFailedError` for damaged files.
    """
    version = registry.versions.get(name)
    if version.collected_at is not None:
        message = f"the files of {name} were removed on {version.collected_at:%Y-%m-%d}; name another version"
        raise UserError(message)
    return open_store(settings.artifacts_dir).fetch(version.artifact_id, version.manifest_sha256)
