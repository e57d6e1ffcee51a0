"""The reports that are kept: one folder for each run, as long as its version's files or its own folder are there.

A report shows texts. So it is written before the run counts as over, which an erasure waits for, and loses its texts when one of
them is erased or has passed its time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path
from typing import Literal

import structlog

from config.errors import UserError
from config.files.durable import write_atomic
from registry.reports.run import left as of_left
from registry.reports.run.html import html
from registry.reports.run.left import Left
from registry.reports.run.markdown import markdown
from registry.reports.run.sections import sections_of
from registry.reports.run.told import told
from registry.runs import Run
from registry.store import Registry

HTML_FILE, MARKDOWN_FILE = "report.html", "report.md"
Format = Literal["html", "md", "docx"]

log = structlog.get_logger(__name__)


class Reports:
    """The folder of all reports of an installation."""

    def __init__(self, folder: Path, runs_dir: Path, *, watts_per_core: float) -> None:
        self._folder = folder
        self._runs_dir = runs_dir
        self._watts = watts_per_core

    def write(self, registry: Registry, run: Run) -> None:
        """Write and keep the report of a run, which may be given as it is about to be recorded.

        By a later verdict the run's folder may be gone, or texts of it may have been taken out of the report.
        """
        kept, folder = of_left.read(self._folder / run.run_id), self._runs_dir / run.run_id
        stays = kept is not None and (kept.texts_gone_at is not None or not folder.is_dir())
        self._keep(registry, run, kept if kept is not None and stays else of_left.of_folder(folder))

    def render(self, registry: Registry, run: Run, form: Format) -> bytes:
        """Return the report of any run as it is known now, also of one under way; keep nothing.

        Raises `UserError` where a DOCX is asked for and python-docx is not installed.
        """
        return _rendered(registry, run, self._left(run), form, self._watts)

    def file(self, run_id: str, name: str) -> Path | None:
        """Return a kept file of a report, None where there is none."""
        path = self._folder / run_id / name
        return path if path.is_file() else None

    def forget_absent(self, registry: Registry, present: AbstractSet[str]) -> int:
        """Take the texts out of every report that shows an example which is not `present`; return of how many."""
        return self._without_texts(registry, lambda _run, left: bool(left.example_ids - present))

    def forget_older(self, registry: Registry, before: datetime) -> int:
        """Take the texts out of the reports of runs that ended before a moment; return of how many."""
        return self._without_texts(registry, lambda run, _left: run.finished_at is not None and run.finished_at < before)

    def prune(self, registry: Registry) -> int:
        """Remove the reports of versions whose files are gone, once the run's folder is gone too; return how many."""
        going = []
        for run_id in self._ids():
            run = registry.runs.find(run_id)
            version = registry.versions.get(run.version) if run is not None and run.version else None
            if (version is None or version.collected_at is not None) and not (self._runs_dir / run_id).exists():
                going.append(run_id)
        for run_id in going:
            self.remove(run_id)
        return len(going)

    def remove(self, run_id: str) -> None:
        """Remove the report of a run, if there is one."""
        shutil.rmtree(self._folder / run_id, ignore_errors=True)

    def _left(self, run: Run) -> Left:
        kept = of_left.read(self._folder / run.run_id)
        return of_left.of_folder(self._runs_dir / run.run_id) if kept is None else kept

    def _keep(self, registry: Registry, run: Run, left: Left) -> None:
        folder = self._folder / run.run_id
        folder.mkdir(parents=True, exist_ok=True)
        of_left.write(left, folder)
        for name, form in ((HTML_FILE, "html"), (MARKDOWN_FILE, "md")):
            write_atomic(folder / name, _rendered(registry, run, left, form, self._watts))  # type: ignore[arg-type]

    def _ids(self) -> list[str]:
        return sorted(path.name for path in self._folder.glob("*") if path.is_dir())

    def _without_texts(self, registry: Registry, must: Callable[[Run, Left], bool]) -> int:
        count = 0
        for run_id in self._ids():
            run, left = registry.runs.find(run_id), of_left.read(self._folder / run_id)
            if run is None or left is None:
                # What cannot be read cannot be told from what must go.
                self.remove(run_id)
                continue
            if left.example_ids and must(run, left):
                bare = left.without_texts(registry.clock())
                try:
                    self._keep(registry, run, bare)
                except Exception:
                    # Without a report rather than with texts that must go.
                    log.exception("report.removed", run_id=run_id, reason="it could not be written without its texts")
                    self.remove(run_id)
                count += 1
        return count


def run_of(registry: Registry, name: str) -> Run:
    """Return the run called `name`, or that made the version of this name. Raises `UserError` where there is none."""
    if "/v" not in name:
        return registry.runs.get(name)
    run = registry.runs.find(registry.versions.get(name).run_id)
    if run is None:
        message = f"the record of the run that made {name} is gone; `perennial models show {name}` tells what is known"
        raise UserError(message)
    return run


def _rendered(registry: Registry, run: Run, left: Left, form: Format, watts_per_core: float) -> bytes:
    known = told(registry, run, left, watts_per_core=watts_per_core)
    sections = sections_of(known)
    if form == "docx":
        from registry.reports.run.word import word  # noqa: PLC0415 - only this needs it

        return word(known, sections)
    written = html(known, sections) if form == "html" else markdown(known, sections)
    return written.encode("utf-8", "replace")
