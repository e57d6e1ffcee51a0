"""A verdict reached again from its evidence bundle, beside what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.errors import UserError
from config.settings import Settings
from config.words import counted
from daemon.views.view import JsonFloat, View
from registry.evidence import bundle, checking
from registry.evidence.checking import Checked, Outcome
from registry.runs import Verdict

if TYPE_CHECKING:
    from registry.runs import Run
    from registry.store import Registry

EXIT_CODES: Mapping[Outcome, int] = {"equal": 0, "differs": 1, "changed": 1, "unreadable": 1, "erased": 3}
"""What `perennial verify` ends with; 2 is a mistake in the command, or that there is nothing to verify."""


class Said(View):
    """A verdict with its reasons."""

    verdict: Verdict
    reasons: tuple[str, ...]


class Figure(View):
    """One figure that comes out otherwise."""

    name: str
    recorded: JsonFloat | int | bool | str | None
    recomputed: JsonFloat | int | bool | str | None
    last_digits: bool
    """Whether both are the same number but for the last digits."""


class Verification(View):
    """What became of reaching a verdict again."""

    run_id: str
    version: str
    outcome: Outcome
    summary: str
    """The outcome in one sentence."""
    problems: tuple[str, ...]
    rows: int
    """Rows in the bundle."""
    erased: int
    """Rows that were taken out since the verdict."""
    erased_at: datetime | None
    decided_at: datetime
    hash_known: bool
    """Whether the registry has the bundle's SHA-256; without it nobody can tell whether the file was changed."""
    recorded: Said
    """What the gate said when the verdict fell."""
    recomputed: Said | None
    told: Said
    """What was recorded of the run: what the gate said, and what else held a promotion up."""
    look: int
    """0: the verdict of the run. Else the later look, with answers that people were asked for, whose verdict counts now."""
    figures: tuple[Figure, ...]
    """Those that come out otherwise."""
    program: str
    """The versions that reached the verdict."""
    program_here: str
    same_program: bool


def of(settings: Settings, registry: Registry, name: str) -> Verification:
    """Verify the verdict on a version or of a run. Raises `UserError` where there is none, or no bundle of it."""
    run = run_of(registry, name)
    recorded = registry.evidence.of_run(run.run_id)
    path = bundle.path_of(settings.evidence_dir, run.run_id)
    if recorded is None:
        why = (
            "it is not decided yet"
            if not run.finished
            else "it failed"
            if run.state == "failed"
            else "it was decided by a version of Perennial that kept none, or its run left no scores"
        )
        message = f"run {run.run_id} has no evidence bundle: {why}"
        raise UserError(message)
    if not path.exists():
        message = (
            f"the evidence bundle of run {run.run_id} is missing ({path}), though the registry has its hash: somebody removed "
            "it. A backup may hold it"
        )
        raise UserError(message)
    pool, (*before, last) = registry.pools.find(f"pool-{run.run_id}"), registry.evidence.of_pair(run.run_id)
    again = 0 if pool is None else pool.looks
    if last == run.run_id:
        # A look of a release that kept no evidence of it has put its own words into the record of the run.
        told = None if again else checking.told_of(run.verdict, run.reasons)
        return _view(checking.check(path, recorded, told), recorded.erased_at)
    first = checking.check(path, recorded, None)
    look, known = bundle.path_of(settings.evidence_dir, last), registry.evidence.of_run(last)
    found = checking.check(look, known, checking.told_of(run.verdict, run.reasons))
    earlier = [(bundle.path_of(settings.evidence_dir, name), registry.evidence.of_run(name)) for name in before[1:]]
    return _view(checking.after(first, found, earlier), known.erased_at if known else None)


def of_file(path: Path) -> Verification:
    """Verify a bundle by itself, as on another machine: without a registry, nobody knows whether it was changed."""
    return _view(checking.check(path, None, None), None)


def run_of(registry: Registry, name: str) -> Run:
    """Return a run, or the run that made a version. Raises `UserError` where there is no record of it."""
    if "/" in name:
        run_id = registry.versions.get(name).run_id
        run = registry.runs.find(run_id)
        if run is None:
            message = f"the record of run {run_id}, which made {name}, is gone (registry.history_days), and its evidence with it"
            raise UserError(message)
        return run
    return registry.runs.get(name)


def _view(found: Checked, erased_at: datetime | None) -> Verification:
    about = found.about
    return Verification(
        run_id=about.run_id,
        version=about.version,
        outcome=found.outcome,
        summary=_in_words(found),
        problems=found.problems,
        rows=about.rows - about.erased,
        erased=about.erased,
        erased_at=erased_at,
        decided_at=about.decided_at,
        hash_known=found.hash_known,
        recorded=_said(about.gate),
        recomputed=None if found.words is None else _said(found.words),
        told=_said(about.told),
        look=about.again.look if about.again else 0,
        figures=tuple(Figure.model_validate(one) for one in found.differences),
        program=about.program,
        program_here=found.program,
        same_program=found.same_program,
    )


def _said(words: Any) -> Said:  # noqa: ANN401 - a bundle's words, whichever
    return Said(verdict=words.verdict, reasons=words.reasons)


def _in_words(found: Checked) -> str:
    about, rows = found.about, counted(found.about.rows - found.about.erased, "row")
    if found.outcome == "equal":
        digits = f"; {counted(len(found.differences), 'figure')} differ in the last digits" if found.differences else ""
        return f"{about.version}: the verdict follows from its {rows}, word for word{digits}."
    if found.outcome == "changed":
        return f"{about.version}: the evidence was changed after the verdict. Do not trust it; a backup may hold the original."
    if found.outcome == "erased":
        return (
            f"{about.version}: {about.erased} of {counted(about.rows, 'row')} were erased since, so the words can no longer be "
            "reached exactly. Nothing points to a change beyond that."
        )
    if found.outcome == "unreadable":
        return (
            f"{about.version}: this program cannot recompute the verdict. Install the versions that reached it ({about.program})."
        )
    other = "" if found.same_program else f". Other versions reached it ({about.program}); install them to repeat it exactly"
    return f"{about.version}: the verdict does not follow from its {rows}{other}."
