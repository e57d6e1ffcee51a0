"""Which enriched examples of a task break a rule of its file: each is looked at once in the life of a process."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from config.tasks import TaskSpec
from consumers.fitness import rules
from consumers.fitness.facts import facts
from consumers.rows.interning import Numbers
from consumers.tables.columns import quoted
from consumers.tables.lance import Tables


class Unfit:
    """Knows rows by their enrichment number."""

    def __init__(self, tables: Tables, task: TaskSpec) -> None:
        self._tables = tables
        self._task = task
        self._read_up_to = 0
        self._broken = np.zeros(1, np.int8)

    def of(self, seqs: Numbers) -> npt.NDArray[np.bool_]:
        """Return which of the examples with these enrichment numbers break a rule."""
        if not self._task.quality.rules:
            return np.zeros(len(seqs), dtype=bool)
        if (highest := int(seqs.max(initial=0))) > self._read_up_to:
            self._read_on(highest)
        return self._broken[seqs] > 0

    def _read_on(self, highest: int) -> None:
        where = f"task = {quoted(self._task.name)} AND enriched_seq > {self._read_up_to}"
        rows = facts(self._tables, self._task.quality, where, more=("enriched_seq",))
        seqs = rows["enriched_seq"].to_numpy()
        self._read_up_to = max(highest, int(seqs.max(initial=0)))
        self._broken = np.pad(self._broken, (0, self._read_up_to + 1 - len(self._broken)))
        self._broken[seqs] = rules.first_broken(self._task.quality, rows)
