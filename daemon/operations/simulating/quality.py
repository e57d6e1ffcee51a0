"""How good the champion is over time: at the beginning of each period it is asked about what is held out in it.

Those rows come later, so no policy can have learnt them, and every policy is asked about the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import structlog

from config.errors import PerennialError
from consumers.history.past import Past, microseconds, moment
from consumers.rows.documents import document_of
from consumers.training_set.targets import accepted, usable_target
from daemon.operations.simulating.ways import Ways
from daemon.operations.simulating.world import World
from daemon.views.models.simulation import Period

_MOST_ROWS = 300
"""Of a period: enough to tell policies apart over several, and seconds to answer."""

log = structlog.get_logger(__name__)


def edges(since: datetime, until: datetime, periods: int) -> list[datetime]:
    """Return the moments at which `periods` equal periods begin, and the end of the last."""
    ends = np.linspace(microseconds(since), microseconds(until), periods + 1)
    return [moment(round(at)) for at in ends] if periods else []


class Quality:
    """Measures a policy's champions, as the history's clock passes the periods."""

    def __init__(self, world: World, past: Past, ways: Ways, ends: Sequence[datetime]) -> None:
        self._world = world
        self._past = past
        self._ways = ways
        self._ahead = list(pairwise(ends))
        self.periods: list[Period] = []

    def passed(self, at: datetime, champion: str | None) -> None:
        """Measure the periods that begin before a moment; `champion` was in production until then."""
        while self._ahead and self._ahead[0][0] < at:
            since, until = self._ahead.pop(0)
            rows = self._rows(since, until)
            score = self._score(champion, rows) if champion is not None and rows.num_rows else None
            self.periods.append(Period(since=since, until=until, champion=champion, rows=rows.num_rows, score=score))

    def _score(self, champion: str, rows: pa.Table) -> float | None:
        try:
            found = self._ways.score(self._world.task, self._world.settings, self._world.folder_of(champion), rows)
        except (PerennialError, OSError) as error:
            log.warning("simulation.not_measured", version=champion, reason=str(error), next="the period has no score")
            return None
        return found if math.isfinite(found) else None

    def _rows(self, since: datetime, until: datetime) -> pa.Table:
        # Under the names in force at that moment: a champion knows no later ones.
        task, left_out = self._world.buffer.with_labels_in_force(self._world.task), Counter[str]()
        after, upto = self._past.upto(since), self._past.upto(until)
        found = self._past.held_out(after, upto, most=_MOST_ROWS, seed=self._world.settings.training.seed)
        renames = (task.renames,) if task.renames else ()
        rows = []
        for row in found.to_pylist():
            target = usable_target(row["target"], task, renames)
            target = None if target is None else accepted(target, task, left_out)
            if target is not None:
                rows.append(row | {"target": target})
        return pa.table(
            {
                "example_id": pa.array([row["row_id"] for row in rows], pa.string()),
                "text": pa.array([row["text"] for row in rows], pa.string()),
                "target": pa.array([row["target"] for row in rows], pa.string()),
                "scope": pa.array([None] * len(rows), pa.list_(pa.string())),
                "role": pa.array(["test"] * len(rows), pa.string()),
                "story_id": pa.array([row["story_id"] or row["row_id"] for row in rows], pa.string()),
                "document_id": pa.array([document_of(row["document_id"], row["article_id"]) for row in rows], pa.string()),
                "event_time": pa.array([row["event_time"] for row in rows], pa.timestamp("us", tz="UTC")),
                "language": pa.array([row["language"] or "" for row in rows], pa.string()),
            }
        )


def mean(periods: Sequence[Period]) -> float | None:
    """Return the mean score of the periods that were measured."""
    scores = [period.score for period in periods if period.score is not None]
    return float(np.mean(scores)) if scores else None
