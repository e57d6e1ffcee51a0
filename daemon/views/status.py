"""What the daemon is doing, read from outside it: registry, buffer, event log and run folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config.clock import Clock, utc_now
from config.errors import RetryError, UserError
from config.settings import Settings
from config.tasks import TaskSpec, load_tasks
from consumers.buffer.open import open_reader
from consumers.dead_letters.store import DeadLetters
from consumers.defence.views import Defence
from consumers.erasure.requests import Erasure, Erasures
from consumers.log.open import open_event_log
from consumers.training_set.counting import TaskCounts
from daemon.flow.groups import CONSUMERS, LABELS_TOPIC
from daemon.process import leader
from daemon.serving import presence, probe
from daemon.training import evidence, triggers
from registry.reports.cards import texts_cut
from registry.runs import Run
from registry.store import Registry
from trainers.job import spec as job_spec

_INTERRUPTED = "a run was interrupted because the daemon stopped; it continues when a daemon runs"


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task: its champion, its evidence, and in words why a run is or is not due."""

    task: str
    kind: str
    champion: str | None
    champion_since: str | None
    pinned: bool
    counts: TaskCounts
    tests_needed: int
    """Test rows below which nothing is decided."""
    feedback: Defence
    new_examples: int
    new_weight: float
    """What the new ones weigh for a trigger: a label 1, what users say less, confirmations alone nothing."""
    due: bool
    reasons: tuple[str, ...]
    texts_cut: str | None
    """Which share of the champion's texts it read the beginning of only, in words; None: none, or its run did not count."""
    run: Mapping[str, Any] | None
    """The run under way: id, state, reason and its newest line of progress.

    The state is `waiting` until it is tried again, and `interrupted` while no daemon runs.
    """
    last_run: Mapping[str, Any] | None
    """The newest run that ended: verdict and reasons."""


