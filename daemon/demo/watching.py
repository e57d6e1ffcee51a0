"""What the demo sees of its daemon: runs and champions, from the registry, which costs little beside the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from config.clock import utc_now
from config.words import bar
from daemon.demo.installation import Installation
from daemon.views.models import runs
from daemon.views.models.runs import Ended, UnderWay
from registry.runs import Run

_BAR = 20
_RUNS_LOOKED_AT = 10


@dataclass(frozen=True, slots=True)
class Seen:
    """One task at one look."""

    task: str
    champion: str | None
    run: UnderWay | None
    ended: tuple[Ended, ...]
    """Its newest runs that are over, the newest first."""

    def ended_after(self, champion: str | None, *, refresh: bool = False) -> Ended | None:
        """Return the run, or the refresh, that was compared with `champion` (None: with the baseline) and is decided."""
        for run in self.ended:
            compared = run.comparison.champion_version if run.comparison else None
            if run.verdict is not None and compared == champion and (run.kind == "refresh") == refresh:
                return run
        return None

    def trained_for(self, champion: str | None) -> bool:
        """Return whether a run that is to follow `champion` has begun."""
        slow = self.run is not None and self.run.kind != "refresh"
        return slow or self.champion != champion or self.ended_after(champion) is not None


def look(installation: Installation, tasks: Sequence[str]) -> tuple[Seen, ...]:
    """Return what goes on in `tasks` now."""
    registry, now, seen = installation.reader.registry, utc_now(), []
    for task in tasks:
        champion = registry.versions.champion(task)
        records: list[Run] = list(registry.runs.list(task, limit=_RUNS_LOOKED_AT))
        going = next((run for run in records if run.finished_at is None), None)
        seen.append(
            Seen(
                task,
                champion.version if champion else None,
                runs.under_way(going, installation.settings.runs_dir, led=True, held=False, now=now) if going else None,
                tuple(runs.ended(run) for run in records if run.finished_at is not None),
            )
        )
    return tuple(seen)


def counted(task: str, have: float, needed: int) -> Text:
    """Return the line of a task whose new examples are counted."""
    return _line(task, have, needed, f"{min(have, needed):.0f} of {needed} new examples")


def at_work(seen: Seen) -> Text:
    """Return the line of a task that is or is not trained now."""
    if seen.run is None:
        return _line(seen.task, None, 0, "waits" if not seen.ended else "done")
    at = seen.run.progress
    if at is None:
        return _line(seen.task, None, 0, "puts its training rows together")
    phase = {"starting": "starts", "scoring": "answers the held-out articles"}.get(at.phase, at.phase)
    return _line(seen.task, at.step if at.steps else None, at.steps, f"{phase} {at.step} of {at.steps}" if at.steps else phase)


def _line(task: str, value: float | None, full: int, words: str) -> Text:
    line = Text.assemble((f"{task:<15}", "cyan"))
    if value is not None:
        done, left = bar(value, full, _BAR)
        line.append(done, "green").append(left, "dim").append(" ")
    return line.append(words, "dim")
