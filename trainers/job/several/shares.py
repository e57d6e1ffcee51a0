"""How many processes an order asks for, and what each has of threads and memory; read before any library is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainers.hardware import usable_cores
from trainers.learners.tuning.processes import Processes


def wanted(order: Mapping[str, Any]) -> int:
    """Return how many processes an order asks for: 1 where nothing is tuned."""
    task = order["task"]
    tunes = task["backend"] == "transformer" and task["training"].get("tuning") != "never" and not order.get("refresh", False)
    return int(task["training"].get("processes", 1)) if tunes else 1


def share_of(order: Mapping[str, Any], together: Processes) -> dict[str, Any]:
    """Return the order with the share of threads and memory that each of several processes has."""
    training = dict(order["training"])
    training["threads"] = max(1, (training["threads"] or usable_cores() - 1) // together.count)
    if training["memory_limit_mib"]:
        training["memory_limit_mib"] = max(1, training["memory_limit_mib"] // together.count)
    return {**order, "training": training}
