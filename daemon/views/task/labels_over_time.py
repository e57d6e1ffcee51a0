"""How often each label was given, week by week: by people, and by models."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from config.kinds import catalog
from config.tasks import TaskSpec
from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader

WEEKS = 12
NAMED = 6
"""Labels with a part of their own in each bar; the others are one."""
_MOST_READ = 20_000

Said = Literal["examples", "predictions"]


class Week(View):
    """One week."""

    begins: datetime
    """Monday, UTC."""
    labels: tuple[int, ...]
    """How often each named label was given, in their order; then the others together."""

    @property
    def total(self) -> int:
        """Of all labels."""
        return sum(self.labels)


class LabelsOverTime(View):
    """The weeks that had any label, oldest first."""

    names: tuple[str, ...]
    """The most frequent first."""
    others: int
    """How many further labels there are."""
    weeks: tuple[Week, ...]
    every: int
    """1: all were counted; else about every so manieth, and the figures are estimates of all."""


def read(buffer: BufferReader, task: TaskSpec, said: Said, now: datetime) -> LabelsOverTime | None:
    """Return the labels of the last weeks, by the time of the events; None for a kind without labels."""
    kind = catalog.get(task.kind)
    if task.declared:
        return None
    monday = monday_of(now)
    since = monday - timedelta(weeks=WEEKS - 1)
    found = buffer.answers_over_time(said, task.name, since=since, most=_MOST_READ)
    weeks: dict[datetime, Counter[str]] = {}
    known: dict[str, list[str]] = {}
    for at, answer in zip(found.times, found.answers, strict=True):
        if (labels := known.get(answer)) is None:
            # Of texts with one label there are a few different targets; answers carry probabilities, and hardly repeat.
            target = json.loads(answer)
            if kind.key not in target:
                # From before the task became one of another kind.
                continue
            labels = kind.labels(target if said == "examples" else kind.confirmed(kind.plain(target)))
            if said == "examples":
                known[answer] = labels
        weeks.setdefault(monday_of(at), Counter()).update(labels)
    totals: Counter[str] = Counter()
    for counted in weeks.values():
        totals.update(counted)
    names = tuple(name for name, _count in sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:NAMED])
    told = []
    for begins, counted in sorted(weeks.items()):
        named = [found.every * counted[name] for name in names]
        told.append(Week(begins=begins, labels=(*named, found.every * counted.total() - sum(named))))
    return LabelsOverTime(names=names, others=len(totals) - len(names), weeks=tuple(told), every=found.every)


def monday_of(at: datetime) -> datetime:
    """Return the beginning of a moment's week: Monday, UTC."""
    return (at - timedelta(days=at.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
