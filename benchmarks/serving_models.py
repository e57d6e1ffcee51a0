"""Real models to serve: trained by the real child on real rows, published and promoted in a data folder of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from benchmarks import huffpost, report
from config.settings import SHIPPED_TASKS_DIR, Settings
from config.tasks import load_tasks
from consumers.events.schemas import Label, to_bytes
from consumers.formats.importing import import_events
from consumers.formats.options import ImportOptions
from consumers.training_set.snapshot import SCHEMA, write_training_set
from daemon.training.runners.local import LocalRunner
from perennial_artifact.variants.note import VARIANT_FILE
from registry import promotion
from registry.artifacts.local import LocalArtifacts
from registry.store import Registry
from registry.versions import Lineage
from trainers.job.spec import JobSpec

CLASSIFICATION, NER = "news-topics", "news-entities"
_CONLL_NAMES = {"PER": "PERSON"}
_MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")


class Models:
    """Trains, publishes and promotes in the data folder of `settings`."""

    def __init__(self, settings: Settings, *, export: str = "none") -> None:
        self.settings = settings
        self._export = export
        self.registry = Registry.open(settings.registry_url)
        self._artifacts = LocalArtifacts(settings.artifacts_dir)
        self._stop = threading.Event()
        self._tasks = load_tasks(SHIPPED_TASKS_DIR)

    def labels(self, task: str, count: int) -> list[Label]:
        """Return `count` real labelled texts of a task."""
        if task == CLASSIFICATION:
            months = huffpost.by_month()
            rows = [row for month in _MONTHS for row in months[month]]
            return [row.event() for row in huffpost.sample(rows, count, seed=5)]
        options = ImportOptions(format="conll", labels=_CONLL_NAMES)
        spec = self._tasks[NER].model_copy(update={"labels": "open"})
        found = import_events(report.data("conll2003/eng.train.xz"), spec, options=options)
        return [row for row, _number in zip((row for row in found if isinstance(row, Label)), range(count), strict=False)]

    def job(self, task: str, run_id: str, labels: Sequence[Label], *, epochs: int) -> JobSpec:
        """Return the order of a full run over `labels`, the last tenth of them held out."""
        spec = self._tasks[task]
        spec = spec.model_copy(update={"labels": "open", "training": spec.training.model_copy(update={"full_epochs": epochs})})
        if task == CLASSIFICATION:
            spec = spec.model_copy(update={"export": self._export})
        run_dir = self.settings.runs_dir.resolve() / run_id
        held_out = len(labels) // 10
        roles = ["train"] * (len(labels) - held_out) + ["test"] * held_out
        table = pa.Table.from_pylist([_row(label, role) for label, role in zip(labels, roles, strict=True)], SCHEMA)
        written = write_training_set(
            run_dir / "training_set", table, run_id=run_id, task=task, created_at=datetime.now(UTC), max_seq=len(labels),
            table_versions={}, labels={},
        )  # fmt: skip
        return JobSpec(
            run_id=run_id, task=spec, training=self.settings.training, full=True, training_set=written.folder, run_dir=run_dir,
            champion=None, champion_version=None, batch_size=spec.training.batch_size,
        )  # fmt: skip

    def train(self, job: JobSpec) -> Path:
        """Train in the real child and return the model's folder."""
        result = LocalRunner(self.settings.training, self._stop).run(job, lambda _progress: None)
        assert result.status == "done", result.error
        assert result.model is not None
        return result.model

    def publish(self, job: JobSpec, model: Path, copies: int) -> list[str]:
        """Publish the model `copies` times, as so many versions; return their names."""
        return [self.publish_folder(job.task.name, model, run_id=f"{job.run_id}-{copy}") for copy in range(copies)]

    def publish_folder(self, task: str, model: Path, *, run_id: str) -> str:
        """Publish a model's folder as the next version of a task; return its name."""
        number = self.registry.versions.next_number(task)
        published = self._artifacts.publish(task, number, model)
        lineage = Lineage(training_set_sha256="0" * 64, seed=0, settings={}, code="benchmark")
        version = self.registry.versions.add(
            task, number, run_id=run_id, artifact_id=published.artifact_id, manifest_sha256=published.manifest_sha256,
            size_bytes=published.size_bytes, parent=None, lineage=lineage, metrics={}, learnt=(),
        )  # fmt: skip
        return version.name

    def promote(self, task: str, version: str) -> None:
        """Move the champion alias."""
        champion = self.registry.versions.champion(task)
        expected = champion.version if champion else None
        promotion.promote(self.registry, task, version, expected=expected, actor="benchmark", reason="benchmark")

    def variant(self, version: str) -> str:
        """Return the name of the variant that a version holds, `none` without one."""
        path = next(self.folder(version).rglob(VARIANT_FILE), None)
        return str(json.loads(path.read_bytes())["name"]) if path else "none"

    def folder(self, version: str) -> Path:
        """Return where a version's model lies."""
        return self._artifacts.folder(self.registry.versions.get(version).artifact_id)


def _row(label: Label, role: str) -> dict[str, object]:
    event = json.loads(to_bytes(label))
    return {
        "example_id": label.event_id, "text": label.text, "target": json.dumps(event["target"]), "weight": 1.0,
        "origin": "import", "selected_by": "import", "story_id": label.event_id, "event_time": label.occurred_at,
        "language": "en", "is_new": True, "role": role, "embedding": None,
    }  # fmt: skip
