"""A second artifact store, as one that is reached over a network: models are kept in one folder and read from a cache of them."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from config.errors import RunFailedError
from perennial_artifact import manifest
from perennial_artifact.sharing import Held
from registry.artifacts.local import LocalArtifacts
from registry.artifacts.protocol import Published


class CachedArtifacts:
    """Keeps models in `kept`; whoever reads one reads the verified copy in `cache`."""

    def __init__(self, kept: Path, cache: Path) -> None:
        self._kept = LocalArtifacts(kept)
        self._cache = LocalArtifacts(cache)
        self.brought: list[str] = []
        """Files that were copied from where models are kept."""

    def publish(self, task: str, number: int, source: Path) -> Published:
        """Publish where models are kept; nothing is cached yet."""
        return self._kept.publish(task, number, source)

    def fetch(self, artifact_id: str, manifest_sha256: str) -> Path:
        """Return the cached copy; one that is missing, torn or altered is fetched again."""
        try:
            return self._cache.fetch(artifact_id, manifest_sha256)
        except RunFailedError:
            self._bring(artifact_id)
            return self._cache.fetch(artifact_id, manifest_sha256)

    def folder(self, artifact_id: str) -> Path:
        """Return the cached copy, unchecked."""
        if not self._cache.folder(artifact_id).is_dir():
            self._bring(artifact_id)
        return self._cache.folder(artifact_id)

    def list(self) -> list[str]:
        """Return what is kept, whatever is cached."""
        return self._kept.list()

    def size_bytes(self, artifact_id: str) -> int:
        """Return the room where models are kept."""
        return self._kept.size_bytes(artifact_id)

    def remove(self, artifact_id: str) -> None:
        """Remove it there, then here: a cache never holds what is gone for good."""
        self._kept.remove(artifact_id)
        self._cache.remove(artifact_id)

    def sweep_temporary(self) -> int:
        """Sweep both."""
        return self._kept.sweep_temporary() + self._cache.sweep_temporary()

    def _bring(self, artifact_id: str) -> None:
        target = self._cache.folder(artifact_id)
        half = target.with_name(f".tmp-{target.name}")
        shutil.rmtree(half, ignore_errors=True)
        held = Held(map(self._cache.folder, self._cache.list()))
        self._cache.remove(artifact_id)
        source = self._kept.folder(artifact_id)
        with contextlib.suppress(FileNotFoundError):  # told by who verifies it
            files = manifest.unchecked(source)
            for path in manifest.regular_files(source):
                if path not in files or not held.place(files[path], half / path):
                    (half / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source / path, half / path)
                    self.brought.append(f"{artifact_id}/{path}")
            half.rename(target)
