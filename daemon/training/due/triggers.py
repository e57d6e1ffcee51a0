"""Why a run starts, or does not: a pure function of counts, ages and explicit requests."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from config.sections import ScheduleSettings
from config.tasks import TaskSpec
from config.words import counted, moment, span
from daemon.training.due import refreshes
from daemon.training.due.trigger_input import Evidence, Request, Retry
from registry.people.pauses import Pause

_WORTH_WAITING_S = 60.0
"""With evidence enough to decide, a first run still waits for the rest of an import when that takes no longer."""
_FEW_TEXTS = 64
"""So many texts are not worth waiting for: a steady stream always has some on their way."""
_WEEKLY_AGAIN = timedelta(days=1)
_ROUNDING = 1e-6
_REQUEST = "request:"

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Trigger:
    """A run that is due."""

    kind: Literal["threshold", "age", "evidence", "weekly", "request", "refresh"]
    key: str
    """Unique per task: the same trigger never starts two runs."""
    reason: str
    full: bool
    promote: bool = True
    further_keys: tuple[str, ...] = ()
    """Of other requests that the same run serves."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome of one evaluation of a task: what is due, if anything, and the reasons in words."""

    trigger: Trigger | None
    reasons: tuple[str, ...]


def evaluate(task: TaskSpec, evidence: Evidence, schedule: ScheduleSettings, now: datetime) -> Evaluation:
    """Decide whether a run of `task` is due at `now`; while it is paused, none is."""
    if evidence.pause is not None and (not evidence.running or evidence.trained_run is not None):
        return _paused(task, evidence, evidence.pause, schedule, now)
    if evidence.running:
        return Evaluation(None, (_under_way(evidence.retry, now),))
    return _unpaused(task, evidence, schedule, now)


def _unpaused(task: TaskSpec, evidence: Evidence, schedule: ScheduleSettings, now: datetime) -> Evaluation:
    """Decide what is due: requests first, then weekly, then what the counts say."""
    request = evidence.request
    if request is not None and (request.texts_ahead > 0 or evidence.train_examples > 0):
        return _requested(request, evidence)
    reasons: list[str] = []
    if evidence.alarms:
        reasons.append(
            f"{counted(evidence.alarms, 'open label-flip alarm')}: feedback starts no run until a person reviews the quarantined "
            "feedback (`perennial feedback quarantine`)"
        )
    if request is not None:
        reasons.append("a run was requested, but there are no training examples yet: it starts when the first one arrives")
    reasons += _kept_out(task, evidence)
    weekly, why_not_weekly = _weekly(task, evidence, schedule, now)
    if weekly is not None:
        return Evaluation(weekly, (weekly.reason,))
    found = _evidence(task, evidence) or _threshold(task, evidence) or _age(task, evidence, now)
    held_back = found and (_held_back(task, evidence, found, now) or _first_run_waits(task, evidence, now))
    if found is None or held_back is not None:
        refresh = refreshes.due(task, evidence, now)
        if refresh.key is not None:
            trigger = Trigger("refresh", refresh.key, refresh.reason, full=False)
            return Evaluation(trigger, (refresh.reason,))
        waits = (f"{found.reason}, but {held_back}",) if found else _too_little(task, evidence)
        return Evaluation(None, (*reasons, *waits, *([refresh.reason] if refresh.reason else []), why_not_weekly))
    return Evaluation(found, (found.reason,))


def request_key(event_id: str) -> str:
    """Return the trigger key of a request."""
    return f"{_REQUEST}{event_id}"


def requests_of(keys: Iterable[str]) -> list[str]:
    """Return the event ids of the requests among trigger keys."""
    return [key.removeprefix(_REQUEST) for key in keys if key.startswith(_REQUEST)]


def weekly_key(at: datetime) -> str:
    """Return the trigger key of the ISO week that holds a moment (UTC)."""
    year, week, _day = at.astimezone(UTC).isocalendar()
    return f"weekly:{year}-W{week:02d}"


def last_weekly_moment(schedule: ScheduleSettings, now: datetime) -> datetime:
    """Return the newest scheduled weekly moment at or before `now` (UTC, so no daylight saving moves it)."""
    at = now.astimezone(UTC)
    days_back = (at.weekday() - _WEEKDAYS.index(schedule.weekly_day)) % 7
    newest = (at - timedelta(days=days_back)).replace(hour=schedule.weekly_hour, minute=0, second=0, microsecond=0)
    return newest if newest <= at else newest - timedelta(days=7)


