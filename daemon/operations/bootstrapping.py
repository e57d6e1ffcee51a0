"""From raw articles to a first champion: import, enrich, label by rules, train, and let the gate decide.

Each step looks at what is there already, so a second run goes on where the first was stopped, and does nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from config.addresses import apps_address
from config.errors import RunFailedError, UserError
from config.files.private import prepare
from config.settings import Settings
from config.tasks import TaskSpec, load_tasks
from config.words import counted
from consumers.buffer.open import open_reader
from consumers.buffer.reader import BufferReader
from consumers.formats.importing import Import
from consumers.log.open import open_event_log
from daemon.flow.collecting import Collected, Means
from daemon.flow.groups import CONSUMERS
from daemon.operations import importing, training_now, weak_labels
from daemon.operations.weak_labels import Applied, Look
from daemon.process import leader
from daemon.training.due import asking
from daemon.training.due.triggers import request_key
from daemon.views.models import runs
from registry import promotion
from registry.store import Registry

ACTOR = "perennial bootstrap"
_WAIT_S = 0.3
_LIMIT_S = 300.0
"""Loading an encoder takes half a minute on a busy machine."""
Collect = Callable[[Means], Sequence[Collected]]
"""Reads sources once."""
Step = Literal["collecting", "importing", "reading", "enriching", "labelling"]


class Watch(training_now.Watch, Protocol):
    """Receives the progress."""

    def does(self, step: Step, share: float | None, left: int = 0) -> None:
        """A step before the run is under way; `share` of it is done, and so many texts are left."""
        ...

    def collected(self, found: Sequence[Collected]) -> None:
        """The sources were read."""
        ...

    def labelled(self, seen: Look, applied: Applied) -> None:
        """The rules have spoken."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What it came to."""

    task: str
    imported: int
    """Articles that were new."""
    known: int
    texts: int
    labels: Applied
    run: runs.Run | None
    """The run that was made; None where nothing was new."""
    champion: str | None
    promoted: Literal["gate", "bootstrap"] | None
    """Who made it the champion now: the gate; or this command, because no label of a person could decide."""
    test_rows: int
    """Held-out labels of people that decided, or would have."""
    test_rows_needed: int
    sources: Sequence[Collected] = ()
    """What each source gave, where sources were read."""


def bootstrap(
    settings: Settings, name: str, files: Sequence[Import], *, promote: bool, watch: Watch, collect: Collect | None = None
) -> Outcome:  # fmt: skip
    """Carry it all out and return what came of it; a daemon that runs does its part, else one in this process.

    `collect` reads sources of articles. What is wrong with some of them holds up no other, and is told in the outcome.

    With `promote`, a first version that no held-out label can judge becomes the champion all the same, and the history says so.
    Raises `UserError` for a task without rules or one that is paused, where sources bring nothing at all, and where the rules
    label nothing or too little to learn from.
    """
    task = weak_labels.task_with_rules(settings, name)
    training_now.quiet_log(settings)
    prepare(settings.data_dir)
    with ExitStack() as stack:
        registry = Registry.open(settings.registry_url, apps_at=apps_address(settings.serving))
        stack.callback(registry.close)
        asking.refuse_paused(registry, name)
        new = known = 0
        for found in files:
            sent = importing.send(settings, found, rate=None, progress=lambda share: watch.does("importing", share))
            new, known = new + sent.new, known + sent.known
        sources = _collected(collect, name, watch) if collect is not None else ()
        new, known = new + sum(one.sent for one in sources), known + sum(one.known for one in sources)
        check = training_now.nothing_to_check
        if leader.of(registry).holder is None:
            check = stack.enter_context(training_now.DaemonHere(settings)).check
        _until_enriched(settings, check, watch)
        seen = weak_labels.look(settings, name, lambda share: watch.does("labelling", share))
        if why := _too_little(seen):
            raise UserError(why + (_MORE if collect is not None else ""))
        applied = weak_labels.apply(settings, seen)
        watch.labelled(seen, applied)
        changed = bool(applied.new or applied.withdrawn)
        run = _run(settings, registry, name, check, watch, changed=changed)
        outcome = _promoted(registry, task, run, promote=promote, imported=(new, known), seen=seen, applied=applied)
        return replace(outcome, sources=sources)


def _run(
    settings: Settings, registry: Registry, name: str, check: training_now.Check, watch: Watch, *, changed: bool
) -> runs.Run:
    """Return the run on the labels that stand: a new one, or where nothing has changed the one that was begun or made on them."""
    newest = next(iter(registry.runs.list(name)), None)
    if newest is not None and not changed:
        if newest.state == "decided" and newest.version is not None:
            return runs.of(newest)
        key = newest.trigger_key if newest.state not in training_now.OVER else None
    else:
        key = None
    if key is None:
        why = "labels by the rules of the task file"
        key = request_key(asking.ask_for_run(settings, name, full=False, promote=True, by=ACTOR, why=why))
    with closing(training_now.Queue(settings, name)) as queue:
        return runs.of(training_now.follow(settings, registry, name, key, queue=queue, check=check, watch=watch))


