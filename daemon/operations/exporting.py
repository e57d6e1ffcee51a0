"""A version's files for other programs, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

from config.errors import UserError
from config.settings import Settings
from daemon.operations.published import folder_of
from perennial_artifact.apart import has_adapter
from perennial_artifact.merging import write_merged
from registry.store import Registry
from trainers.learners.opening import usable


def export(settings: Settings, registry: Registry, name: str, folder: Path) -> bool:
    """Write the files of a version into the new `folder`, an adapter added to the weights; return whether there was one.

    Raises `UserError` for a version whose files are gone, or a folder that is there; `RunFailedError` for files of no use.
    """
    if folder.exists():
        message = f"{folder} exists; name a folder that does not"
        raise UserError(message)
    published = folder_of(settings, registry, name)
    with usable():
        write_merged(published, folder)
        return has_adapter(published)
