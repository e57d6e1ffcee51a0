"""Faults of kafka-python 3.0.12 that only its private parts can fix; check each again when it is upgraded."""

from __future__ import annotations

from typing import Any

from kafka import KafkaConsumer
from kafka.structs import MemberState


def polled(consumer: KafkaConsumer, *, timeout_ms: int, max_records: int) -> dict[Any, list[Any]]:
    """Return what `poll` returns, so that no partition and no rebalance is forgotten. Raises whatever it raises."""
    fetcher = consumer._fetcher  # noqa: SLF001
    if not fetcher._next_partition_records:  # noqa: SLF001
        # What was fetched of a partition before it was paused goes back into this slot only when the slot is None, not when what
        # it holds was read to its end: the partition would be silent for ever.
        fetcher._next_partition_records = None  # noqa: SLF001
    found: dict[Any, list[Any]] = consumer.poll(timeout_ms=timeout_ms, max_records=max_records)
    if consumer.group_metadata().state is MemberState.REBALANCING:
        # A leader's rebalance for new partitions is forgotten when the group answers between two polls: the member would be
        # silent for ever, and counted out.
        consumer._coordinator.request_rejoin()  # noqa: SLF001
    return found
