"""When a replay looks whether a run is due: where enough rows have come, and where time alone may make one due.

The daemon looks every few seconds. Between two such moments nothing can become due, so a replay passes over them: no row weighs
more than 1, so fewer rows than a threshold never reach it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import numpy as np

from config.sections import ScheduleSettings
from config.tasks import TaskSpec
from consumers.history.past import Past, microseconds, moment
from daemon.training.due import triggers
from daemon.training.due.trigger_input import Evidence


class Looks:
    """The moments of a past at which a look may find something due."""

    def __init__(self, past: Past, schedule: ScheduleSettings) -> None:
        self._past = past
        self._schedule = schedule

    def following(self, task: TaskSpec, seen: Evidence, now: datetime, *, frozen: int, refreshed: int) -> datetime | None:
        """Return the next moment after `now` at which a run may be due, by what was `seen` then; None where none is left.

        `frozen` is the highest number in the training set of a run, `refreshed` in that of a run or a refresh.
        """
        later = [
            *self._by_rows(task, seen, now, {"frozen": frozen, "refreshed": refreshed}),
            *self._by_time(task, seen, now),
            *self._by_requests(now),
        ]
        return min((at for at in later if at > now), default=None)

    def _by_rows(self, task: TaskSpec, seen: Evidence, now: datetime, learnt: Mapping[str, int]) -> Iterator[datetime]:
        least = task.trigger.min_new_examples
        if seen.oldest_new_at is not None and now >= seen.oldest_new_at + timedelta(days=task.trigger.max_age_days):
            least = min(least, task.trigger.max_age_min_examples)
        if seen.undecided_rows is not None and seen.undecided_rows < task.promotion.min_test_examples:
            least = min(least, task.promotion.min_test_examples - seen.undecided_rows)
        wanted = [(learnt["frozen"], least)]
        if task.refreshes and seen.has_champion:
            wanted.append((learnt["refreshed"], task.refresh.min_new_examples))
        known = int(np.searchsorted(self._past.moments, microseconds(now), side="right"))
        for since, rows in wanted:
            # The first place at which there are enough; where there are, but not of enough weight, the next row may do.
            place = max(int(np.searchsorted(self._past.numbers, since, side="right")) + rows - 1, known)
            if place < len(self._past.moments):
                yield self._at_a_look(moment(self._past.moments[place]))

    def _at_a_look(self, at: datetime) -> datetime:
        """Return the first look at or after a moment: looks are on multiples of the interval at which the daemon looks."""
        every = max(1, round(self._schedule.check_interval_s * 1_000_000))
        return moment(math.ceil(microseconds(at) / every) * every)

    def _by_time(self, task: TaskSpec, seen: Evidence, now: datetime) -> Iterator[datetime]:
        if seen.last_run_at is not None:
            yield seen.last_run_at + timedelta(minutes=task.trigger.cooldown_minutes)
        if seen.refreshed_at is not None:
            yield seen.refreshed_at + timedelta(minutes=task.refresh.cooldown_minutes)
        if seen.oldest_new_at is not None:
            yield seen.oldest_new_at + timedelta(days=task.trigger.max_age_days)
        if self._schedule.weekly and task.trigger.weekly and seen.first_run_at is not None:
            yield triggers.last_weekly_moment(self._schedule, now) + timedelta(days=7)

    def _by_requests(self, now: datetime) -> Iterator[datetime]:
        moments = self._past.request_moments()
        place = int(np.searchsorted(moments, microseconds(now), side="right"))
        if place < len(moments):
            yield moment(moments[place])
