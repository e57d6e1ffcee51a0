"""The alarm over events that were removed from the log before they were read."""

from __future__ import annotations

import structlog

from consumers.log.protocols import TopicPartition

_log = structlog.get_logger(__name__)


def report_gap(group: str, part: TopicPartition, *, expected: int, earliest: int, remedy: str) -> int:
    """Log that `group` finds `earliest` where it expected an earlier offset; return how many events are missing.

    `remedy` says how to keep events longer.
    """
    _log.error(
        "event_log.gap",
        group=group, topic=part.topic, partition=part.partition, expected=expected, earliest=earliest,
        missing=earliest - expected,
        consequence="reading continues at the earliest event that is kept; the missing ones are gone",
        remedy=f"{remedy}, and publish the missing events again from their source",
    )  # fmt: skip
    return earliest - expected
