"""Processes the list of erasures: removed from tables, purged from disk, retrain queued, done. Continues where it was killed.

The order matters. What is derived from rows is kept before the rows go; what may be frozen from older tables is waited for;
bytes go only after readers in other processes have had their hour; models go once another can take their place.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from consumers.dead_letters.store import DeadLetters
from consumers.enrichment.feature_store import FeatureStore
from consumers.erasure.requests import Erasure, Erasures
from consumers.erasure.tombstones import is_erase_request, names_in
from consumers.events.schemas import FEEDBACK_TOPIC, Retrain, to_bytes
from consumers.labelling.oracle import forgetting as oracle
from consumers.log.protocols import EventLog, Position
from daemon.flow.accepted import AcceptedFeedback
from daemon.process.leading import Leading
from daemon.telemetry.metrics import DaemonMetrics
from daemon.training import aside
from daemon.training.cycle import Cycle
from daemon.training.due.triggers import request_key
from daemon.upkeep.erasure import runs
from registry.artifacts.protocol import ArtifactStore
from registry.evidence import keeping
from registry.removal import erasure
from registry.reports.run.kept import Reports
from registry.versions import Version

_PAUSE_S = 1.0
_PURGE_AGAIN_S = 60.0
_ALARM_EVERY = timedelta(hours=1)
_REQUEST = "erasure-"

log = structlog.get_logger(__name__)


class Eraser:
    """One thread steps; it shares the buffer with ingest and enrichment, and the registry with the cycle."""

    def __init__(
        self,
        leading: Leading,
        *,
        erasures: Erasures,
        event_log: EventLog,
        dead_letters: DeadLetters,
        artifacts: ArtifactStore,
        cycle: Cycle,
        features: FeatureStore,
        metrics: DaemonMetrics,
    ) -> None:
        self._settings, self._tasks, self._clock = leading.settings, leading.tasks, leading.clock
        self._buffer, self._registry, self._token = leading.buffer, leading.registry, leading.fencing_token
        self._erasures = erasures
        self._event_log = event_log
        self._dead_letters = dead_letters
        self._artifacts = artifacts
        self._cycle = cycle
        self._features = features
        self._metrics = metrics
        settings = leading.settings
        self._keep = timedelta(hours=settings.buffer.keep_versions_hours)
        self._runs_dir = settings.runs_dir.resolve()
        self._reports = Reports(settings.reports_dir, self._runs_dir, watts_per_core=settings.reports.watts_per_core)
        self._begun = False
        self._gone_from_tables: list[int] = []
        self._forgotten: frozenset[str] = frozenset()
        self._purge_tried_at: datetime | None = None
        # What the log could not let go of, and when that was: Kafka keeps an event until its retention ends.
        self._stayed_in_log: frozenset[Position] = frozenset()
        self._stayed_at: datetime | None = None
        self._alarmed_at: datetime | None = None

    def step(self) -> float:
        """Advance every erasure as far as possible; return the seconds until the next check. Raises `RetryError`, `StopError`."""
        if not self._begun:
            self._begin()
        again = False
        try:
            self._remove_from_log()
            if self._erasures.unfinished():
                self._remove()
                again = self._rewrite()
                self._purge()
                self._ask_for_retrains()
                self._finish()
        finally:
            # Most of all where it does not get on: what is late must be told.
            self._report()
        return 0.0 if again else _PAUSE_S

    def _begin(self) -> None:
        """See whether a repair or a restored backup has brought erased rows back."""
        if self._buffer.repairs:
            self._erasures.start_over()
        waits = any(one.removed_at is None for one in self._erasures.unfinished())
        if not waits and self._erasures.tombstones() and self._buffer.holds_erased():
            log.error(
                "erasure.came_back",
                reason="rows of erased users or articles are in the buffer again",
                next="they are erased again",
            )
            self._erasures.came_back()
        self._begun = True

    def _remove(self) -> None:
        """Remove from all that is read: tables, log, dead letters, acknowledgements, training sets; mark what learnt from it."""
        numbers = [one.number for one in self._erasures.unfinished() if one.removed_at is None]
        if not numbers:
            return
        if numbers != self._gone_from_tables:
            rows = self._buffer.erase()
            texts = self._buffer.text_hashes()
            features, answers = self._features.keep_texts(texts), oracle.keep_texts(self._settings.data_dir, texts)
            log.info("erasure.rows_removed", erasures=numbers, rows=rows, features=features, oracle=answers)
            self._clear_log_and_letters()
            self._gone_from_tables = numbers
        erased = self._erasures.work("example")
        erasure.mark_versions(self._registry, erased, fencing_token=self._token)
        affected = {version.name for version in erasure.affected(self._registry)}
        nothing_left, tasks = runs.end_those_under_way(self._registry, self._cycle, self._runs_dir, erased, affected)
        self._erasures.add_work("task", tasks)
        if not nothing_left:
            return
        # Once more: a run may have published what it learnt just before it ended.
        erasure.mark_versions(self._registry, erased, fencing_token=self._token)
        articles = self._buffer.article_ids()
        keeping.erase(self._registry, self._settings.evidence_dir, erased, articles=articles, fencing_token=self._token)
        present = self._buffer.example_ids() | articles
        folders = runs.past_runs_holding_more_than(present, self._registry, self._runs_dir)
        self._erasures.add_work("told", erasure.mark_runs(self._registry, folders, fencing_token=self._token))
        runs.remove(self._runs_dir, folders)
        reports = self._reports.forget_absent(self._registry, present)
        # They name texts by their hashes, and are made again by the next look and the next draw.
        for folder in (self._settings.suspicious_dir, self._settings.next_labels_dir, self._settings.near_copies_dir):
            shutil.rmtree(folder, ignore_errors=True)
        aside.remove_copies(self._runs_dir)
        self._erasures.reached("removed_at", numbers)
        log.info(
            "erasure.removed",
            erasures=numbers,
            run_folders=len(folders),
            reports=reports,
            next=f"purged from disk in {self._keep}",
        )

    def _clear_log_and_letters(self) -> None:
        stones, told = self._erasures.tombstones(), self._erasures.work("told")
        event_ids: set[str] = set()

        def must_go(value: bytes) -> bool:
            if stones.covers_bytes(value):
                # A request that is not read yet must still be; its place is noted when it is.
                event_ids.update(names_in(value)["event_id"])
                return not is_erase_request(value)
            return not told.isdisjoint(names_in(value)["event_id"])

        found = self._event_log.find(must_go)
        letters = self._dead_letters.erase(stones.covers_bytes, frozenset(found))
        self._erasures.add_positions([*found, *letters])
        self._erasures.add_work("event", event_ids)
        self._remove_from_log()

    def _remove_from_log(self) -> None:
        """Remove the events that were found, or refused by ingest, from the log, and their acknowledgements."""
        positions, now = self._erasures.positions(), self._clock()
        if set(positions) - self._stayed_in_log or (positions and _is_over(self._stayed_at, now)):
            self._stayed_in_log, self._stayed_at = self._event_log.erase(positions), now
            self._erasures.drop_positions(set(positions) - self._stayed_in_log)
        event_ids = self._erasures.work("event")
        if event_ids:
            self._with_accepted(lambda accepted: accepted.forget(event_ids))
            # Serving acknowledges after the event is in the log: one look later it has.
            self._erasures.drop_work("event", event_ids & self._forgotten)
            self._forgotten = event_ids

    def _rewrite(self) -> bool:
        """Take erased rows out of the files of the newest versions, a part at a time; return whether more is to be done."""
        numbers = [one.number for one in self._erasures.unfinished() if one.removed_at and one.rewritten_at is None]
        if not numbers:
            return False
        versions = self._buffer.rewrite_erased()
        if versions is not None:
            self._erasures.rewritten(numbers, versions)
        return versions is None

    def _purge(self) -> None:
        """Remove the bytes, once no reader can need the table versions that hold them."""
        now = self._clock()
        due = [
            one
            for one in self._erasures.unfinished()
            if one.purged_at is None and one.rewritten_at is not None and now >= one.rewritten_at + self._keep
        ]
        if not due or not _is_over(self._purge_tried_at, now):
            return
        self._purge_tried_at = now
        if not self._erasures.positions():
            # Once more, for what has come since. While known events stay, a search through all topics would change nothing.
            self._clear_log_and_letters()
        oldest = self._buffer.purge(self._keep)
        left_in_log = len(self._erasures.positions())
        clean = [one for one in due if all(oldest[name] >= at for name, at in self._erasures.clean_versions(one.number).items())]
        for one in due if left_in_log else [one for one in due if one not in clean]:
            in_log = f"the event log still holds {left_in_log} erased events; Kafka's go with the topics' retention"
            what = in_log if left_in_log else "old table versions are still there"
            self._note(one, f"{what}; it is tried again")
        if left_in_log or not clean:
            return
        self._event_log.compact()
        self._dead_letters.compact()
        self._with_accepted(AcceptedFeedback.compact)
        self._registry.compact(fencing_token=self._token)
        self._purge_tried_at = None
        self._erasures.reached("purged_at", [one.number for one in clean])
        if all(one.purged_at for one in self._erasures.unfinished()):
            self._erasures.drop_work("example")
            self._erasures.drop_work("told")
        self._erasures.vacuum()
        log.info("erasure.purged", erasures=[one.number for one in clean])

    def _ask_for_retrains(self) -> None:
        """Ask for a full run of every task whose champion learnt from erased texts, and of those whose run was ended."""
        ready = [one for one in self._erasures.unfinished() if one.purged_at and one.retrain_at is None]
        if not ready:
            return
        newest = ready[-1]
        champions = {version.task for version in erasure.affected(self._registry) if self._is_champion(version)}
        wanted = sorted((champions | self._erasures.work("task")) & self._tasks().keys())
        sink = self._event_log.sink()
        try:
            for task in wanted:
                if self._waits_for_a_run(task):
                    continue
                # The same id when a killed process asks again, and another when the list of erasures begins again.
                event = Retrain(
                    event_id=f"{_REQUEST}{newest.number}-{newest.requested_at:%Y%m%dT%H%M%S}-{task}", occurred_at=self._clock(),
                    source="perennial erasure", task=task, full=True, reason=f"texts were erased (erasure {newest.number})",
                )  # fmt: skip
                sink.publish(FEEDBACK_TOPIC, to_bytes(event), key=task.encode())
            sink.flush()
        finally:
            sink.close()
        self._erasures.drop_work("task")
        self._erasures.reached("retrain_at", [one.number for one in ready])
        log.info("erasure.retrain_queued", erasures=[one.number for one in ready], tasks=wanted)

    def _waits_for_a_run(self, task: str) -> bool:
        """Return whether an earlier erasure has asked for a run that has not begun: it will serve this one too."""
        used = self._registry.runs.past(task).trigger_keys
        asked = (one.event_id for one in self._buffer.requests() if one.task == task and one.event_id.startswith(_REQUEST))
        return any(request_key(event_id) not in used for event_id in asked)

    def _finish(self) -> None:
        """Remove affected models that nothing needs any more; done is what no model remembers."""
        waiting = [one for one in self._erasures.unfinished() if one.retrain_at]
        if not waiting:
            return
        left = erasure.affected(self._registry)
        if not all(map(self._is_champion, left)):
            self._collect()
            left = erasure.affected(self._registry)
        # What was marked later belongs to a later erasure.
        in_the_way_of = {
            one.number: [version for version in left if _moment(version.affected_at) <= _moment(one.retrain_at)]
            for one in waiting
        }
        if not all(in_the_way_of.values()):
            # A process may have been killed between the record and the files.
            self._collect()
        for one in waiting:
            if in_its_way := in_the_way_of[one.number]:
                self._note(one, "; ".join(self._why_it_stays(version, one) for version in in_its_way))
            else:
                self._erasures.reached("done_at", [one.number])
                log.info("erasure.done", erasure=one.number, took=str(self._clock() - one.requested_at))

    def _collect(self) -> None:
        removed = erasure.collect(self._registry, self._artifacts, fencing_token=self._token)
        if removed:
            log.info("erasure.models_removed", artifacts=removed)

    def _why_it_stays(self, version: Version, erasure: Erasure) -> str:
        if not self._is_champion(version):
            return f"{version.name} learnt from it and is removed when the run that uses it ends"
        is_champion = f"{version.name}, the champion, learnt from it"
        if version.task not in self._tasks():
            return f"{is_champion}; its task file is gone, so no model can replace it: put the file back"
        by_hand = f"train another with `perennial train {version.task} --full`"
        run = self._registry.runs.last(version.task)
        if run is None or not run.finished or (erasure.retrain_at and run.created_at < erasure.retrain_at):
            return f"{is_champion}; a full run is queued or under way"
        if run.state == "failed":
            return f"{is_champion}; run {run.run_id} failed ({run.error}); {by_hand}"
        promote = f"Promote {run.version} with `perennial models promote {run.version}`, or {by_hand}"
        why = run.reasons[0] if run.reasons else "no reason was recorded"
        return f"{is_champion} and was kept: {why} {promote}"

    def _is_champion(self, version: Version) -> bool:
        champion = self._registry.versions.champion(version.task)
        return champion is not None and champion.version == version.name

    def _note(self, erasure: Erasure, note: str) -> None:
        if note != erasure.note:
            self._erasures.note(erasure.number, note)
            log.warning("erasure.waits", erasure=erasure.number, state=erasure.state, reason=note)

    def _report(self) -> None:
        """Show how many wait, and raise the alarm over those past the limit, once an hour."""
        now, limit = self._clock(), timedelta(hours=self._settings.erasure.limit_hours)
        unfinished = self._erasures.unfinished()
        late = [one for one in unfinished if one.is_late(now, limit)]
        self._metrics.erasures(len(unfinished), len(late))
        if not late or (self._alarmed_at is not None and now - self._alarmed_at < _ALARM_EVERY):
            return
        self._alarmed_at = now
        for one in late:
            log.error(
                "erasure.late", erasure=one.number, state=one.state, requested_at=one.requested_at.isoformat(),
                limit_hours=self._settings.erasure.limit_hours, reason=one.note or "it was not done in time",
                next="it continues; `perennial erasures` shows the progress",
            )  # fmt: skip

    def _with_accepted(self, act: Callable[[AcceptedFeedback], None]) -> None:
        """Let serving's list of acknowledgements be changed, where there is one."""
        path = self._settings.accepted_feedback_file
        if path.exists():
            accepted = AcceptedFeedback(path, keep=timedelta(days=self._settings.events.retention_days))
            try:
                act(accepted)
            finally:
                accepted.close()


def _is_over(tried_at: datetime | None, now: datetime) -> bool:
    """Return whether it is time to try again what was tried at `tried_at`."""
    return tried_at is None or (now - tried_at).total_seconds() >= _PURGE_AGAIN_S


def _moment(at: datetime | None) -> datetime:
    assert at is not None  # noqa: S101 - asked for by whoever selected it; narrows the type
    return at
