"""Scores the version, its opponent, the oracle and a second person against gold, on the very rows that all of them answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.files.durable import write_atomic
from config.tasks import TaskSpec
from trainers.compare.alone import alone
from trainers.compare.clusters import clusters_of
from trainers.compare.metrics import catalog
from trainers.job.files import BESIDE_FILE
from trainers.job.scoring.sides import Ground, Scored, Sides, Who
from trainers.job.spec import JobSpec
from trainers.learners.protocols import Aligner

Said = Mapping[str, Mapping[str, Any]]
"""Target by example id."""


def write(spec: JobSpec, *, oracle: Said, people: Said, refused: int, prompt: str) -> None:
    """Put what others say of a run's test rows into its folder."""
    content = {"oracle": oracle, "people": people, "refused": refused, "prompt": prompt}
    write_atomic(spec.run_dir / BESIDE_FILE, json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))


def sides(spec: JobSpec, scores: pa.Table, rows: pa.Table, *, align: Aligner) -> Sides | None:
    """Return all of them beside each other; None where the task has no oracle and no second person spoke.

    `scores` are those of the `rows`, in the same order, laid out by `align`.
    """
    try:
        found = json.loads((spec.run_dir / BESIDE_FILE).read_bytes())
    except (OSError, ValueError):
        # None was written, by an earlier release or because nobody else has said anything.
        found = {"oracle": {}, "people": {}, "refused": 0, "prompt": ""}
    test = pc.indices_nonzero(pc.equal(scores["role"], "test"))
    scores, texts = scores.take(test), rows["text"].take(test).to_pylist()
    by: dict[Who, list[Any]] = {
        "this version": list(map(json.loads, scores["candidate"].to_pylist())),
        "opponent": list(map(json.loads, scores["opponent"].to_pylist())),
    }
    ids, gold = scores["example_id"].to_pylist(), list(map(json.loads, scores["gold"].to_pylist()))
    said: dict[Who, Said] = {"oracle": found["oracle"], "people": found["people"]}
    for who, of_rows in said.items():
        by[who] = [
            align(text, [answer])[0] if (answer := of_rows.get(example_id)) is not None and _answers(right, answer) else None
            for example_id, text, right in zip(ids, texts, gold, strict=True)
        ]
    counts = {who: sum(one is not None for one in by[who]) for who in said}
    asked = bool(spec.task.oracle.rubric)
    if not asked and not any(counts.values()):
        return None
    grounds = _grounds(spec.task, scores, gold, by, seed=spec.training.seed)
    return Sides(
        metric=spec.task.promotion.metric, scale=catalog.of(spec.task).scale, confidence=spec.task.promotion.confidence,
        tested=len(ids), oracle=counts["oracle"], refused=found["refused"], people=counts["people"], asked=asked,
        prompt=found["prompt"], grounds=grounds,
    )  # fmt: skip


def _answers(gold: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    """Return whether a target speaks of all that gold speaks of: a person may leave out a dimension, and a model may not."""
    for key in ("values", "signals"):
        for name, right in (gold.get(key) or {}).items():
            other = (said.get(key) or {}).get(name)
            whole = other is not None and (not isinstance(right, Mapping) or not _missing(right, other))
            if right is not None and not whole:
                return False
    return not said.get("partial")


def _missing(right: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return any(right.get(part) is not None and other.get(part) is None for part in ("score", "tag"))


def _grounds(
    task: TaskSpec, scores: pa.Table, gold: Sequence[Any], by: Mapping[Who, Sequence[Any]], *, seed: int
) -> tuple[Ground, ...]:  # fmt: skip
    """Return the rows of the oracle, those of a second person, and those of both; the same rows only once."""
    metric, found, seen = catalog.of(task), list[Ground](), list[list[int]]()
    beside: tuple[tuple[Who, ...], ...] = (("oracle", "people"), ("oracle",), ("people",))
    for others in beside:
        where = [at for at in range(len(gold)) if all(by[who][at] is not None for who in others)]
        if not where or where in seen:
            continue
        seen.append(where)
        clusters = clusters_of(scores.take(pa.array(where)))
        right = [gold[at] for at in where]
        scored = []
        sides_: tuple[Who, ...] = ("this version", "opponent", *others)
        for who in sides_:
            answers = [by[who][at] for at in where]
            of_one = alone(metric, right, answers, clusters, confidence=task.promotion.confidence, seed=seed)
            scored.append(Scored(who=who, **of_one._asdict()))
        found.append(Ground(rows=len(where), stories=int(clusters.max()) + 1, scored=tuple(scored)))
    return tuple(found)