@dataclass(frozen=True, slots=True)
class Status:
    """The whole installation at one moment."""

    at: str
    leader: str | None
    no_leader_since: str | None
    """When the last daemon ended or was last heard of; None while one leads, and before the first."""
    serving: str | None
    serving_problem: str | None
    """Why a serving process that is there does not answer."""
    lag: Mapping[str, int]
    """Events per topic that are not yet buffered; empty when the log does not answer."""
    log_problem: str | None
    tables: Mapping[str, int]
    dead_letters: int
    set_aside: int
    """Texts and answers that the program failed on; `perennial dlq set-aside` lists them."""
    erasures: tuple[str, ...]
    """Those that are not done, in words."""
    tasks: tuple[TaskStatus, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


class StatusReader:
    """Reads the status again and again over open handles. Changes no data; works beside a running daemon and without one."""

    def __init__(self, settings: Settings, *, clock: Clock = utc_now) -> None:
        if not settings.buffer_dir.exists():
            message = (
                f"nothing has run in {settings.data_dir} yet; start the daemon with `perennial run` (or try `perennial demo`)"
            )
            raise UserError(message)
        self._settings = settings
        self._clock = clock
        self._tasks = load_tasks(settings.tasks_folder)
        self._registry = Registry.open(settings.registry_url, clock=clock, read_only=True)
        self._buffer = open_reader(settings.buffer_dir, tasks=self._tasks, min_quality=settings.enrich.min_quality)
        self._log = open_event_log(settings)
        self._sources = {topic: self._log.source(group, [topic]) for group, topic in CONSUMERS.items()}
        self._dead_letters = DeadLetters(settings.dead_letter_file)
        self._erasures = Erasures(settings.data_dir) if Erasures.exist(settings.data_dir) else None

    def read(self) -> Status:
        """Return the status now."""
        here = presence.read(self._settings.data_dir)
        here = here if here is not None and presence.is_alive(here) else None
        lag, log_problem = self._lag()
        leads = leader.of(self._registry)
        return Status(
            at=self._clock().isoformat(timespec="seconds"),
            leader=leads.holder,
            no_leader_since=leads.gone_since.isoformat(timespec="seconds") if leads.gone_since else None,
            serving=here.address if here is not None else None,
            serving_problem=probe.problem(here) if here is not None else None,
            lag=lag,
            log_problem=log_problem,
            tables=self._buffer.table_counts(),
            dead_letters=self._dead_letters.count(),
            set_aside=self._buffer.count_put_aside(),
            erasures=tuple(in_words(one) for one in (self._erasures.unfinished() if self._erasures else ())),
            tasks=tuple(
                self._task(task, unread=lag.get(LABELS_TOPIC), led=leads.holder is not None) for task in self._tasks.values()
            ),
        )

    def close(self) -> None:
        """Release the handles."""
        for source in self._sources.values():
            source.close()
        self._log.close()
        self._dead_letters.close()
        if self._erasures is not None:
            self._erasures.close()
        self._buffer.close()
        self._registry.close()

    def _lag(self) -> tuple[dict[str, int], str | None]:
        try:
            return {topic: sum(source.lag().values()) for topic, source in self._sources.items()}, None
        except RetryError as error:
            return {}, str(error)

    def _task(self, task: TaskSpec, *, unread: int | None, led: bool) -> TaskStatus:
        found = evidence.gather(task.name, self._registry, self._buffer, unread=unread)
        look = triggers.look(task, found, self._settings.schedule, self._clock())
        champion = self._registry.versions.champion(task.name)
        runs = self._registry.runs.list(task.name, limit=50)
        under_way = next((run for run in runs if run.finished_at is None), None)
        ended = next((run for run in runs if run.finished_at is not None), None)
        return TaskStatus(
            task=task.name,
            kind=task.kind,
            champion=champion.version if champion else None,
            champion_since=champion.moved_at.isoformat(timespec="seconds") if champion else None,
            pinned=champion.pinned if champion else False,
            counts=self._buffer.counts(task.name),
            tests_needed=task.promotion.min_test_examples,
            feedback=self._buffer.defence(task.name),
            new_examples=found.new_examples,
            new_weight=round(found.weight, 3),
            due=look.trigger is not None,
            texts_cut=self._texts_cut(champion.version) if champion else None,
            reasons=look.reasons if led or under_way is None else (_INTERRUPTED,),
            run=self._under_way(under_way, led=led) if under_way else None,
            last_run=_ended(ended) if ended else None,
        )

    def _texts_cut(self, version: str) -> str | None:
        metrics = self._registry.versions.get(version).metrics
        return texts_cut(metrics) if metrics.get("rows_cut") or metrics.get("tested_cut") else None

    def _under_way(self, run: Run, *, led: bool) -> dict[str, Any]:
        state = run.state if run.retry_at is None else "waiting"
        return {
            "run_id": run.run_id,
            # Nobody works at it: what it was at when the daemon ended is of no use to who reads this.
            "state": state if led else "interrupted",
            "reason": run.reason,
            "full": run.full,
            "progress": last_progress(self._settings.runs_dir / run.run_id) if led and run.retry_at is None else None,
            "failures": run.failures,
            "error": run.error,
            "retry_at": run.retry_at.isoformat(timespec="seconds") if run.retry_at else None,
        }


def last_progress(run_dir: Path) -> dict[str, Any] | None:
    """Return the newest whole line of a run's history, or None before the first."""
    path = run_dir / job_spec.HISTORY_FILE
    if not path.exists():
        return None
    for line in reversed(path.read_text(errors="replace").splitlines()):
        try:
            progress: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue  # the last line may be half written
        return progress
    return None


def in_words(erasure: Erasure) -> str:
    """Return one line about an erasure."""
    waits = f": {erasure.note}" if erasure.note else ""
    return f"erasure {erasure.number} ({erasure.what}, {erasure.requested_at:%Y-%m-%d %H:%M} UTC): {erasure.state}{waits}"


def _ended(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "state": run.state,
        "trigger": run.reason,
        "verdict": run.verdict,
        "reasons": list(run.reasons),
        "version": run.version,
        "error": run.error,
        "erased_at": run.erased_at.isoformat(timespec="seconds") if run.erased_at else None,
        "finished_at": run.finished_at.isoformat(timespec="seconds") if run.finished_at else None,
        "comparison": run.comparison,
    }
