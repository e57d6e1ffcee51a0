"""One task at one moment: its champion, its evidence, and in words why a run is or is not due."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from config.settings import Settings
from config.tasks import TaskSpec
from daemon.process.probe import Computing
from daemon.views.feedback import overview as feedback
from daemon.views.feedback.overview import Standings
from daemon.views.models import runs
from daemon.views.models.runs import STANDING_STILL, Ended, UnderWay
from daemon.views.task import pairs
from daemon.views.task.pairs import Pair
from daemon.views.view import View
from registry.reports.cut import texts_cut

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from registry.store import Registry

_INTERRUPTED = "a run was interrupted when the daemon stopped; it continues when a daemon runs again"
_RUNS_LOOKED_AT = 50


class Counts(View):
    """What the buffer holds for one task; `consumers.training_set.counting.TaskCounts` says what each figure counts."""

    train: int
    new: int
    new_labels: int
    new_weight: float
    new_confirmed_weight: float
    test: int
    test_in_window: int
    new_test: int
    anchor: int
    anchor_imported: int = 0
    corrections: int
    waiting: int
    unenriched: int
    oldest_new_at: datetime | None
    oldest_new_label_at: datetime | None
    enough_since: datetime | None
    max_seq: int
    unfit: int = 0


class Paused(View):
    """Who has paused a task, and why."""

    since: datetime
    actor: str
    reason: str


class HeldOut(View):
    """Which share of new documents is held out for testing."""

    share: float
    configured: float
    """`enrich.test_fraction`."""
    needed: int
    """Test rows that the last comparison would have needed; 0 where rows were not what it lacked."""
    raised: bool
    sentence: str
    """The share in words, with the reason where it is raised."""


class TaskStatus(View):
    """One task."""

    task: str
    kind: str
    champion: str | None
    champion_since: datetime | None
    pinned: bool
    computes_by: str | None = None
    """What the served version computes by, as serving tells: a variant of its encoder, or `fp32`, `bf16`; None: nobody tells."""
    passed_over: str | None = None
    """Why the variant beside its weights is not used, in words; None where it is, or there is none."""
    paused: Paused | None = None
    """None while it is not: then runs start and versions are promoted by themselves."""
    counts: Counts
    tests_needed: int
    """Test rows below which nothing is decided."""
    held_out: HeldOut | None = None
    feedback: Standings
    new_examples: int
    new_weight: float
    """What the new ones weigh for a trigger: a label 1, what users say less, confirmations alone nothing."""
    needed: int = 0
    """The weight at which a run starts: `trigger.min_new_examples`."""
    due: bool
    reasons: tuple[str, ...]
    texts_cut: str | None
    """Which share of the champion's texts it read the beginning of only, in words; None: none, or its run did not count."""
    run: UnderWay | None
    last_run: Ended | None
    """The newest run that ended."""
    last_failed: Ended | None = None
    """The newest run that failed, however long ago; None where none has."""
    pair: Pair | None = None
    """The two models that people are asked about; None while there is no such pair."""


def read(
    task: TaskSpec, registry: Registry, buffer: BufferReader, settings: Settings, *, unread: int | None, led: bool, now: datetime,
    computing: Computing,
) -> TaskStatus:  # fmt: skip
    """Return a task's status; `unread` events wait in the log (None: it does not say), `led` says whether a daemon runs.

    `computing` is what serving tells of its models.
    """
    from daemon.training.due import evidence, triggers  # noqa: PLC0415 - load LanceDB
    from daemon.training.preparing import held_out  # noqa: PLC0415 - load LanceDB

    found = evidence.gather(task.name, registry, buffer, unread=unread)
    evaluation = triggers.evaluate(task, found, settings.schedule, now)
    champion = registry.versions.champion(task.name)
    records = registry.runs.list(task.name, limit=_RUNS_LOOKED_AT)
    going = next((run for run in records if run.finished_at is None), None)
    ended = next((run for run in records if run.finished_at is not None), None)
    failed = registry.runs.newest_failed(task.name)
    return TaskStatus(
        task=task.name,
        kind=task.kind,
        champion=champion.version if champion else None,
        champion_since=champion.moved_at if champion else None,
        pinned=champion.pinned if champion else False,
        computes_by=computing.by.get(task.name),
        passed_over=computing.passed_over.get(task.name),
        paused=Paused(since=found.pause.since, actor=found.pause.actor, reason=found.pause.reason) if found.pause else None,
        counts=Counts.model_validate(buffer.counts(task.name)),
        tests_needed=task.promotion.min_test_examples,
        held_out=HeldOut.model_validate(held_out.share_of(task, registry, buffer, settings.enrich)),
        feedback=feedback.standings(buffer, task.name),
        new_examples=found.new_examples,
        new_weight=round(found.weight, 3),
        needed=task.trigger.min_new_examples,
        due=evaluation.trigger is not None,
        reasons=evaluation.reasons if led or going is None else (_INTERRUPTED,),
        texts_cut=_texts_cut(registry, champion.version) if champion else None,
        run=runs.under_way(going, settings.runs_dir, led=led, held=found.pause is not None, now=now) if going else None,
        last_run=runs.ended(ended) if ended else None,
        last_failed=runs.ended(failed) if failed else None,
        pair=pairs.of(task, registry, buffer),
    )


def anchor_in_words(counts: Counts) -> str:
    """Return how many rows the anchor set has and where they came from; empty where there is none."""
    if not counts.anchor:
        return ""
    built = counts.anchor - counts.anchor_imported
    came = f"{counts.anchor_imported} imported" if counts.anchor_imported and built else "imported" if not built else ""
    return f"anchor rows {counts.anchor} ({came or 'the oldest held-out'})"


def due_in_words(task: TaskStatus) -> str:
    """Return in one sentence whether a run of a task is due, why or why not, and what would change that."""
    if task.run is not None and task.run.state not in STANDING_STILL:
        return f"A run is under way: {task.run.reason}."
    said = "; ".join(reason for reason in task.reasons if reason).rstrip(".")
    if task.run is not None:
        return f"{said[:1].upper()}{said[1:]}."
    verdict = "Due" if task.due else "Not due"
    return f"{verdict}: {said}." if said else f"{verdict}."


def _texts_cut(registry: Registry, version: str) -> str | None:
    metrics = registry.versions.get(version).metrics
    return texts_cut(metrics) if metrics.get("rows_cut") or metrics.get("tested_cut") else None
