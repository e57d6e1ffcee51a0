"""What a run learnt that its champion had not: how many labels and answers of users, and the first of them."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from config.kinds import catalog
from daemon.views.view import View
from trainers.job import files

SHOWN = 20
_MOST_TEXT = 300
_BY_USERS = "feedback"


class LearntRow(View):
    """One event that a run learnt."""

    event_id: str
    by_user: bool
    text: str
    """Its beginning."""
    cut: bool
    says: str
    """What the text is said to be, in words."""


class Learnt(View):
    """The new rows of a run."""

    labels: int
    answers: int
    """What users said: corrections, and confirmations that count."""
    rows: tuple[LearntRow, ...]
    """The newest: those of users first."""


def of_run(run_dir: Path) -> Learnt | None:
    """Return what a run learnt anew; None where its folder is gone."""
    rows = run_dir / files.TRAINING_SET_FOLDER / "rows.parquet"
    try:
        changed_at = rows.stat().st_mtime_ns
    except OSError:
        # Gone, perhaps because it held texts that were erased: nothing of it stays in memory.
        _read.cache_clear()
        return None
    return _read(rows, run_dir / files.LINEAGE_FILE, changed_at)


@lru_cache(maxsize=16)
def _read(rows: Path, lineage: Path, _changed_at: int) -> Learnt | None:
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.compute as pc  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    try:
        known = pq.read_table(rows, columns=["example_id", "origin", "role", "is_new", "event_time"])
        new = known.filter(pc.and_(pc.equal(known["role"], "train"), known["is_new"]))
        if lineage.exists():
            # What was held back, or left out for its size, was not learnt.
            took = pq.read_table(lineage, columns=["example_id"])["example_id"]
            new = new.filter(pc.is_in(new["example_id"], value_set=took.combine_chunks().cast(pa.string())))
        by_users = pc.equal(new["origin"], _BY_USERS)
        answers = int(pc.sum(by_users).as_py() or 0)
        first = new.append_column("by_user", by_users).sort_by([("by_user", "descending"), ("event_time", "descending")])
        ids = first["example_id"].slice(0, SHOWN).to_pylist()
        found = pq.read_table(rows, columns=["example_id", "origin", "text", "target"], filters=[("example_id", "in", ids)])
    except (OSError, ValueError):
        return None
    by_id = {row["example_id"]: row for row in found.to_pylist()}
    shown = tuple(_row(by_id[one]) for one in ids if one in by_id)
    return Learnt(labels=new.num_rows - answers, answers=answers, rows=shown)


def _row(row: dict[str, str]) -> LearntRow:
    target, text = json.loads(row["target"]), row["text"]
    says = catalog.of(target).in_words(target)
    return LearntRow(
        event_id=row["example_id"], by_user=row["origin"] == _BY_USERS, text=text[:_MOST_TEXT], cut=len(text) > _MOST_TEXT,
        says=says,
    )  # fmt: skip
