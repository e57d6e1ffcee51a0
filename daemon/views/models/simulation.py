"""A history played under one policy or several: what each would have trained, promoted, asked and cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from daemon.views.models.comparison import Scale
from daemon.views.view import JsonFloat, View


class PlayedRun(View):
    """One run."""

    key: str
    """Its trigger key: of the same events the daemon makes the same."""
    kind: Literal["full", "incremental", "refresh"]
    at: datetime
    """On the history's clock, as all moments."""
    waited_days: float | None
    """How long the oldest of its new examples had waited; None of a refresh, and where it had no new ones."""
    state: str
    """`decided` or `failed`."""
    verdict: str | None
    why: str
    """The first reason of the verdict, or the error."""
    version: str | None
    rows: int
    """Test rows that were compared."""
    candidate_score: JsonFloat | None
    champion_score: JsonFloat | None
    cpu_s: float


class Period(View):
    """A stretch of the history: its champion at the beginning, asked about what was held out in it."""

    since: datetime
    until: datetime
    champion: str | None
    rows: int
    score: JsonFloat | None
    """None: there was no champion, no row, or no model that could be asked."""


class Difference(View):
    """A run on record that the replay did not reproduce."""

    run_id: str
    key: str
    what: Literal["key", "verdict", "failed", "unplayed"]
    told: str
    missing: tuple[str, ...] = ()
    """Ids of rows that its version had learnt from and that the buffer has no more."""


class Reproduction(View):
    """The replay beside the record."""

    runs: int
    keys: int
    """Runs that were due with the same trigger key."""
    training_sets: int
    """Runs whose training set has the same hash."""
    verdicts: int
    """Runs with the same verdict."""
    differences: tuple[Difference, ...]


class PolicyPlayed(View):
    """What one policy came to."""

    name: str
    differs: Mapping[str, tuple[Any, Any]]
    """`section.key` -> the value in the task file, and the policy's."""
    complete: bool
    """False: it was stopped; what is here is what was done until then."""
    runs: tuple[PlayedRun, ...]
    periods: tuple[Period, ...]
    cpu_s: float
    """Processor seconds of training, comparing and sandboxes."""
    mean_wait_days: float | None
    longest_wait_days: float | None
    labels_asked: int
    """Labels that people would have been asked for, at most; nobody answers them here."""
    promotions: int
    quality: JsonFloat | None
    """The mean score of the periods that were measured."""
    recorded: Reproduction | None = None

    def count(self, *, refreshes: bool) -> int:
        """Return the number of runs that are refreshes, or that are not."""
        return sum((run.kind == "refresh") == refreshes for run in self.runs)


class Simulation(View):
    """A history, and what each policy made of it."""

    task: str
    training: Literal["real", "sampled"]
    training_told: str
    time: Literal["arrival", "event"]
    since: datetime
    until: datetime
    examples: int
    metric: str
    scale: Scale
    policies: tuple[PolicyPlayed, ...]
    notes: tuple[str, ...]
    """What could not be played, by name."""
    stopped: bool
    seconds: float
