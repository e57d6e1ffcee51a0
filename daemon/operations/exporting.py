"""A version's files for other programs, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

from config.errors import UserError
from config.settings import Settings
from perennial_artifact.apart import has_adapter
from perennial_artifact.merging import write_merged
from registry.artifacts.open import open_store
from registry.store import Registry
from trainers.learners.opening import usable


def export(settings: Settings, registry: Registry, name: str, folder: Path) -> bool:
    """Write the files of a version into the new `folder`, an adapter added to the weights; return whether there was one.

    Raises `UserError` for a version whose files are gone, or a folder that is there; `RunFailedError` for files of no use.
    """
    version = registry.versions.get(name)
    if version.collected_at is not None:
        message = f"the files of {name} were removed on {version.collected_at:%Y-%m-%d}; export another version"
        raise UserError(message)
    if folder.exists():
        message = f"{folder} exists; name a folder that does not"
        raise UserError(message)
    published = open_store(settings.artifacts_dir).fetch(version.artifact_id, version.manifest_sha256)
    with usable():
        write_merged(published, folder)
        return has_adapter(published)
