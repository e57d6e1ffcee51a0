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
from consumers.log.kafka import source as sources
from consumers.log.kafka.log import KafkaLog
from consumers.log.protocols import EventSink, EventSource, TopicPartition
from tests.support.kafka_logs import proxied_broker
from tests.support.proxies import Proxy

pytestmark = pytest.mark.slow

EVENTS, BATCH = 1_500, 50
SILENCE_S = 3.0
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
    with proxied_broker(tmp_path_factory.mktemp("kafka")) as (broker, made):
        with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
            admin.create_topics([NewTopic("news", num_partitions=1, replication_factor=1)])
        chance = random.Random(1)
        with closing(KafkaLog([broker.address]).sink()) as sink:
            for number in range(EVENTS):
                sink.publish("news", b"%d " % number + chance.randbytes(300))
                if number % BATCH == BATCH - 1:
                    sink.flush()
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look behind a silence after seconds, not a minute: flipped bits now and then cost a member its place in the group."""
    monkeypatch.setattr(sources, "_SILENCE_S", SILENCE_S)


@pytest.fixture
def log(proxy: Proxy) -> Iterator[KafkaLog]:
    """The log as it is seen through the proxy."""
    yield KafkaLog([proxy.address.removeprefix("http://")])
    proxy.change = proxy.change_request = unchanged


@pytest.fixture
def source(log: KafkaLog, request: pytest.FixtureRequest) -> Iterator[EventSource]:
    """A group of its own that reads through the proxy."""
    with closing(log.source(request.node.name, ["news"])) as made:
        yield made


def unchanged(chunk: bytes) -> bytes:
    return chunk


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

    proxy.change = flip
    read.until(source, lambda: len(read.numbers) == EVENTS, within_s=20)
    proxy.change = unchanged
    read.until(source, lambda: len(read.numbers) == EVENTS, within_s=60)
    assert flips > 0
    read.check()


def test_a_way_that_changes_every_answer_is_waited_out(proxy: Proxy, source: EventSource) -> None:
    chance = random.Random(3)
    read = Read()
    read.until(source, lambda: bool(read.numbers), within_s=60)
    proxy.change = lambda chunk: flipped(chance, 1 + len(chunk) // 2_000, chunk)
    read.until(source, lambda: sum(read.told.values()) >= 5, within_s=60)
    assert read.told, "it says so"
    assert len(read.numbers) < EVENTS
    proxy.change = unchanged
    read.until(source, lambda: len(read.numbers) == EVENTS, within_s=90)
    read.check()


def test_a_changed_offset_which_no_checksum_covers_passes_over_nothing(proxy: Proxy, source: EventSource) -> None:
    read = Read()
    jumps = 0

    def forward(chunk: bytes) -> bytes:
        """Move the second batch of the log behind others once, as one flipped bit of its base offset does."""
        nonlocal jumps
        here = struct.pack(">q", BATCH)
        place = chunk.find(here)
        while place >= 0:
            # Twelve bytes on: the leader's epoch (0) and the format.
            if chunk[place + 12 : place + 17] == struct.pack(">ib", 0, _MAGIC) and not jumps:
                jumps += 1
                return chunk[:place] + struct.pack(">q", BATCH | 1 << 10) + chunk[place + 8 :]
            place = chunk.find(here, place + 1)
        return chunk

    proxy.change = forward
    read.until(source, lambda: len(read.numbers) == EVENTS, within_s=60)
    assert jumps == 1
    assert any("was given offset 1074 of news/0 where 50 is to be read" in told for told in read.told)
    read.check()


@pytest.mark.parametrize(("partitions", "number"), [(0, 0), (1, 4)], ids=["no partition", "another partition"])
def test_a_share_of_the_group_that_was_changed_on_its_way_is_noticed_by_its_silence(
    proxy: Proxy, source: EventSource, partitions: int, number: int
) -> None:
    changes = 0

    def forward(chunk: bytes) -> bytes:
        """Take the partition from the answer that shares the group out; the member believes that it has nothing to read."""
        nonlocal changes
        if changes or (share := _share(1, 0)) not in chunk:
            return chunk
        changes += 1
        return chunk.replace(share, _share(partitions, number))

    proxy.change = forward
    read = Read()
    read.until(source, lambda: len(read.numbers) == EVENTS, within_s=60)
    assert changes == 1
    assert any("received nothing for 3 s although events wait in news/0" in told for told in read.told)
    read.check()


def _share(partitions: int, number: int) -> bytes:
    """Return what a member is told of its part of `news`: the topic, how many partitions, and the number of one."""
    return struct.pack(">h4sii", 4, b"news", partitions, number)


def test_what_is_changed_on_its_way_to_the_broker_is_not_taken(proxy: Proxy, log: KafkaLog) -> None:
    chance = random.Random(5)
    flips = 0

    def flip(chunk: bytes) -> bytes:
        """Change what carries events; topics and positions travel without a checksum, which only TLS fixes."""
        nonlocal flips
        bits = len(chunk) > 2_000 and chance.random() < 0.5
        flips += bits
        return flipped(chance, bits, chunk)

    sent = {b"sent %d " % number + chance.randbytes(2_000) for number in range(200)}
    proxy.change_request = flip
    with closing(log.sink()) as sink:
        until = time.monotonic() + 8
        waiting = list(sent)
        while waiting:
            try:
                while waiting:
                    sink.publish("news", waiting[-1])
                    waiting.pop()
                    sink.flush(5.0)
            except RetryError:
                if time.monotonic() > until:
                    proxy.change_request = unchanged
        proxy.change_request = unchanged
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
