"""What is known to be empty on a broker, where compaction has left holes between batches."""

from __future__ import annotations

import struct

import pytest
from kafka.record import MemoryRecordsBuilder
from kafka.structs import TopicPartition

from consumers.log.kafka.batches import BatchReader, Fetched
from consumers.log.kafka.kept import KeptEvents

PART = TopicPartition("news", 0)


def batch(first: int, count: int) -> Fetched:
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 16)
    for number in range(count):
        builder.append(timestamp=1_700_000_000_000, key=None, value=b"%d" % number)
    builder.close()
    # Brokers give a batch its first offset, which its checksum leaves out.
    return Fetched(struct.pack(">q", first) + bytes(builder.buffer())[8:], frozenset())


def test_a_hole_hides_nothing_of_the_batch_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BatchReader, "read", lambda _self, _part, _offset: batch(10, 11))
    kept = KeptEvents({})
    assert not kept.any_between(PART, 5, 10)
    assert kept.any_between(PART, 10, 30)
    assert kept.any_between(PART, 5, 11)
    assert not kept.any_between(PART, 7, 9)
