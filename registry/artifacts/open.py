"""Opens the artifact store at a URI. Today a URI names a folder of this machine."""

from __future__ import annotations

from pathlib import Path

from config.places import folder_of
from registry.artifacts.local import LocalArtifacts
from registry.artifacts.protocol import ArtifactStore


def open_store(uri: str | Path) -> ArtifactStore:
    """Return the artifact store at `uri`. Raises `UserError` for a place that cannot be used."""
    return LocalArtifacts(folder_of(uri, what="published models"))
