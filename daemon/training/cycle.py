"""One run from trigger to decision: freeze -> train -> publish -> sandbox -> decide, resumable at each step.

The state in the registry says which steps are done; every step can be repeated without harm, so that a daemon killed
anywhere goes on where it stopped. A step that failed temporarily is repeated later, and other tasks go on meanwhile.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Unpack

import structlog

from config.clock import Clock, utc_now
from config.errors import RunFailedError
from config.sections import TrainingSettings
from config.settings import Settings
from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from consumers.faults import of_the_machine
from daemon.telemetry.metrics import DaemonMetrics
from daemon.training import retries
from daemon.training.concluding import promoting, publishing
from daemon.training.concluding.deciding import Decider
from daemon.training.concluding.telling import Teller
from daemon.training.due import evidence, triggers
from daemon.training.due.triggers import Trigger
from daemon.training.pools.pools import Pools
from daemon.training.preparing import features, heads, holding_out, teachers, warm_start
from daemon.training.preparing.beside import note_others
from daemon.training.preparing.features import Features
from daemon.training.preparing.learnt import learnt_before
from daemon.training.run_folders import RunFolders
from daemon.training.runners.protocol import Runner
from daemon.training.sandbox.protocol import Sandbox
from registry.artifacts.protocol import ArtifactStore
from registry.removal import erasure
from registry.runs import Run, RunChanges, RunState
from registry.store import Registry
from trainers.hardware import usable_cores
from trainers.job import spec as job_spec
from trainers.job.spec import JobSpec
from trainers.learners.catalog import refreshes_from_features

_TOLD_REQUESTS = 500
"""Requests that an outgoing event names: as many as fit into one with ids of the greatest length."""

log = structlog.get_logger(__name__)


class Cycle:
    """Takes runs through their steps; one at a time, from one thread, until `stop` is set."""

    def __init__(
        self,
        *,
        settings: Settings,
        tasks: Callable[[], Mapping[str, TaskSpec]],
        registry: Registry,
        buffer: BufferWriter,
        artifacts: ArtifactStore,
        runner: Runner,
        sandbox: Sandbox,
        metrics: DaemonMetrics,
        stop: threading.Event,
        fencing_token: int,
        features: Features,
        unread: Callable[[], int | None] = lambda: 0,
        teller: Teller | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """`unread` says how many events wait in the log; None while that is not known. `teller`: one that tells otherwise."""
        self._unread = unread
        self._settings = settings
        self._tasks = tasks
        self._registry = registry
        self._buffer = buffer
        self._artifacts = artifacts
        self._runner = runner
        self._metrics = metrics
        self._stop = stop
        self._features = features
        self._token = fencing_token
        self._clock = clock
        self._ended: set[str] = set()
        self._folders = RunFolders(settings, registry.runs)
        self._teller = teller or Teller(settings, registry, fencing_token)
        self._decider = Decider(
            settings=settings, tasks=tasks, registry=registry, buffer=buffer, artifacts=artifacts, sandbox=sandbox,
            features=features, folders=self._folders, teller=self._teller, fencing_token=fencing_token, clock=clock,
        )  # fmt: skip
        self._pools = Pools(
            settings=settings, tasks=tasks, registry=registry, buffer=buffer, artifacts=artifacts, fencing_token=fencing_token,
            decided=self._decider.later, clock=clock,
        )  # fmt: skip

    def end(self, run_id: str) -> None:
        """Let a run fail at its next step, or now when it trains: it learns from texts that were erased. From any thread."""
        self._ended.add(run_id)
        self._runner.end(run_id)

    def step(self) -> None:
        """Finish what an earlier process left, then carry out what is due, requests first."""
        asked = self._buffer.requests("retrain")
        for run in self._registry.runs.unfinished():
            if self._stop.is_set():
                return
            if run.run_id not in self._ended and (
                retries.waits(run, self._settings.training, asked, self._clock()) or promoting.waits(self._registry, run)
            ):
                continue
            log.info("run.resumed", run_id=run.run_id, task=run.task, state=run.state)
            self.advance(run)
        had: set[str] = set()
        while not self._stop.is_set() and (due := self._next_due(had)) is not None:
            name, trigger = due
            had.add(name)
            if (started := self.start(name, trigger)) is not None:
                self.advance(started)
        self._pools.step(lambda: self._stop.is_set() or self._next_due(frozenset()) is not None)

    def want_labels(self) -> None:
        """Open a pool for each task whose newest verdict wants labels; `step` does, and then advances all pools."""
        self._pools.consider()

    def _next_due(self, had: Collection[str]) -> tuple[str, Trigger] | None:
        """Return what comes next: what somebody asked for, of any task; else what is due of a task that had no run in this look.

        Asked anew after every run: a request may have come during it, and must not wait for the runs of all other tasks.
        """
        due = []
        for name, task in self._tasks().items():
            try:
                heads.examine(name, self._registry, self._artifacts, fencing_token=self._token)
                found = evidence.gather(name, self._registry, self._buffer, unread=self._unread())
                self._metrics.counted(name, new=found.new_examples, train=found.train_examples)
                self._metrics.defended(name, self._buffer.defence(name))
                trigger = triggers.evaluate(task, found, self._settings.schedule, self._clock()).trigger
            except Exception as error:
                if of_the_machine(error):
                    raise
                # What the rows of one task do to the program must not keep the others from their runs.
                log.exception("task.not_looked_at", task=name, next="it is looked at again; the other tasks go on")
                continue
            if trigger is not None and (trigger.kind == "request" or name not in had):
                due.append((name, trigger))
        return min(due, key=lambda entry: entry[1].kind != "request", default=None)

    def start(self, task: str, trigger: Trigger) -> Run | None:
        """Record a new run; None when this trigger has already had one."""
        run = self._registry.runs.create(
            task, trigger.key, trigger.reason, trigger.full, promote=trigger.promote, further_keys=trigger.further_keys,
            fencing_token=self._token,
        )  # fmt: skip
        if run is not None:
            log.info(
                "run.started", run_id=run.run_id, task=task, trigger=trigger.kind, reason=trigger.reason, full=trigger.full,
                further_requests=len(trigger.further_keys),
            )  # fmt: skip
        return run

    def advance(self, run: Run) -> Run:
        """Take `run` as far as it goes: decided, failed, or stopped by a shutdown (then it goes on at the next start)."""
        steps: Mapping[str, Callable[[Run], Run]] = {
            "queued": self._freeze,
            "frozen": self._train,
            "training": self._train,
            "trained": self._publish,
            "published": self._decide,
        }
        with structlog.contextvars.bound_contextvars(run_id=run.run_id, task=run.task):
            while run.state in steps and not self._stop.is_set():
                if run.run_id not in self._ended and promoting.waits(self._registry, run):
                    log.info(
                        "run.verdict_waits", reason="the task is paused", next=f"`perennial resume {run.task}` lets it decide"
                    )
                    break
                try:
                    run = self._fail(run, erasure.ENDED) if run.run_id in self._ended else steps[run.state](self._again(run))
                except Exception as error:  # noqa: BLE001 - the edge of a run: it ends alone, and its neighbours go on
                    run = self._set_back(run, error)
                    if run.retry_at is not None:
                        break
            self._metrics.run_ended(run)
        return run

    def _set_back(self, run: Run, error: Exception) -> Run:
        """Let a run fail, or wait where the failure is temporary. What is not the run's own trouble is raised again."""
        if run.run_id in self._ended:
            return self._fail(run, erasure.ENDED)
        setback = retries.judge(run, error, self._settings.training, self._clock())
        if setback is None:
            raise error
        heads.note_failure(run, error, self._registry, fencing_token=self._token)
        if not setback.foreseen:
            log.error("run.step_failed", state=run.state, exc_info=error)
        if setback.retry_at is None:
            return self._fail(run, setback.reason)
        failures, limit = run.failures + 1, self._settings.training.retry_limit
        log.warning(
            "run.retries_later", reason=setback.reason, failures=failures, limit=limit, retry_at=setback.retry_at.isoformat()
        )
        return self._update(run, error=setback.reason, failures=failures, retry_at=setback.retry_at)

    def _again(self, run: Run) -> Run:
        """Note that a run which waited goes on."""
        return run if run.retry_at is None else self._update(run, retry_at=None)

    def _freeze(self, run: Run) -> Run:
        asked = triggers.requests_of(self._registry.runs.trigger_keys(run.run_id))
        told = {"requests": asked[:_TOLD_REQUESTS], "requests_served": len(asked)}
        self._teller.announce(run, "training.started", reason=run.reason, full=run.full, refresh=run.refresh, **told)
        overrides = evidence.overrides_of(asked, self._buffer)
        task = self._task(run)
        task = task.model_copy(update={"training": overrides.applied_to(task.training)})
        champion = self._registry.versions.champion(run.task)
        learnt = (
            learnt_before(self._registry, champion.version, task, refresh=run.refresh and not run.full)
            if champion
            else frozenset()
        )
        folder = (run_dir := self._folders.of(run)) / job_spec.TRAINING_SET_FOLDER
        if folder.exists():
            # A set frozen just before a crash may be older than the champion read above.
            shutil.rmtree(folder)
        before = self._registry.versions.get(champion.version) if champion else None
        full = run.full or before is None or not warm_start.is_allowed(before, task)
        task, teacher = teachers.chosen(task, before, refresh=run.refresh and not full)
        if not run.refresh:
            # It reads every test row; a refresh is to take seconds.
            holding_out.retire(self._buffer, self._registry, self._tasks(), self._settings.enrich)
        holding_out.hold_out_more(self._buffer, self._registry, task, self._settings.enrich.test_fraction)
        # A refresh from features needs no embeddings beside these.
        whole = not run.refresh or full or not refreshes_from_features(task.kind, task.backend)
        frozen = self._buffer.freeze(
            task, run_id=run.run_id, folder=folder, learnt=learnt, max_rows=task.training.max_rows, embeddings=whole
        )
        log.info("run.frozen", counts=frozen.manifest.counts, new_rows=frozen.manifest.new_rows)
        # Recorded before anything can fail: a run that fails must not be started again by the same examples. And from here on
        # the champion's files are kept.
        run = self._update(
            run,
            parent=champion.version if champion else None,
            max_seq=frozen.manifest.max_seq,
            training_set_sha256=frozen.manifest.rows_sha256,
        )
        if frozen.manifest.counts.get("train", 0) == 0:
            message = "the training set is empty: no enriched, usable example is in a training split yet"
            raise RunFailedError(message + frozen.manifest.left_out_told)
        test = frozen.rows("test", embeddings=False)
        spec = JobSpec(
            run_id=run.run_id,
            # Labels change by events too; the trainer must know those that the targets carry.
            task=frozen.manifest.in_force(task),
            training=self._training(),
            full=full,
            refresh=run.refresh and not full,
            embeddings_of_base=task.base_model == self._settings.enrich.encoder,
            training_set=folder,
            run_dir=run_dir,
            champion=self._place_champion(run, champion.version) if champion else None,
            champion_version=champion.version if champion else None,
            teacher=teachers.placed(teacher, task, run_dir, self._registry, self._artifacts),
            teacher_name=teacher or "",
            batch_size=task.training.batch_size,
            overrides=overrides,
            looks=self._registry.looks.next_number(run.task, test["example_id"].to_pylist()),
            modules=self._settings.extensions.names,
        )
        try:
            self._features.for_run(spec, None if whole else partial(self._buffer.embeddings_of, task.name))
        except features.StoppedError as stopped:
            log.info("run.stopped", reason=str(stopped))
            return run
        note_others(spec, task, test, self._buffer, self._settings.data_dir)
        self._runner.prepare(spec)
        return self._update(run, state="frozen")

    def _training(self) -> TrainingSettings:
        """Return the settings of a run: while nothing is served yet, no core has to stay free for it."""
        settings = self._settings.training
        if settings.threads or any(self._registry.versions.champion(name) for name in self._tasks()):
            return settings
        return settings.model_copy(update={"threads": usable_cores()})

    def _train(self, run: Run) -> Run:
        spec = self._folders.spec(run)
        if spec.champion_version is not None:
            champion = spec.run_dir / job_spec.CHAMPION_FOLDER
            if not champion.exists():
                # The release before left it where it was published, and a backup does not hold it twice.
                self._place_champion(run, spec.champion_version)
            spec = spec.model_copy(update={"champion": champion})
        teachers.place_again(spec, self._registry, self._artifacts)
        attempt = run.attempt + 1 if run.state == "training" else run.attempt
        run = self._update(run, state="training", started_at=run.started_at or self._clock(), attempt=attempt)
        result = self._runner.run(spec.model_copy(update={"attempt": attempt}), self._metrics.progress)
        if result.cpu_s is not None:
            run = self._update(run, cpu_s=(run.cpu_s or 0.0) + result.cpu_s)
        if result.status == "stopped":
            log.info("run.stopped", reason=result.error)
            return run
        if result.status in ("try_later", "out_of_memory"):
            raise retries.TryLaterError(result.error)
        if result.status != "done":
            raise RunFailedError(result.error)
        log.info("run.trained", train_s=round(result.train_s, 1), examples_per_s=round(result.examples_per_s, 1))
        return self._update(run, state="trained")

    def _publish(self, run: Run) -> Run:
        spec, result = self._folders.spec(run), self._folders.result(run)
        version = self._registry.versions.of_run(run.run_id) or publishing.add_version(
            self._registry, self._artifacts, run, spec, result, fencing_token=self._token
        )
        # The published folder is what counts from here on.
        self._folders.clear(run, model=True)
        log.info("run.published", version=version.name, size_mib=round(version.size_bytes / 2**20, 1))
        return self._update(run, state="published", version=version.name)

    def _decide(self, run: Run) -> Run:
        return self._decider.decide(run, ended=lambda: run.run_id in self._ended)

    def _fail(self, run: Run, message: str) -> Run:
        log.error("run.failed", reason=message)
        self._teller.announce(run, "training.failed", error=message)
        self._teller.forget(run)
        run = self._update(run, state="failed", error=message, retry_at=None)
        self._folders.settle(run)
        return run

    def _update(self, run: Run, *, state: RunState | None = None, **changes: Unpack[RunChanges]) -> Run:
        return self._registry.runs.update(run.run_id, state=state, fencing_token=self._token, **changes)

    def _place_champion(self, run: Run, name: str) -> Path:
        return self._folders.place_champion(run, heads.fetched(run, self._registry.versions.get(name), self._artifacts))

    def _task(self, run: Run) -> TaskSpec:
        task = self._tasks().get(run.task)
        if task is None:
            message = f"task {run.task!r} of run {run.run_id} has no task file any more; put it back or leave the run failed"
            raise RunFailedError(message)
        return task
