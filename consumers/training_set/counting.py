"""How much of what a task has: counted from small columns, because a daemon asks every few seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from config.task_files.sections.feedback import VERDICTS, FeedbackPolicy
from config.tasks import TaskSpec
from consumers.defence.in_effect import NOT_JUDGED, InEffect
from consumers.fitness.unfit import Unfit
from consumers.rows.eligibility import Role, eligibility
from consumers.rows.interning import Interning, Numbers
from consumers.tables.columns import quoted
from consumers.tables.lance import Tables

Chosen = npt.NDArray[np.bool_]

_COUNTED = ("examples", "example_enrichment", "feedback", "feedback_judgements")


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """What the buffer holds for one task. Each text counts once per role, as it does in a training set.

    Effective: enriched, in the training split, good enough, of some weight, and, for feedback, judged fit to train.
    """

    train: int
    """Effective training examples."""
    new: int
    """Effective training examples enriched, or let in, after the asked-for number that say something no older one says."""
    new_labels: int
    """Those of them that no user gave."""
    new_weight: float
    """What the new ones weigh for a trigger, confirmations apart: 1 for a label, a share of that for what users say."""
    new_confirmed_weight: float
    """What those weigh that are nothing but confirmations."""
    test: int
    """Held-out examples that decide comparisons."""
    test_in_window: int
    """Those of them that are within the task's `promotion.window_days` of the newest."""
    new_test: int
    """Those in the window that were enriched after the asked-for number."""
    anchor: int
    anchor_imported: int
    """Those of them that came as anchors; the others were the oldest held-out documents."""
    corrections: int
    """Held-out corrections: reported, never deciding."""
    waiting: int
    """Answers whose text has not arrived."""
    unenriched: int
    """Examples that were not enriched yet, and feedback that was not judged yet."""
    oldest_new_at: datetime | None
    """When the oldest new example came into the buffer."""
    oldest_new_label_at: datetime | None
    enough_since: datetime | None
    """When the new example came in that made them as many as start a run; None while they are fewer."""
    max_seq: int
    """The highest enrichment number among the task's examples and judgements."""
    unfit: int = 0
    """Texts that would be training examples, and break a rule of the task's `quality`."""


