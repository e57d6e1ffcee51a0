"""Candidate and opponent answer identical rows, and are timed on identical texts, in one process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from perennial_artifact.predictor import Predictor
from trainers.compare.comparison import Latency
from trainers.compare.parts.slices import LENGTH
from trainers.learners.protocols import Aligner

ROLES = ("test", "anchor", "corrections")
"""Roles of rows that are scored, never learnt from."""
_BATCH_ROWS = 64
_KEPT_SCORES = 10
_KEPT_SCORES_OF_SEVERAL = 200
"""Where a text may have several labels, the probability of each counts for calibration, of those near 0 too."""
_WARM_UP_TEXTS = 5
_TIMED_TEXTS = 300
_TIMING_BUDGET_S = 20.0
_MIN_TIMED_TEXTS = 20

_COLUMNS = ("example_id", "role", "story_id", "document_id", "event_time", "language", "source")
"""Rows from elsewhere than a training set tell no source."""


def score(
    candidate: Predictor,
    opponent: Predictor | None,
    rows: pa.Table,
    *,
    align: Aligner,
    report: Callable[[int, int], None] = lambda _done, _of: None,
) -> pa.Table:
    """Return one line per row: its identity, the length of its text, and as JSON `gold` and what both models answer.

    `rows` has the columns of a training set; all three went through `align`. `report` is called with rows done and all rows after
    each batch. Without an opponent the candidate's answers stand in both columns, and it is asked once.
    """
    columns: dict[str, list[str]] = {"gold": [], "candidate": [], "opponent": []}
    texts, targets, scopes = (rows[name].to_pylist() for name in ("text", "target", "scope"))
    for start in range(0, len(texts), _BATCH_ROWS):
        batch = texts[start : start + _BATCH_ROWS]
        end = start + _BATCH_ROWS
        golds = [gold_of(target, scope) for target, scope in zip(targets[start:end], scopes[start:end], strict=True)]
        ours = candidate.predict(batch)
        theirs = ours if opponent is None else opponent.predict(batch)
        for text, *compared in zip(batch, golds, ours, theirs, strict=True):
            for column, one in zip(columns.values(), align(text, compared), strict=True):
                column.append(json.dumps({**one, "scores": _highest(one)} if "scores" in one else one, ensure_ascii=False))
        report(start + len(batch), len(texts))
    told = [name for name in _COLUMNS if name in rows.column_names]
    scores = rows.select(told).append_column(LENGTH, pa.array(map(len, texts), pa.int32()))
    for name, column in columns.items():
        scores = scores.append_column(name, pa.array(column, pa.string()))
    return scores


def gold_of(target: str, scope: Sequence[str] | None) -> dict[str, Any]:
    """Return a target with the labels that whoever gave it knew, where that is known: `scope`."""
    gold: dict[str, Any] = json.loads(target)
    return gold if scope is None else {**gold, "scope": scope}


def _highest(answer: Mapping[str, Any]) -> dict[str, float]:
    """Return an answer's first scores, the highest: a model of many labels gives one for each, for every row."""
    return dict(islice(answer["scores"].items(), _KEPT_SCORES_OF_SEVERAL if "labels" in answer else _KEPT_SCORES))


def time_answers(
    candidate: Predictor, champion: Predictor, texts: Sequence[str], *, clock: Callable[[], float] = time.perf_counter
) -> tuple[Latency | None, Latency | None]:
    """Return how long each takes to answer one text at a time (None without texts).

    Both are warm, and take turns text by text in changing order, so that a busy moment of the machine meets both alike. At
    most 300 texts and about 20 s.
    """
    chosen = texts[: _TIMED_TEXTS + _WARM_UP_TEXTS]
    if not chosen:
        return None, None
    models = (candidate, champion)
    for text in chosen[:_WARM_UP_TEXTS]:
        for model in models:
            model.predict([text])
    durations_s: tuple[list[float], list[float]] = ([], [])
    began = clock()
    for turn, text in enumerate(chosen[_WARM_UP_TEXTS:] or chosen):
        if turn >= _MIN_TIMED_TEXTS and clock() - began > _TIMING_BUDGET_S:
            break
        for which in (0, 1) if turn % 2 else (1, 0):
            before = clock()
            models[which].predict([text])
            durations_s[which].append(clock() - before)
    first, second = (Latency(p50_ms=p50, p95_ms=p95, p99_ms=p99) for p50, p95, p99 in map(percentiles_ms, durations_s))
    return first, second


def percentiles_ms(durations_s: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, the 95th and the 99th percentile, in milliseconds. Raises ValueError when nothing was timed."""
    if not durations_s:
        message = "no duration was measured"
        raise ValueError(message)
    median, slow, slowest = np.percentile(np.asarray(durations_s, dtype=np.float64) * 1000.0, [50, 95, 99])
    return float(median), float(slow), float(slowest)
