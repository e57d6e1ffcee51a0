"""Checks of what task files ask of a candidate."""

from __future__ import annotations

from collections.abc import Mapping

from config.errors import PerennialError
from config.settings import Settings
from config.tasks import TaskSpec
from daemon.operations.doctor.finding import Finding
from daemon.operations.doctor.reading import has_registry, open_registry


def promotion(settings: Settings, tasks: Mapping[str, TaskSpec]) -> Finding:
    """Check that a candidate can be promoted beside the champion of each task."""
    from registry import reach  # noqa: PLC0415 - loaded only where it is checked

    try:
        if has_registry(settings):
            with open_registry(settings) as registry:
                found = {name: reach.out_of_reach(task, registry) for name, task in tasks.items()}
        else:
            found = {name: reach.never(task) for name, task in tasks.items()}
    except PerennialError as error:
        return Finding("promotion", "problem", f"not checked: {error}", "fix the registry first")
    out = [f"{name}: {why}" for name, why in found.items() if why is not None]
    if out:
        return Finding(
            "promotion", "warning", " ".join(out), "change `promotion` in the task file, then send SIGHUP to the daemon"
        )
    return Finding("promotion", "ok", "every task's minimum gain can be reached")
