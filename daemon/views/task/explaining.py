"""Reads why a task did or did not train and promote: `perennial explain`, `GET /v1/tasks/{task}/explain`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from config.errors import PerennialError
from config.settings import Settings
from config.tasks import TaskSpec
from config.words import counted, moment
from daemon.flow.groups import LABELS_TOPIC
from daemon.training.due import triggers
from daemon.views.models import runs
from daemon.views.task.explanation import Cause, Estimate, Explanation, Promoting, Retraining
from daemon.views.task.task_status import TaskStatus, due_in_words
from registry.evidence.in_words import lack_of, of_run
from registry.judging.reach import out_of_reach
from trainers.compare.comparison import Comparison

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from daemon.training.due.trigger_input import Evidence
    from daemon.views.installation.status import Status, StatusReader
    from registry.store import Registry

_RUNS_LOOKED_AT = 50
_LEAST_TIME = timedelta(hours=1)
"""Labels of a shorter time say nothing of how many come a day."""
_LONGEST = timedelta(days=3_650)


def of(reader: StatusReader, status: Status, task: str, settings: Settings) -> Explanation:
    """Return the explanation of a task that has a file, from open handles and the status that they have just read."""
    found = next(one for one in status.tasks if one.task == task)
    return read(
        reader.tasks[task], found, reader.registry, reader.buffer, settings, unread=status.lag.get(LABELS_TOPIC), now=status.at
    )


def read(
    task: TaskSpec, status: TaskStatus, registry: Registry, buffer: BufferReader, settings: Settings, *, unread: int | None,
    now: datetime,
) -> Explanation:  # fmt: skip
    """Return the explanation; `status` is the task's, `unread` as `daemon.training.due.evidence.gather` has it."""
    from daemon.training.due import evidence  # noqa: PLC0415 - loads LanceDB

    found = evidence.gather(task.name, registry, buffer, unread=unread)
    return Explanation(
        task=task.name,
        at=now.replace(microsecond=0),
        champion=status.champion,
        champion_since=status.champion_since,
        holds=tuple(_holds(task, status, registry)),
        held_out=status.held_out,
        retraining=Retraining(
            due=status.due, sentence=due_in_words(status), reasons=status.reasons,
            expected=_next_run(task, status, found, settings, now),
        ),
        promoting=_promoting(task, registry, found, settings, now),
    )  # fmt: skip


def _holds(task: TaskSpec, status: TaskStatus, registry: Registry) -> Iterator[str]:
    if status.paused is not None:
        yield f"The task is paused since {moment(status.paused.since)}: `perennial resume {task.name}` ends it."
    if status.pinned:
        yield f"{status.champion} is pinned: `perennial models unpin {task.name}` lets others take its place."
    if task.promotion.mode == "manual":
        yield "promotion.mode is manual: a person promotes what passes."
    if (why := out_of_reach(task, registry)) is not None:
        yield why


def _next_run(task: TaskSpec, status: TaskStatus, found: Evidence, settings: Settings, now: datetime) -> Estimate:
    if status.run is not None:
        return Estimate(at=now.replace(microsecond=0), cause="under_way", assumption="a run is under way")
    if status.due:
        return Estimate(at=now.replace(microsecond=0), cause="due", assumption="a run is due now")
    if found.pause is not None:
        return Estimate(at=None, cause=None, assumption="while the task is paused no run starts")
    rate, since = _per_day(found.weight, found, now)
    dates: dict[Cause, datetime] = {}
    if rate > 0.0 and (at := _after(now, (task.trigger.min_new_examples - found.weight) / rate)) is not None:
        dates["threshold"] = at
    if found.oldest_new_at is not None and (aged := _aged(task, found, rate, now)) is not None:
        dates["age"] = aged
    if settings.schedule.weekly and task.trigger.weekly and found.first_run_at is not None:
        dates["weekly"] = triggers.last_weekly_moment(settings.schedule, now) + timedelta(days=7)
    if not dates:
        return Estimate(at=None, cause=None, assumption="no new example has come since the last run, and no date is set")
    cause = min(dates, key=lambda name: dates[name])
    told: Mapping[str, str] = {
        "threshold": _assumption(rate, since, "new example"),
        "age": f"the oldest new example has then waited for trigger.max_age_days ({task.trigger.max_age_days:g})",
        "weekly": "the weekly run",
    }
    return Estimate(at=dates[cause].replace(microsecond=0), cause=cause, assumption=told[cause])


