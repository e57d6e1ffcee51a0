"""What the policy of triggers looks at: counts and ages of one task, and what people asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from config.task_files.overrides import NONE, Overrides
from registry.people.pauses import Pause


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asked for a run (a `retrain` event); those who ask while it waits ask for the same run."""

    event_id: str
    """Of the oldest."""
    reason: str
    """Of the oldest."""
    full: bool
    """Whether any of them asks for a full run."""
    promote: bool = True
    """Whether any of them lets the gate promote."""
    texts_ahead: int = 0
    """Texts of the task that were stored before the request and are not enriched yet."""
    further: tuple[str, ...] = ()
    """Event ids of the others that one run serves too."""
    overrides: Overrides = NONE
    """Settings of the run that differ from the task file; the same for all of them."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A run that failed temporarily and waits to be tried again."""

    run_id: str
    at: datetime
    reason: str
    failures: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """The input of the policy, for one task."""

    new_examples: int
    """Effective new training examples since the last run froze its set."""
    new_weight: float
    """What they weigh, confirmations apart: 1 for a label, less for what users say."""
    train_examples: int
    oldest_new_at: datetime | None
    """When the oldest of the new examples entered the buffer."""
    has_champion: bool
    running: bool
    first_run_at: datetime | None
    last_run_at: datetime | None
    """When the last run ended, whatever became of it."""
    used_keys: frozenset[str]
    """Trigger keys of all runs this task ever had."""
    newest_seq: int
    """Number of the newest enriched example; threshold and age runs are called by it, so that no key comes twice."""
    request: Request | None = None
    """The requests that have had no run, as one."""
    alarms: int = 0
    """Label-flip alarms that are up: the examples counted as new are then labels alone."""
    new_confirmed_weight: float = 0.0
    """What those of the new examples weigh that are nothing but confirmations."""
    test_examples: int = 0
    """Test rows that would decide now."""
    new_test_examples: int = 0
    """Those of them that came since the last run froze its set."""
    enough_since: datetime | None = None
    """When the new example came in that made them as many as start a run."""
    unread: int | None = 0
    """Events that wait in the log, of whatever task; None: the log has not said yet."""
    unenriched: int = 0
    """Texts of this task that are stored and not enriched yet."""
    unfit: int = 0
    """Texts of this task that the rules of its `quality` keep from training."""
    enriched_per_s: float | None = None
    """How quickly texts are enriched; None: none was of late."""
    retry: Retry | None = None
    """The run under way, where it waits to be tried again."""
    given_up: Mapping[str, datetime] = field(default_factory=dict)
    """Trigger keys of runs that failed temporarily until they were given up, and when that was."""
    undecided_rows: int | None = None
    """Test rows that the last decided run had, where they could not decide."""
    pause: Pause | None = None
    """Who has paused the task, and why."""
    trained_run: str | None = None
    """Id of the run under way where nothing of it is left but its verdict."""

    refreshable: bool = False
    """Whether the champion's head can be solved anew without a run that tunes."""
    standing_head: str = ""
    """Why it cannot, though heads of its kind can; empty otherwise."""
    fresh_weight: float = 0.0
    """What those examples weigh that came since the last run or refresh froze its set."""
    refreshed_at: datetime | None = None
    """When the last run or refresh ended."""

    @property
    def weight(self) -> float:
        """What the new examples weigh for a trigger: confirmations at most as much as all the rest.

        Who confirms what the model says brings nothing that it does not know: alone they never start a run.
        """
        return self.new_weight + min(self.new_weight, self.new_confirmed_weight)
