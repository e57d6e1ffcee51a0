"""Candidate and champion on identical rows: per-example scores become one Comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PlainSerializer

from config.tasks import Promotion, TaskSpec
from trainers.compare import statistics, tallies

MIN_SLICE_ROWS = 10
"""A slice with fewer rows is not reported."""
MAX_LABEL_SLICES = 100
"""Labels with a slice of their own, those with most rows: more than that nobody reads."""
NEWEST_SHARE = 4
"""The newest slice holds one row of this many."""

# JSON knows no infinity; the word is read back as one.
_MaybeInfinite = Annotated[float, PlainSerializer(lambda value: value if math.isfinite(value) else str(value), when_used="json")]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Slice(_Value):
    """A part of the rows, scored by both."""

    name: str
    rows: int
    champion_score: float
    candidate_score: float

    @property
    def gain(self) -> float:
        """Candidate minus champion, in points (0..1)."""
        return self.candidate_score - self.champion_score


class Latency(_Value):
    """Time to answer one text, measured in the same child, in milliseconds."""

    p50_ms: float
    p99_ms: float


class Comparison(_Value):
    """Both models on the deciding rows, with what the gate needs to know. Scores are 0..1, higher is better."""

    task: str
    metric: str
    candidate_run: str
    champion_version: str | None
    """None: compared with the declared baseline, as for a first model."""
    opponent: str
    """What people read: `news-topics/v3` or `baseline: most frequent label`."""
    rows: int
    stories: int
    champion_score: float
    candidate_score: float
    gain: float
    """Candidate minus champion, in points."""
    confidence: float
    lower_bound: float
    """Of the gain, one-sided, paired bootstrap clustered by story."""
    upper_bound: float
    standard_error: float
    p_equal: float
    """One-sided probability of a gain this large if both were equal."""
    discordant: float
    """Share of rows on which exactly one of the two was right."""
    required_gain: _MaybeInfinite
    """The policy's minimum improvement in points, given the champion's score (infinite when it cannot be reached)."""
    required_rows: int
    """Rows at which an equal candidate shows the required gain in fewer than 1 of 100 looks."""
    anchor: Slice | None = None
    slices: tuple[Slice, ...] = ()
    candidate_latency: Latency | None = None
    champion_latency: Latency | None = None
    size_mib: float = 0.0
    looks: int = 1
    """How often these rows have been looked at, the present look included (mean, rounded up)."""


def compare(
    task: TaskSpec,
    *,
    run_id: str,
    champion_version: str | None,
    opponent: str,
    scores: pa.Table,
    candidate_latency: Latency | None,
    champion_latency: Latency | None,
    size_mib: float,
    looks: int = 1,
    seed: int = 0,
) -> Comparison:
    """Return both models' scores on identical rows, and what resampling says of the difference.

    `scores` has the columns example_id, role (test, anchor or corrections), story_id, document_id, event_time, language, gold,
    candidate and opponent (the last three as JSON). Rows of role test decide; the others are slices. An accuracy is the share of
    rows answered right, macro F1 is over the labels that stand in gold or in either model's answers, entity F1 over all spans.
    """
    metric = task.promotion.metric
    test = _of_role(scores, "test")
    rows = tallies.score_rows(task.kind, test)
    deciding = rows.of_metric(metric)
    stories = _clusters(test)
    evidence = statistics.weigh(deciding, stories, confidence=task.promotion.confidence, seed=seed)
    candidate_score, champion_score = deciding.scores()
    needed = 0.0 if champion_version is None else required_gain(task.promotion, champion_score)
    return Comparison(
        task=task.name,
        metric=metric,
        candidate_run=run_id,
        champion_version=champion_version,
        opponent=opponent,
        rows=test.num_rows,
        stories=int(stories.max(initial=-1)) + 1,
        champion_score=champion_score,
        candidate_score=candidate_score,
        gain=evidence.gain,
        confidence=task.promotion.confidence,
        lower_bound=evidence.lower_bound,
        upper_bound=evidence.upper_bound,
        standard_error=evidence.standard_error,
        p_equal=evidence.p_equal,
        discordant=float(rows.discordant.mean()) if test.num_rows else 0.0,
        required_gain=needed,
        required_rows=statistics.required_rows(test.num_rows, evidence.standard_error, needed, looks=looks),
        anchor=_slice(task, "anchor", _of_role(scores, "anchor"), at_least=1),
        slices=_slices(task, scores, test, rows),
        candidate_latency=candidate_latency,
        champion_latency=champion_latency,
        size_mib=size_mib,
        looks=looks,
    )


def required_gain(policy: Promotion, champion_score: float) -> float:
    """Return the policy's minimum improvement in points (0..1); infinite when champion and minimum together exceed 1."""
    points = minimum_points(policy, champion_score)
    return points if champion_score + points <= 1.0 else math.inf


