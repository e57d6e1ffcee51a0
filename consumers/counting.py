"""How much of what a task has: counted from small columns, because a daemon asks every few seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from config.tasks import VERDICTS, TaskSpec
from consumers.lance_tables import Tables
from consumers.numbering import Numbering, Numbers
from consumers.tables import quoted

# Chosen without looking at a model's answer: only these may decide a comparison.
INDEPENDENT = ("gold", "import", "audit")
_COUNTED = ("examples", "example_enrichment", "feedback")


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """What the buffer holds for one task. Each text counts once per role, as it does in a training set.

    Effective: enriched, in the training split, good enough, and of some weight.
    """

    train: int
    """Effective training examples."""
    new: int
    """Effective training examples enriched after the asked-for number that say something no older one says."""
    test: int
    """Held-out examples that decide comparisons."""
    anchor: int
    corrections: int
    """Held-out corrections: reported, never deciding."""
    waiting: int
    """Answers whose text has not arrived."""
    unenriched: int
    oldest_new_at: datetime | None
    """When the oldest new example came into the buffer."""
    max_seq: int
    """The highest enrichment number among the task's examples."""


class Counting:
    """Counts, again only when a table has changed."""

    def __init__(self, tables: Tables, tasks: Mapping[str, TaskSpec], min_quality: float) -> None:
        self._tables = tables
        self._tasks = tasks
        self._numbering = Numbering(tables)
        self._min_quality = min_quality
        self._counted: dict[tuple[str, int], tuple[dict[str, int], TaskCounts]] = {}

    def use_tasks(self, tasks: Mapping[str, TaskSpec]) -> None:
        """Count by these task files from now on."""
        self._tasks = tasks
        self._counted.clear()

    def count(self, task: str, after_seq: int) -> TaskCounts:
        """Count one task's examples; `new` are those enriched after number `after_seq`."""
        versions = self._tables.versions(_COUNTED)
        known = self._counted.get((task, after_seq))
        if known is None or known[0] != versions:
            # One entry per task and asker's number; numbers that nobody asks for any more go with the next change.
            self._counted = {key: entry for key, entry in self._counted.items() if entry[0] == versions}
            known = self._counted[task, after_seq] = (versions, self._fresh(task, after_seq))
        return known[1]

    def unenriched_before(self, task: str, stored_seq: int) -> int:
        """Count the task's examples that were stored before number `stored_seq` and are not enriched yet."""
        earlier = f"task = {quoted(task)} AND stored_seq < {stored_seq}"
        # In this order: what is enriched between the two counts is told as waiting once more, never left out.
        enriched = self._tables.count("example_enrichment", earlier)
        return max(0, self._tables.count("examples", earlier) - enriched)

    def _fresh(self, task: str, after_seq: int) -> TaskCounts:
        own = f"task = {quoted(task)}"
        columns = ["split", "selected_by", "verdict", "quality", "enriched_seq", "stored_at"]
        # One look at the narrow columns costs less than a filter for each figure.
        rows = self._tables.scan("example_enrichment", columns, own)
        seqs = rows["enriched_seq"].to_numpy()
        texts, answers = self._numbering.of(seqs)
        train = _among(rows["split"], ["train"]) & (rows["quality"].to_numpy() >= self._min_quality)
        train &= ~_among(rows["verdict"], self._unheard(task))
        # What an older training row says already is not new, whatever else the same row was compared with when it came in.
        said = np.zeros(answers.max(initial=0) + 1, dtype=bool)
        said[answers[train & (seqs <= after_seq)]] = True
        new = train & (seqs > after_seq) & ~said[answers]
        held_out = _among(rows["split"], ["test"])
        return TaskCounts(
            train=_different(texts[train]),
            new=_different(texts[new]),
            test=_different(texts[held_out & _among(rows["selected_by"], INDEPENDENT)]),
            anchor=_different(texts[_among(rows["split"], ["anchor"])]),
            corrections=_different(texts[held_out & _among(rows["verdict"], ["correction"])]),
            waiting=self._tables.count("feedback", f"{own} AND status = 'waiting'"),
            unenriched=max(0, self._tables.count("examples", own) - rows.num_rows),
            oldest_new_at=pc.min(rows["stored_at"].filter(pa.array(new))).as_py(),
            max_seq=int(seqs.max(initial=0)),
        )

    def _unheard(self, task: str) -> list[str]:
        """Return the verdicts that weigh nothing in a task: such rows never train."""
        spec = self._tasks.get(task)
        return [verdict for verdict in VERDICTS if spec is not None and spec.feedback.weight(verdict) == 0]


def _among(column: pa.ChunkedArray, values: Sequence[str]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.is_in(column, value_set=pa.array(values, pa.string())).to_numpy()
    return found


def _different(numbers: Numbers) -> int:
    """Return how many different ones there are of small numbers."""
    return int(np.count_nonzero(np.bincount(numbers)))
