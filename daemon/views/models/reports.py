"""The reports of runs: those that are kept, and the report of any run as it is known now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from config.settings import Settings
    from registry.reports.run.kept import Reports
    from registry.store import Registry

Format = Literal["html", "md", "docx"]
HTML_FILE, MARKDOWN_FILE = "report.html", "report.md"


def kept(settings: Settings, run_id: str, name: str) -> bytes | None:
    """Return a kept file of the report of a run that is on record; None where there is none."""
    try:
        return (settings.reports_dir / run_id / name).read_bytes()
    except OSError:
        return None


def is_kept(settings: Settings, run_id: str) -> bool:
    """Return whether a report of the run is kept."""
    return (settings.reports_dir / run_id / HTML_FILE).is_file()


def rendered(settings: Settings, registry: Registry, name: str, form: Format) -> bytes:
    """Return the report of a run, or of the run that made a version (`task/vN`), as it is known now.

    Raises `UserError` where there is no such run or version, and where a DOCX is asked for without python-docx.
    """
    from registry.reports.run import kept as reports  # noqa: PLC0415 - heavy

    return _reports(settings).render(registry, reports.run_of(registry, name), form)


def _reports(settings: Settings) -> Reports:
    from registry.reports.run.kept import Reports  # noqa: PLC0415 - heavy

    return Reports(settings.reports_dir, settings.runs_dir.resolve(), watts_per_core=settings.reports.watts_per_core)
