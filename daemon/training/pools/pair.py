"""What every step of a pair needs: its folder, its models in it, and the ids that either has learnt."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from config.errors import RunFailedError
from config.settings import Settings
from consumers.buffer.writer import BufferWriter
from daemon.training.pools.child import CarryOut
from daemon.training.run_folders import place
from registry.artifacts.protocol import ArtifactStore
from registry.people.pools import Pool
from registry.store import Registry
from trainers.pair.order import CANDIDATE_FOLDER, CHAMPION_FOLDER


@dataclass(frozen=True, slots=True)
class Pair:
    """Where pairs of models are answered."""

    settings: Settings
    registry: Registry
    buffer: BufferWriter
    artifacts: ArtifactStore
    carry_out: CarryOut

    def folder(self, pool: Pool) -> Path:
        """Return a pool's folder, absolute. It lies among the folders of runs: it holds texts, and an erasure looks there."""
        return self.settings.runs_dir.resolve() / pool.pool_id

    def begun(self, pool: Pool) -> Path:
        """Return the pool's folder, empty but for both models. Raises as the artifact store does."""
        folder = self.folder(pool)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, at in ((pool.candidate, CANDIDATE_FOLDER), (pool.champion, CHAMPION_FOLDER)):
            version = self.registry.versions.get(name)
            place(folder / at, self.artifacts.fetch(version.artifact_id, version.manifest_sha256))
        return folder

    def check(self, erasings: int) -> None:
        """Raise `RunFailedError` where texts were erased since `erasings` were counted: what was read may hold them."""
        if self.buffer.erasings != erasings:
            message = "texts were erased while the rows of a pool were read; they are read again"
            raise RunFailedError(message)

    def learnt(self, pool: Pool) -> frozenset[str]:
        """Return the ids of the examples in the lineage of either model."""
        return self.registry.versions.learnt(pool.candidate) | self.registry.versions.learnt(pool.champion)
