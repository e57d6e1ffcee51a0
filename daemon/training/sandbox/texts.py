"""Which texts a candidate is asked in the sandbox: some that it was compared on, the newest and the longest, and odd ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow.parquet as pq

from consumers.training_set.snapshot import ROWS_FILE
from daemon.training.sandbox.order import Asked
from trainers.job import spec as job_spec
from trainers.job.spec import JobSpec

ODD = (
    "",
    " \n\t\u00a0\u200b",
    ".",
    "?!" * 40,
    "\U0001f642\U0001f643 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1f8\U0001f1ea",
    "\u05e9\u05dc\u05d5\u05dd. \u0645\u0631\u062d\u0628\u0627 2026.",
    "\u202eright to left\u202c and e\u0301 u\u0308 \ufeff\x00 control",
    "\u53f0\u98ce\u5728\u5468\u4e8c\u767b\u9646\u3002",
    "1234567890 " * 30,
    "x" * 3_000,
    "The minister of finance said on Tuesday that the talks with the unions would go on. " * 240,
)
"""Empty, blank, without words, in other scripts and directions, a word without an end, and 20,000 characters."""
_LONGEST_SHARE = 5
"""One of so many is among the longest."""


def chosen(spec: JobSpec, most: int, *, compared_alone: bool = False) -> list[Asked]:
    """Return up to `most` texts of a run's frozen rows, each once; those that were compared come with the candidate's answer.

    Half of them are rows that were compared, the rest what else was held out or has no label, the newest first. With
    `compared_alone` there are no others, and no odd texts. Raises what reading the run's folder raises.
    """
    with pq.ParquetFile(spec.training_set / ROWS_FILE) as file:
        rows = file.read(columns=["example_id", "text", "role", "event_time"], use_threads=False).to_pylist()
    recorded = _recorded(spec)
    newest_first = sorted(rows, key=lambda row: row["event_time"], reverse=True)
    compared = [row for row in newest_first if row["example_id"] in recorded]
    if compared_alone:
        return _asked(_some(compared, most), recorded, most)
    room = max(1, most - len(ODD))
    others = [row for row in newest_first if row["example_id"] not in recorded]
    # What the candidate has learnt comes last: it says least.
    others.sort(key=lambda row: row["role"] == "train")
    half = _some(compared, room - min(len(others), room // 2))
    found = _asked([*half, *_some(others, room), *compared], recorded, room)
    return [*found, *(Asked(text=text) for text in ODD)]


def ids(spec: JobSpec) -> Iterable[tuple[str, str]]:
    """Return text and example id of each of a run's frozen rows."""
    with pq.ParquetFile(spec.training_set / ROWS_FILE) as file:
        rows = file.read(columns=["example_id", "text"], use_threads=False)
    return zip(rows["text"].to_pylist(), rows["example_id"].to_pylist(), strict=True)


def _recorded(spec: JobSpec) -> dict[str, dict[str, Any]]:
    """Return what the candidate answered when it was compared, by example id; nothing where that is not recorded."""
    try:
        table = pq.read_table(spec.run_dir / job_spec.SCORES_FILE, columns=["example_id", "candidate"])
    except FileNotFoundError:
        return {}
    return {name: json.loads(said) for name, said in zip(*(column.to_pylist() for column in table.columns), strict=True)}


def _some(rows: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return up to `most` of these rows: a fifth the longest, the others as they come."""
    longest = sorted(rows, key=lambda row: len(row["text"]), reverse=True)[: -(-most // _LONGEST_SHARE)]
    known = {row["example_id"] for row in longest}
    return [*longest, *(row for row in rows if row["example_id"] not in known)][:most]


def _asked(rows: Iterable[dict[str, Any]], recorded: dict[str, dict[str, Any]], most: int) -> list[Asked]:
    found: dict[str, Asked] = {}
    for row in rows:
        if len(found) >= most:
            break
        found.setdefault(row["text"], Asked(text=row["text"], recorded=recorded.get(row["example_id"])))
    return list(found.values())
