"""Alerts: what is wrong now, as one look from outside the daemon can tell, under the names of Prometheus' alerts and runbooks.

What needs a course of time, such as a lag that grows, only Prometheus tells (`deploy/prometheus/alerts.yml`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from config.words import counted
from daemon.views.installation.flow import Flow
from daemon.views.view import View

ENRICHMENT_BEHIND = timedelta(minutes=30)
FAILED_IN_A_ROW = 3
UNDECIDED_FOR = timedelta(days=8)
"""The weekly run and a day."""
MANY_DEAD_LETTERS = 10
DEAD_LETTERS_WITHIN = timedelta(minutes=15)
MANY_OUTGOING = 100
DISK_RESERVES = 4
"""How many times `ingest.min_free_disk_mib` there should be."""
BACKUP_TOO_OLD = timedelta(days=2)


class Alert(View):
    """Something that a person should see to."""

    name: str
    """Of the alert in Prometheus and of the page `docs/runbooks/NAME.md`."""
    severity: Literal["critical", "warning"]
    task: str | None
    what: str
    """What is wrong, in a sentence."""


@dataclass(frozen=True, slots=True)
class OfTask:
    """What a task's alerts follow from."""

    failed_in_a_row: int
    last_decided_at: datetime | None
    moves: Mapping[str, int]
    """Corrections held by each label-flip alarm that is up."""
    paused: bool = False
    """Whether a person has paused it: then nobody waits for a verdict."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was seen at one moment."""

    now: datetime
    flow: Flow
    leader_gone_since: datetime | None
    """None while a daemon leads, and before the first."""
    serving_problem: str | None
    late_erasures: int
    dead_letters_since: datetime | None
    """When the eleventh newest dead letter came; None while there are fewer."""
    outgoing: int
    """Events that wait to be published."""
    free_bytes: int
    needed_bytes: int
    last_backup_at: datetime | None
    tasks: Mapping[str, OfTask]


def alerts(seen: Looked) -> tuple[Alert, ...]:
    """Return what is wrong, critical first."""
    found = [
        *_of_the_process(seen),
        *_of_the_flow(seen),
        *(one for name, task in seen.tasks.items() for one in _of(name, task, seen)),
    ]
    return tuple(sorted(found, key=lambda alert: alert.severity))


def _of_the_process(seen: Looked) -> Iterator[Alert]:
    if seen.leader_gone_since is not None:
        since = f"{seen.leader_gone_since:%Y-%m-%d %H:%M:%S} UTC"
        yield _critical("NoLeader", f"no daemon has run since {since}: nothing is ingested and nothing trains")
    if seen.serving_problem is not None:
        yield _critical("ServingDown", f"serving does not answer: {seen.serving_problem}")
    if seen.late_erasures:
        yield _critical("ErasureLate", f"{counted(seen.late_erasures, 'erasure')} past erasure.limit_hours")
    if seen.needed_bytes and seen.free_bytes < DISK_RESERVES * seen.needed_bytes:
        yield _warning(
            "DiskLow", f"{seen.free_bytes / 2**30:.1f} GiB free; ingest pauses below {seen.needed_bytes / 2**30:.1f} GiB"
        )
    if seen.last_backup_at is not None and seen.now - seen.last_backup_at > BACKUP_TOO_OLD:
        yield _warning("BackupTooOld", f"the last backup was complete at {seen.last_backup_at:%Y-%m-%d %H:%M} UTC")


def _of_the_flow(seen: Looked) -> Iterator[Alert]:
    if seen.flow.log_problem is not None:
        yield _critical("LogNotAnswering", f"the event log does not answer: {seen.flow.log_problem}")
    waiting = [one.since for one in seen.flow.backlog.values() if one.since is not None]
    if waiting and seen.now - min(waiting) > ENRICHMENT_BEHIND:
        yield _warning("EnrichmentBehind", f"a text has waited for enrichment since {min(waiting):%Y-%m-%d %H:%M} UTC")
    if seen.dead_letters_since is not None and seen.now - seen.dead_letters_since < DEAD_LETTERS_WITHIN:
        yield _warning("DeadLettersRising", f"more than {MANY_DEAD_LETTERS} events could not be used in the last 15 minutes")
    if seen.outgoing > MANY_OUTGOING:
        yield _warning("OutboxBacklog", f"{counted(seen.outgoing, 'outgoing event')} wait to be published")


def _of(name: str, task: OfTask, seen: Looked) -> Iterator[Alert]:
    for move, held in task.moves.items():
        told = (
            f"{counted(held, 'correction')} change {move!r}, far more than usual; feedback starts no run until a person decides"
        )
        yield _warning("LabelFlips", told, task=name)
    if task.failed_in_a_row >= FAILED_IN_A_ROW:
        yield _warning("RunsFailing", f"the last {task.failed_in_a_row} runs failed", task=name)
    if task.last_decided_at is not None and not task.paused and seen.now - task.last_decided_at > UNDECIDED_FOR:
        yield _warning("NoRunDecided", f"no run has reached a verdict since {task.last_decided_at:%Y-%m-%d %H:%M} UTC", task=name)


def of_serving(problems: Mapping[str, str]) -> Sequence[Alert]:
    """Return the alerts of a serving process whose `problems` are known by task."""
    return [_critical("ServingNotReady", problem, task=name) for name, problem in sorted(problems.items())]


def _critical(name: str, what: str, task: str | None = None) -> Alert:
    return Alert(name=f"Perennial{name}", severity="critical", task=task, what=what)


def _warning(name: str, what: str, task: str | None = None) -> Alert:
    return Alert(name=f"Perennial{name}", severity="warning", task=task, what=what)
