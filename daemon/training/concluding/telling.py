"""What is told of a run: events for programs, and for people its report and its version's card.

A report or a card that cannot be written never makes a run fail.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from config.settings import Settings
from config.task_files.sections.promotion import Promotion
from registry.evidence import in_words
from registry.reports import cards
from registry.reports.run.kept import Reports
from registry.runs import Run, Verdict
from registry.store import Registry
from trainers.job import files

log = structlog.get_logger(__name__)


class Teller:
    """Announces runs, and writes reports and cards."""

    def __init__(self, settings: Settings, registry: Registry, fencing_token: int) -> None:
        self._registry = registry
        self._token = fencing_token
        self._test_fraction = settings.enrich.test_fraction_while_short
        self._reports = Reports(settings.reports_dir, settings.runs_dir.resolve(), watts_per_core=settings.reports.watts_per_core)

    def announce(self, run: Run, kind: str, **details: object) -> None:
        """Queue an event before the state that it tells of is recorded.

        Its id is derived: a step repeated after a crash announces the same event again, which is then queued once.
        """
        event = {"event_id": f"{run.run_id}:{kind}", "type": kind, "task": run.task, "run_id": run.run_id, **details}
        self._registry.outbox.add(event, fencing_token=self._token)

    def report(
        self, run: Run, *, verdict: Verdict, reasons: tuple[str, ...], comparison: dict[str, Any], finished_at: datetime
    ) -> None:
        """Write the report of a run with the verdict that is about to be recorded.

        Before the run counts as over: an erasure waits until then, and takes out of the report what must go.
        """
        decided = replace(
            run, state="decided", verdict=verdict, reasons=reasons, comparison=comparison, finished_at=finished_at, error=None
        )
        try:
            self._reports.write(self._registry, decided)
        except Exception:
            log.exception("run.report_failed", version=run.version, next=f"`perennial report {run.run_id}` tries it again")

    def forget(self, run: Run) -> None:
        """Remove the report of a run that failed after all."""
        self._reports.remove(run.run_id)

    def card(self, run: Run, folder: Path, policy: Promotion | None) -> None:
        """Write the card of the version of a decided run into the run's folder; `policy` is that of its task."""
        assert run.version is not None  # noqa: S101 - a decided run has one; narrows the type
        try:
            words = in_words.of_run(self._registry, run, policy, test_fraction=self._test_fraction)
            cards.write_card(self._registry, run.version, folder, history=folder / files.HISTORY_FILE, words=words)
        except Exception:  # drawing a picture never undoes a decision
            log.exception("run.card_failed", version=run.version, next=f"`perennial models show {run.version}` tells the same")
