"""Plays a task's history under policies, one after the other, in a temporary folder. Nothing of it is published or promoted."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

import pyarrow as pa

from config.errors import UserError
from config.settings import Settings
from config.task_files import policies as policy_files
from config.tasks import TaskSpec, load_tasks
from config.words import counted, named
from consumers.buffer.open import open_reader
from consumers.history import past as history
from consumers.history.past import By, Past
from consumers.rows.labels.unlabelled import is_article
from daemon.operations.simulating import quality, record
from daemon.operations.simulating.playing import Played, Playing
from daemon.operations.simulating.record import Record
from daemon.operations.simulating.repeating import Repeating
from daemon.operations.simulating.ways import REAL, SAMPLED, Ways
from daemon.operations.simulating.world import World
from daemon.training import aside
from daemon.views.models.comparison import Scale
from daemon.views.models.simulation import PolicyPlayed, Simulation
from registry.store import Registry
from trainers.compare.metrics import catalog
from trainers.job.spec import Progress

RECORDED, CURRENT = "recorded", "current"
"""What a policy may be called that is no file: the one on record, run by run, and that of the task file now."""
WAYS: Mapping[Literal["real", "sampled"], Ways] = {"real": REAL, "sampled": SAMPLED}
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy to play."""

    name: str
    task: TaskSpec
    recorded: bool = False


class Watch(Protocol):
    """Hears how far it is."""

    def passes(self, policy: str, at: datetime, share: float, runs: int) -> None:
        """Hear how far the history's clock has come, as a share of the history, and how many runs there were."""
        ...

    def hears(self, progress: Progress) -> None:
        """Hear of the progress of a run."""
        ...


def simulate(
    settings: Settings, name: str, asked: Sequence[str], *, watch: Watch, stop: threading.Event, ways: Ways = REAL,
    by: By = "arrival", periods: int = 12,
) -> Simulation:  # fmt: skip
    """Play the history of a task under the policies `asked` for (files, `recorded` or `current`; none: `recorded`).

    When `stop` is set, what was done until then is returned. Raises `UserError` for an unknown task, a policy that is none, and
    where there is nothing to play.
    """
    began = time.monotonic()
    task = _task(settings, name)
    wanted, notes = wanted_policies(task, asked)
    if by == "event" and any(policy.recorded for policy in wanted):
        message = "the record is of when events came; play it with --time arrival, or give a policy (`--policy current`)"
        raise UserError(message)
    with ExitStack() as stack:
        source = stack.enter_context(_registry(settings))
        kept = record.read(source, name)
        if not kept.runs and any(policy.recorded for policy in wanted):
            message = f"no run of {name} is on record, so there is none to repeat; give a policy, such as `--policy current`"
            raise UserError(message)
        here = stack.enter_context(aside.copies_folder(settings.runs_dir))
        _take(settings, task, here / "past")
        past = Past(here / "past", name, by=by, seen=kept.seen)
        history.refuse_empty(past)
        notes += _gaps(past, source, kept, wanted)
        done: list[PolicyPlayed] = []
        for number, policy in enumerate(wanted):
            if stop.is_set():
                break
            found, more = _played(
                policy, here / f"policy-{number}", settings, past, ways, record=kept, source=source, periods=periods, stop=stop,
                watch=watch,
            )  # fmt: skip
            done.append(_told(policy, task, found))
            notes += more
        metric = catalog.of(task)
        return Simulation(
            task=name,
            training="sampled" if ways.name == "sampled" else "real",
            training_told=ways.told(task),
            time=by,
            since=history.moment(past.moments[0]),
            until=history.moment(past.moments[-1]),
            examples=past.rows,
            metric=metric.name,
            scale=Scale.model_validate(metric.scale.model_dump()),
            policies=tuple(done),
            notes=tuple(notes),
            stopped=stop.is_set(),
            seconds=time.monotonic() - began,
        )


def wanted_policies(task: TaskSpec, asked: Sequence[str]) -> tuple[list[Policy], list[str]]:
    """Return the policies to play, each once, and a note for each that is the same as another. Raises `UserError`."""
    found: list[Policy] = []
    notes: list[str] = []
    for one in asked or (RECORDED,):
        if one in (RECORDED, CURRENT):
            policy = Policy(one, task, recorded=one == RECORDED)
        else:
            policy = Policy(Path(one).stem, policy_files.load_policy(Path(one), task))
        same = next((other for other in found if (other.recorded, other.task) == (policy.recorded, policy.task)), None)
        if same is not None:
            notes.append(f"policy {one} is the same as {same.name}; it was played once")
            continue
        if any(other.name == policy.name for other in found):
            policy = Policy(one, policy.task)
        found.append(policy)
    return found, notes


