"""A data folder with real published models: spaCy pipelines whose one rule betrays which version answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import spacy
import uvicorn

from config.settings import Settings, load_settings
from daemon.serving.http import connections
from daemon.serving.http.api import create_app
from daemon.serving.service import Service
from perennial_artifact import formats
from perennial_artifact.compute import Compute
from perennial_artifact.formats import Opened
from perennial_artifact.predictor import Predictor
from registry import promotion
from registry.artifacts.local import LocalArtifacts
from registry.store import Registry
from registry.versions import Lineage
from tests.support.waiting import wait_until

TASK = "entities"
TOPICS = "topics"
TEXT = "The Riksdag met on Monday."
"""Every version finds one entity here, whose label is the version's own."""

_ENTITIES = """
name: entities
kind: ner
backend: spacy
base_model: blank:xx
labels: open
promotion: {metric: entity_f1}
"""
_TOPICS = """
name: topics
kind: classification
backend: transformer
base_model: minilm
labels: closed
label_names: [sports, politics]
promotion: {metric: macro_f1}
"""


class ServedData:
    """Publishes and promotes versions in one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tasks = folder / "tasks"
        tasks.mkdir(parents=True)
        (tasks / "entities.yaml").write_text(_ENTITIES, encoding="utf-8")
        (tasks / "topics.yaml").write_text(_TOPICS, encoding="utf-8")
        self.settings = self.settings_with()
        self.registry = Registry.open(self.settings.registry_url)
        self.artifacts = LocalArtifacts(self.settings.artifacts_dir)

    def settings_with(self, **serving: Any) -> Settings:
        sections = {"serving": {"port": 0, "refresh_interval_s": 0.05, "threads": 1, **serving}}
        return load_settings(data_dir=self.folder / "data", tasks_dir=str(self.folder / "tasks"), **sections)

    def publish(self, *, learnt: tuple[str, ...] = (), parent: str | None = None, ballast: bytes = b"") -> str:
        """Publish the next version; its answers carry the label `V<number>`. Return its name. `ballast` makes it larger."""
        return publish_ruler(self.registry, self.artifacts, TASK, self.folder, learnt=learnt, parent=parent, ballast=ballast)

    def publish_folder(self, task: str, source: Path, *, learnt: tuple[str, ...] = (), parent: str | None = None) -> str:
        """Publish a model folder as the task's next version and return its name."""
        return publish_folder(self.registry, self.artifacts, task, source, learnt=learnt, parent=parent)

    def promote(self, version: str) -> None:
        """Move the champion alias of its task to `version`, wherever it stands."""
        task = version.partition("/")[0]
        champion = self.registry.versions.champion(task)
        expected = champion.version if champion else None
        promotion.promote(self.registry, task, version, expected=expected, actor="test", reason="test")

    def champion(self, *, ballast: bytes = b"") -> str:
        """Publish a version and promote it."""
        version = self.publish(ballast=ballast)
        self.promote(version)
        return version

    def artifact_file(self, version: str) -> Path:
        """Return a file of the version's artifact."""
        folder = self.artifacts.folder(self.registry.versions.get(version).artifact_id)
        return folder / "entity_ruler" / "patterns.jsonl"


def publish_ruler(
    registry: Registry,
    artifacts: LocalArtifacts,
    task: str,
    folder: Path,
    *,
    learnt: tuple[str, ...] = (),
    parent: str | None = None,
    ballast: bytes = b"",
) -> str:
    """Publish a task's next version, a pipeline whose one rule gives the label `V<number>`; return its name."""
    number = registry.versions.next_number(task)
    nlp = spacy.blank("xx")  # the few rules of its tokenizer load quickly
    ruler: Any = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": f"V{number}", "pattern": "Riksdag"}])
    source = folder / f"model-{number}"
    nlp.to_disk(source)
    if ballast:
        (source / "ballast").write_bytes(ballast)
    return publish_folder(registry, artifacts, task, source, learnt=learnt, parent=parent)


def publish_folder(
    registry: Registry,
    artifacts: LocalArtifacts,
    task: str,
    source: Path,
    *,
    learnt: tuple[str, ...] = (),
    parent: str | None = None,
) -> str:
    """Publish a model folder as a task's next version and return its name."""
    number = registry.versions.next_number(task)
    published = artifacts.publish(task, number, source)
    version = registry.versions.add(
        task,
        number,
        run_id=f"{task}-run-{number}",
        artifact_id=published.artifact_id,
        manifest_sha256=published.manifest_sha256,
        size_bytes=published.size_bytes,
        parent=parent,
        lineage=Lineage(training_set_sha256="0" * 64, seed=1, settings={}, code="test"),
        metrics={},
        learnt=learnt,
    )
    return version.name


@contextmanager
def listening(service: Service) -> Iterator[str]:
    """Answer over a real socket on a free loopback port, as the serving process does; yield the address."""
    limits = connections.Limits(1_000, service.settings.serving.read_timeout_s, service.metrics.turned_away_connection)
    app = create_app(service)
    config = uvicorn.Config(app, http=connections.limited(limits), port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        app.state.dashboard.live.stop()
        server.should_exit = True
        thread.join(10)


def load_on_cpu(folder: Path, before: Opened | None) -> Opened:
    """Load a model without waiting for torch."""
    return formats.open_after(folder, Compute(), before)


def as_opened(predictor: Predictor) -> Opened:
    """Return a made-up model as what a slot loads."""
    return Opened(predictor, "made-up", Compute(), {})


def eventually(condition: Callable[[], object], *, within_s: float = 20.0) -> None:
    """Wait until `condition` holds. Raises AssertionError when it does not in time."""
    wait_until(condition, within_s, every_s=0.01, rest=1.0)
