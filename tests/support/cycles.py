"""A real cycle over a real buffer, registry and artifacts, its clock held; the training child is real or made up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from config.settings import Settings, load_settings
from config.task_files.sections.promotion import Promotion
from config.tasks import TaskSpec
from consumers.buffer.open import open_writer
from consumers.enrichment.feature_store import FeatureStore
from consumers.erasure.requests import Erasures
from consumers.training_set.snapshot import load_training_set
from daemon.telemetry.metrics import DaemonMetrics
from daemon.training import cycle
from daemon.training.concluding.telling import Teller
from daemon.training.cycle import Cycle
from daemon.training.due import evidence, triggers
from daemon.training.due.triggers import Trigger
from daemon.training.preparing.features import Features
from daemon.training.runners.local import LocalRunner
from daemon.training.runners.protocol import Runner
from daemon.training.sandbox.local import LocalSandbox
from daemon.training.sandbox.order import Findings
from daemon.training.sandbox.process import CHILD
from daemon.training.sandbox.protocol import Sandbox
from registry.artifacts.local import LocalArtifacts
from registry.reports import cards
from registry.reports.run import html
from registry.runs import Run
from registry.store import Registry
from registry.versions import Version
from tests.support import buffers
from tests.support.registries import Clock
from trainers.compare.comparison import Comparison
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec, Progress

NAME = "toy-topics"
HOLDER = "test:1"
LEASE_S = 3600.0

Train = Callable[[JobSpec], JobResult]


def task(**changes: object) -> TaskSpec:
    """A small classification task whose runs start at ten new examples, without a pause between them."""
    values: dict[str, object] = {
        "name": NAME, "kind": "classification", "backend": "transformer", "base_model": "minilm", "labels": "open",
        "trigger": {"min_new_examples": 10, "cooldown_minutes": 0, "weekly": False},
        "promotion": {"metric": "macro_f1", "min_test_examples": 5, "max_latency_ratio": 1000.0},
    }  # fmt: skip
    return TaskSpec.model_validate(values | changes)


class World:
    """One installation in a folder, driven by hand: `learn`, then `cycle.step()`."""

    def __init__(
        self, folder: Path, spec: TaskSpec, *, train: Train | None = None, runner: Runner | None = None, drawn: bool = False,
        **training: Any,
    ) -> None:  # fmt: skip
        """`train` makes runs up; else `runner` carries them out, by default real children.

        Cards and reports of made-up runs have no pictures unless they are `drawn`: those take half of the time of a run.
        """
        self.settings: Settings = load_settings(
            data_dir=folder / "data", training={"device": "cpu", "precision": "fp32", "threads": 1, **training}
        )
        self.clock = Clock()
        self.clock.now = buffers.NOW
        self.tasks = {spec.name: spec}
        self.metrics = DaemonMetrics()
        self.stop = threading.Event()
        self._stack = ExitStack()
        self._drawn = drawn or train is None
        self.registry = Registry.open(self.settings.registry_url, clock=self.clock)
        self._stack.callback(self.registry.close)
        self.erasures = Erasures(self.settings.data_dir, clock=self.clock)
        self._stack.callback(self.erasures.close)
        self.buffer = open_writer(
            self.settings.buffer_dir, self.settings.buffer, tasks=self.tasks, clock=self.clock, erasures=self.erasures
        )
        self._stack.callback(self.buffer.close)
        self.features = FeatureStore(self.settings.data_dir)
        self._stack.callback(self.features.close)
        self.artifacts = LocalArtifacts(self.settings.artifacts_dir)
        self.sandbox: Sandbox = PassesAll()
        self.runner: Runner = MadeUpRunner(train) if train else runner or LocalRunner(self.settings.training, self.stop)
        self.cycle = self.next_cycle()

    def next_cycle(self) -> Cycle:
        """What the next process has: a new lease and nothing remembered."""
        self.stop.clear()
        token = self.token = self.registry.lease.acquire(HOLDER, LEASE_S)
        assert token is not None
        with patch.object(cycle, "Teller", Teller if self._drawn else TellerWithoutPictures):
            self.cycle = Cycle(
                settings=self.settings, tasks=lambda: self.tasks, registry=self.registry, buffer=self.buffer,
                artifacts=self.artifacts, runner=self.runner, sandbox=self.sandbox, metrics=self.metrics, stop=self.stop,
                fencing_token=token, features=Features(self.features, self.settings.training, self.stop), clock=self.clock,
            )  # fmt: skip
        return self.cycle

    def use_sandbox(self, *, modules: str = "", command: Sequence[str] = CHILD, **limits: Any) -> None:
        """From now on candidates go through a real sandbox with these settings; it imports `modules`, and `command` starts it."""
        sandbox = self.settings.sandbox.model_copy(update=limits)
        extensions = self.settings.extensions.model_copy(update={"modules": modules})
        self.settings = self.settings.model_copy(update={"sandbox": sandbox, "extensions": extensions})
        features = Features(self.features, self.settings.training, self.stop)
        self.sandbox = LocalSandbox(self.settings, self.registry, self.artifacts, features, self.stop, command=command)
        self.next_cycle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def learn(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Store and enrich labels (id, text, label); ids that begin with `test` are held out."""
        self.buffer.insert(buffers.stored(*(buffers.label(key, text, name, task=NAME) for key, text, name in rows)))
        buffers.enrich(self.buffer, split=lambda row: "test" if row.row_id.startswith("test") else "train")

    def grow(self, count: int, prefix: str = "train") -> None:
        """Store `count` more texts of two labels, and at the first time ten that are held out."""
        known = self.buffer.counts(NAME)
        if known.test == 0:
            self.learn((f"test-{number}", f"held out text {number}", "AB"[number % 2]) for number in range(10))
        start = known.train
        self.learn((f"{prefix}-{start + n}", f"text {start + n}", "AB"[n % 2]) for n in range(count))

    def ask(self, key: str = "request:by-hand", *, full: bool = False, promote: bool = True) -> Run:
        """Start a run by hand and take it as far as it goes."""
        run = self.cycle.start(NAME, Trigger("request", key, f"asked for as {key}", full, promote))
        assert run is not None
        return self.cycle.advance(run)

    def look(self) -> triggers.Evaluation:
        """What the trigger policy says now."""
        found = evidence.gather(NAME, self.registry, self.buffer)
        return triggers.evaluate(self.tasks[NAME], found, self.settings.schedule, self.clock())

    def only_run(self) -> Run:
        """The one run that there is."""
        (run,) = self.registry.runs.list()
        return run

    def train_with(self, train: Callable[[JobSpec], JobResult]) -> None:
        """Have the next runs trained by something else."""
        assert isinstance(self.runner, MadeUpRunner)
        self.runner.train = train

    def run_folder(self, run: Run) -> Path:
        return self.settings.runs_dir / run.run_id

    def told(self) -> list[str]:
        """The types of all events that were announced, in order."""
        return [row.event["type"] for row in self.registry.outbox.pending(limit=1000)]

    def champion(self) -> str | None:
        alias = self.registry.versions.champion(NAME)
        return alias.version if alias else None