class Counting:
    """Counts, again only when a table has changed."""

    def __init__(self, tables: Tables, tasks: Mapping[str, TaskSpec], min_quality: float) -> None:
        self._tables = tables
        self._tasks = tasks
        self._interning = Interning(tables)
        self._in_effect = InEffect(tables)
        self._min_quality = min_quality
        self._counted: dict[tuple[str, int], tuple[dict[str, int], TaskCounts]] = {}
        self._unfit: dict[str, Unfit] = {}

    def use_tasks(self, tasks: Mapping[str, TaskSpec]) -> None:
        """Count by these task files from now on."""
        self._tasks = tasks
        self._counted.clear()
        self._unfit.clear()

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
        """Count the task's examples that were stored before number `stored_seq` and are not enriched (feedback: judged) yet."""
        earlier = f"task = {quoted(task)} AND stored_seq < {stored_seq}"
        # In this order: a row that is enriched between two counts is counted as waiting once more, never left out.
        judged = self._tables.count("feedback_judgements", earlier)
        labels = self._tables.count("example_enrichment", f"{earlier} AND verdict IS NULL")
        return max(0, self._tables.count("examples", earlier) - labels - judged)

    def _fresh(self, task: str, after_seq: int) -> TaskCounts:
        own = f"task = {quoted(task)}"
        columns = ["split", "selected_by", "verdict", "quality", "enriched_seq", "stored_at", "event_time", "anchor"]
        # One look at the narrow columns costs less than a filter for each figure.
        rows = self._tables.scan("example_enrichment", columns, own)
        seqs = rows["enriched_seq"].to_numpy()
        texts, answers = self._interning.of(seqs)
        feedback = rows["verdict"].is_valid().to_numpy()
        # Feedback counts from when it was let in.
        since = np.where(feedback, self._in_effect.of(seqs), seqs)
        roles = _roles(rows, self._policy(task), self._min_quality)
        # Rules leave out what would train; what tests stays.
        unfit = self._breaking(task, seqs) & roles["train"]
        train = roles["train"] & (since > 0) & ~unfit
        # What an older training row says already is not new, whatever else the same row was compared with when it came in.
        said = np.zeros(answers.max(initial=0) + 1, dtype=bool)
        said[answers[train & (since <= after_seq)]] = True
        new = train & (since > after_seq) & ~said[answers]
        deciding = roles["test"]
        in_window = deciding & self._recent(task, rows["event_time"], deciding)
        weight, confirmed_weight = self._weigh(task, rows["verdict"], seqs, texts, new)
        return TaskCounts(
            train=_different(texts[train]),
            new=_different(texts[new]),
            new_labels=_different(texts[new & ~feedback]),
            new_weight=weight,
            new_confirmed_weight=confirmed_weight,
            test=_different(texts[deciding]),
            test_in_window=_different(texts[in_window]),
            new_test=_different(texts[in_window & (seqs > after_seq)]),
            anchor=_different(texts[roles["anchor"]]),
            anchor_imported=_different(texts[roles["anchor"] & rows["anchor"].to_numpy()]),
            corrections=_different(texts[roles["corrections"] & (since > 0)]),
            waiting=self._tables.count("feedback", f"{own} AND status = 'waiting'"),
            unenriched=max(0, self._tables.count("examples", own) - int(np.count_nonzero(since != NOT_JUDGED))),
            oldest_new_at=_oldest(rows["stored_at"], new),
            oldest_new_label_at=_oldest(rows["stored_at"], new & ~feedback),
            enough_since=self._enough_since(task, rows["stored_at"].filter(pa.array(new))),
            max_seq=max(int(seqs.max(initial=0)), int(since.max(initial=0))),
            unfit=_different(texts[unfit & (since > 0)]),
        )

    def _breaking(self, task: str, seqs: Numbers) -> Chosen:
        """Return which rows break a rule of the task's `quality`."""
        spec = self._tasks.get(task)
        if spec is None:
            return np.zeros(len(seqs), dtype=bool)
        return self._unfit.setdefault(task, Unfit(self._tables, spec)).of(seqs)

    def _weigh(self, task: str, verdicts: pa.ChunkedArray, seqs: Numbers, texts: Numbers, new: Chosen) -> tuple[float, float]:
        """Return what the new texts weigh, and what those weigh of which nothing but confirmations is new.

        A text weighs as much as its heaviest row: its verdict's weight, less where its user was contradicted.
        """
        spec = self._tasks.get(task)
        weights = np.ones(len(seqs)) if spec is None else _weights(verdicts, spec)
        weights *= self._in_effect.belief(task)(seqs)
        confirmation = _among(verdicts, ["confirmation"])
        of_texts = np.zeros((2, texts.max(initial=0) + 1))
        for kind, chosen in enumerate((new & ~confirmation, new & confirmation)):
            np.maximum.at(of_texts[kind], texts[chosen], weights[chosen])
        others, confirmed = of_texts
        return float(others.sum()), float(confirmed[others == 0].sum())

    def _enough_since(self, task: str, stored: pa.ChunkedArray) -> datetime | None:
        spec = self._tasks.get(task)
        if spec is None or len(stored) < spec.trigger.min_new_examples:
            return None
        stored = stored.combine_chunks()
        nth = pc.partition_nth_indices(stored, pivot=spec.trigger.min_new_examples - 1)[spec.trigger.min_new_examples - 1]
        reached: datetime = stored[nth.as_py()].as_py()
        return reached

    def _recent(self, task: str, times: pa.ChunkedArray, deciding: Chosen) -> Chosen:
        """Return which rows are within the task's window of the newest row that decides."""
        spec, newest = self._tasks.get(task), pc.max(times.filter(pa.array(deciding))).as_py()
        if spec is None or newest is None:
            return deciding
        start = pa.scalar(newest - timedelta(days=spec.promotion.window_days), times.type)
        recent: Chosen = pc.greater_equal(times, start).to_numpy()
        return recent

    def _policy(self, task: str) -> FeedbackPolicy:
        spec = self._tasks.get(task)
        return FeedbackPolicy() if spec is None else spec.feedback


def _roles(rows: pa.Table, feedback: FeedbackPolicy, min_quality: float) -> dict[Role, Chosen]:
    """Return which rows have which role; there are few different ones to ask for among however many rows."""
    columns = [rows[name].combine_chunks().dictionary_encode("encode") for name in ("split", "selected_by", "verdict")]
    good = rows["quality"].to_numpy() >= min_quality
    codes = good.astype(np.int64)
    for column in columns:
        codes = codes * len(column.dictionary) + column.indices.to_numpy()
    known: dict[Role, Chosen] = {role: np.zeros(len(codes), dtype=bool) for role in get_args(Role)}
    for code in np.flatnonzero(np.bincount(codes)):
        alike = codes == code
        row = int(alike.argmax())
        values = [column[row].as_py() for column in columns]
        role = eligibility(*values, good=bool(good[row]), feedback=feedback)
        if role is not None:
            known[role] |= alike
    return known


def _weights(verdicts: pa.ChunkedArray, spec: TaskSpec) -> npt.NDArray[np.float64]:
    weights = np.ones(len(verdicts))
    for verdict in VERDICTS:
        weights[_among(verdicts, [verdict])] = spec.feedback.weight(verdict)
    return weights


def _among(column: pa.ChunkedArray, values: Sequence[str]) -> Chosen:
    found: Chosen = pc.is_in(column, value_set=pa.array(values, pa.string())).to_numpy()
    return found


def _different(numbers: Numbers) -> int:
    """Return how many different ones there are of small numbers."""
    return int(np.count_nonzero(np.bincount(numbers)))


def _oldest(moments: pa.ChunkedArray, chosen: Chosen) -> datetime | None:
    oldest: datetime | None = pc.min(moments.filter(pa.array(chosen))).as_py()
    return oldest
