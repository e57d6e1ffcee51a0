"""Evidence bundles of made-up comparisons, of any task."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from config.tasks import TaskSpec
from consumers.training_set.snapshot import load_training_set
from registry.evidence import bundle, checking
from registry.evidence.bundle import About, Words
from registry.evidence.circumstances import Circumstances
from tests.support.cycles import better
from trainers.compare.comparison import Latency, compare
from trainers.compare.scoring import ROLES
from trainers.job import origin
from trainers.job.spec import SCORES_FILE, JobResult, JobSpec

RUN, VERSION = "run-1", "news-topics/v4"
AT = datetime(2026, 3, 1, tzinfo=UTC)


def proof(
    task: TaskSpec,
    scores: pa.Table,
    *,
    champion: str | None = "news-topics/v3",
    must_go: bool = False,
    looks: int = 1,
    seed: int = 1,
    run_id: str = RUN,
    known: Collection[str] | None = None,
) -> tuple[About, pa.Table]:
    """Return the bundle of what the gate makes of a scores table."""
    seen = compare(
        task, run_id=run_id, champion_version=champion, opponent=champion or "baseline: most frequent label", scores=scores,
        candidate_latency=Latency(p50_ms=4.0, p99_ms=9.0), champion_latency=None, size_mib=87.5, looks=looks, seed=seed,
        known=known,
    )  # fmt: skip
    asked = Circumstances(policy=task.promotion, champion_must_go=must_go, test_fraction=0.2)
    decision = asked.decide(seen)
    told = Words(verdict=decision.verdict, reasons=decision.reasons)
    ids = scores["example_id"].to_pylist()
    rows = bundle.with_hashes(scores, {example_id: f"{number:064x}" for number, example_id in enumerate(ids)})
    about = About(
        program=origin.code(), run_id=run_id, version=VERSION, decided_at=AT, rows=scores.num_rows, training_set_sha256="0" * 64,
        seed=seed, task=checking.as_plain(task), comparison=seen.model_dump(mode="json"),
        circumstances=asked.model_dump(mode="json"), gate=Words.of(decision), told=told,
    )  # fmt: skip
    return about, rows


def scored(spec: JobSpec, *, right: float = 1.0, opponent_right: float = 0.1) -> JobResult:
    """What a child leaves that has asked two made-up models: so many of a hundred rows each has right, the same rows always."""
    held_out = load_training_set(spec.training_set).rows(*ROLES, embeddings=False)
    answers: dict[str, list[str]] = {"gold": held_out["target"].to_pylist(), "candidate": [], "opponent": []}
    for side, share in (("candidate", right), ("opponent", opponent_right)):
        for number, target in enumerate(answers["gold"]):
            says_right = (number * 37) % 100 < 100 * share
            answers[side].append(target if says_right else json.dumps({"label": "wrong"}))
    scores = held_out.select(["example_id", "role", "story_id", "document_id", "event_time", "language"])
    for name, column in answers.items():
        scores = scores.append_column(name, pa.array(column, pa.string()))
    pq.write_table(scores, spec.run_dir / SCORES_FILE)
    seen = compare(
        spec.task, run_id=spec.run_id, champion_version=spec.champion_version,
        opponent=spec.champion_version or "baseline: most frequent label", scores=scores, candidate_latency=None,
        champion_latency=None, size_mib=1.0, looks=spec.looks, seed=spec.training.seed,
    )  # fmt: skip
    return better(spec).model_copy(update={"comparison": seen})
