"""Plays a past under one policy: the daemon's triggers, cycle and gate decide, at each moment at which they could."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from consumers.history.past import Past, moment
from daemon.operations.simulating.looks import Looks
from daemon.operations.simulating.quality import Quality, mean
from daemon.operations.simulating.ways import Ways
from daemon.operations.simulating.world import World
from daemon.views.models.simulation import Period, PlayedRun, Reproduction
from registry.runs import Run

_DAY_S = 86_400.0
_LEFT = timedelta(seconds=1)
Passing = Callable[[datetime], None]
"""Hears how far the history's clock has come."""


@dataclass
class Played:
    """What was done so far."""

    runs: list[PlayedRun] = field(default_factory=list)
    records: list[Run] = field(default_factory=list)
    """The runs as their registry has them, in the same order."""
    periods: list[Period] = field(default_factory=list)
    labels_asked: int = 0
    promotions: int = 0
    complete: bool = False
    recorded: Reproduction | None = None

    @property
    def quality(self) -> float | None:
        """The mean score of the periods that were measured."""
        return mean(self.periods)

    @property
    def waits(self) -> Sequence[float]:
        """How long, in days, the oldest new example of each run had waited."""
        return [run.waited_days for run in self.runs if run.waited_days is not None]


class Playing:
    """One policy's way through a past; `done` grows as it goes, so that a stop leaves what was done."""

    def __init__(
        self, world: World, past: Past, ways: Ways, *, ends: Sequence[datetime], stop: threading.Event,
        lasted: Callable[[str], timedelta | None], passing: Passing = lambda _at: None,
    ) -> None:  # fmt: skip
        """`lasted` says how long a kind of run takes on the history's clock; None: as long as it takes here."""
        self.world = world
        self.past = past
        self.stop = stop
        self.done = Played()
        self._lasted = lasted
        self._passing = passing
        self._looks = Looks(past, world.settings.schedule)
        self._quality = Quality(world, past, ways, ends)
        self.done.periods = self._quality.periods
        self.end = moment(past.moments[-1])

    def play(self) -> None:
        """Play the past to its end, or until it is stopped."""
        world = self.world
        self.forward(moment(self.past.moments[0]))
        while not self.stop.is_set():
            seen, found = world.look()
            if found.trigger is not None:
                waited = None if seen.oldest_new_at is None else world.clock() - seen.oldest_new_at
                started = world.cycle.start(world.task.name, found.trigger)
                if started is not None:
                    self.carry(started, waited, self._lasted(started.kind))
                    # The next look is a moment later, at what came meanwhile.
                    self.forward(world.clock() + _LEFT)
                    continue
            runs = world.registry.runs.past(world.task.name)
            back = world.player.in_the_past
            at = self._looks.following(
                world.task, seen, world.clock(), frozen=back(runs.max_seq), refreshed=back(runs.refreshed_seq)
            )
            if at is None or at > self.end + timedelta(seconds=world.settings.schedule.check_interval_s):
                # Nothing can become due any more; the last rows tell what was missing.
                self.forward(self.end)
                break
            self.forward(at)
        self.finish()

    def forward(self, at: datetime, number: int | None = None) -> None:
        """Put the clock forward and play what came until then; with `number` the rows up to that."""
        at = max(at, self.world.clock())
        self._quality.passed(at, self.world.champion())
        self.world.clock.to(at)
        self.world.player.to(at, number)
        self._passing(at)

    def carry(self, run: Run, waited: timedelta | None, lasts: timedelta | None) -> Run | None:
        """Take a run as far as it goes, and note it; None where it was stopped.

        It `lasts` so long on the history's clock; None: as long as it takes here.
        """
        world, champion = self.world, self.world.champion()
        world.lasts(lasts)
        run = world.cycle.advance(run)
        while not run.finished and run.retry_at is not None and not self.stop.is_set():
            world.clock.to(run.retry_at)
            run = world.cycle.advance(run)
        self._quality.passed(world.clock(), champion)
        if not run.finished:
            return None
        # Nobody answers here; that they are open tells what people would have been asked.
        world.cycle.want_labels()
        self.note(run, None if run.kind == "refresh" else waited)
        world.tidy()
        return run

    def note(self, run: Run, waited: timedelta | None = None) -> None:
        """Note a run that has ended."""
        self.done.runs.append(_told(run, waited))
        self.done.records.append(run)
        self.done.promotions += run.verdict == "promote"

    def finish(self) -> None:
        """Measure what is left, and count what people would have been asked."""
        if not self.stop.is_set():
            self._quality.passed(self.end, self.world.champion())
            self.done.complete = True
        self.done.labels_asked = self._asked()

    def _asked(self) -> int:
        """Return how many labels people would have been asked for, at most: as the policy allows a week, while a pair is open."""
        world = self.world
        pools, review = world.registry.pools.of_task(world.task.name), world.task.review
        promoted = [run.finished_at for run in self.done.records if run.verdict == "promote" and run.finished_at is not None]
        asked = 0
        for pool in pools:
            over = [at for at in (pool.closed_at, world.clock(), *promoted) if at is not None and at > pool.created_at]
            days = min([*((at - pool.created_at).total_seconds() / _DAY_S for at in over), review.days])
            asked += review.per_week * (1 + math.floor(days / 7))
        return asked


def _told(run: Run, waited: timedelta | None) -> PlayedRun:
    seen = run.comparison or {}
    why = run.error if run.state == "failed" else next(iter(run.reasons), "")
    return PlayedRun(
        key=run.trigger_key,
        kind=run.kind,
        at=run.created_at,
        waited_days=None if waited is None else max(0.0, waited.total_seconds() / _DAY_S),
        state=run.state,
        verdict=run.verdict,
        why=why or "",
        version=run.version,
        rows=int(seen.get("rows", 0)),
        candidate_score=seen.get("candidate_score"),
        champion_score=seen.get("champion_score"),
        cpu_s=run.cpu_s or 0.0,
    )
