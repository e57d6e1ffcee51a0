"""Everything the serving process holds, opened in order and closed in the opposite one."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Self

from config.addresses import apps_address, is_loopback
from config.clock import Clock, utc_now
from config.errors import PerennialError
from config.settings import Settings
from config.tasks import TaskSpec, load_tasks
from consumers.dead_letters.store import DeadLetters
from consumers.log.open import open_event_log
from daemon.flow.accepted import AcceptedFeedback
from daemon.process import task_files
from daemon.serving.access.callers import Access
from daemon.serving.access.key_ring import KeyRing
from daemon.serving.feedback.corrections import CorrectionBook
from daemon.serving.feedback.prediction_log import PredictionLog
from daemon.serving.feedback.taking import FeedbackDesk
from daemon.serving.metrics import ServingMetrics
from daemon.serving.models.loading import RegistryChampions, loader
from daemon.serving.models.slot import Load, Slot
from daemon.serving.models.slots import Slots
from daemon.serving.models.trouble import Trouble, trouble
from daemon.views.feedback.fates import Fates
from registry.artifacts.open import open_store
from registry.store import Registry

if TYPE_CHECKING:  # LanceDB is slow to import and only a question about feedback needs it
    from consumers.buffer.reader import BufferReader

DRAIN_LIMIT_S = 5.0
"""How long a stop waits for predictions on their way to the log, and for models to finish."""


@dataclass(slots=True)
class Service:
    """The parts that the API answers with."""

    settings: Settings
    tasks: Mapping[str, TaskSpec]
    registry: Registry
    slots: Slots
    predictions: PredictionLog
    corrections: CorrectionBook
    desk: FeedbackDesk
    fates: Fates
    metrics: ServingMetrics
    access: Access
    _thread_troubles: Callable[[], Mapping[str, Trouble | None]]
    _parts: contextlib.ExitStack

    @classmethod
    def open(cls, settings: Settings, *, load: Load | None = None, clock: Clock = utc_now) -> Self:
        """Open registry, log and files, and start one watching thread per task.

        Raises `UserError` for wrong task files, `StopError` or `RetryError` when the data cannot be used.
        """
        with contextlib.ExitStack() as stack:
            tasks = load_tasks(settings.tasks_folder)
            metrics = ServingMetrics()
            registry = Registry.open(settings.registry_url, clock=clock, apps_at=apps_address(settings.serving))
            stack.callback(registry.close)
            retention = timedelta(days=settings.events.retention_days)
            event_log = open_event_log(settings, clock=clock)
            stack.callback(event_log.close)
            dead_letters = DeadLetters(settings.dead_letter_file, clock=clock)
            stack.callback(dead_letters.close)
            accepted = AcceptedFeedback(settings.accepted_feedback_file, keep=retention)
            stack.callback(accepted.close)
            artifacts = open_store(settings.artifacts_dir)
            fates = Fates(accepted, dead_letters, registry, artifacts, partial(_open_buffer, settings, tasks, clock))
            fates.use_tasks(tasks)
            stack.callback(fates.close)
            # Two sinks: the flush of an acknowledgement must not wait for a pile of predictions.
            feedback_sink, prediction_sink = event_log.sink(), event_log.sink()
            stack.callback(_close_sink, feedback_sink.close)
            stack.callback(_close_sink, prediction_sink.close)
            predictions = PredictionLog(
                prediction_sink, max_event_bytes=settings.ingest.max_event_bytes, on_unlogged=metrics.unlogged, clock=clock
            )
            stack.callback(predictions.close, DRAIN_LIMIT_S)
            metrics.watch_prediction_log(predictions.waiting)
            desk = FeedbackDesk(
                feedback_sink, accepted, tasks=tasks, settings=settings.ingest, known_prediction=predictions.recent,
                report=metrics.feedback, clock=clock,
            )  # fmt: skip
            champions = RegistryChampions(registry, artifacts)
            load = load or loader(settings.training, settings.serving.threads)
            slots = Slots(
                lambda spec: Slot(
                    spec, champions, load, clock=clock, on_batch=partial(metrics.batch, spec.name),
                    text_time_s=settings.serving.text_time_s,
                ),
                interval_s=settings.serving.refresh_interval_s, metrics=metrics,
            )  # fmt: skip
            stack.callback(slots.close, DRAIN_LIMIT_S)
            slots.use_tasks(tasks)
            corrections = CorrectionBook(
                registry.corrections, lambda: [slot.status() for slot in slots.all()], enabled=settings.serving.corrections_answer
            )
            corrections.use_tasks(tasks)
            metrics.watch_corrections(corrections.count)
            keys = KeyRing(registry.api_keys, clock=clock)
            access = Access(
                settings.serving, keys, loopback=is_loopback(settings.serving.host), clock=clock, report=metrics.turned_away
            )
            stop = threading.Event()
            key_watch = threading.Thread(target=keys.watch, args=(stop,), name="api-keys", daemon=True)
            key_watch.start()
            threading.Thread(target=fates.open_soon, args=(stop,), name="fates", daemon=True).start()
            correction_watch = threading.Thread(
                target=corrections.watch, args=(stop, settings.serving.refresh_interval_s), name="corrections", daemon=True
            )
            correction_watch.start()
            stack.callback(stop.set)

            def thread_troubles() -> Mapping[str, Trouble | None]:
                ended, now = stop.is_set(), time.monotonic()
                return {
                    "keys": trouble(key_watch, "no longer reads API keys", ended=ended, silent_s=now - keys.looked_at),
                    "corrections": trouble(
                        correction_watch, "no longer reads corrections", ended=ended, silent_s=now - corrections.looked_at,
                        patience=max(1.0, settings.serving.refresh_interval_s),
                    ),
                }  # fmt: skip

            return cls(
                settings, tasks, registry, slots, predictions, corrections, desk, fates, metrics, access, thread_troubles,
                stack.pop_all(),
            )  # fmt: skip

    def troubles(self) -> dict[str, Trouble]:
        """Return what is wrong with the process's own threads: by task, or by what they do for all tasks."""
        others = {"predictions": self.predictions.trouble(), **self._thread_troubles()}
        found: dict[str, Trouble] = {}
        for name, one in (*self.slots.troubles(), *others.items()):
            if one is not None:
                before = found.get(name)
                found[name] = one if before is None else Trouble(f"{before.reason}; {one.reason}", before.lost or one.lost)
        return found

    def reload(self) -> None:
        """Reload the task files; wrong ones leave those in force that were. One thread calls this."""
        tasks = task_files.reloaded(self.settings.tasks_folder, self.tasks)
        if tasks is not None:
            self.tasks = tasks
            self.desk.use_tasks(tasks)
            self.fates.use_tasks(tasks)
            self.corrections.use_tasks(tasks)
            self.slots.use_tasks(tasks)

    def at_close(self, release: Callable[[], object]) -> None:
        """Have something released when the service is closed, before what it reads from."""
        self._parts.callback(release)

    def close(self) -> None:
        """Stop watching, finish what models have taken, write what waits for the log, release everything."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _open_buffer(settings: Settings, tasks: Mapping[str, TaskSpec], clock: Clock) -> BufferReader | None:
    if not settings.buffer_dir.exists():
        return None
    from consumers.buffer.open import open_reader  # noqa: PLC0415 - LanceDB is slow to import, and a process without a buffer needs none

    return open_reader(settings.buffer_dir, tasks=tasks, min_quality=settings.enrich.min_quality, clock=clock)


def _close_sink(close: Callable[[], None]) -> None:
    # What could not be written was counted and logged by whoever published it.
    with contextlib.suppress(PerennialError):
        close()