def minimum_points(policy: Promotion, champion_score: float) -> float:
    """Return the policy's minimum improvement in points (0..1), whether it can be reached or not."""
    minimum = policy.min_improvement
    return {
        "relative": minimum * champion_score,
        "absolute": minimum,
        "error_reduction": minimum * (1.0 - champion_score),
    }[policy.improvement]


def _slices(task: TaskSpec, scores: pa.Table, test: pa.Table, rows: tallies.ScoredRows) -> tuple[Slice, ...]:
    by_time = np.argsort(test["event_time"].to_numpy(), kind="stable")
    newest = test.take(pa.array(by_time[test.num_rows - test.num_rows // NEWEST_SHARE :]))
    parts = [_slice(task, "newest", newest), _slice(task, "corrections", _of_role(scores, "corrections"))]
    languages = test["language"].to_pylist()
    parts.extend(
        _slice(task, f"language:{language}", test.filter(pa.array([name == language for name in languages])))
        for language in sorted({name for name in languages if name})
    )
    for label, count in _reported(task, rows.rows_of_labels()):
        candidate, champion = rows.scores_of(label)
        parts.append(Slice(name=f"label:{label}", rows=count, champion_score=champion, candidate_score=candidate))
    return tuple(part for part in parts if part is not None)


def _reported(task: TaskSpec, rows: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the labels that get a slice, by name, with their `rows`: those with most of them, and those that a guard names."""
    enough = {label: count for label, count in rows.items() if count >= MIN_SLICE_ROWS}
    most_first = sorted(enough, key=lambda label: (-enough[label], label))
    guarded = enough.keys() & {guard.slice.removeprefix("label:") for guard in task.promotion.slices}
    return [(label, enough[label]) for label in sorted({*most_first[:MAX_LABEL_SLICES], *guarded})]


def _slice(task: TaskSpec, name: str, part: pa.Table, *, at_least: int = MIN_SLICE_ROWS) -> Slice | None:
    if part.num_rows < at_least:
        return None
    candidate, champion = tallies.score_rows(task.kind, part).of_metric(task.promotion.metric).scores()
    return Slice(name=name, rows=part.num_rows, champion_score=champion, candidate_score=candidate)


def _of_role(scores: pa.Table, role: str) -> pa.Table:
    return scores.filter(pa.array([value == role for value in scores["role"].to_pylist()], type=pa.bool_()))


def _clusters(rows: pa.Table) -> NDArray[np.intp]:
    """Return each row's cluster as a number from 0: rows of one story or one document belong together, and so on through both."""
    # Only where it is used: a child near its memory limit starts with a quarter less.
    from scipy.sparse import coo_array  # noqa: PLC0415 - see above
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - see above

    numbers = []
    for column in ("story_id", "document_id"):
        # A row without one is one of its own.
        names = [
            name or f"row:{example}"
            for name, example in zip(rows[column].to_pylist(), rows["example_id"].to_pylist(), strict=True)
        ]
        numbers.append(np.unique(np.array(names, dtype=str), return_inverse=True)[1])
    stories, documents = numbers
    count = int(stories.max(initial=-1)) + 1
    size = count + int(documents.max(initial=-1)) + 1
    # Each row ties its story to its document.
    ties = coo_array((np.ones(rows.num_rows), (stories, count + documents)), shape=(size, size))
    _number, parts = connected_components(ties, directed=False)
    return np.asarray(np.unique(parts[stories], return_inverse=True)[1], dtype=np.intp)
