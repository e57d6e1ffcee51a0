"""A way to the broker that changes bytes: nothing is lost, no good event is given up as unreadable, none is passed over."""

from __future__ import annotations

import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from kafka.admin import KafkaAdminClient, NewTopic

from config.errors import RetryError
from consumers.kafka.log import KafkaLog
from consumers.source import EventSink, EventSource, TopicPartition
from tests.kafka.broker import Broker, free_port
from tests.kafka.proxy import Proxy, properties
from tests.support.kafka_logs import shared_broker

pytestmark = pytest.mark.slow

EVENTS, BATCH = 1_500, 50
NEWS = TopicPartition("news", 0)
_MAGIC = 2


@dataclass
class Read:
    """What a source handed out, and what it said when it could not."""

    numbers: Counter[int] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    misplaced: list[tuple[int, int]] = field(default_factory=list)

    def step(self, source: EventSource) -> None:
        """Poll once, and commit what came."""
        try:
            events = source.poll(timeout_s=0.5, max_events=100)
            for event in events:
                if event.unreadable is not None:
                    self.unreadable.append(event.unreadable)
                    continue
                number = int((event.value or b"").split()[0])
                self.numbers[number] += 1
                if event.position.offset != number:
                    self.misplaced.append((number, event.position.offset))
            if events:
                source.commit({NEWS: events[-1].position.offset + 1})
        except RetryError as error:
            self.told[str(error)] += 1
            time.sleep(0.05)

    def until(self, source: EventSource, enough: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not enough() and time.monotonic() < deadline:
            self.step(source)

    def check(self) -> None:
        assert self.unreadable == [], "a good event was given up"
        assert self.numbers.keys() == set(range(EVENTS)), "events were passed over"
        assert self.misplaced == []


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Stand between the clients and a broker that keeps `EVENTS` numbered events in `news`."""
    shared_broker()  # skips where no broker can run
    behind, before = free_port(), free_port()
    broker = Broker(tmp_path_factory.mktemp("kafka"), properties=properties(behind, before)).start()
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        admin.create_topics([NewTopic("news", num_partitions=1, replication_factor=1)])
    chance = random.Random(1)
    with closing(KafkaLog([broker.address]).sink()) as sink:
        for number in range(EVENTS):
            sink.publish("news", b"%d " % number + chance.randbytes(300))
            if number % BATCH == BATCH - 1:
                sink.flush()
    with Proxy(behind, before) as made:
        yield made
    broker.kill()


@pytest.fixture
def source(proxy: Proxy, request: pytest.FixtureRequest) -> Iterator[EventSource]:
    """A group of its own that reads through the proxy."""
    with closing(KafkaLog([f"127.0.0.1:{proxy.port}"]).source(request.node.name, ["news"])) as made:
        yield made
    proxy.to_client = proxy.to_broker = None


def flipped(chance: random.Random, bits: int, chunk: bytes) -> bytes:
    changed = bytearray(chunk)
    for _ in range(bits):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("seed", [1, 2])
def test_bits_that_flip_now_and_then_cost_nothing_but_time(proxy: Proxy, source: EventSource, seed: int) -> None:
    chance = random.Random(seed)
    read = Read()
    flips = 0

    def flip(chunk: bytes) -> bytes:
        nonlocal flips
        bits = chance.random() < len(chunk) / 40_000
        flips += bits
        return flipped(chance, bits, chunk)

    proxy.to_client = flip
    read.until(source, lambda: len(read.numbers) == EVENTS, within_s=20)
    proxy.to_client = None
    read.until(source, lambda: len(read.numbers) == EVENTS, within_s=60)
    assert flips > 0
    read.check()


def test_a_way_that_changes_every_answer_is_waited_out(proxy: Proxy, source: EventSource) -> None:
    chance = random.Random(3)
    read = Read()
    read.until(source, lambda: bool(read.numbers), within_s=60)
    before = len(read.numbers)
    proxy.to_client = lambda chunk: flipped(chance, 1 + len(chunk) // 2_000, chunk)
    read.until(source, lambda: False, within_s=12)
    assert read.told, "it says so"
    assert len(read.numbers) < EVENTS
    proxy.to_client = None
    read.until(source, lambda: len(read.numbers) == EVENTS, within_s=90)
    assert before < EVENTS
    read.check()


def test_a_changed_offset_which_no_checksum_covers_passes_over_nothing(proxy: Proxy, source: EventSource) -> None:
    read = Read()
    jumps = 0

    def forward(chunk: bytes) -> bytes:
        """Move the second batch of the log behind others, as one flipped bit of its base offset does."""
        nonlocal jumps
        here = struct.pack(">q", BATCH)
        place = chunk.find(here)
        while place >= 0:
            # Twelve bytes on: the leader's epoch (0) and the format.
            if chunk[place + 12 : place + 17] == struct.pack(">ib", 0, _MAGIC) and jumps < 3:
                jumps += 1
                return chunk[:place] + struct.pack(">q", BATCH | 1 << 10) + chunk[place + 8 :]
            place = chunk.find(here, place + 1)
        return chunk

    proxy.to_client = forward
    read.until(source, lambda: len(read.numbers) == EVENTS, within_s=60)
    assert jumps > 0
    assert any("was given offset 1074 of news/0 where 50 is to be read" in told for told in read.told)
    read.check()


def test_what_is_changed_on_its_way_to_the_broker_is_not_taken(proxy: Proxy) -> None:
    chance = random.Random(5)
    flips = 0

    def flip(chunk: bytes) -> bytes:
        """Change what carries events; topics and positions travel without a checksum, which only TLS mends."""
        nonlocal flips
        bits = len(chunk) > 3_000 and chance.random() < 0.5
        flips += bits
        return flipped(chance, bits, chunk)

    log = KafkaLog([f"127.0.0.1:{proxy.port}"])
    sent = {b"sent %d " % number + chance.randbytes(2_000) for number in range(200)}
    proxy.to_broker = flip
    with closing(log.sink()) as sink:
        until = time.monotonic() + 20
        waiting = list(sent)
        while waiting:
            try:
                while waiting:
                    sink.publish("news", waiting[-1])
                    waiting.pop()
                    sink.flush(5.0)
            except RetryError:
                if time.monotonic() > until:
                    proxy.to_broker = None
        proxy.to_broker = None
        until = time.monotonic() + 60
        while not _flushed(sink) and time.monotonic() < until:
            pass
    assert flips > 0
    with closing(log.source("all", ["news"])) as source:
        found: set[bytes] = set()
        until = time.monotonic() + 60
        while not sent <= found and time.monotonic() < until:
            found |= {event.value or b"" for event in source.poll(timeout_s=0.5, max_events=500)}
    assert {value for value in found if not value.split()[0].isdigit()} == sent, "each one as it was, and nothing else"


def _flushed(sink: EventSink) -> bool:
    try:
        sink.flush(5.0)
    except RetryError:
        return False
    return True