def _requested(request: Request, evidence: Evidence) -> Evaluation:
    if request.texts_ahead > 0:
        # Who asks means all that was sent before. Nothing else starts meanwhile, or the request would wait for that run too.
        waiting = f"{counted(request.texts_ahead, 'more text')} {'is' if request.texts_ahead == 1 else 'are'} enriched"
        return Evaluation(None, (f"a run was requested; it starts once {waiting}",))
    full = request.full or not evidence.has_champion
    more = f" (and {counted(len(request.further), 'more request')})" if request.further else ""
    otherwise = f" (with {request.overrides.told})" if request.overrides.given else ""
    reason = f"requested: {request.reason}{otherwise}{more}"
    further = tuple(map(request_key, request.further))
    return Evaluation(Trigger("request", request_key(request.event_id), reason, full, request.promote, further), (reason,))


def _weekly(task: TaskSpec, evidence: Evidence, schedule: ScheduleSettings, now: datetime) -> tuple[Trigger | None, str]:
    if not (schedule.weekly and task.trigger.weekly):
        return None, "the weekly run is turned off"
    due = last_weekly_moment(schedule, now)
    week = key = weekly_key(due)
    upcoming = f"the next weekly run is due {moment(due + timedelta(days=7))}"
    if tries := [used for used in evidence.used_keys if used == week or used.startswith(f"{week}:")]:
        if not all(used in evidence.given_up for used in tries):
            return None, upcoming
        # A temporary failure does not cost the week its run: it starts again a day after it was given up.
        again_at = max(evidence.given_up[used] for used in tries) + _WEEKLY_AGAIN
        if now < again_at:
            return None, f"the weekly run failed too often with temporary errors; it is started again {moment(again_at)}"
        key = f"{week}:{len(tries) + 1}"
    if evidence.first_run_at is None or evidence.first_run_at > due:
        # A new installation does not catch up on the weeks before its first run.
        return None, upcoming
    late = f", {span(now - due)} late" if now - due > timedelta(minutes=5) else ""
    return Trigger("weekly", key, f"weekly full run of {week.removeprefix('weekly:')} (due {moment(due)}{late})", full=True), ""


def _paused(task: TaskSpec, evidence: Evidence, pause: Pause, schedule: ScheduleSettings, now: datetime) -> Evaluation:
    told = f"paused since {moment(pause.since)} by {pause.actor} ({pause.reason}); `perennial resume {task.name}` ends it"
    if evidence.running:
        return Evaluation(None, (told, f"run {evidence.trained_run} is trained; its verdict waits until then"))
    unpaused = _unpaused(task, evidence, schedule, now)
    would = "a run would be due without the pause" if unpaused.trigger else "without the pause no run would be due either"
    return Evaluation(None, (told, f"{would}: {'; '.join(filter(None, unpaused.reasons))}"))


def _under_way(retry: Retry | None, now: datetime) -> str:
    if retry is None:
        return "a run is under way"
    when = f"at {moment(retry.at)} ({span(retry.at - now)} to go)" if retry.at > now else "now"
    return f"run {retry.run_id} had {counted(retry.failures, 'temporary failure')}; next try {when}. Last error: {retry.reason}"


def _evidence(task: TaskSpec, evidence: Evidence) -> Trigger | None:
    """A run that could not decide for lack of test rows is repeated as soon as there are enough."""
    had, needed = evidence.undecided_rows, task.promotion.min_test_examples
    if had is None or had >= needed or evidence.new_test_examples == 0 or had + evidence.new_test_examples < needed:
        return None
    reason = f"{had + evidence.new_test_examples} test rows now, {had} in the last run; {needed} are needed to decide"
    return Trigger("evidence", f"evidence:{evidence.newest_seq}", reason, full=not evidence.has_champion)


def _threshold(task: TaskSpec, evidence: Evidence) -> Trigger | None:
    needed = task.trigger.min_new_examples
    if evidence.weight + _ROUNDING < needed:
        return None
    reason = f"{_new(evidence)}; a run starts at {needed}"
    return Trigger("threshold", f"threshold:{evidence.newest_seq}", reason, full=not evidence.has_champion)


def _too_little(task: TaskSpec, evidence: Evidence) -> tuple[str, ...]:
    """Say what is missing until the counts start a run."""
    needed = task.trigger.min_new_examples
    missing = needed - evidence.weight
    if _weighs_in_full(evidence):
        told = [f"{evidence.new_examples} of {needed} new examples; {math.ceil(missing)} more start a run"]
    else:
        told = [f"{_new(evidence)} of {needed}; {counted(math.ceil(missing - _ROUNDING), 'more label')} needed to start a run"]
    if evidence.new_confirmed_weight > evidence.new_weight:
        told.append("confirmations count at most as much as the other new examples, so they alone start no run")
    if evidence.oldest_new_at is not None and evidence.new_weight > 0:
        told.append(_age_in_words(task, evidence, evidence.oldest_new_at))
    return tuple(told)


