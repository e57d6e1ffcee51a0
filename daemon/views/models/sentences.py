"""A run's verdict in two sentences: what was measured, and what decided it or would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from config.settings import Settings
from config.tasks import TaskSpec

if TYPE_CHECKING:
    from registry.evidence.in_words import InWords
    from registry.store import Registry


def of(registry: Registry, run_id: str, tasks: Mapping[str, TaskSpec], settings: Settings) -> InWords | None:
    """Return the sentences on a run, by the present policy of its task; None where no verdict of it is on record."""
    from registry.evidence import in_words  # noqa: PLC0415 - loads numpy, which a page that nobody has opened needs not

    run = registry.runs.find(run_id)
    if run is None:
        return None
    task = tasks.get(run.task)
    return in_words.of_run(
        registry, run, None if task is None else task.promotion, test_fraction=settings.enrich.test_fraction_while_short
    )  # fmt: skip
