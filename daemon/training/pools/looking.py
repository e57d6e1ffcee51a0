"""A look: all labels that there are of a pair, random test rows and those asked for, become one comparison and a verdict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from config.clock import MAX_DAYS
from config.errors import RunFailedError
from config.tasks import TaskSpec
from consumers.labelling.withheld import AskedText, RequestAnswer, agreed
from consumers.rows.labels.unlabelled import id_of
from daemon.training.pools.pair import Pair
from registry.people.pools import Pool, ReviewRequest
from trainers.compare.comparison import Comparison
from trainers.compare.sequential.look import Look as PairLook
from trainers.compare.sequential.pair import PairTest, planned
from trainers.pair import order as protocol
from trainers.pair.judging import ASKED_SCHEMA
from trainers.pair.order import Looked, PairOrder


@dataclass(frozen=True, slots=True)
class Look:
    """What a look has found."""

    comparison: Comparison
    test_rows: Sequence[str]
    """Ids of the random test rows."""
    rows: pa.Table | None
    """What the child went by, row by row: the evidence. None: it left nothing of it."""
    order: PairOrder


def look(pair: Pair, pool: Pool, task: TaskSpec, busy: Callable[[], bool], *, fencing_token: int) -> Look | None:
    """Return the comparison on all labels; None where something more urgent is due. Raises `RunFailedError` where it fails."""
    run = pair.registry.runs.get(pool.run_id)
    if run.comparison is None:
        message = f"run {run.run_id} has no comparison any more, so pool {pool.pool_id} cannot be judged"
        raise RunFailedError(message)
    before = Comparison.model_validate(run.comparison)
    requests = pair.registry.pools.requests(pool.pool_id)
    asked = [one for one in requests if one.asked_at is not None and not one.gone]
    folder, erasings = pair.begun(pool), pair.buffer.erasings
    try:
        frozen = pair.buffer.freeze(
            _of_all_looks(task, pool, pair.registry.clock()), run_id=pool.pool_id, folder=folder / protocol.TEST_FOLDER,
            learnt=pair.learnt(pool), max_rows=1, embeddings=False,
        )  # fmt: skip
        test_rows = frozen.rows("test", embeddings=False)["example_id"].to_pylist()
        answers = pair.buffer.answers_to(task, {one.request_id for one in asked})
        texts = pair.buffer.texts_asked_about({one.text_sha256 for one in asked if one.text_sha256 is not None})
        labelled = len(test_rows) + sum(agreed(said) is not None for said in answers.values())
        test = _test(pair, pool, task, before, requests, labelled=labelled, fencing_token=fencing_token)
        rows = folder / protocol.ASKED_FOLDER / protocol.ROWS_FILE
        rows.parent.mkdir()
        pq.write_table(_asked_table(asked, answers, texts), rows)
        order = PairOrder(
            pool_id=pool.pool_id, task=frozen.manifest.in_force(task),
            training=pair.settings.training, mode="judge", seed=pool.seed, seconds=pair.settings.training.time_limit_s,
            modules=pair.settings.extensions.names,
            look=Looked(
                sizes=pool.sizes, bounds=pool.bounds, differ=pool.differ,
                looks=before.looks, test=test, before=before,
            ),
        )  # fmt: skip
        pair.check(erasings)
        result = pair.carry_out(order, folder, busy)
        judged = folder / protocol.JUDGED_FILE
        rows_judged = pq.read_table(judged) if judged.exists() else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if result is None:
        return None
    if result.comparison is None:
        message = f"pool {pool.pool_id} could not be judged: {result.error}"
        raise RunFailedError(message)
    # Under the run: a row that the pair has been judged by, however often, is one look at it for candidates to come.
    pair.registry.looks.record(pool.task, pool.run_id, test_rows, fencing_token=fencing_token)
    return Look(result.comparison, test_rows, rows_judged, order)


def of_test(comparison: Comparison) -> PairLook | None:
    """Return the look as the pair's test counts it, None where there were too few rows to look at."""
    asked = comparison.asked
    return None if asked is None or asked.test is None else asked.test.now


def _test(
    pair: Pair, pool: Pool, task: TaskSpec, before: Comparison, requests: Sequence[ReviewRequest], *, labelled: int,
    fencing_token: int,
) -> PairTest | None:  # fmt: skip
    """Return where the pair's test stands; None before it is begun: too few `labelled` rows decide nothing, and cost nothing.

    Its level is taken before the models have answered, and is the same again after a crash.
    """
    if pool.test is None and labelled < task.promotion.min_test_examples:
        return None
    begun = pair.registry.pools.begin_test(pool.pool_id, planned(before.needed_gain), fencing_token=fencing_token)
    drawn = sum(one.batch < pool.batches for one in requests) / max(len(requests), 1)
    return PairTest(level=begun.level, planned=begun.planned, drawn=drawn, earlier=begun.looks)


def _of_all_looks(task: TaskSpec, pool: Pool, now: datetime) -> TaskSpec:
    """Return the task as a look freezes its rows: what an earlier look had within the window judges the pair to its end."""
    days = max((now - (pool.opened_at or now)) / timedelta(days=1), 0.0)
    policy = task.promotion.model_copy(update={"window_days": min(task.promotion.window_days + days, MAX_DAYS)})
    # A teacher's articles are not needed, and one training row is the fewest that a set may have.
    return task.model_copy(update={"promotion": policy, "training": task.training.model_copy(update={"teacher": None})})


def _asked_table(
    asked: Sequence[ReviewRequest], answers: Mapping[str, Sequence[RequestAnswer]], texts: Mapping[str, AskedText]
) -> pa.Table:
    people: dict[str, int] = {}
    rows = []
    for one in asked:
        text = texts.get(one.text_sha256 or "")
        if text is None:
            continue
        said = answers.get(one.request_id, ())
        answer = agreed(said) if said else None
        who = None if answer is None else people.setdefault(answer.annotator or "", len(people))
        rows.append(
            {
                "example_id": id_of(text.event_id), "text": text.text,
                "target": None if answer is None else json.dumps(answer.target, ensure_ascii=False), "stratum": one.stratum,
                "annotator": who, "contradicted": bool(said) and answer is None, "story_id": text.story,
                "document_id": text.document,
            }
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=ASKED_SCHEMA)
