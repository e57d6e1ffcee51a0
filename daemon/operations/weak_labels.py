"""Labels by rules: looks at what a task's rules find in the stored articles, and hands the labels over to the daemon."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from config.clock import utc_now
from config.errors import UserError
from config.settings import Settings
from config.task_files.sections.weak_labels import KINDS, rules_of
from config.tasks import TaskSpec, load_tasks
from consumers.events import schemas as events
from consumers.events.correcting import WeakLabelsWithdrawn
from consumers.labelling.weak.figures import Figures, figures
from consumers.labelling.weak.labelling import find, label
from consumers.labelling.weak.stored import Changes, changes, withdrawals
from consumers.log.open import open_event_log
from daemon.training.due import asking
from daemon.views import opening

_FLUSH_EVERY = 1_000
_WHY = "its rules, or what people say of its text, have changed since"


@dataclass(frozen=True, slots=True)
class Look:
    """What a task's rules find now, and what would change."""

    task: TaskSpec
    figures: Figures
    changes: Changes


@dataclass(frozen=True, slots=True)
class Applied:
    """What was handed over."""

    new: int
    withdrawn: int
    """Labels that held no more."""
    unchanged: int


def task_with_rules(settings: Settings, name: str) -> TaskSpec:
    """Return a task whose file has rules. Raises `UserError` for an unknown one, and for one that has none."""
    asking.refuse_unknown(settings, name)
    task = load_tasks(settings.tasks_folder)[name]
    if task.kind not in KINDS:
        message = f"task {name!r} is of kind {task.kind}, whose texts no rule can label; rules are for {', '.join(KINDS)}"
        raise UserError(message)
    if not rules_of(task):
        message = (
            f"the file of task {name!r} has no rules; list words or patterns for its labels under "
            "`weak_labels: {rules: [...]}` (docs/weak-labels.md shows how)"
        )
        raise UserError(message)
    return task


def look(settings: Settings, name: str, progress: Callable[[float], None] = lambda _share: None) -> Look:
    """Apply the rules of a task to the stored articles that nobody has labelled; `progress` receives the share that is done.

    Nothing is changed. Raises `UserError` where the task has no rules and where nothing has run yet.
    """
    task = task_with_rules(settings, name)
    with opening.buffer(settings) as buffer:
        texts = buffer.weak_texts(task, task.training.max_rows)
        stored = buffer.weak_labels(name)
    found = find(task, texts, progress)
    labelled = label(found)
    return Look(task, figures(found, labelled), changes(task, labelled.labels, stored))


def apply(settings: Settings, seen: Look) -> Applied:
    """Publish what a look changes, durably: labels with origin `weak`, and which earlier ones hold no more.

    The leading daemon stores them, or the next one that leads. Done twice, it changes nothing.
    """
    with closing(open_event_log(settings)) as event_log, closing(event_log.sink()) as sink:
        gone = withdrawals(seen.task.name, seen.changes.withdrawn, _WHY, utc_now())
        every: list[events.Label | WeakLabelsWithdrawn] = [*seen.changes.new, *gone]
        for number, event in enumerate(every, start=1):
            sink.publish(events.TOPIC_OF_TYPE[event.type], events.to_bytes(event), key=events.key_of(event))
            if number % _FLUSH_EVERY == 0:
                sink.flush()
        sink.flush()
    return Applied(len(seen.changes.new), len(seen.changes.withdrawn), seen.changes.unchanged)
