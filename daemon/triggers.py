"""Why a run starts, or does not: a pure function of counts, ages and explicit requests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from config.sections import ScheduleSettings
from config.tasks import TaskSpec

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asked for a run (a `retrain` event)."""

    event_id: str
    reason: str
    full: bool
    promote: bool = True
    texts_ahead: int = 0
    """Texts of the task that were stored before the request and are not enriched yet."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the policy looks at, for one task."""

    new_examples: int
    """Effective new training examples since the last run froze its set."""
    train_examples: int
    oldest_new_at: datetime | None
    """When the oldest of the new examples entered the buffer."""
    has_champion: bool
    running: bool
    first_run_at: datetime | None
    last_run_at: datetime | None
    """When the last run ended, whatever became of it."""
    used_keys: frozenset[str]
    """Trigger keys of all runs this task ever had."""
    newest_seq: int
    """Number of the newest enriched example; threshold and age runs are called by it, so that no key comes twice."""
    requests: tuple[Request, ...] = ()
    alarms: int = 0
    """Label-flip alarms that are up: the examples counted as new are then labels alone."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A run that is due."""

    kind: Literal["threshold", "age", "weekly", "request"]
    key: str
    """Unique per task: the same trigger never starts two runs."""
    reason: str
    full: bool
    promote: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """The outcome of one look at a task: what is due, if anything, and the reasons in words."""

    trigger: Trigger | None
    reasons: tuple[str, ...]


def look(task: TaskSpec, evidence: Evidence, schedule: ScheduleSettings, now: datetime) -> Look:
    """Decide whether a run of `task` is due at `now`; requests first, then weekly, threshold, age."""
    if evidence.running:
        return Look(None, ("a run is under way",))
    request = next((one for one in evidence.requests if request_key(one.event_id) not in evidence.used_keys), None)
    if request is not None and (request.texts_ahead > 0 or evidence.train_examples > 0):
        return _requested(request, evidence)
    reasons: list[str] = []
    if evidence.alarms:
        reasons.append(
            f"{_counted(evidence.alarms, 'label-flip alarm')} up: feedback starts no run until somebody decides about what is "
            "held (`perennial feedback quarantine`)"
        )
    if request is not None:
        reasons.append("a run was requested, but there are no training examples yet; it starts when the first one arrives")
    weekly, why_not_weekly = _weekly(task, evidence, schedule, now)
    if weekly is not None:
        return Look(weekly, (weekly.reason,))
    counted = _threshold(task, evidence) or _age(task, evidence, now)
    if counted is None:
        needed = task.trigger.min_new_examples
        reasons.append(f"{evidence.new_examples} of {needed} new examples; {needed - evidence.new_examples} more start a run")
        if evidence.oldest_new_at is not None:
            reasons.append(_age_in_words(task, evidence, evidence.oldest_new_at))
        return Look(None, (*reasons, why_not_weekly))
    held_back = _held_back(task, evidence, counted, now)
    if held_back is not None:
        return Look(None, (*reasons, f"{counted.reason}, but {held_back}", why_not_weekly))
    return Look(counted, (counted.reason,))


def request_key(event_id: str) -> str:
    """Return the trigger key of a request."""
    return f"request:{event_id}"


def weekly_key(moment: datetime) -> str:
    """Return the trigger key of the ISO week that holds `moment` (UTC)."""
    year, week, _day = moment.astimezone(UTC).isocalendar()
    return f"weekly:{year}-W{week:02d}"


def last_weekly_moment(schedule: ScheduleSettings, now: datetime) -> datetime:
    """Return the newest scheduled weekly moment at or before `now` (UTC, so no daylight saving moves it)."""
    at = now.astimezone(UTC)
    days_back = (at.weekday() - _WEEKDAYS.index(schedule.weekly_day)) % 7
    moment = (at - timedelta(days=days_back)).replace(hour=schedule.weekly_hour, minute=0, second=0, microsecond=0)
    return moment if moment <= at else moment - timedelta(days=7)


def _requested(request: Request, evidence: Evidence) -> Look:
    if request.texts_ahead > 0:
        # Who asks means all that was sent before. Nothing else starts meanwhile, or the request would wait for that run too.
        return Look(None, (f"a run was requested; it waits for {request.texts_ahead} texts to be enriched",))
    full = request.full or not evidence.has_champion
    reason = f"requested: {request.reason}"
    return Look(Trigger("request", request_key(request.event_id), reason, full, request.promote), (reason,))


def _weekly(task: TaskSpec, evidence: Evidence, schedule: ScheduleSettings, now: datetime) -> tuple[Trigger | None, str]:
    if not (schedule.weekly and task.trigger.weekly):
        return None, "the weekly run is turned off"
    moment = last_weekly_moment(schedule, now)
    key = weekly_key(moment)
    upcoming = f"the next weekly run is due {_moment(moment + timedelta(days=7))}"
    if key in evidence.used_keys:
        return None, upcoming
    if evidence.first_run_at is None or evidence.first_run_at > moment:
        # A fresh installation does not owe the weeks before its first run.
        return None, upcoming
    late = f", {_span(now - moment)} late" if now - moment > timedelta(minutes=5) else ""
    return Trigger(
        "weekly", key, f"weekly full run of {key.removeprefix('weekly:')} (due {_moment(moment)}{late})", full=True
    ), ""


def _threshold(task: TaskSpec, evidence: Evidence) -> Trigger | None:
    needed = task.trigger.min_new_examples
    if evidence.new_examples < needed:
        return None
    reason = f"{evidence.new_examples} new examples, {needed} start a run"
    return Trigger("threshold", f"threshold:{evidence.newest_seq}", reason, full=not evidence.has_champion)


def _age(task: TaskSpec, evidence: Evidence, now: datetime) -> Trigger | None:
    policy = task.trigger
    if evidence.oldest_new_at is None or evidence.new_examples < policy.max_age_min_examples:
        return None
    age = now - evidence.oldest_new_at
    if age < timedelta(days=policy.max_age_days):
        return None
    reason = f"{evidence.new_examples} new examples, the oldest waiting {_span(age)} (limit {policy.max_age_days:g} days)"
    return Trigger("age", f"age:{evidence.newest_seq}", reason, full=not evidence.has_champion)


def _age_in_words(task: TaskSpec, evidence: Evidence, oldest: datetime) -> str:
    policy = task.trigger
    due_at = oldest + timedelta(days=policy.max_age_days)
    if evidence.new_examples >= policy.max_age_min_examples:
        return f"the oldest of them starts a run by its age at {_moment(due_at)}"
    return f"{policy.max_age_min_examples} would start a run by age at {_moment(due_at)}"


def _held_back(task: TaskSpec, evidence: Evidence, counted: Trigger, now: datetime) -> str | None:
    if counted.key in evidence.used_keys:
        return f"the run on them failed early; a newer example or `perennial train {task.name}` starts another"
    if evidence.last_run_at is None:
        return None
    ready_at = evidence.last_run_at + timedelta(minutes=task.trigger.cooldown_minutes)
    return f"cooling down until {_moment(ready_at)} ({_span(ready_at - now)} to go)" if now < ready_at else None


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%a %Y-%m-%d %H:%M UTC")


def _span(delta: timedelta) -> str:
    seconds = max(0, int(delta.total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return _counted(seconds // size, unit)
    return f"{seconds} s"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"
