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
    from registry.judging import reach  # noqa: PLC0415 - loaded only where it is checked

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


def quality(settings: Settings, tasks: Mapping[str, TaskSpec]) -> Finding:
    """Check that the rules of each task file leave something to train on."""
    from daemon.views import opening  # noqa: PLC0415 - loaded only where it is checked

    ruled = [name for name, task in tasks.items() if task.quality.rules]
    if not ruled or not settings.buffer_dir.exists():
        return Finding("quality rules", "ok", f"in force for {', '.join(ruled)}" if ruled else "no task file has any")
    try:
        with opening.buffer(settings) as buffer:
            counts = {name: buffer.counts(name) for name in ruled}
    except PerennialError as error:
        return Finding("quality rules", "problem", f"not checked: {error}", "fix the buffer first")
    out = [
        f"{name}: {count.unfit:,} texts are kept from training, {count.train:,} are left"
        for name, count in counts.items()
        if count.unfit > count.train
    ]
    if out:
        shown = "; ".join(f"`perennial data policy {name}`" for name, count in counts.items() if count.unfit > count.train)
        return Finding(
            "quality rules", "warning", ". ".join(out), f"see which with {shown}, and change `quality` in the task file"
        )
    return Finding("quality rules", "ok", f"in force for {', '.join(ruled)}")
