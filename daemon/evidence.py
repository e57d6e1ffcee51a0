"""Gathers what the trigger policy looks at, from the registry and the buffer."""

from __future__ import annotations

from consumers.buffer import Buffer
from daemon import triggers
from daemon.triggers import Evidence, Request
from registry.store import Registry


def gather(task: str, registry: Registry, buffer: Buffer) -> Evidence:
    """Return the evidence of one task as it stands now."""
    past = registry.runs.past(task)
    # Whatever became of a run, the examples it froze have had their turn as a trigger; training still sees them as new
    # until a champion has learnt them.
    counts = buffer.counts(task, after_seq=past.max_seq)
    alarms = buffer.defence(task).alarms
    return Evidence(
        # While an alarm is up, feedback starts no run by itself.
        new_examples=counts.new_labels if alarms else counts.new,
        train_examples=counts.train,
        oldest_new_at=counts.oldest_new_label_at if alarms else counts.oldest_new_at,
        has_champion=registry.versions.champion(task) is not None,
        running=past.running,
        first_run_at=past.first_created_at,
        last_run_at=past.last_finished_at,
        used_keys=past.trigger_keys,
        newest_seq=counts.max_seq,
        alarms=len(alarms),
        requests=tuple(
            Request(
                request.event_id,
                request.reason,
                request.full,
                request.promote,
                texts_ahead=buffer.unenriched_before(task, request.stored_seq) if counts.unenriched else 0,
            )
            for request in buffer.requests("retrain")
            if request.task == task and triggers.request_key(request.event_id) not in past.trigger_keys
        ),
    )
