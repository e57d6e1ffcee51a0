"""Both models answer the test rows and the texts that people were asked about, and all labels become one comparison."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from config.errors import RunFailedError
from consumers.training_set.snapshot import load_training_set
from trainers.compare import apart
from trainers.compare.asked import compare_asked
from trainers.compare.clusters import clusters_of
from trainers.compare.comparison import Asked
from trainers.compare.metrics.metric import Target
from trainers.job.guards import StopRequest
from trainers.pair.annotators import Seen, is_doubtful
from trainers.pair.models import BothModels
from trainers.pair.order import ASKED_FOLDER, JUDGED_FILE, ROWS_FILE, TEST_FOLDER, PairOrder, PairResult
from trainers.parquet import write_table

ASKED_SCHEMA = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        # As JSON; null where no label counts.
        pa.field("target", pa.string()),
        pa.field("stratum", pa.int32(), nullable=False),
        # Numbers the people of this look; null without a label.
        pa.field("annotator", pa.int32()),
        pa.field("contradicted", pa.bool_(), nullable=False),
        pa.field("story_id", pa.string()),
        pa.field("document_id", pa.string()),
    ]
)
_CLUSTERED = ["example_id", "story_id", "document_id"]
_ROWS_PER_BATCH = 32


def judge(order: PairOrder, stop: StopRequest, folder: Path) -> PairResult:
    """Return the comparison on all labelled rows. Raises `StoppedError` when a signal came, `RunFailedError` without a look."""
    if order.look is None:
        message = f"the order to judge pool {order.pool_id} says nothing of the pool; it is judged again later"
        raise RunFailedError(message)
    test = load_training_set(folder / TEST_FOLDER).rows("test", embeddings=False)
    asked = pq.read_table(folder / ASKED_FOLDER / ROWS_FILE, use_threads=False)
    models = BothModels.open(order, folder)
    gold, candidate, opponent = _answered(models, test, asked, stop)
    numbers = apart.by_size(order.task)
    sizes_of_test = np.array(
        [apart.apart(order.task, *both) for both in zip(candidate[: test.num_rows], opponent[: test.num_rows], strict=True)]
    )
    of_test = apart.strata_of(sizes_of_test, order.look.bounds, numbers=numbers)
    strata = np.concatenate([of_test, asked["stratum"].to_numpy().astype(np.intp)])
    sizes = np.array(order.look.sizes, dtype=np.float64) + np.bincount(of_test, minlength=len(order.look.sizes))
    seen = [
        None if target is None else Seen(target, ours, theirs, stratum)
        for target, ours, theirs, stratum in zip(gold, candidate, opponent, strata.tolist(), strict=True)
    ]
    set_aside = _set_aside(seen, test.num_rows, asked["annotator"].to_pylist())
    for row in set_aside:
        gold[row] = None
    _leave(folder, test, asked, gold, candidate, opponent, strata.tolist())
    labelled = sum(target is not None for target in gold[test.num_rows :])
    comparison = compare_asked(
        order.task, order.look.before, gold=gold, candidate=candidate, opponent=opponent, strata=strata, sizes=sizes,
        clusters=clusters_of(pa.concat_tables([test.select(_CLUSTERED), asked.select(_CLUSTERED).cast(_identity(test))])),
        random=test.num_rows, looks=order.look.looks, seed=order.seed,
        asked=Asked(
            pool=sum(order.look.sizes), disagreement=order.look.differ / max(sum(order.look.sizes), 1), requests=asked.num_rows,
            labelled=labelled, contradicted=sum(asked["contradicted"].to_pylist()), set_aside=len(set_aside),
            test=order.look.test,
        ),
    )  # fmt: skip
    return PairResult(pool_id=order.pool_id, status="done", comparison=comparison, set_aside=len(set_aside))


def _leave(  # noqa: PLR0917 - the columns of one table
    folder: Path, test: pa.Table, asked: pa.Table, gold: Sequence[Target | None], candidate: Sequence[Target],
    opponent: Sequence[Target], strata: Sequence[int],
) -> None:  # fmt: skip
    """Write down what the comparison goes by: the evidence of the verdict to come."""
    texts = [*test["text"].to_pylist(), *asked["text"].to_pylist()]
    rows = pa.concat_tables([test.select(_CLUSTERED), asked.select(_CLUSTERED).cast(_identity(test))])
    columns = {
        "text_sha256": [hashlib.sha256(text.encode()).hexdigest() for text in texts],
        "role": ["test"] * test.num_rows + ["asked"] * asked.num_rows,
        **{
            name: [None if one is None else json.dumps(one, ensure_ascii=False) for one in said]
            for name, said in (("gold", gold), ("candidate", candidate), ("opponent", opponent))
        },
    }
    for name, column in columns.items():
        rows = rows.append_column(name, pa.array(column, pa.string()))
    write_table(rows.append_column("stratum", pa.array(strata, pa.int32())), folder / JUDGED_FILE)


def _identity(test: pa.Table) -> pa.Schema:
    return test.select(_CLUSTERED).schema


def _answered(
    models: BothModels, test: pa.Table, asked: pa.Table, stop: StopRequest
) -> tuple[list[Target | None], list[Target], list[Target]]:
    """Return gold and both models' answers of the test rows, then of the rows asked about, all in one form."""
    gold: list[Target | None] = []
    candidate: list[Target] = []
    opponent: list[Target] = []
    texts = [*test["text"].to_pylist(), *asked["text"].to_pylist()]
    targets = [*test["target"].to_pylist(), *asked["target"].to_pylist()]
    scopes = [*test["scope"].to_pylist(), *([None] * asked.num_rows)]
    for start in range(0, len(texts), _ROWS_PER_BATCH):
        stop.check()
        end = start + _ROWS_PER_BATCH
        rows = zip(texts[start:end], targets[start:end], scopes[start:end], strict=True)
        for (text, target, scope), (ours, theirs) in zip(rows, models.answers(texts[start:end]), strict=True):
            if target is None:
                gold.append(None)
            else:
                known = json.loads(target)
                [aligned, ours, theirs] = models.align(text, [known | ({"scope": scope} if scope else {}), ours, theirs])  # noqa: PLW2901 - with gold in view
                gold.append(aligned)
            candidate.append(ours)
            opponent.append(theirs)
    return gold, candidate, opponent


def _set_aside(seen: Sequence[Seen | None], random: int, annotators: Sequence[int | None]) -> list[int]:
    """Return the rows whose annotator cannot be believed; the first `random` rows are test rows."""
    of_each: dict[int, list[int]] = defaultdict(list)
    for row, annotator in enumerate(annotators, start=random):
        if annotator is not None and seen[row] is not None:
            of_each[annotator].append(row)
    test = _there(seen[:random])
    return [row for rows in of_each.values() if is_doubtful(_there([seen[row] for row in rows]), test) for row in rows]


def _there(seen: Sequence[Seen | None]) -> list[Seen]:
    return [one for one in seen if one is not None]
