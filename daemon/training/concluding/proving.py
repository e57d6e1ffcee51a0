"""Keeps what a verdict was reached from: both models' answers to every row that was scored, and all that the gate was told."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from consumers.training_set.snapshot import TrainingSet
from registry.evidence import bundle, checking, keeping
from registry.evidence.bundle import About, Again, Words
from registry.evidence.circumstances import Circumstances
from registry.judging import gate
from registry.people.pools import Pool
from registry.runs import Run
from registry.store import Registry
from trainers.compare.comparison import Comparison
from trainers.compare.scoring import ROLES
from trainers.job import origin
from trainers.job.spec import SCORES_FILE, JobSpec
from trainers.pair.order import PairOrder

log = structlog.get_logger(__name__)


def prove(
    registry: Registry,
    folder: Path,
    run: Run,
    spec: JobSpec,
    *,
    frozen: TrainingSet,
    comparison: Comparison,
    circumstances: Circumstances,
    judged: gate.Decision,
    told: gate.Decision,
    now: datetime,
    fencing_token: int,
) -> None:
    """Write the evidence bundle of a verdict: `judged` is what the gate said, `told` what is recorded of it."""
    scores = spec.run_dir / SCORES_FILE
    if run.version is None or not scores.exists():
        log.warning("run.unproven", reason=f"the run left no {SCORES_FILE}", next="`perennial verify` cannot repeat its verdict")
        return
    rows = frozen.rows(*ROLES, embeddings=False)
    hashes = {
        example_id: hashlib.sha256(text.encode()).hexdigest()
        for example_id, text in zip(rows["example_id"].to_pylist(), rows["text"].to_pylist(), strict=True)
    }
    table = bundle.with_hashes(pq.read_table(scores), hashes)
    about = About(
        program=origin.code(),
        run_id=run.run_id,
        version=run.version,
        decided_at=now,
        rows=table.num_rows,
        training_set_sha256=run.training_set_sha256 or "",
        seed=spec.training.seed,
        task=checking.as_plain(spec.task),
        comparison=comparison.model_dump(mode="json"),
        circumstances=circumstances.model_dump(mode="json"),
        gate=Words.of(judged),
        told=Words(verdict=told.verdict, reasons=told.reasons),
    )
    path = keeping.keep(registry, folder, about, table, fencing_token=fencing_token)
    log.info("run.proven", rows=table.num_rows, kib=round(path.stat().st_size / 1024, 1))


def prove_look(
    registry: Registry,
    folder: Path,
    run: Run,
    pool: Pool,
    order: PairOrder,
    *,
    rows: pa.Table | None,
    comparison: Comparison,
    circumstances: Circumstances,
    judged: gate.Decision,
    told: gate.Decision,
    fencing_token: int,
) -> None:
    """Write the evidence bundle of a later look at the pair of a run, beside that of the run."""
    if rows is None or order.look is None:
        log.warning(
            "pool.unproven", reason="the look left no rows", next="`perennial verify` can repeat the verdict of the run only"
        )
        return
    about = About(
        program=origin.code(),
        run_id=run.run_id,
        version=pool.candidate,
        decided_at=registry.clock(),
        rows=rows.num_rows,
        training_set_sha256=run.training_set_sha256 or "",
        seed=order.seed,
        task=checking.as_plain(order.task),
        comparison=comparison.model_dump(mode="json"),
        circumstances=circumstances.model_dump(mode="json"),
        gate=Words.of(judged),
        again=Again(
            look=pool.looks + 1, before=order.look.before.model_dump(mode="json"), sizes=order.look.sizes,
            random=rows["role"].to_pylist().count("test"),
        ),
        told=Words(verdict=told.verdict, reasons=told.reasons),
    )  # fmt: skip
    keeping.keep(registry, folder, about, rows, fencing_token=fencing_token)
