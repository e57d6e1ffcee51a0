"""Pages of runs and versions: what was trained, how it compared, and which rows got better and worse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from daemon.dashboard import shown
from daemon.dashboard.plots import interval_plot
from daemon.dashboard.rendering import HEADERS
from daemon.dashboard.routing import Look
from daemon.views.models import learnt, logs, sentences
from daemon.views.models import reports as report_views
from daemon.views.models import runs as run_views
from daemon.views.models import versions as version_views
from registry.reports import answers

if TYPE_CHECKING:
    from registry.evidence.in_words import InWords

PER_PAGE = 50


def runs(look: Look) -> Response:
    """Return the list of runs, newest first."""
    page, task = look.number("page"), look.query.get("task") or None
    found = run_views.listed(look.sources.reader.registry, task, PER_PAGE + 1, offset=(page - 1) * PER_PAGE)
    return look.page("runs.html", here="Runs", runs=found[:PER_PAGE], page=page, more=len(found) > PER_PAGE, task=task)


def versions(look: Look) -> Response:
    """Return the list of versions, newest first."""
    page, task = look.number("page"), look.query.get("task") or None
    found = version_views.newest(look.sources.reader.registry, task, PER_PAGE + 1, offset=(page - 1) * PER_PAGE)
    return look.page(
        "versions.html", here="Versions", versions=found[:PER_PAGE], page=page, more=len(found) > PER_PAGE, task=task
    )


def run(look: Look) -> Response:
    """Return the page of a run."""
    registry = look.sources.reader.registry
    found = run_views.of_id(registry, look.params["run"])
    version = version_views.of_name(registry, found.version).version if found.version else None
    return look.page(
        "run.html",
        here="Runs",
        run=found,
        going=_going(look, found),
        cost=_cost(found, version),
        words=_words(look, found.run_id),
        **_compared(look, found, version),
    )


def version(look: Look) -> Response:
    """Return the page of a version, beside another one where `?beside=` names it."""
    registry = look.sources.reader.registry
    name = f"{look.params['task']}/v{look.params['number']}"
    found = version_views.of_name(registry, name)
    from registry.reports import cards, standing  # noqa: PLC0415 - load numpy

    parts = [one for one in cards.sections(registry, name) if one.title not in _ELSEWHERE]
    beside = look.query.get("beside", "")
    others = [one.name for one in version_views.newest(registry, found.version.task, PER_PAGE) if one.name != name]
    alias = registry.versions.champion(found.version.task)
    return look.page(
        "version.html", here="Versions", version=found.version, run=found.run, sections=parts, beside=beside, others=others,
        is_champion=alias is not None and alias.version == name,
        marks=list(standing.corrections(registry, registry.versions.get(name))),
        difference=_difference(look, beside, name) if beside else None,
        words=_words(look, found.version.run_id),
        **_compared(look, found.run, found.version),
    )  # fmt: skip


def _difference(look: Look, beside: str, name: str) -> version_views.Diff:
    """Return how two versions differ; the texts of rows are for those who may read what was said of them."""
    limit = answers.SHOWN if look.visitor.may("review") else 0
    return version_views.difference(look.sources.reader.registry, beside, name, look.sources.settings.runs_dir, limit=limit)


def curve(look: Look) -> Response:
    """Return the loss of a run over its steps, as the plot takes it."""
    found = run_views.of_id(look.sources.reader.registry, look.params["run"])
    lines = [
        line for line in run_views.history(look.sources.settings.runs_dir / found.run_id)
        if line.phase == "training" and line.loss is not None
    ]  # fmt: skip
    steps, losses = [line.step for line in lines], [line.loss for line in lines]
    told: dict[str, Any] = {"series": ["training loss"], "x": steps, "y": [losses], "marks": [], "time": False}
    return JSONResponse(told, headers=dict(HEADERS))


def parts(look: Look) -> dict[str, str]:
    """Return what of a run's page changes while it is under way."""
    found = run_views.of_id(look.sources.reader.registry, look.params["run"])
    going, now = _going(look, found), look.sources.clock()
    values: dict[str, Any] = {"run": found, "going": going, "log": _log(look, found), "words": _words(look, found.run_id)}
    told = {name: look.render.part("run.html", name, visitor=look.visitor, now=now, **values) for name in ("state", "tail")}
    step = going.progress.step if going is not None and going.progress is not None else 0
    return {**told, "curve": f"{found.state} {step}"}


def _words(look: Look, run_id: str) -> InWords | None:
    return sentences.of(look.sources.reader.registry, run_id, look.sources.tasks, look.sources.settings)


_ELSEWHERE = ("Verdict", "Guards", "Comparison", "Labels", "Tried")
"""Parts of a card that the page shows in its own way."""


def _compared(look: Look, found: run_views.Run | None, version: version_views.VersionRecord | None) -> dict[str, Any]:
    said = None
    if found is not None and look.visitor.may("review"):
        said = answers.of_run(look.sources.settings.runs_dir / found.run_id)
    comparison = found.comparison if found is not None else None
    return {
        "comparison": comparison,
        "report": found is not None and report_views.is_kept(look.sources.settings, found.run_id),
        "plot": interval_plot(comparison),
        "answers": said,
        "tried": version.metrics.get("tried") or () if version is not None else (),
        "log": _log(look, found),
        "learnt": learnt.of_run(look.sources.settings.runs_dir / found.run_id) if found is not None else None,
    }


def _cost(found: run_views.Run, version: version_views.VersionRecord | None) -> list[str]:
    """Return in words what a run took, as far as it reported that."""
    metrics = version.metrics if version is not None else {}
    shown_as = {
        "train_s": ("training", shown.span), "score_s": ("scoring", shown.span),
        "peak_memory_mib": ("memory at most", lambda mib: shown.size(mib * 2**20)),
    }  # fmt: skip
    told = [f"{name} {write(metrics[key])}" for key, (name, write) in shown_as.items() if metrics.get(key)]
    cpu = [f"processor time {shown.span(found.cpu_s)}"] if found.cpu_s is not None else []
    return [*cpu, *told, *([str(metrics["hardware"])] if metrics.get("hardware") else [])]


def _log(look: Look, found: run_views.Run | None) -> str | None:
    """Return the end of the run's log; errors in it may quote texts, so not everybody may read it."""
    if found is None or not look.visitor.may("review"):
        return None
    return logs.tail(look.sources.settings.runs_dir / found.run_id)


def _going(look: Look, found: run_views.Run) -> run_views.UnderWay | None:
    if found.finished_at is not None:
        return None
    status = look.sources.status_or_none()
    return next((task.run for task in status.tasks if task.run and task.run.run_id == found.run_id), None) if status else None
