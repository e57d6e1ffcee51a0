"""An installation in which people ask to be forgotten; driven by hand, its clock held."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from config.settings import Settings
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasure
from consumers.events import schemas as events
from consumers.events.schemas import FEEDBACK_TOPIC, AnyEvent, Erase, to_bytes
from consumers.ingest import Ingest
from consumers.log.embedded.log import EmbeddedLog
from daemon.flow.accepted import AcceptedFeedback
from daemon.process.leading import Leading
from daemon.upkeep.erasure.worker import Eraser
from registry.runs import Run
from tests.support import buffers
from tests.support.cycles import NAME, World, better, task

KEEP = timedelta(hours=1)
WORD = "xylomarkzebra"


class Town(World):
    """An installation in which people ask to be forgotten; driven by hand."""

    def __init__(self, folder: Path, **more: Any) -> None:
        super().__init__(folder, task(), **{"train": better} | more)
        self.log = EmbeddedLog(self.settings.event_log_file, retention=timedelta(days=14), clock=self.clock)
        self.letters = DeadLetters(self.settings.dead_letter_file, clock=self.clock)
        self.accepted = AcceptedFeedback(self.settings.accepted_feedback_file, keep=timedelta(days=14))
        self.source = self.log.source("buffer", [FEEDBACK_TOPIC])
        for opened in (self.log, self.letters, self.accepted, self.source):
            self._stack.callback(opened.close)
        self.eraser = self.next_eraser()

    def next_eraser(self) -> Eraser:
        self.eraser = Eraser(
            self.leading(), erasures=self.erasures, event_log=self.log, dead_letters=self.letters, artifacts=self.artifacts,
            cycle=self.cycle, metrics=self.metrics, features=self.features,
        )  # fmt: skip
        return self.eraser

    def leading(self, settings: Settings | None = None) -> Leading:
        """What parts of the leader's process work with."""
        tasks = lambda: self.tasks  # noqa: E731 - one line
        return Leading(settings or self.settings, tasks, self.buffer, self.registry, self.token, self.clock)

    def take_in(self, *stream: AnyEvent | bytes) -> None:
        """Publish and ingest."""
        with closing(self.log.sink()) as sink:
            for event in stream:
                sink.publish(FEEDBACK_TOPIC, event if isinstance(event, bytes) else to_bytes(event))
        ingest = Ingest(
            self.source, self.buffer, self.letters, erasures=self.erasures, tasks=lambda: self.tasks,
            settings=self.settings.ingest.model_copy(update={"min_free_disk_mib": 0, "poll_timeout_s": 0.01}),
            data_dir=self.settings.data_dir, clock=self.clock,
        )  # fmt: skip
        while any(self.source.lag().values()):
            ingest.step()
        buffers.enrich(self.buffer)

    def ask_to_erase(self, user: str = "anna") -> None:
        self.take_in(Erase(event_id=f"erase-{user}", occurred_at=self.clock(), user_id=user))

    def work(self, *, hours: float = 0) -> Erasure:
        """Let time pass and step until nothing more is to be done at once; return the newest erasure."""
        self.clock.forward(3600 * hours)
        for _ in range(3):
            while self.eraser.step() == 0:
                pass
        return self.erasures.all()[0]

    def feedback(self, event_id: str = "f-1", user: str = "anna", text: str = f"{WORD} said so") -> events.Feedback:
        return buffers.feedback(event_id, text, "A", user_id=user, task=NAME)

    def champion_with_feedback(self) -> Run:
        """A champion that learnt from what Anna said."""
        self.take_in(self.feedback())
        self.grow(10)
        return self.ask("request:first")
