"""Where a slot's models come from: the registry's champion alias, and verified artifacts."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Literal

from config import collector
from config.sections import TrainingSettings
from config.settings import Settings
from daemon.serving.models.slot import Champion, Load
from perennial_artifact.formats import Opened
from registry.artifacts.protocol import ArtifactStore
from registry.store import Registry


class RegistryChampions:
    """Reads the champion of a task from registry and artifact store. Thread-safe."""

    def __init__(self, registry: Registry, artifacts: ArtifactStore) -> None:
        self._registry = registry
        self._artifacts = artifacts

    def champion(self, task: str) -> Champion | None:
        """Return where the alias points now; None when the task has no champion. Raises `RetryError`."""
        alias = self._registry.versions.champion(task)
        if alias is None:
            return None
        version = self._registry.versions.get(alias.version)
        return Champion(version.name, alias.generation, version.artifact_id, version.manifest_sha256)

    def verified_folder(self, champion: Champion) -> Path:
        """Return the model's folder, every file checked against its manifest. Raises `RunFailedError`."""
        return self._artifacts.fetch(champion.artifact_id, champion.manifest_sha256)


def loader(training: TrainingSettings, threads: int) -> Load:
    """Return a function that loads a model from its folder; the model libraries are imported at its first call.

    `training` says what it computes on and in, `threads` with how many (0: all cores).
    """
    first = threading.Lock()
    prepared = False

    def load(folder: Path, before: Opened | None) -> Opened:
        nonlocal prepared
        with first, collector.resting():
            # The port must be open before these seconds-long imports, and a process without a champion needs none of them.
            import torch  # noqa: PLC0415 - see above

            from trainers.hardware import usable_cores  # noqa: PLC0415 - see above
            from trainers.learners.opening import import_library, open_after  # noqa: PLC0415 - see above

            import_library(folder)
            count = threads or usable_cores()
            if not prepared:
                torch.set_num_threads(count)
                # What the libraries made lives as long as the process. Out of the collector's sight, the collection
                # after a swap takes milliseconds and does not hold up answers.
                gc.collect()
                gc.freeze()
                prepared = True
        return open_after(folder, training.model_copy(update={"threads": count}), before)

    return load


def precision(settings: Settings, backend: str) -> Literal["fp32", "bf16"]:
    """Return what the loader's models of a backend compute in. Raises `UserError` when this machine does not have it."""
    from trainers.hardware import resolve  # noqa: PLC0415 - see above

    return resolve(settings.training, backend=backend).precision