def _task(settings: Settings, name: str) -> TaskSpec:
    tasks = load_tasks(settings.tasks_folder)
    if name not in tasks:
        message = f"task {name!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    if not settings.buffer_dir.exists():
        message = f"there is no buffer in {settings.data_dir}, so no history of {name} to play; start with `perennial run`"
        raise UserError(message)
    return tasks[name]


def _registry(settings: Settings) -> Registry:
    """Open the registry so that nothing can be written."""
    return Registry.open(settings.registry_url, read_only=True, create=False)


def _take(settings: Settings, task: TaskSpec, folder: Path) -> None:
    tasks = load_tasks(settings.tasks_folder)
    with closing(open_reader(settings.buffer_dir, tasks=tasks, min_quality=settings.enrich.min_quality)) as buffer:
        buffer.take_past(task, folder)


def _played(
    policy: Policy, folder: Path, settings: Settings, past: Past, ways: Ways, *, record: Record, source: Registry, periods: int,
    stop: threading.Event, watch: Watch,
) -> tuple[Played, list[str]]:  # fmt: skip
    first, last = int(past.moments[0]), int(past.moments[-1])
    ends = quality.edges(history.moment(first), history.moment(last), periods)
    with World(
        folder, settings, ways.task(policy.task), past, ways, began=history.moment(first), stop=stop, hears=watch.hears
    ) as world:  # fmt: skip
        playing = Playing(
            world, past, ways, ends=ends, stop=stop, lasted=record.lasted.get,
            passing=lambda at: watch.passes(
                policy.name, at, min(1.0, (history.microseconds(at) - first) / max(1, last - first)), len(playing.done.runs)
            ),
        )  # fmt: skip
        if policy.recorded:
            repeating = Repeating(playing, record, policy.task, ways, source)
            repeating.play()
            return playing.done, repeating.notes
        playing.play()
        if playing.done.runs or not playing.done.complete:
            return playing.done, []
        _seen, found = world.look()
        return playing.done, [f"policy {policy.name}: no run was due in this history. At its end: {'; '.join(found.reasons)}"]


def _told(policy: Policy, task: TaskSpec, found: Played) -> PolicyPlayed:
    waits = found.waits
    return PolicyPlayed(
        name=policy.name,
        differs=policy_files.differences(task, policy.task),
        complete=found.complete,
        runs=tuple(found.runs),
        periods=tuple(found.periods),
        cpu_s=sum(run.cpu_s for run in found.runs),
        mean_wait_days=sum(waits) / len(waits) if waits else None,
        longest_wait_days=max(waits, default=None),
        labels_asked=found.labels_asked,
        promotions=found.promotions,
        quality=found.quality,
        recorded=found.recorded,
    )


def _gaps(past: Past, source: Registry, record: Record, wanted: Sequence[Policy]) -> list[str]:
    """Return, in words and by name, what of the history cannot be played."""
    notes = []
    learnt = {one for version in record.versions.values() for one in source.versions.learnt(version.name) if not is_article(one)}
    if gone := past.missing(pa.array(sorted(learnt), pa.string())):
        notes.append(
            f"versions on record learnt from {counted(len(gone), 'row')} that the buffer no longer has (erased, or past its "
            f"retention): {named(gone, _MOST_NAMED)}"
        )
    if record.forgotten:
        notes.append(
            f"the runs of {named(record.forgotten, _MOST_NAMED)} are no longer on record, so they are not repeated"
        )  # fmt: skip
    if unknown := past.leaving().unknown:
        notes.append(
            f"of {counted(unknown, 'row')} it is not on record when {'it' if unknown == 1 else 'they'} left training; "
            f"{'it is' if unknown == 1 else 'they are'} left out from the beginning"
        )
    if corrected := past.corrected():
        notes.append(
            f"{counted(len(corrected), 'label')} said something else at first; each counts from its correction on: "
            f"{named(corrected, _MOST_NAMED)}"
        )
    if record.outside and any(not policy.recorded for policy in wanted):
        notes.append(
            f"{counted(len(record.outside), 'move')} of the champion by people, or by their answers to requests, "
            f"{'is' if len(record.outside) == 1 else 'are'} repeated under the record alone, and under no other policy"
        )
    return notes
