"""Carries out what events ask of the data: imports are taken back, and changes of labels are told to apps."""

from __future__ import annotations

from datetime import timedelta

import structlog

from config.task_files.labels.label_changes import Change, applied
from config.tasks import TaskSpec
from consumers.rows.arriving import imports
from consumers.rows.arriving.requests import Request
from consumers.rows.labels.unlabelled import id_of
from daemon.process.leading import Leading
from registry.people.audit import IMPORT_UNDONE

_PAUSE_S = 2.0
_LOOKS_AGAIN = 5
"""Enrichment may store what it found out about a row while that is removed."""

log = structlog.get_logger(__name__)


class Asked:
    """One thread steps. What was done before a crash is done again, and changes nothing."""

    def __init__(self, leading: Leading) -> None:
        self._settings, self._tasks, self._clock = leading.settings, leading.tasks, leading.clock
        self._buffer, self._registry, self._token = leading.buffer, leading.registry, leading.fencing_token
        self._seen_version: int | None = None
        self._looks_left = 0
        self._told: set[str] = set()

    def step(self) -> float:
        """Do what was asked for since the last step; return the seconds until the next. Raises `RetryError`, `StopError`."""
        version = self._buffer.versions()["requests"]
        if version != self._seen_version:
            self._looks_left = _LOOKS_AGAIN
            self._tell_of_labels()
        if self._looks_left:
            self._looks_left -= 1
            for request in self._buffer.requests("import_undo"):
                self._take_back(request)
        self._seen_version = version
        return _PAUSE_S

    def _take_back(self, request: Request) -> None:
        learners: list[str] = []

        def record(rows: frozenset[str]) -> None:
            learners.extend(self._record(request, len(rows)))

        removed = self._buffer.take_back(request.import_id, stored_before=request.stored_seq, first=record)
        if removed:
            kept = "these versions keep what they learnt until another replaces them"
            log.info(
                "import.taken_back", import_id=request.import_id, rows=len(removed), versions=learners,
                next=kept if learners else "no version learnt from it",
            )  # fmt: skip

    def _record(self, request: Request, rows: int) -> list[str]:
        """Record a request once, before any row goes; return the versions that learnt from the import.

        Where a crash comes between, the rows that are left go at the next start, and the entry is there already.
        """
        # By how their ids begin: an import may have more rows than a query takes ids.
        begins = [imports.beginning(request.import_id), id_of(imports.beginning(request.import_id))]
        learners = [name for task in self._tasks() for name in self._registry.versions.who_learnt_of(task, begins)]
        if all(entry.details.get("event") != request.event_id for entry in self._registry.audit.of_action(IMPORT_UNDONE)):
            told = {"import": request.import_id, "event": request.event_id, "rows": rows, "versions": learners}
            self._registry.audit.add(
                IMPORT_UNDONE, actor=request.source or "an event", reason=request.reason or "no reason given",
                subject=f"import {request.import_id}", details=told,
            )  # fmt: skip
        return learners

    def _tell_of_labels(self) -> None:
        """Queue an event for apps about each change, once; older than sent events are kept, none is known to be new."""
        since = self._clock() - timedelta(days=self._settings.events.retention_days)
        for name, task in self._tasks().items():
            history = self._buffer.label_changes(name)
            for at, change in enumerate(history, start=1):
                if change.change_id in self._told or change.at is None or change.at < since:
                    continue
                self._registry.outbox.add(told(task, change, history[:at]), fencing_token=self._token)
                self._told.add(change.change_id)
                log.info("labels.changed", task=name, change=change.change_id, does=change.does)


def told(task: TaskSpec, change: Change, history: list[Change]) -> dict[str, object]:
    """Return the outgoing event about a change, with the labels that are declared after it."""
    return {
        "event_id": f"{change.change_id}:labels.changed", "type": "labels.changed", "task": task.name, "change": change.change_id,
        "does": change.does, "renames": dict(change.renames), "splits": {old: list(new) for old, new in change.splits.items()},
        "retired": list(change.retired), "added": list(change.added), "undoes": change.undoes, "actor": change.by,
        "reason": change.reason, "labels": list(applied(task, history).label_names),
    }  # fmt: skip
