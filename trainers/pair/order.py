"""What goes into a child that lets two models answer, and what comes out: the whole protocol between daemon and child.

The folder holds the order, both models, and the rows in a folder of their own; the child leaves its answers part by part, so that
one that was ended goes on where it stopped, and at last a result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from config.files.durable import write_atomic
from config.sections import TrainingSettings
from config.tasks import TaskSpec
from trainers.compare.comparison import Comparison
from trainers.compare.sequential.pair import PairTest

ORDER_FILE = "order.json"
RESULT_FILE = "result.json"
LOG_FILE = "pair.log"
POOL_FOLDER = "pool"
"""With `ROWS_FILE`: example_id, text_sha256 and text, in random order."""
ASKED_FOLDER = "asked"
"""With `ROWS_FILE`: the texts that people were asked about."""
TEST_FOLDER = "training_set"
"""A training set, of which the rows that are held out count."""
ROWS_FILE = "rows.parquet"
CANDIDATE_FOLDER, CHAMPION_FOLDER = "candidate", "champion"
ANSWERS_FOLDER = "answers"
JUDGED_FILE = "judged.parquet"
"""What a look went by, row by row, with the hash of each text in its place."""

EXIT_DONE, EXIT_FAILED, EXIT_STOPPED = 0, 1, 4


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Looked(_Value):
    """What a look at the labelled rows of a pool needs to know of it."""

    sizes: tuple[int, ...]
    """Rows of the pool in each stratum."""
    bounds: tuple[float, ...]
    differ: int
    looks: int
    """How often the test rows had been looked at when the run was compared, that look included."""
    test: PairTest | None = None
    """Where the test of the pair stands before this look."""
    before: Comparison
    """The comparison that had too little evidence: its guards and measurements stand."""


class PairOrder(_Value):
    """One order."""

    pool_id: str
    task: TaskSpec
    training: TrainingSettings
    mode: Literal["answer", "judge"]
    seed: int
    seconds: float
    """After so long an answering child ends with what it has answered."""
    labels: int = 0
    """Of a pool: so many rows are drawn."""
    per_batch: int = 1
    look: Looked | None = None
    """Of a judging child."""
    modules: tuple[str, ...] = ()


class DrawnRow(_Value):
    """A row that people are to be asked about, in the order of the draw."""

    text_sha256: str
    stratum: int
    inclusion: float
    batch: int


class PairResult(_Value):
    """What the child found."""

    pool_id: str
    status: Literal["done", "failed", "stopped"]
    error: str | None = None
    rows: int = 0
    differ: int = 0
    sizes: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()
    drawn: tuple[DrawnRow, ...] = ()
    comparison: Comparison | None = None
    set_aside: int = 0
    """Answers of annotators that cannot be believed, which counted as rows that nobody could label."""


def write_order(order: PairOrder, folder: Path) -> None:
    """Write the order, durably."""
    write_atomic(folder / ORDER_FILE, order.model_dump_json(indent=2).encode())


def order_of(content: Mapping[str, Any]) -> PairOrder:
    """Return the order, as JSON holds it. Raises `ValidationError`."""
    return PairOrder.model_validate(content)


def read_order(folder: Path) -> PairOrder | None:
    """Return the order in a folder, None where there is none that can be read."""
    try:
        return order_of(json.loads((folder / ORDER_FILE).read_bytes()))
    except (OSError, ValueError):
        return None


def write_result(result: PairResult, folder: Path) -> None:
    """Write what the child found, durably."""
    write_atomic(folder / RESULT_FILE, result.model_dump_json(indent=2).encode())


def read_result(folder: Path) -> PairResult | None:
    """Return what the child found, None where it left nothing that can be read."""
    try:
        return PairResult.model_validate_json((folder / RESULT_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
