"""One batch as the broker keeps it, bytes and all: what is damaged there comes alike every time, what the way changes does not.

kafka-python's consumer says no more than that a checksum is wrong, so a batch is asked for beneath it, on connections of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient
from kafka.protocol.consumer import FetchRequest
from kafka.record import MemoryRecords
from kafka.structs import TopicPartition as KafkaPartition

from config.errors import RetryError
from consumers.log.kafka.connection import CONNECT_MS, REQUEST_MS, Connection, in_words, net_client

_WAIT_MS = 500
# Topics by their names; later versions ask for ids.
_FETCH_VERSION = 12
_COMMITTED = 1


class Fetched(NamedTuple):
    """A broker's answer."""

    batch: bytes
    aborted: frozenset[tuple[int, int]]
    """Producer's id and first offset of each aborted transaction that had not ended before the batch; later ones too."""


class BatchReader:
    """Reads batches over one connection, made at the first read; not thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: KafkaNetClient | None = None

    def read(self, part: KafkaPartition, offset: int) -> Fetched:
        """Return the batch that holds `offset` or, where none does, the next one; nothing at the end of the partition.

        Raises `RetryError` when the cluster does not answer, and kafka-python's `OffsetOutOfRangeError` and `CorruptRecordError`
        when the broker says so.
        """
        used_before = self._client is not None
        try:
            client = self._connected()
            client.poll(timeout_ms=REQUEST_MS, future=client.cluster.add_topic(part.topic))
            answer = client.send_and_receive(_leader(client, part), _fetch(part, offset), REQUEST_MS)
            found = answer.responses[0].partitions[0]
            aborted = frozenset((one.producer_id, one.first_offset) for one in found.aborted_transactions or ())
            error = kafka_errors.for_code(found.error_code)
            problem = None if error is kafka_errors.NoError else error()
        except Exception as unforeseen:  # noqa: BLE001 - whatever a corrupted answer leads to
            problem = unforeseen
        if problem is None:
            return Fetched(bytes(found.records or b""), aborted)
        if isinstance(problem, kafka_errors.OffsetOutOfRangeError | kafka_errors.CorruptRecordError):
            raise problem
        self.close()
        if used_before:
            # Brokers hang up on who was silent for long.
            return self.read(part, offset)
        message = f"{part.topic}/{part.partition} could not be read at offset {offset} ({in_words(problem)}); it is tried again"
        raise RetryError(message) from problem

    def close(self) -> None:
        """Release the connection; another read makes a new one."""
        if self._client is not None:
            client, self._client = self._client, None
            client.close()

    def _connected(self) -> KafkaNetClient:
        if self._client is None:
            self._client = net_client(**self._connection)
            self._client.get_broker_version(CONNECT_MS)
        return self._client


def is_whole(batch: bytes) -> bool:
    """Return whether the checksum fits: then these are the bytes that were published."""
    try:
        records = MemoryRecords(batch).next_batch()
        return records is not None and bool(records.validate_crc())
    except Exception:  # noqa: BLE001 - whatever damage makes of the header
        return False


def last_offset(batch: bytes) -> int | None:
    """Return the last offset that a batch says it holds, None when its header cannot be read."""
    try:
        return int(MemoryRecords(batch).next_batch().last_offset)
    except Exception:  # noqa: BLE001 - whatever damage makes of the header
        return None


def offsets(fetched: Fetched) -> list[int]:
    """Return the offsets of the events in a whole batch; none in a control batch, or in one of an aborted transaction.

    Raises what kafka-python cannot parse.
    """
    records = MemoryRecords(fetched.batch).next_batch()
    taken_back = any(records.producer_id == producer and first <= records.base_offset for producer, first in fetched.aborted)
    if records.is_control_batch or taken_back:
        return []
    return [int(record.offset) for record in records]


def _leader(client: KafkaNetClient, part: KafkaPartition) -> int:
    leader = client.cluster.leader_for_partition(part)
    if leader is None or leader < 0:
        raise kafka_errors.LeaderNotAvailableError
    return int(leader)


def _fetch(part: KafkaPartition, offset: int) -> FetchRequest:
    # The smallest answer that a broker gives is one whole batch.
    wanted = FetchRequest.FetchTopic.FetchPartition(
        partition=part.partition, current_leader_epoch=-1, fetch_offset=offset, last_fetched_epoch=-1, log_start_offset=-1,
        partition_max_bytes=1,
    )  # fmt: skip
    return FetchRequest(
        replica_id=-1, max_wait_ms=_WAIT_MS, min_bytes=1, max_bytes=1, isolation_level=_COMMITTED, session_id=0, session_epoch=-1,
        topics=[FetchRequest.FetchTopic(topic=part.topic, partitions=[wanted])], forgotten_topics_data=[], rack_id="",
        max_version=_FETCH_VERSION,
    )  # fmt: skip
