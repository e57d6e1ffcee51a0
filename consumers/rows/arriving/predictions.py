"""Answers that serving gave, kept because feedback may cite them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumers.tables.columns import quoted
from consumers.tables.lance import Tables


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """One answer, as it was given."""

    prediction_id: str
    task: str
    model_version: str
    text: str
    answer: Mapping[str, Any]
    event_time: datetime
    answered_by: str | None = None
    """`correction` where a person's correction answered in the model's place."""


def prediction(tables: Tables, prediction_id: str) -> StoredPrediction | None:
    """Return the answer given under this id, None when it is not stored."""
    columns = ["prediction_id", "task", "model_version", "text", "answer", "event_time", "answered_by"]
    rows = tables.scan("predictions", columns, f"prediction_id = {quoted(prediction_id)}").to_pylist()
    return StoredPrediction(**rows[0] | {"answer": json.loads(rows[0]["answer"])}) if rows else None