def _promoted(
    registry: Registry, task: TaskSpec, run: runs.Run, *, promote: bool, imported: tuple[int, int], seen: Look, applied: Applied
) -> Outcome:
    """Return what the run came to; where nothing could judge a first version, make it the champion if that is wanted."""
    by: Literal["gate", "bootstrap"] | None = None
    rows = (run.comparison.rows or 0) if run.comparison is not None else 0
    before = registry.versions.champion(task.name)
    if before is not None and before.version == run.version:
        by = "gate" if run.verdict == "promote" else "bootstrap"
    elif promote and before is None and run.version is not None and _may_be_better(run):
        promotion.promote_by_hand(registry, run.version, actor=ACTOR, reason=_why(run.version, rows, task))
        by = "bootstrap"
    champion = registry.versions.champion(task.name)
    return Outcome(
        task.name, imported[0], imported[1], seen.figures.texts, applied, run, champion.version if champion else None, by, rows,
        task.promotion.min_test_examples,
    )  # fmt: skip


def _may_be_better(run: runs.Run) -> bool:
    """Return whether too little could judge a version, and nothing that could speaks against it."""
    seen = run.comparison
    return run.verdict == "insufficient_evidence" and (seen is None or not seen.rows or (seen.gain or 0.0) > 0)


def _why(version: str, rows: int, task: TaskSpec) -> str:
    return (
        f"first version {version}, learnt from weak labels; not decided by the gate: {rows} of the "
        f"{task.promotion.min_test_examples} held-out labels of people that it needs"
    )


def _until_enriched(settings: Settings, check: training_now.Check, watch: Watch) -> None:
    """Return once all events are read and all texts enriched. Raises `RunFailedError` where nothing moves for minutes."""
    patience, most = training_now.Patience(_LIMIT_S), 0
    with closing(_Backlog(settings)) as backlog:
        while True:
            check()
            unread, waiting = backlog.left()
            if not unread and not waiting:
                return
            if patience.is_out((unread, waiting)):
                left = f"{counted(unread, 'event')} unread, {counted(waiting, 'text')} not enriched"
                message = (
                    f"{left}, and no progress for {_LIMIT_S:.0f} s; `perennial status` says why. Run this command again to go on"
                )
                raise RunFailedError(message)
            most = max(most, waiting)
            watch.does("reading" if unread else "enriching", None if unread else 1.0 - waiting / most, unread or waiting)
            time.sleep(_WAIT_S)


class _Backlog:
    """What a daemon has not read, or not enriched, yet."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = open_event_log(settings)
        self._sources = [self._log.source(group, [topic]) for group, topic in CONSUMERS.items()]
        self._buffer: BufferReader | None = None

    def left(self) -> tuple[int, int]:
        """Return the events that are unread and, once there are none, the texts that are not enriched."""
        if unread := sum(sum(source.lag().values()) for source in self._sources):
            return unread, 0
        if self._buffer is None and self._settings.buffer_dir.exists():
            tasks, min_quality = load_tasks(self._settings.tasks_folder), self._settings.enrich.min_quality
            self._buffer = open_reader(self._settings.buffer_dir, tasks=tasks, min_quality=min_quality)
        if self._buffer is None:
            return 0, 0
        return 0, self._buffer.behind("articles").texts + self._buffer.behind("examples").texts

    def close(self) -> None:
        """Release the handles."""
        for source in self._sources:
            source.close()
        self._log.close()
        if self._buffer is not None:
            self._buffer.close()


def _collected(collect: Collect, name: str, watch: Watch) -> Sequence[Collected]:
    """Read the sources. Raises `UserError` where nothing of them can be used, before anything is waited for."""
    watch.does("collecting", None)
    found = collect(Means())
    watch.collected(found)
    if any(one.sent or one.known or one.unchanged for one in found):
        return found
    stored = f"`perennial bootstrap {name}` without --source goes on with the articles that are stored"
    if not found:
        message = f"the folder has no file that ends in .jsonl or .ndjson; nothing was trained. {stored}"
    elif all(one.error for one in found):
        told = "; ".join(f"{one.source}: {one.error}" for one in found)
        message = f"no source could be read ({told}); nothing was trained. Run this command again later; {stored}"
    elif any(one.read for one in found):
        told = "; ".join(f"{one.source}: {'; '.join(one.examples)}" for one in found if one.unusable)
        message = f"the sources have no item that can be used as an article ({told}); nothing was trained. {stored}"
    else:
        told = ", ".join(one.source for one in found if not one.error)
        message = f"there is no article now in {told}; nothing was trained. Name other sources, or wait for more; {stored}"
    raise UserError(message)


def _too_little(seen: Look) -> str:
    """Return why nothing can be learnt from what rules label, where no person's label helps; empty where it can."""
    figures, task = seen.figures, seen.task
    told = "; ".join(figures.warnings[:3])
    if not figures.labelled:
        return f"the rules of task {task.name} label none of {counted(figures.texts, 'text')}; nothing was trained. {told}"
    if figures.gold or task.kind == "signals":
        # Tags of signals have scores: few texts of one are learnt with those of others.
        return ""
    least, needed = task.new_label_min_examples, 2 if task.kind == "classification" else 1
    enough = [name for name, texts in figures.labels.items() if texts >= (1 if name in task.label_names else least)]
    if len(enough) >= needed:
        return ""
    labels = ", ".join(f"{name} {texts}" for name, texts in figures.labels.items())
    return (
        f"too few articles: the rules of task {task.name} label {figures.labelled} of {figures.texts} texts ({labels}); "
        f"a model needs {counted(needed, 'label')} with {counted(least, 'text')} or more; nothing was trained. {told}"
    )


_MORE = (
    ". What was read is kept: run this command again once the sources have more, name further ones, or import files "
    "(`perennial import`)"
)
