"""An installation in a temporary folder, for one policy: the daemon's own cycle over a buffer that a past is played into.

Its registry, artifacts and buffer are its own, and its clock is the history's. Nothing here knows the live data folder.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from config.settings import Settings
from config.task_files.sections.promotion import Promotion
from config.tasks import TaskSpec
from consumers.buffer.open import open_writer
from consumers.enrichment.feature_store import FeatureStore
from consumers.history.past import Past
from consumers.history.playing import Player
from daemon.operations.simulating.ways import Ways
from daemon.telemetry.metrics import DaemonMetrics
from daemon.training.concluding.telling import Teller
from daemon.training.cycle import Cycle
from daemon.training.due import evidence, triggers
from daemon.training.due.trigger_input import Evidence
from daemon.training.due.triggers import Evaluation
from daemon.training.preparing.features import Features
from daemon.training.runners.protocol import Runner
from registry.artifacts.open import open_store
from registry.removal import collection
from registry.runs import Run, Verdict
from registry.store import Registry
from trainers.job.spec import JobResult, JobSpec, Progress

_HOLDER = "simulate"
_LEASE_S = 1e9
_KEPT_VERSIONS = 3
_KEPT_RUNS = 2

Hears = Callable[[Progress], None]


class HistoryClock:
    """The history's clock: it stands until it is put forward, and never goes back."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Return the moment."""
        return self.now

    def to(self, at: datetime) -> None:
        """Put it forward to a moment; an earlier one changes nothing."""
        self.now = max(self.now, at)


@dataclass
class _Timed:
    """Carries runs out by another runner, and lets the history's clock pass as long as they last."""

    runner: Runner
    clock: HistoryClock
    hears: Hears
    lasts: timedelta | None = None
    """None: as long as it took here."""

    def prepare(self, spec: JobSpec) -> None:
        """Write the order."""
        self.runner.prepare(spec)

    def run(self, spec: JobSpec, report: Hears) -> JobResult:
        """Carry it out."""

        def told(progress: Progress) -> None:
            report(progress)
            self.hears(progress)

        began = time.monotonic()
        result = self.runner.run(spec, told)
        self.clock.to(self.clock() + (timedelta(seconds=time.monotonic() - began) if self.lasts is None else self.lasts))
        return result

    def end(self, run_id: str) -> None:
        """Stop a run."""
        self.runner.end(run_id)


class SilentTeller(Teller):
    """Tells nobody: nobody reads reports and cards of a replay, and drawing them takes a second each."""

    def announce(self, run: Run, kind: str, **details: object) -> None:
        """Do nothing."""

    def report(
        self, run: Run, *, verdict: Verdict, reasons: tuple[str, ...], comparison: dict[str, Any], finished_at: datetime
    ) -> None:
        """Do nothing."""

    def card(self, run: Run, folder: Path, policy: Promotion | None) -> None:
        """Do nothing."""


class World:
    """What one policy is played in."""

    def __init__(
        self, folder: Path, settings: Settings, task: TaskSpec, past: Past, ways: Ways, *, began: datetime, stop: threading.Event,
        hears: Hears = lambda _progress: None,
    ) -> None:  # fmt: skip
        self._stack = ExitStack()
        training = settings.training.model_copy(update={"tracked_by": (), "keep_runs": _KEPT_RUNS})
        registry = settings.registry.model_copy(update={"url": ""})
        self.settings = settings.model_copy(update={"data_dir": folder, "training": training, "registry": registry})
        folder.mkdir(parents=True)
        self.clock = HistoryClock(began)
        self._tasks = {task.name: task}
        self.registry = Registry.open(self.settings.registry_url, clock=self.clock)
        self._stack.callback(self.registry.close)
        self.artifacts = open_store(self.settings.artifacts_dir)
        self.buffer = open_writer(
            self.settings.buffer_dir, self.settings.buffer, tasks=self._tasks, min_quality=settings.enrich.min_quality,
            clock=self.clock,
        )  # fmt: skip
        self._stack.callback(self.buffer.close)
        store = FeatureStore(folder)
        self._stack.callback(store.close)
        features = Features(store, training, stop)
        token = self.registry.lease.acquire(_HOLDER, _LEASE_S)
        assert token is not None  # noqa: S101 - the registry is new; narrows the type
        self._timed = _Timed(ways.runner(self.settings, stop), self.clock, hears)
        self.cycle = Cycle(
            settings=self.settings, tasks=lambda: self._tasks, registry=self.registry, buffer=self.buffer,
            artifacts=self.artifacts, runner=self._timed, metrics=DaemonMetrics(), stop=stop, fencing_token=token,
            sandbox=ways.sandbox(self.settings, self.registry, self.artifacts, features, stop),
            features=features, teller=SilentTeller(self.settings, self.registry, token), clock=self.clock,
        )  # fmt: skip
        self.player = Player(past, self.buffer)

    @property
    def task(self) -> TaskSpec:
        """The task under the policy that is played."""
        (task,) = self._tasks.values()
        return task

    def use(self, task: TaskSpec) -> None:
        """Go by another policy from now on."""
        if task != self.task:
            self._tasks = {task.name: task}
            self.buffer.use_tasks(self._tasks)

    def lasts(self, duration: timedelta | None) -> None:
        """Let the next runs last so long on the history's clock; None: as long as they take here."""
        self._timed.lasts = duration

    def look(self) -> tuple[Evidence, Evaluation]:
        """Return what the daemon would see now, and decide."""
        found = evidence.gather(self.task.name, self.registry, self.buffer)
        return found, triggers.evaluate(self.task, found, self.settings.schedule, self.clock())

    def champion(self) -> str | None:
        """Return the version in production."""
        alias = self.registry.versions.champion(self.task.name)
        return None if alias is None else alias.version

    def folder_of(self, version: str) -> Path:
        """Return where the files of a version lie."""
        return self.artifacts.folder(self.registry.versions.get(version).artifact_id)

    def tidy(self) -> None:
        """Remove the files of versions that nothing needs any more: a long history makes many."""
        collection.collect(self.registry, self.artifacts, keep=_KEPT_VERSIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()
