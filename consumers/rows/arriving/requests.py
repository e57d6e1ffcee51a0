"""Requests that came as events: somebody asks for a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from config.task_files.overrides import NONE, Overrides
from consumers.tables.columns import quoted
from consumers.tables.lance import Tables


@dataclass(frozen=True, slots=True)
class Request:
    """One stored request."""

    event_id: str
    task: str
    full: bool
    reason: str
    at: datetime
    stored_seq: int
    """What was stored before it has a smaller one."""
    promote: bool = True
    overrides: Overrides = NONE
    """Settings of the run that differ from the task file."""
    source: str = ""
    """Who asked, as the event says."""
    import_id: str = ""
    """The import that is to be taken back."""


def requests(tables: Tables, kind: str) -> list[Request]:
    """Return the stored requests of one kind (an event type), oldest first."""
    rows = tables.scan("requests", ["event_id", "task", "body", "event_time", "stored_seq"], f"kind = {quoted(kind)}")
    found = []
    for row in rows.sort_by([("event_time", "ascending"), ("event_id", "ascending")]).to_pylist():
        body = json.loads(row["body"])
        settings = body.get("training")
        found.append(
            Request(
                row["event_id"], row["task"] or "", body.get("full", False), body.get("reason") or "", row["event_time"],
                row["stored_seq"], body.get("promote", True), Overrides.model_validate(settings) if settings else NONE,
                body.get("source") or "", body.get("import_id") or "",
            )
        )  # fmt: skip
    return found
