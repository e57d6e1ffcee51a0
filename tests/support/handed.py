"""Versions with real files of tiny models, to be handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import Settings, load_settings
from config.tasks import TaskSpec
from registry.artifacts.local import LocalArtifacts
from registry.store import Registry
from registry.versions import Lineage, Version

LINEAGE = Lineage(
    training_set_sha256="ab" * 32, seed=5, settings={}, code="perennial 0", counts={"train": 90, "test": 30}
)  # fmt: skip


@dataclass
class Handing:
    """An installation whose versions are published by hand."""

    settings: Settings
    registry: Registry
    artifacts: LocalArtifacts

    @classmethod
    def make(cls, folder: Path, **settings: Any) -> Handing:
        found = load_settings(data_dir=folder / "data", **settings)
        return cls(found, Registry.open(found.registry_url), LocalArtifacts(found.artifacts_dir))

    def publish(
        self, spec: TaskSpec, model: Path, *, parent: str | None = None, metrics: Mapping[str, Any] | None = None
    ) -> Version:
        """Publish the model in a folder as the next version of its task."""
        number = self.registry.versions.next_number(spec.name)
        found = self.artifacts.publish(spec.name, number, model)
        return self.registry.versions.add(
            spec.name, number, run_id=f"{spec.name}-run-{number}", artifact_id=found.artifact_id,
            manifest_sha256=found.manifest_sha256, size_bytes=found.size_bytes, parent=parent,
            lineage=LINEAGE,
            metrics=metrics or {}, learnt=[f"{spec.name}-{number}"],
        )  # fmt: skip
