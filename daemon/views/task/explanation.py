"""Why a task did or did not train and promote, and when it is expected to, as commands and HTTP tell it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from daemon.views.task.task_status import HeldOut
from daemon.views.view import View
from registry.runs import Verdict

Cause = Literal["due", "under_way", "threshold", "age", "weekly", "evidence"]


class Estimate(View):
    """When something is expected, and on which assumption."""

    at: datetime | None
    """None: nothing that is known leads there."""
    cause: Cause | None
    """What would do it first."""
    assumption: str
    """In words; of a fixed date, why."""


class Retraining(View):
    """Whether a run is due, and why."""

    due: bool
    sentence: str
    reasons: tuple[str, ...]
    expected: Estimate


class Promoting(View):
    """What became of the newest candidate, and what would change that."""

    run_id: str
    version: str | None
    verdict: Verdict | None
    decided_at: datetime | None
    measured: str
    decides: str
    reasons: tuple[str, ...]
    missing_test_rows: int
    """Further test rows that would decide; 0 where rows are not what is missing."""
    expected: Estimate
    """When there may be enough rows; a run is needed then too."""


class Explanation(View):
    """Why a task did or did not train and promote."""

    task: str
    at: datetime
    champion: str | None
    champion_since: datetime | None
    holds: tuple[str, ...]
    """What keeps candidates from being promoted by themselves, whatever they are worth."""
    held_out: HeldOut | None
    """Which share of new documents is held out for testing, and why."""
    retraining: Retraining
    promoting: Promoting | None
    """None: no run of it has been decided yet."""