class TellerWithoutPictures(Teller):
    """Writes reports and cards whose pictures are empty."""

    def report(self, run: Run, **told: Any) -> None:
        with patch.object(html, "_drawn", lambda _picture: Markup("<svg></svg>")):
            super().report(run, **told)

    def card(self, run: Run, folder: Path, policy: Promotion | None) -> None:
        with patch.object(cards, "_pictures", lambda *_given: {cards.PLOT_FILE: b""}):
            super().card(run, folder, policy)


class PassesAll:
    """Stands in for the sandbox, which knows no made-up model: `found` is what it finds of every version."""

    def __init__(self, found: Findings | None = None) -> None:
        self.found = found or Findings(outcome="passed", scope="model", texts=1)
        self.seen: list[str] = []

    def check(self, version: Version, spec: JobSpec, task: TaskSpec, ended: Callable[[], bool]) -> Findings | None:
        self.seen.append(version.name)
        return self.found


class MadeUpRunner:
    """Stands in for the training child: `train` decides what comes out, in no time."""

    def __init__(self, train: Train) -> None:
        self.train = train
        self.attempts: list[int] = []
        self.ended: list[str] = []

    def end(self, run_id: str) -> None:
        self.ended.append(run_id)

    prepare = staticmethod(job_spec.write_spec)

    def run(self, spec: JobSpec, report: Callable[[Progress], None]) -> JobResult:
        self.attempts.append(spec.attempt)
        report(Progress(run_id=spec.run_id, at="2024-05-01T12:00:00+00:00", phase="training", step=1, steps=1, loss=0.5))
        result = self.train(spec)
        job_spec.write_result(result, spec.run_dir)
        return result


def better(spec: JobSpec, *, gain: float = 0.2) -> JobResult:
    """A model that is clearly better (or, without a gain, the same): what a real child would leave."""
    rows = load_training_set(spec.training_set)
    ids: Sequence[str] = rows.rows("train")["example_id"].to_pylist()
    pq.write_table(pa.table({"example_id": ids}), spec.run_dir / job_spec.LINEAGE_FILE)
    model = spec.run_dir / job_spec.MODEL_FOLDER
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text(f'{{"run": "{spec.run_id}"}}', encoding="utf-8")
    (spec.run_dir / job_spec.WORK_FOLDER).mkdir(exist_ok=True)
    comparison = Comparison(
        task=spec.task.name, metric="macro_f1", candidate_run=spec.run_id, champion_version=spec.champion_version,
        opponent=spec.champion_version or "baseline: most frequent label", rows=600, stories=600, champion_score=0.5,
        candidate_score=0.5 + gain, gain=gain, confidence=0.95, lower_bound=gain - 0.02, upper_bound=gain + 0.02,
        standard_error=0.012, p_equal=1e-9 if gain > 0 else 0.5, discordant=0.3, required_gain=0.025, required_rows=500,
        looks=spec.looks,
    )  # fmt: skip
    return JobResult(run_id=spec.run_id, status="done", model=model, comparison=comparison, rows_new=len(ids), train_s=1.0)


def worse(spec: JobSpec) -> JobResult:
    """A model that is no better."""
    return better(spec, gain=0.0)


def failing(spec: JobSpec) -> JobResult:
    """A run that cannot succeed; it leaves a checkpoint."""
    (spec.run_dir / job_spec.WORK_FOLDER).mkdir()
    return JobResult(run_id=spec.run_id, status="failed", error="the loss is not a number")


@dataclass
class Refreshed:
    """What a first run and a refresh left."""

    world: World
    first: Run
    refresh: Run

    def folder(self, run: Run) -> Path:
        """Return the published model of a run."""
        assert run.version is not None
        return self.world.artifacts.folder(self.world.registry.versions.get(run.version).artifact_id)
