"""All slots of the serving process: created, dropped and updated on changed task files while requests are answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from config.tasks import TaskSpec
from daemon.serving.metrics import ServingMetrics
from daemon.serving.models.slot import DRAIN_LIMIT_S, Refreshed, Slot
from daemon.serving.models.trouble import Trouble, trouble

_LOADING_PATIENCE = 10.0
"""A model may take minutes to be fetched and loaded."""


@dataclass(frozen=True, slots=True)
class _Watched:
    slot: Slot
    stop: threading.Event
    thread: threading.Thread
    came_later: bool


class Slots(Mapping[str, Slot]):
    """The slots by task, each with the thread that watches its champion. Reading is safe from any thread; one thread changes."""

    def __init__(self, make: Callable[[TaskSpec], Slot], *, interval_s: float, metrics: ServingMetrics) -> None:
        """`make` returns a slot for a task; its champion is looked at every `interval_s`."""
        self._make = make
        self._interval_s = interval_s
        self._metrics = metrics
        # Never changed, only replaced: who iterates over it sees one moment.
        self._watched: Mapping[str, _Watched] = {}
        self._began = False
        self._reporting = threading.Lock()
        self._reported_at: dict[str, float] = {}

    def __getitem__(self, task: str) -> Slot:
        return self._watched[task].slot

    def __iter__(self) -> Iterator[str]:
        return iter(self._watched)

    def __len__(self) -> int:
        return len(self._watched)

    def all(self) -> list[Slot]:
        """Return the slots of one moment, by the names of their tasks."""
        watched = self._watched
        return [watched[task].slot for task in sorted(watched)]

    def came_later(self, task: str) -> bool:
        """Return whether a reload brought the task: while its model loads, the others answer and the process stays ready."""
        watched = self._watched.get(task)
        return watched is not None and watched.came_later

    def troubles(self) -> Iterator[tuple[str, Trouble]]:
        """Yield what is wrong with the threads of a task, by task."""
        for task, watched in self._watched.items():
            silent_s = time.monotonic() - self._reported_at[task]
            for found in (
                watched.slot.trouble(),
                trouble(
                    watched.thread, "no longer follows the champion", ended=watched.stop.is_set(), silent_s=silent_s,
                    patience=_LOADING_PATIENCE,
                ),
            ):  # fmt: skip
                if found is not None:
                    yield task, found

    def use_tasks(self, tasks: Mapping[str, TaskSpec], drain_s: float = DRAIN_LIMIT_S) -> None:
        """Have one slot for each of `tasks`; the slots of others answer, for at most `drain_s` each, what they have taken."""
        before, began = self._watched, self._began
        self._began = True
        for task in before.keys() & tasks.keys():
            before[task].slot.spec = tasks[task]
        kept = {task: watched for task, watched in before.items() if task in tasks}
        self._watched = kept | {task: self._begin(tasks[task], came_later=began) for task in sorted(tasks.keys() - before.keys())}
        for task in sorted(before.keys() - tasks.keys()):
            with self._reporting:
                before[task].stop.set()
                self._metrics.forget_task(task)
            before[task].slot.close(drain_s)
            # What it answered while it drained was counted.
            self._metrics.forget_task(task)

    def close(self, drain_s: float) -> None:
        """Stop watching and answer what was taken, for at most `drain_s` a task."""
        watched = self._watched
        for one in watched.values():
            one.stop.set()
        for one in watched.values():
            one.slot.close(drain_s)

    def _begin(self, spec: TaskSpec, *, came_later: bool) -> _Watched:
        slot, stop = self._make(spec), threading.Event()
        self._metrics.watch_task(spec.name, slot.status)
        # Daemon threads: a model that loads for a minute must not hold up the end of the process.
        thread = threading.Thread(
            target=slot.watch, args=(stop, self._interval_s, partial(self._report, stop)), name=f"slot-{spec.name}", daemon=True
        )
        self._reported_at[spec.name] = time.monotonic()
        thread.start()
        return _Watched(slot, stop, thread, came_later)

    def _report(self, stop: threading.Event, task: str, outcome: Refreshed) -> None:
        self._reported_at[task] = time.monotonic()
        with self._reporting:
            # A watcher that was loading a model when its task was dropped must not bring its figures back.
            if not stop.is_set():
                self._metrics.refreshed(task, outcome)