def _kept_out(task: TaskSpec, evidence: Evidence) -> list[str]:
    """Say that the task's own rules leave little or nothing to train on."""
    if evidence.unfit <= evidence.train_examples:
        return []
    kept = f"the rules of its task file (quality) keep {counted(evidence.unfit, 'text')} from training"
    return [f"{kept} and leave {evidence.train_examples:,}: `perennial data policy {task.name}` shows which"]


def _new(evidence: Evidence) -> str:
    """Return how many examples are new, and their total weight where that is less."""
    if _weighs_in_full(evidence):
        return counted(evidence.new_examples, "new example")
    # Rounded down: 99.97 is not enough, and must not read as 100.
    weight = math.floor(evidence.weight * 10 + _ROUNDING) / 10
    return f"{counted(evidence.new_examples, 'new example')} with a total weight of {weight:g}"


def _weighs_in_full(evidence: Evidence) -> bool:
    return abs(evidence.weight - evidence.new_examples) < _ROUNDING


def _age(task: TaskSpec, evidence: Evidence, now: datetime) -> Trigger | None:
    policy = task.trigger
    if evidence.oldest_new_at is None or evidence.weight + _ROUNDING < policy.max_age_min_examples:
        return None
    age = now - evidence.oldest_new_at
    if age < timedelta(days=policy.max_age_days):
        return None
    reason = f"{_new(evidence)}; the oldest has waited {span(age)} (limit {policy.max_age_days:g} days)"
    return Trigger("age", f"age:{evidence.newest_seq}", reason, full=not evidence.has_champion)


def _age_in_words(task: TaskSpec, evidence: Evidence, oldest: datetime) -> str:
    policy = task.trigger
    due_at = oldest + timedelta(days=policy.max_age_days)
    if evidence.weight + _ROUNDING >= policy.max_age_min_examples:
        return f"a run starts at the latest {moment(due_at)} (trigger.max_age_days)"
    least = counted(policy.max_age_min_examples, "new example")
    return f"with at least {least}, a run starts at the latest {moment(due_at)} (trigger.max_age_days)"


def _held_back(task: TaskSpec, evidence: Evidence, found: Trigger, now: datetime) -> str | None:
    if found.key in evidence.used_keys:
        return f"the last run on them failed; one more example or `perennial train {task.name}` starts the next"
    # A run that ended in the future: the clock was set back since, and nobody knows how long ago it was.
    if evidence.last_run_at is None or evidence.last_run_at > now or found.kind == "evidence":
        return None
    ready_at = evidence.last_run_at + timedelta(minutes=task.trigger.cooldown_minutes)
    return f"cooling down until {moment(ready_at)} ({span(ready_at - now)} to go)" if now < ready_at else None


def _first_run_waits(task: TaskSpec, evidence: Evidence, now: datetime) -> str | None:
    """Return why a first run waits for what was sent already; None when it need not.

    It waits while that can bring the held-out rows that decide, and then for the short rest of an import; never longer than
    `trigger.first_run_wait_minutes`, because some streams are never quiet.
    """
    began = evidence.enough_since or evidence.oldest_new_at
    pending = evidence.unenriched + (evidence.unread or 0)
    if evidence.has_champion or began is None or began > now or (pending == 0 and evidence.unread is not None):
        return None
    until = began + timedelta(minutes=task.trigger.first_run_wait_minutes)
    has, needed = evidence.test_examples, task.promotion.min_test_examples
    left_s = pending / evidence.enriched_per_s if evidence.enriched_per_s else None
    if now >= until or (evidence.unread is not None and has + pending < needed):
        return None
    if has >= needed and (pending <= _FEW_TEXTS or left_s is None or left_s > _WORTH_WAITING_S):
        return None
    if evidence.unread is None:
        return f"the event log has not answered yet; the first run waits for it, at the latest until {moment(until)}"
    about = "" if left_s is None else f", which takes about {span(timedelta(seconds=max(1.0, left_s)))}"
    return (
        f"the first run waits for {counted(pending, 'more text')} of the import to be enriched{about}: it has {has} of the "
        f"{needed} test rows needed. It starts at {moment(until)} at the latest"
    )
