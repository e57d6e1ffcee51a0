"""An installation with articles that wait for labels; driven by hand, behind a real serving process's page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from config.tasks import TaskSpec
from consumers.dead_letters.store import DeadLetters
from consumers.events.schemas import FEEDBACK_TOPIC
from consumers.ingest import Ingest
from consumers.log.embedded.log import EmbeddedLog
from consumers.rows.backlog import TextRow
from daemon.labelling.answering import Desk
from daemon.views.desk import reading
from daemon.views.desk.models import Desk as Shown
from tests.support import buffers
from tests.support.cycles import NAME, World, better, task

HELD_OUT = "Held out:"
"""Begins the texts that are on the test side."""


class Newsroom(World):
    """Tasks, articles and people who label them."""

    def __init__(self, folder: Path, spec: TaskSpec | None = None, **more: Any) -> None:
        super().__init__(folder, spec or task(), **{"train": better} | more)
        tasks = folder / "tasks"
        tasks.mkdir()
        (spec,) = self.tasks.values()
        (tasks / "toy.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json")), encoding="utf-8")
        self.settings = self.settings.model_copy(update={"tasks_dir": str(tasks)})
        self.log = EmbeddedLog(self.settings.event_log_file, retention=timedelta(days=14), clock=self.clock)
        self.letters = DeadLetters(self.settings.dead_letter_file, clock=self.clock)
        self.source = self.log.source("buffer", [FEEDBACK_TOPIC])
        for opened in (self.log, self.letters, self.source):
            self._stack.callback(opened.close)
        self._offset = 100_000

    @property
    def task(self) -> TaskSpec:
        (found,) = self.tasks.values()
        return found

    def articles(self, texts: Sequence[str], *, hours: float = 0, prefix: str = "a") -> None:
        """Store and place articles; the first is the newest."""
        made = [
            buffers.article(f"{prefix}-{number}", f"{prefix}-{number}", text, hours=hours + number / 100)
            for number, text in enumerate(texts)
        ]
        self._offset += len(made)
        buffers.take(self.buffer, *made, offset=self._offset)
        self.place()

    def held_out(self, count: int, prefix: str = "a") -> None:
        self.articles([f"{HELD_OUT} {prefix} story {number}" for number in range(count)], prefix=prefix)

    def disagreement(self, *answers: str, text: str = "A disputed text") -> list[str]:
        """Have users answer one text in different ways; returns the ids of their feedback."""
        ids = [f"f-{text[:9]}-{number}" for number in range(len(answers))]
        self._offset += len(ids)
        said = [
            buffers.feedback(one, text, answer, task=self.task.name, user_id=f"reader-{number}")
            for number, (one, answer) in enumerate(zip(ids, answers, strict=True))
        ]
        buffers.take(self.buffer, *said, offset=self._offset)
        return ids

    def take_in(self) -> None:
        """Store and place what was answered, as the daemon does within seconds."""
        ingest = Ingest(
            self.source, self.buffer, self.letters, erasures=self.erasures, tasks=lambda: self.tasks,
            settings=self.settings.ingest.model_copy(update={"min_free_disk_mib": 0, "poll_timeout_s": 0.01}),
            data_dir=self.settings.data_dir, clock=self.clock,
        )  # fmt: skip
        while any(self.source.lag().values()):
            ingest.step()
        self.place()

    def place(self) -> None:
        buffers.enrich(self.buffer, "articles", split=_side)
        buffers.enrich(self.buffer, split=_side)

    def desk(self, annotator: str = "anna") -> Desk:
        return Desk(self.task, annotator, "test", self.settings, self.registry, self.buffer)

    def look(self, annotator: str = "anna", lane: str = "", *, item: str = "", limit: int = 100) -> Shown:  # type: ignore[override]
        return reading.look(
            self.task, annotator, lane, registry=self.registry, buffer=self.buffer, settings=self.settings, item=item, limit=limit
        )


def _side(row: TextRow) -> str:
    return "anchor" if row.anchor else "test" if row.text.startswith(HELD_OUT) else "train"


__all__ = ["HELD_OUT", "NAME", "Newsroom"]
