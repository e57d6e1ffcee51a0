"""How many texts of a run were longer than its model reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def texts_cut(metrics: Mapping[str, Any]) -> str | None:
    """Return in words how many of a run's texts the model read only the beginning of; None where there are none."""
    parts = [
        f"{metrics[cut]} of {rows} {what} rows ({metrics[cut] / rows:.0%})"
        for cut, rows, what in (
            ("rows_cut", metrics.get("rows_new", 0) + metrics.get("rows_replayed", 0), "training"),
            ("tested_cut", metrics.get("tested", 0), "scored"),
        )
        if metrics.get(cut) and rows
    ]
    return ", ".join(parts) or None
