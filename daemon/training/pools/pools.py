"""What becomes of pairs of models that too little evidence could not tell apart: answered, asked about, judged, closed.

The registry says how far each pool has come; every step can be repeated without harm, so that a daemon killed anywhere goes on
where it stopped. All of it waits while anything else trains.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from config.clock import Clock, utc_now
from config.errors import PerennialError, RetryError, StopError
from config.settings import Settings
from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from consumers.faults import of_the_machine
from daemon.training.pools import answering, child, looking, verdict
from daemon.training.pools.child import CarryOut
from daemon.training.pools.pair import Pair
from registry.artifacts.protocol import ArtifactStore
from registry.judging.gate import PAUSED
from registry.people.pools import Outcome, Pool, ReviewRequest
from registry.runs import Run
from registry.store import Registry
from trainers.compare.asked import is_weighable

_BATCH_EVERY = timedelta(days=7)
_PATIENCE = timedelta(days=28)
"""After so long a batch is judged without the texts of it that nobody has answered; one without any answer ends its pair."""
_TRIES = 3
_TRY_AGAIN = timedelta(minutes=10)
_RELEASE_EVERY = timedelta(minutes=1)
_LOST_EVERY = timedelta(hours=1)
LANE = "disagreement"

log = structlog.get_logger(__name__)


class Decided(Protocol):
    """Hears of a run that labels asked for have decided."""

    def __call__(self, run: Run, *, promoted: bool) -> None:
        """Hear of it."""
        ...


class Pools:
    """Takes pools as far as they go. One thread steps."""

    def __init__(
        self,
        *,
        settings: Settings,
        tasks: Callable[[], Mapping[str, TaskSpec]],
        registry: Registry,
        buffer: BufferWriter,
        artifacts: ArtifactStore,
        fencing_token: int,
        decided: Decided,
        carry_out: CarryOut | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """`decided` hears of a run whose verdict has changed."""
        self._pair = Pair(settings, registry, buffer, artifacts, carry_out or child.carry_out)
        self._settings = settings
        self._tasks = tasks
        self._registry = registry
        self._buffer = buffer
        self._token = fencing_token
        self._decided = decided
        self._clock = clock
        self._failures: dict[str, tuple[int, datetime]] = {}
        self._released: tuple[datetime, int] | None = None
        self._looked_for: dict[str, tuple[datetime, int]] = {}
        self._answers: dict[str, tuple[tuple[int, int], frozenset[str]]] = {}
        self._considered: dict[str, str] = {}
        """Of each task the run that was last asked whether labels could tell its models apart."""

    def consider(self) -> None:
        """Open a pool for each task whose newest verdict wants one."""
        for name, task in self._tasks().items():
            self._consider(name, task)

    def _consider(self, name: str, task: TaskSpec) -> None:
        """Ask once whether the newest verdict of a task wants a pool. From the record, so that a crash behind it loses none."""
        newest = self._registry.runs.newest_decided(name)
        if newest is None or self._considered.get(name) == newest:
            return
        with structlog.contextvars.bound_contextvars(run_id=newest, task=name):
            try:
                if all(pool.run_id != newest for pool in self._registry.pools.of_task(name)):
                    self._want(self._registry.runs.get(newest), task)
            except (StopError, RetryError):
                raise
            except Exception as error:
                if not _of_the_pair(error):
                    log.warning("pool.not_wanted", reason=str(error), next="it is tried again at the next step")
                    return
                log.exception("pool.not_wanted", next="nobody is asked about this pair; please report this")
        self._considered[name] = newest

    def _want(self, run: Run, task: TaskSpec) -> None:
        """Have a pair of models answered, where its comparison had too little evidence and labels could tell them apart.

        An older pair of the task gives way, unless people have begun to label for it: their work is not thrown away.
        """
        champion = (run.comparison or {}).get("champion_version")
        if run.verdict != "insufficient_evidence" or run.version is None or champion is None:
            return
        if any(reason.startswith(PAUSED) for reason in run.reasons):
            # It waits for a guard, of which labels where both models differ say nothing.
            return
        alias = self._registry.versions.champion(run.task)
        if alias is None or alias.version != champion:
            return
        if not (task.review.disagreement and is_weighable(task)):
            return
        for older in self._registry.pools.unclosed():
            if older.task == run.task and older.run_id != run.run_id:
                if self._has_answers(older, task):
                    log.info("pool.not_opened", task=run.task, version=run.version, reason=f"people label for {older.candidate}")
                    return
                self._close(older, "superseded", f"{run.version} is newer")
        pool = self._registry.pools.want(
            task=run.task, run_id=run.run_id, candidate=run.version, champion=champion, seed=self._settings.training.seed,
            fencing_token=self._token,
        )  # fmt: skip
        log.info("pool.wanted", pool=pool.pool_id, task=run.task, candidate=pool.candidate, champion=pool.champion)

    def step(self, busy: Callable[[], bool]) -> None:
        """Advance every pool as far as possible while the daemon is not `busy`; then let labels train that nobody waits for."""
        self.consider()
        closed = False
        for pool in self._registry.pools.unclosed():
            if busy():
                break
            with structlog.contextvars.bound_contextvars(pool=pool.pool_id, task=pool.task):
                closed |= self._advanced(pool, busy)
        self._release(at_once=closed)

    def _advanced(self, pool: Pool, busy: Callable[[], bool]) -> bool:
        """Return whether a pool was closed."""
        task = self._tasks().get(pool.task)
        if task is None:
            self._close(pool, "superseded", "its task has no task file any more")
            return True
        failed = self._failures.get(pool.pool_id)
        waits = self._registry.pauses.of(pool.task) is not None or (failed is not None and self._clock() < failed[1])
        try:
            done = self._over(pool, task)
            if done is None and not waits:
                done = self._answer(pool, task, busy) if pool.state == "answering" else self._ask_or_look(pool, task, busy)
        except (StopError, RetryError):
            # This process leads no longer, or the registry does not answer: no pool is to blame.
            raise
        except Exception as error:  # noqa: BLE001 - the edge of a pool: it waits or ends alone, and its neighbours go on
            return self._failed(pool, error)
        if not waits:
            self._failures.pop(pool.pool_id, None)
        if done is None:
            return False
        self._close(pool, *done)
        return True

    def _over(self, pool: Pool, task: TaskSpec) -> tuple[Outcome, str] | None:
        """Return how and why a pool is over before it has decided anything, None while it is not."""
        alias = self._registry.versions.champion(pool.task)
        champion = alias.version if alias else None
        if champion == pool.candidate:
            run = verdict.finished(self._registry, pool, task, self._settings, fencing_token=self._token)
            if run is not None:
                self._decided(run, promoted=True)
            return "promoted", f"{pool.candidate} is the champion"
        if pool.looks and (run := self._registry.runs.get(pool.run_id)).verdict == "keep":
            # Told before a crash.
            self._decided(run, promoted=False)
            return "kept", run.reasons[0]
        if champion != pool.champion:
            return "superseded", f"{champion or 'no version'} is the champion now, not {pool.champion}"
        if (lost := self._lost(pool)) is not None:
            return "collected", lost
        if not task.review.disagreement:
            return "turned_off", "review.disagreement is false"
        late = self._clock() - (pool.opened_at or pool.created_at) > timedelta(days=task.review.days)
        return ("expired", f"it was not decided within {task.review.days:g} days (review.days)") if late else None

    def _lost(self, pool: Pool) -> str | None:
        """Return why a candidate can be promoted no more, None where it can."""
        candidate = self._registry.versions.get(pool.candidate)
        if candidate.collected_at is not None:
            return f"the files of {pool.candidate} were removed"
        return f"{pool.candidate} learnt from texts that were erased" if candidate.affected_at is not None else None

    def _answer(self, pool: Pool, task: TaskSpec, busy: Callable[[], bool]) -> tuple[Outcome, str] | None:
        found = answering.answered(self._pair, pool, task, busy)
        if found is None:
            return None
        if not found.rows:
            return "empty", "there is no article without a label that neither model has learnt anything of"
        self._registry.pools.open(
            pool.pool_id, rows=found.rows, differ=found.differ, sizes=found.sizes, bounds=found.bounds,
            drawn=answering.drawn(found), fencing_token=self._token,
        )  # fmt: skip
        if not found.differ:
            return "alike", f"both answer all {found.rows:,} articles alike, so labels would tell nothing"
        shutil.rmtree(self._pair.folder(pool), ignore_errors=True)
        log.info("pool.opened", rows=found.rows, differ=found.differ, drawn=len(found.drawn))
        self._ask(pool, 0)
        return None

    def _ask_or_look(self, pool: Pool, task: TaskSpec, busy: Callable[[], bool]) -> tuple[Outcome, str] | None:
        requests = self._forget_lost(pool)
        asked = [one for one in requests if one.asked_at is not None]
        if pool.batches == 0:
            self._ask(pool, 0)
            return None
        answered = self._answered(pool, task, asked)
        newest = [one for one in asked if one.batch == pool.batches - 1]
        waiting = [
            one for one in newest if not (one.request_id in answered or one.gone or one.skips or one.cannot_tell)
        ]  # fmt: skip
        if waiting and (pool.asked_at is None or self._clock() < pool.asked_at + _PATIENCE):
            return None
        if waiting and len(waiting) == len(newest):
            return "expired", f"nobody has answered what was asked {_PATIENCE.days} days ago"
        if pool.looks < pool.batches:
            return self._look(pool, task, busy)
        if not any(one.batch >= pool.batches for one in requests):
            return "undecided", f"all {len(asked)} texts that were drawn were asked about"
        if pool.asked_at is not None and self._clock() >= pool.asked_at + _BATCH_EVERY:
            self._ask(pool, pool.batches)
        return None

    def _look(self, pool: Pool, task: TaskSpec, busy: Callable[[], bool]) -> tuple[Outcome, str] | None:
        look = looking.look(self._pair, pool, task, busy, fencing_token=self._token)
        if look is None:
            return None
        run = verdict.decided(self._registry, pool, task, look, self._settings, fencing_token=self._token)
        log.info("pool.looked", look=pool.looks + 1, verdict=run.verdict, reasons=list(run.reasons))
        if run.verdict == "insufficient_evidence":
            return None
        promoted = run.verdict == "promote"
        self._decided(run, promoted=promoted)
        return ("promoted" if promoted else "kept"), run.reasons[0]

    def _ask(self, pool: Pool, batch: int) -> None:
        event = {
            "event_id": f"{pool.pool_id}:label.requested:{batch}", "type": "label.requested", "task": pool.task,
            "run_id": pool.run_id, "pool": pool.pool_id, "lane": LANE,
        }  # fmt: skip
        asked = self._registry.pools.ask(pool.pool_id, batch, event, fencing_token=self._token)
        log.info("pool.asked", batch=batch, texts=len(asked), next=f"`perennial review {pool.task} --lane {LANE}`")

    def _answered(self, pool: Pool, task: TaskSpec, asked: Sequence[ReviewRequest]) -> frozenset[str]:
        """Return which requests have answers; the examples are read again only when there are new ones."""
        key = (pool.batches, self._buffer.versions()["examples"])
        known = self._answers.get(pool.pool_id)
        if known is None or known[0] != key:
            known = (key, frozenset(self._buffer.answers_to(task, {one.request_id for one in asked})))
            self._answers[pool.pool_id] = known
        return known[1]

    def _forget_lost(self, pool: Pool) -> list[ReviewRequest]:
        """Return a pool's requests, after those were marked whose texts were erased or are too old to be kept."""
        requests = self._registry.pools.requests(pool.pool_id)
        now, erasings = self._clock(), self._buffer.erasings
        before = self._looked_for.get(pool.pool_id)
        if before is not None and before[1] == erasings and now - before[0] < _LOST_EVERY:
            return requests
        self._looked_for[pool.pool_id] = (now, erasings)
        there = self._buffer.texts_asked_about({one.text_sha256 for one in requests if one.text_sha256 is not None})
        lost = [one.request_id for one in requests if one.text_sha256 is not None and one.text_sha256 not in there]
        if not lost:
            return requests
        log.info("pool.texts_lost", texts=len(lost), reason="they were erased, or are too old to be kept")
        self._registry.pools.lost(lost, fencing_token=self._token)
        return self._registry.pools.requests(pool.pool_id)

    def _has_answers(self, pool: Pool, task: TaskSpec) -> bool:
        requests = self._registry.pools.requests(pool.pool_id)
        if self._buffer.answers_to(task, {one.request_id for one in requests}):
            return True
        texts = {one.text_sha256 for one in requests}
        return any(
            one.did == "label" and one.lane == LANE and one.text_sha256 in texts for one in self._registry.desk.of(pool.task)
        )

    def _failed(self, pool: Pool, error: Exception) -> bool:
        shutil.rmtree(self._pair.folder(pool), ignore_errors=True)
        if not isinstance(error, PerennialError | OSError):
            log.error("pool.step_failed", exc_info=error)
        # What a full disk or too little memory keeps from being done is not the pair's fault: it waits for as long as it takes.
        failures = self._failures.get(pool.pool_id, (0, self._clock()))[0] + _of_the_pair(error)
        if failures >= _TRIES:
            self._close(pool, "failed", str(error))
            return True
        self._failures[pool.pool_id] = (failures, self._clock() + _TRY_AGAIN)
        log.warning("pool.failed", reason=str(error), failures=failures, limit=_TRIES, next="it is tried again in 10 minutes")
        return False

    def _close(self, pool: Pool, outcome: Outcome, reason: str) -> None:
        self._registry.pools.close(pool.pool_id, outcome, reason, fencing_token=self._token)
        for kept in (self._failures, self._looked_for, self._answers):
            kept.pop(pool.pool_id, None)
        shutil.rmtree(self._pair.folder(pool), ignore_errors=True)
        # A newer pair may have waited for this one to end.
        self._considered.pop(pool.task, None)
        log.info("pool.closed", outcome=outcome, reason=reason, next="its labels train from now on")

    def _release(self, *, at_once: bool) -> None:
        """Let labels train that answer no request of an open pool."""
        now, version = self._clock(), self._buffer.versions()["example_enrichment"]
        if not at_once and self._released is not None:
            before, seen = self._released
            if seen == version or now - before < _RELEASE_EVERY:
                return
        pools = self._registry.pools
        open_ = {one.request_id for pool in pools.unclosed() for one in pools.requests(pool.pool_id)}
        free = [one.row_id for one in self._buffer.withheld() if one.request not in open_]
        if free:
            log.info("pool.labels_released", labels=self._buffer.release(free))
        self._released = (now, version)


def _of_the_pair(error: Exception) -> bool:
    """Return whether a step fails on a pair itself, and not for a full disk or a lack of memory."""
    return isinstance(error, PerennialError) or not of_the_machine(error)
