"""Gathers what the trigger policy looks at, from the registry and the buffer."""

from __future__ import annotations

from consumers.buffer import Buffer
from daemon.triggers import Evidence, Request
from registry.store import Registry

_RECENT_RUNS = 500
_OVER = frozenset({"decided", "failed"})


def gather(task: str, registry: Registry, buffer: Buffer) -> Evidence:
    """Return the evidence of one task as it stands now."""
    runs = registry.runs.list(task, limit=_RECENT_RUNS)
    # Whatever became of a run, the examples it froze have had their turn as a trigger; training still sees them as new
    # until a champion has learnt them.
    counts = buffer.counts(task, after_seq=max((run.max_seq for run in runs), default=0))
    ended = [run.finished_at for run in runs if run.finished_at is not None]
    return Evidence(
        new_examples=counts.new,
        train_examples=counts.train,
        oldest_new_at=counts.oldest_new_at,
        has_champion=registry.versions.champion(task) is not None,
        running=any(run.state not in _OVER for run in runs),
        first_run_at=min((run.created_at for run in runs), default=None),
        last_run_at=max(ended, default=None),
        used_keys=frozenset(run.trigger_key for run in runs),
        next_number=len(runs) + 1,
        requests=tuple(
            Request(request.event_id, request.reason, request.full, request.promote)
            for request in buffer.requests("retrain")
            if request.task == task
        ),
    )
