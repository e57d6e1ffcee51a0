"""Gathers the input of the trigger policy from the registry, the buffer and the event log."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Sequence

from config.task_files.overrides import NONE, Overrides
from config.tasks import TaskSpec
from config.words import counted, named
from consumers.buffer.reader import BufferReader
from consumers.rows.arriving import requests as stored
from consumers.training_set.counting import TaskCounts
from consumers.training_set.selection import HOW_A_LABEL_JOINS
from consumers.training_set.snapshot import Manifest
from daemon.training.due import triggers
from daemon.training.due.trigger_input import Evidence, Request, Retry
from registry.runs import Past
from registry.store import Registry
from registry.versions import Version
from trainers.learners.catalog import can_refresh


def gather(task: str, registry: Registry, buffer: BufferReader, *, unread: int | None = 0) -> Evidence:
    """Return the evidence of one task as it stands now; `unread` events wait in the log (None: it does not say)."""
    past = registry.runs.past(task)
    # Examples that a run froze start no other run, however that run ended. Training still sees them as new until a champion
    # has learnt them.
    counts = buffer.counts(task, after_seq=past.max_seq)
    alarms = buffer.defence(task).alarms
    champion = registry.versions.champion(task)
    version = None if champion is None else registry.versions.get(champion.version)
    has_champion = version is not None
    refreshable = version is not None and _is_refreshable(version)
    fresh = counts
    if refreshable and past.refreshed_seq != past.max_seq:
        fresh = buffer.counts(task, after_seq=past.refreshed_seq)
    return Evidence(
        # While an alarm is open, feedback alone starts no run.
        new_examples=counts.new_labels if alarms else counts.new,
        new_weight=float(counts.new_labels) if alarms else counts.new_weight,
        new_confirmed_weight=0.0 if alarms else counts.new_confirmed_weight,
        train_examples=counts.train,
        test_examples=counts.test_in_window,
        new_test_examples=counts.new_test,
        oldest_new_at=counts.oldest_new_label_at if alarms else counts.oldest_new_at,
        enough_since=counts.enough_since,
        unread=unread,
        unenriched=counts.unenriched,
        unfit=counts.unfit,
        # Read only where it is shown: it costs a little for each write of the last hour.
        enriched_per_s=buffer.enriched_per_s() if counts.unenriched and not has_champion else None,
        has_champion=has_champion,
        running=past.running,
        retry=_retry(past),
        given_up=past.given_up,
        undecided_rows=past.undecided_rows,
        first_run_at=past.first_created_at,
        last_run_at=past.last_finished_at,
        used_keys=past.trigger_keys,
        newest_seq=counts.max_seq,
        alarms=len(alarms),
        refreshable=refreshable,
        standing_head=str(version.metrics.get("standing_head", "")) if version is not None else "",
        fresh_weight=_fresh_weight(fresh, labels_alone=bool(alarms)),
        refreshed_at=past.refreshed_at,
        request=_request(task, past, buffer, unenriched=counts.unenriched),
        pause=registry.pauses.of(task),
        trained_run=past.trained,
    )


def _is_refreshable(version: Version) -> bool:
    """Return whether a version's head can be solved anew; of versions that do not say, by what their task was."""
    recorded = version.metrics.get("refreshable")
    task = version.lineage.settings.get("task", {})
    return bool(recorded) if recorded is not None else can_refresh(task.get("kind", ""), task.get("backend", ""))


def _fresh_weight(counts: TaskCounts, *, labels_alone: bool) -> float:
    """Return what new examples weigh: confirmations at most as much as the rest, and nothing but labels under an alarm."""
    return float(counts.new_labels) if labels_alone else counts.new_weight + min(counts.new_weight, counts.new_confirmed_weight)


def outside_the_window(task: TaskSpec, buffer: BufferReader, rows: int) -> str | None:
    """Return a hint where a run had too few test rows (`rows`) because the task's window leaves out others; else None."""
    counts = buffer.counts(task.name)
    if rows >= task.promotion.min_test_examples or counts.test_in_window >= counts.test:
        return None
    return (
        f"Only {counts.test_in_window} of {counts.test} test rows are within promotion.window_days "
        f"({task.promotion.window_days:g}) of the newest one. For an archive raise promotion.window_days in the task file."
    )


def labels_that_wait(frozen: Manifest) -> tuple[str, ...]:
    """Return one sentence on the labels of a training set that were not learnt and what they wait for; nothing without any."""
    if not frozen.waiting:
        return ()
    most_first = sorted(frozen.waiting, key=lambda name: (-frozen.waiting[name], name))
    names = named([f"{name!r} ({counted(frozen.waiting[name], 'row')})" for name in most_first])
    return (f"Not learnt, because only users have given it: label {names}; {HOW_A_LABEL_JOINS}.",)


def _request(task: str, past: Past, buffer: BufferReader, *, unenriched: int) -> Request | None:
    """Return the requests that have had no run and wait for nothing, as one; else the one that waits for the fewest texts.

    Those that ask for other settings than the oldest wait for a run of their own.
    """
    waiting = [
        one
        for one in buffer.requests("retrain")
        if one.task == task and triggers.request_key(one.event_id) not in past.trigger_keys
    ]
    if not waiting:
        return None
    by_arrival = sorted(waiting, key=lambda one: one.stored_seq)
    ready = _ready(task, by_arrival, buffer) if unenriched else len(by_arrival)
    if ready == 0:
        first = by_arrival[0]
        ahead = buffer.unenriched_before(task, first.stored_seq)
        return Request(first.event_id, first.reason, first.full, first.promote, texts_ahead=ahead, overrides=first.overrides)
    last = by_arrival[ready - 1].stored_seq
    oldest, *others = [one for one in waiting if one.stored_seq <= last]
    others = [one for one in others if one.overrides == oldest.overrides]
    return Request(
        oldest.event_id,
        oldest.reason,
        full=oldest.full or any(one.full for one in others),
        promote=oldest.promote or any(one.promote for one in others),
        further=tuple(one.event_id for one in others),
        overrides=oldest.overrides,
    )


def overrides_of(event_ids: Collection[str], buffer: BufferReader) -> Overrides:
    """Return what the requests that a run serves set otherwise than the task file; they all set the same."""
    served = frozenset(event_ids)
    found = (one.overrides for one in buffer.requests("retrain") if one.event_id in served) if served else iter(())
    return next(found, NONE)


def _ready(task: str, by_arrival: Sequence[stored.Request], buffer: BufferReader) -> int:
    """Return how many of the requests, in order of arrival, have no text ahead of them that is not enriched.

    By halves, the newest first: to count what is ahead of each of thousands takes minutes.
    """
    if buffer.unenriched_before(task, by_arrival[-1].stored_seq) == 0:
        return len(by_arrival)
    return bisect.bisect_left(
        by_arrival, 1, hi=len(by_arrival) - 1, key=lambda one: buffer.unenriched_before(task, one.stored_seq)
    )


def _retry(past: Past) -> Retry | None:
    run = past.waiting
    return None if run is None or run.retry_at is None else Retry(run.run_id, run.retry_at, run.error or "", run.failures)
