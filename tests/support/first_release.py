"""Versions that release 0.1.0 published, put into an installation of today (`tests/fixtures/README.md`)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from registry.artifacts.protocol import ArtifactStore
from registry.store import Registry
from registry.versions import Lineage

FOLDER = Path(__file__).parents[1] / "fixtures" / "release_0_1_0"
VERSIONS: dict[str, dict[str, Any]] = {entry["task"]: entry for entry in json.loads((FOLDER / "versions.json").read_bytes())}
"""What its registry recorded, by task, and how its models answered."""
TASKS = tuple(VERSIONS)


def folder_of(task: str) -> Path:
    """Return the published folder of a task's one version."""
    return FOLDER / "artifacts" / str(VERSIONS[task]["artifact_id"])


def answers_of(task: str) -> dict[str, dict[str, Any]]:
    """Return what its model answered then, by text."""
    return {one["text"]: one["answer"] for one in VERSIONS[task]["answers"]}


def install(task: str, registry: Registry, artifacts: ArtifactStore) -> str:
    """Put the version into artifact store and registry, as they were left; return its name."""
    entry = VERSIONS[task]
    shutil.copytree(folder_of(task), artifacts.folder(entry["artifact_id"]))
    version = registry.versions.add(
        task, entry["number"], run_id=f"{task}-first", artifact_id=entry["artifact_id"],
        manifest_sha256=entry["manifest_sha256"], size_bytes=entry["size_bytes"], parent=None,
        lineage=Lineage(training_set_sha256="0" * 64, seed=5, settings=entry["settings"], code="perennial 0.1.0"),
        metrics={}, learnt=(),
    )  # fmt: skip
    return version.name
