"""Plays a past as it is on record: each run at the moment, on the rows and under the policy that it had.

What it shows is how far the record can be trusted to repeat: the same trigger keys, training sets and verdicts. What people did
in between, such as a rollback, or answers that decided a pair of models, happens again too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, cast

import pyarrow as pa

from config.errors import UserError
from config.tasks import TaskSpec
from config.words import counted, named
from consumers.rows.labels.unlabelled import is_article
from daemon.operations.simulating.playing import Playing
from daemon.operations.simulating.record import Record, looked_at, policy_of
from daemon.operations.simulating.ways import Ways
from daemon.training.due.triggers import Trigger
from daemon.views.models.simulation import Difference, Reproduction
from registry import promotion
from registry.aliases import AliasMove
from registry.runs import Run
from registry.store import Registry

_KINDS = ("threshold", "age", "evidence", "weekly", "request", "refresh")
Kind = Literal["threshold", "age", "evidence", "weekly", "request", "refresh"]


@dataclass
class _Tally:
    keys: int = 0
    training_sets: int = 0
    verdicts: int = 0
    differences: list[Difference] = field(default_factory=list)


class Repeating:
    """One way through the record."""

    def __init__(self, playing: Playing, record: Record, task: TaskSpec, ways: Ways, source: Registry) -> None:
        """`source` is the registry that the record is of."""
        self._playing = playing
        self._record = record
        self._task = task
        self._ways = ways
        self._source = source
        self._tally = _Tally()
        self._versions: dict[str, str] = {}
        """Version on record -> the one that took its place."""
        self.notes: list[str] = []

    def play(self) -> None:
        """Play the runs on record, oldest first, until all are played or it is stopped."""
        playing, moves = self._playing, list(self._record.outside)
        for run in self._record.runs:
            while moves and moves[0].moved_at <= run.created_at:
                self._move(moves.pop(0))
            if playing.stop.is_set():
                break
            self._repeat(run)
        else:
            for move in moves:
                self._move(move)
            playing.forward(playing.end)
        playing.finish()
        tally = self._tally
        asked = self._record.asked
        playing.done.labels_asked = sum(asked.get(run.run_id, 0) for run in self._record.runs[: len(playing.done.runs)])
        playing.done.recorded = Reproduction(
            runs=len(self._record.runs), keys=tally.keys, training_sets=tally.training_sets, verdicts=tally.verdicts,
            differences=tuple(tally.differences),
        )  # fmt: skip

    def _repeat(self, recorded: Run) -> None:
        playing, world = self._playing, self._playing.world
        world.use(self._ways.task(policy_of(self._record.versions.get(recorded.run_id), self._task)))
        playing.forward(recorded.created_at, max(looked_at(recorded), world.player.number))
        seen, found = world.look()
        due = found.trigger
        if due is not None and due.key == recorded.trigger_key:
            self._tally.keys += 1
        else:
            told = f"due was {due.key}" if due is not None else f"no run was due: {found.reasons[0] if found.reasons else ''}"
            self._differs(recorded, "key", f"{told}; it was played all the same")
            due = _as_recorded(recorded)
        waited = None if seen.oldest_new_at is None else world.clock() - seen.oldest_new_at
        started = world.cycle.start(world.task.name, due)
        if started is None:
            self._differs(recorded, "unplayed", "its trigger key was used by another run of the replay")
            return
        if recorded.state == "failed":
            self._fails(started, recorded)
            return
        # What came between the look and the freeze is in the training set.
        world.player.to(world.clock(), max(recorded.max_seq, world.player.number))
        done = playing.carry(started, waited, _lasted(recorded))
        if done is not None:
            self._compare(done, recorded)

    def _fails(self, started: Run, recorded: Run) -> None:
        """Let a run fail as it did: why it failed then says nothing of the policy."""
        world = self._playing.world
        if recorded.finished_at is not None:
            world.clock.to(recorded.finished_at)
        failed = world.registry.runs.update(
            started.run_id, state="failed", max_seq=recorded.max_seq, failures=recorded.failures,
            error=f"failed on record, so it was not played: {recorded.error or ''}",
        )  # fmt: skip
        self._tally.verdicts += 1
        self._playing.note(failed)

    def _compare(self, done: Run, recorded: Run) -> None:
        self._tally.training_sets += done.training_set_sha256 == recorded.training_set_sha256
        if done.version is not None and recorded.version is not None:
            self._versions[recorded.version] = done.version
        then = "insufficient_evidence" if recorded.run_id in self._record.judged_later else recorded.verdict
        if done.verdict == then:
            self._tally.verdicts += 1
            return
        rows = int((recorded.comparison or {}).get("rows", 0)), int((done.comparison or {}).get("rows", 0))
        told = f"{then} on record, {done.verdict or done.state} here"
        if rows[0] != rows[1]:
            told += f"; {counted(rows[0], 'test row')} then, {rows[1]} here"
        if done.error:
            told += f"; {done.error}"
        self._differs(recorded, "verdict" if done.state == "decided" else "failed", told)

    def _differs(self, recorded: Run, what: Literal["key", "verdict", "failed", "unplayed"], told: str) -> None:
        missing = tuple(self._missing(recorded))
        if missing:
            told += f"; the buffer no longer has {counted(len(missing), 'row')} that its version learnt from: {named(missing)}"
        if recorded.erased_at is not None:
            told += f"; texts of its training set were erased by {recorded.erased_at:%Y-%m-%d}"
        difference = Difference(run_id=recorded.run_id, key=recorded.trigger_key, what=what, told=told, missing=missing)
        self._tally.differences.append(difference)

    def _missing(self, recorded: Run) -> list[str]:
        if recorded.version is None or recorded.run_id not in self._record.versions:
            return []
        learnt = [one for one in self._source.versions.learnt(recorded.version) if not is_article(one)]
        return self._playing.past.missing(pa.array(learnt, pa.string()))

    def _move(self, move: AliasMove) -> None:
        """Let what people did to the alias happen again."""
        playing, registry, task = self._playing, self._playing.world.registry, self._task.name
        playing.forward(move.moved_at, playing.world.player.number)
        version = self._versions.get(move.to_version)
        try:
            if move.kind in ("pin", "unpin"):
                (promotion.pin if move.kind == "pin" else promotion.unpin)(
                    registry, task, actor=move.actor, reason=move.reason
                )  # fmt: skip
            elif version is None:
                self.notes.append(f"{_said(move)} was not played: {move.to_version} has no counterpart here")
            elif move.kind == "promote":
                promotion.promote_by_hand(registry, version, actor=move.actor, reason=move.reason, force=True)
            else:
                promotion.rollback(registry, task, to=version, actor=move.actor, reason=move.reason)
        except UserError as error:
            self.notes.append(f"{_said(move)} was not played: {error}")


def _lasted(run: Run) -> timedelta | None:
    return None if run.finished_at is None else run.finished_at - run.created_at


def _said(move: AliasMove) -> str:
    return f"the {move.kind} of {move.to_version} by {move.actor} on {move.moved_at:%Y-%m-%d}"


def _as_recorded(run: Run) -> Trigger:
    kind = run.trigger_key.partition(":")[0]
    found = cast("Kind", kind if kind in _KINDS else "request")
    return Trigger(found, run.trigger_key, run.reason, run.full, run.promote)
