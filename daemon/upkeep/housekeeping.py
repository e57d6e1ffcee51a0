"""What goes with time, once an hour: every table, file and folder that grows has an age at which its content is removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from config.clock import ClockWatch
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.log.protocols import EventLog
from consumers.tables.pace import portions
from daemon.process import half_restored
from daemon.process.leading import Leading
from daemon.training import aside
from daemon.training.preparing import teachers
from daemon.upkeep.erasure import runs
from registry.artifacts.protocol import ArtifactStore
from registry.evidence import keeping
from registry.removal import collection, retention
from registry.reports.run.kept import Reports

EVERY_S = 3600.0
_LETTERS_PER_STEP = 1_000
_LONGEST_JUMP_S = 86_400.0

log = structlog.get_logger(__name__)


class Housekeeping:
    """Removes what is past its time, in portions beside everything else. One thread steps."""

    def __init__(
        self,
        leading: Leading,
        *,
        event_log: EventLog,
        dead_letters: DeadLetters,
        erasures: Erasures,
        artifacts: ArtifactStore,
        watch: ClockWatch | None = None,
    ) -> None:
        self._settings, self._tasks, self._clock = leading.settings, leading.tasks, leading.clock
        self._buffer, self._registry, self._token = leading.buffer, leading.registry, leading.fencing_token
        settings = leading.settings
        self._reports = Reports(settings.reports_dir, settings.runs_dir.resolve(), watts_per_core=settings.reports.watts_per_core)
        self._event_log = event_log
        self._dead_letters = dead_letters
        self._erasures = erasures
        self._artifacts = artifacts
        self._watch = watch or ClockWatch()

    def step(self) -> float:
        """Remove what is past its time, and say how much of what; return the seconds until the next time.

        Raises `RetryError` when a file or the registry cannot be used now, `StopError` when this process leads no longer.
        """
        if abs(jumped_s := self._watch.jumped_s()) > _LONGEST_JUMP_S:
            log.error(
                "clock.jumped", hours=round(jumped_s / 3600, 1),
                reason="the machine's clock was set since the daemon began, and what is removed by age cannot come back",
                next="nothing is removed; check the clock, then start the daemon again",
            )  # fmt: skip
            return EVERY_S
        settings, token = self._settings, self._token
        # Never shorter than rows are kept: without the record of its run a request would be answered again.
        rows_days = settings.buffer.retention_days
        history_days = max(settings.registry.history_days, rows_days) if settings.registry.history_days and rows_days else 0.0
        # The buffer first: a request goes before the record of the run that answered it, or it would be answered again.
        rows = self._buffer.enforce_retention()
        keep = settings.registry.keep_versions
        log.info(
            "daemon.housekeeping",
            rows_removed=rows,
            events_removed=self._event_log.enforce_retention(),
            # 0 keeps all here; for `collect` it would mean champion and previous version only.
            artifacts_removed=self._collect(keep) if keep else [],
            dead_letters_removed=self._older(settings.ingest.dead_letters_days, self._drop_dead_letters),
            outgoing_removed=self._older(
                settings.events.retention_days, lambda at: retention.forget_sent(self._registry, at, fencing_token=token)
            ),
            desk_removed=self._older(
                settings.desk.keep_days, lambda at: retention.forget_desk(self._registry, at, fencing_token=token)
            ),
            # The test rows of a run were in the buffer before it: once the run is older than the retention, they are gone.
            looks_removed=self._older(rows_days, lambda at: retention.forget_looks(self._registry, at, fencing_token=token)),
            pools_removed=self._older(history_days, lambda at: retention.forget_pools(self._registry, at, fencing_token=token)),
            lineage_removed=self._older(
                history_days, lambda at: retention.forget_lineage(self._registry, at, fencing_token=token)
            ),
            runs_removed=self._older(history_days, self._forget_runs),
            uses_of_keys_forgotten=self._older(
                history_days, lambda at: retention.forget_use_of_keys(self._registry, at, fencing_token=token)
            ),
            evidence_removed=keeping.sweep(self._registry, settings.evidence_dir),
            # A row that a report shows was in the buffer before the run.
            reports_without_texts=self._older(rows_days, lambda at: self._reports.forget_older(self._registry, at)),
            reports_removed=self._reports.prune(self._registry),
            scratch_removed=aside.sweep(settings.runs_dir) + half_restored.sweep(settings.data_dir),
            erasures_removed=self._older(history_days, self._erasures.forget_done),
        )
        return EVERY_S

    def _collect(self, keep: int) -> list[str]:
        referred = teachers.named_by(self._tasks().values())
        return collection.collect(self._registry, self._artifacts, keep=keep, referred=referred)

    def _older(self, days: float, remove: Callable[[datetime], int]) -> int:
        """Remove what is older than this many days; 0 keeps all."""
        return remove(self._clock() - timedelta(days=days)) if days else 0

    def _drop_dead_letters(self, before: datetime) -> int:
        old = self._dead_letters.died_before(before)
        return sum(self._dead_letters.remove(some) for some in portions(old, _LETTERS_PER_STEP))

    def _forget_runs(self, before: datetime) -> int:
        run_ids = retention.old_runs(self._registry, before)
        # A folder without a record would stay for ever.
        runs.remove(self._settings.runs_dir, run_ids)
        keeping.remove(self._registry, self._settings.evidence_dir, run_ids, fencing_token=self._token)
        return retention.forget_runs(self._registry, run_ids, fencing_token=self._token)
