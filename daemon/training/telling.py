"""What is written of a run for people: its report and its version's card. Telling of a run never makes it fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from config.settings import Settings
from registry.reports import cards
from registry.reports.run.kept import Reports
from registry.runs import Run, Verdict
from registry.store import Registry
from trainers.job import files

log = structlog.get_logger(__name__)


class Teller:
    """Writes reports and cards."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._registry = registry
        self._reports = Reports(settings.reports_dir, settings.runs_dir.resolve(), watts_per_core=settings.reports.watts_per_core)

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

    def card(self, run: Run, folder: Path) -> None:
        """Write the card of the version of a decided run into the run's folder."""
        assert run.version is not None  # noqa: S101 - a decided run has one; narrows the type
        try:
            cards.write_card(self._registry, run.version, folder, history=folder / files.HISTORY_FILE)
        except Exception:  # drawing a picture never undoes a decision
            log.exception("run.card_failed", version=run.version, next=f"`perennial models show {run.version}` tells the same")
