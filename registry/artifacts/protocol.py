"""The seam between the daemon and where published models are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Published:
    """What the registry records of a published folder."""

    artifact_id: str
    """`task/vN-` and the first 12 digits of the manifest's hash: other content can never take the same name."""
    folder: Path
    """Where it can be read on this machine."""
    manifest_sha256: str
    size_bytes: int


class ArtifactStore(Protocol):
    """Keeps published model folders: they appear whole or not at all, never change, and every byte can be checked.

    What versions have in common, of any task, takes room once and is brought to this machine once.

    Every method raises `RunFailedError` for what is not an artifact id, and lets through what the disk or the network raises.
    """

    def publish(self, task: str, number: int, source: Path) -> Published:
        """Copy the model folder `source` in, durably; the same content published again changes nothing.

        Raises `RunFailedError` when the folder holds what must not be published.
        """
        ...

    def fetch(self, artifact_id: str, manifest_sha256: str) -> Path:
        """Return a folder of this machine that holds the artifact, every byte checked against its manifest.

        Nobody writes into it. Raises `RunFailedError` that names the file that is missing, changed or in excess.
        """
        ...

    def folder(self, artifact_id: str) -> Path:
        """Return where the artifact's files lie on this machine, unchecked, for who checks them itself; it need not be there."""
        ...

    def list(self) -> list[str]:
        """Return the ids of all artifacts, known to the registry or not."""
        ...

    def size_bytes(self, artifact_id: str) -> int:
        """Return the bytes that an artifact's files have, shared with others or not; 0 when it is not there."""
        ...

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact, here and where copies of it are kept; it disappears as a whole. Nothing happens when it is gone."""
        ...

    def sweep_temporary(self) -> int:
        """Remove what killed processes left half copied or half removed; return how many folders that were."""
        ...
