"""Tasks: what each learns, in values and in words, and which version answers for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from config.errors import PerennialError, UserError
from config.settings import Settings
from config.tasks import TaskSpec, load_tasks
from config.words import counted
from daemon.views import opening
from daemon.views.view import View

if TYPE_CHECKING:
    from registry.store import Registry


class TaskSummary(View):
    """One task in short."""

    name: str
    kind: str
    description: str
    labels: Literal["open", "closed"]
    label_names: tuple[str, ...]
    abstain_below: float
    """An answer whose highest probability is below abstains; 0: none does."""
    champion: str | None
    """The version in production; None before the first."""


class Task(TaskSpec):
    """A task as its file defines it, and the version that answers for it."""

    champion: str | None = None


def defined(settings: Settings) -> list[Task]:
    """Return the tasks that have a file, by name; without champions where no registry can be read, as before the first run."""
    specs = load_tasks(settings.tasks_folder)
    champions: dict[str, str] = {}
    # Task files can be shown even when the registry cannot be read.
    with suppress(PerennialError), opening.registry(settings) as registry:
        champions = champions_of(registry, specs)
    return [Task.model_validate({**spec.model_dump(), "champion": champions.get(spec.name)}) for spec in specs.values()]


def champions_of(registry: Registry, tasks: Mapping[str, object]) -> dict[str, str]:
    """Return the version that answers for each of these tasks that has one."""
    aliases = {name: registry.versions.champion(name) for name in tasks}
    return {name: alias.version for name, alias in aliases.items() if alias is not None}


def summary(spec: TaskSpec, champion: str | None) -> TaskSummary:
    """Return a task in short."""
    return TaskSummary(
        name=spec.name,
        kind=spec.kind,
        description=spec.description,
        labels=spec.labels,
        label_names=spec.label_names,
        abstain_below=spec.abstain_below,
        champion=champion,
    )


def in_words(task: Task) -> dict[str, str]:
    """Return what a task does, in words, under what each line is about."""
    policy, trigger = task.promotion, task.trigger
    # An absolute gain is on the metric's own scale, which need not end at 1.
    least = f"{policy.min_improvement:g}" if policy.improvement == "absolute" else f"{policy.min_improvement:.0%}"
    by_hand = "" if policy.mode == "auto" else ", by hand"
    words = {
        "kind": f"{task.kind} on {task.backend}, base model {task.base_model}",
        **_told(task),
        "trains": f"at {counted(trigger.min_new_examples, 'new example')}{', and weekly' if trigger.weekly else ''}",
        "promotes": f"when {policy.metric} is better by more than {least} ({policy.improvement}){by_hand}",
    }
    if task.abstain_below:
        words["abstains"] = f"where the highest probability is below {task.abstain_below:g}"
    return words if task.champion is None else {**words, "champion": task.champion}


def _told(task: Task) -> dict[str, str]:
    """Return what a task tells apart: its labels, or what it declares in their place."""
    keywords = "; keywords answer while there is no champion" if task.keywords is not None else ""
    if task.declared:
        names = ", ".join(one.name for one in task.declared)
        return {"dimensions" if task.dimensions else "signals": f"{names}{keywords}"}
    return {"labels": f"{task.labels}: {', '.join(task.label_names) or 'learnt from the data'}{keywords}"}


def refuse_unknown(task: str, settings: Settings, registry: Registry) -> None:
    """Raise `UserError` for a task that has neither a task file nor a version (one whose file is gone has its versions)."""
    if registry.versions.list(task, 1):
        return
    known = load_tasks(settings.tasks_folder)
    if task not in known:
        names = ", ".join(sorted(known))
        message = f"task {task!r} is not defined in {settings.tasks_folder} and has no versions; the tasks are {names}"
        raise UserError(message)