def _aged(task: TaskSpec, found: Evidence, rate: float, now: datetime) -> datetime | None:
    """Return when the oldest new example has waited long enough and there are enough with it."""
    policy, missing = task.trigger, task.trigger.max_age_min_examples - found.weight
    at = found.oldest_new_at + timedelta(days=policy.max_age_days) if found.oldest_new_at is not None else None
    if at is None or missing <= 0:
        return at
    enough = _after(now, missing / rate) if rate > 0.0 else None
    return None if enough is None else max(at, enough)


def _promoting(task: TaskSpec, registry: Registry, found: Evidence, settings: Settings, now: datetime) -> Promoting | None:
    run = next((one for one in registry.runs.list(task.name, limit=_RUNS_LOOKED_AT) if one.state == "decided"), None)
    if run is None or run.comparison is None or run.verdict is None:
        return None
    try:
        seen = Comparison.model_validate(run.comparison)
    except (PerennialError, ValueError):
        # Recorded by a later release, or by a metric that is not registered here: the words that were recorded stand alone.
        seen = None
    words = of_run(registry, run, task.promotion, test_fraction=settings.enrich.test_fraction_while_short)
    lack = None if seen is None else lack_of(seen, task.promotion, run.verdict)
    missing = max(0, lack.test_rows - found.new_test_examples) if lack else 0
    return Promoting(
        run_id=run.run_id,
        version=run.version,
        verdict=run.verdict,
        decided_at=run.finished_at,
        measured=words.measured if words else f"{runs.of(run).word}.",
        decides=words.decides if words else "This version of Perennial cannot read the figures of the run.",
        reasons=run.reasons,
        missing_test_rows=missing,
        expected=_enough_rows(missing, run.verdict, found, now),
    )


def _enough_rows(missing: int, verdict: str, found: Evidence, now: datetime) -> Estimate:
    if verdict != "insufficient_evidence":
        return Estimate(at=None, cause=None, assumption="the verdict is reached; the next run brings the next candidate")
    if not missing:
        return Estimate(at=None, cause=None, assumption="there are as many test rows as were missing; the next run decides")
    rate, since = _per_day(found.new_test_examples, found, now)
    at = _after(now, missing / rate) if rate > 0.0 else None
    if at is None:
        return Estimate(at=None, cause=None, assumption="hardly any test row has come since the last run")
    return Estimate(at=at.replace(microsecond=0), cause="evidence", assumption=_assumption(rate, since, "test row"))


def _per_day(amount: float, found: Evidence, now: datetime) -> tuple[float, datetime | None]:
    """Return how much came a day since the last run, and since when that is; 0 where it is too early to say."""
    began = [at for at in (found.last_run_at, found.oldest_new_at) if at is not None and at < now]
    since = min(began, default=None)
    if since is None or now - since < _LEAST_TIME or amount <= 0:
        return 0.0, since
    return amount / ((now - since) / timedelta(days=1)), since


def _after(now: datetime, days: float) -> datetime | None:
    """Return the moment so many days on; None where that is further away than anybody plans."""
    if not math.isfinite(days) or days > _LONGEST / timedelta(days=1):
        return None
    return now + timedelta(days=max(0.0, days))


def _assumption(rate: float, since: datetime | None, noun: str) -> str:
    told = "the last run" if since is None else moment(since)
    if rate < 1.0:
        return f"if as many go on coming as since {told}: about one {noun} in {counted(round(1.0 / rate), 'day')}"
    about = f"{rate:.1f} {noun}s" if rate < 9.95 else counted(round(rate), noun)  # noqa: PLR2004 - two digits
    return f"if as many go on coming as since {told}: about {about} a day"
