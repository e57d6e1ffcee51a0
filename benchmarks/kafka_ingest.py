"""Ingest from a real Kafka broker into durable LanceDB, beside a bare `poll` of the same topic and a bare merge of the same rows.

Articles of 1.5 KB as JSON, one in a hundred redelivered and one in a hundred not an event. Ours validates, keeps dead letters,
deduplicates, makes rows durable and commits; the bare poll only counts; the bare merge is LanceDB's own `merge_insert` of rows
that are ready, in batches of the same size, compacted as often. Broker and reader share the machine. At the end: ingest and
embedding together, as the daemon catches up. Every contestant is a process of its own; memory is that of ours.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from benchmarks import report
from benchmarks.embedding import news_texts
from config.logging import configure_logging
from config.sections import LogSettings
from config.settings import SHIPPED_TASKS_DIR, shipped_settings
from config.tasks import load_tasks
from consumers.events.schemas import ARTICLES_TOPIC
from tests.kafka.broker import Broker, resolve_jars

EVENT_BYTES = 1_500
_BATCH = 1_000
_OPTIMIZE_EVERY = 20
_START = datetime(2024, 5, 1, tzinfo=UTC)
_MIB = 1 << 20


def main() -> None:
    """Measure each contestant in turn."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--events", type=int, help="events on the topic (default 300,000; quick 30,000)")
    arguments = parser.parse_args()
    count = arguments.events or (30_000 if arguments.quick else 300_000)
    catch_up_events = 500 if arguments.quick else 3_000
    resolve_jars()
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder) / "kafka", jvm=()).start()
        try:
            results = _measure(broker, Path(folder), count, catch_up_events, rounds=1 if arguments.quick else 3)
        finally:
            broker.kill()
    report.write("kafka_ingest", arguments, results, arguments.json)


def _measure(broker: Broker, folder: Path, count: int, catch_up_events: int, *, rounds: int) -> dict[str, Any]:
    distinct = _in_process(_publish, broker.address, count)
    polls, merges, ours = [], [], []
    for round_ in range(rounds):
        # In turns, so that whatever else runs on the machine meets all alike.
        polls.append(_in_process(_bare_poll, broker.address, f"poll-{round_}", count))
        merges.append(_in_process(_bare_merge, str(folder / f"merge-{round_}"), distinct))
        ours.append(_in_process(_ingest, broker.address, f"ours-{round_}", str(folder / f"ours-{round_}"), count))
        assert ours[-1]["rows"] == distinct, ours[-1]
        print(f"round {round_ + 1}: poll {polls[-1]:,.0f}, merge {merges[-1]:,.0f}, ours {ours[-1]['rate']:,.0f} events/s")
    best = max(ours, key=lambda one: one["rate"])
    catch_up = _in_process(_catch_up, broker.address, str(folder / "catch-up"), catch_up_events)
    return {
        "events": count,
        "event_bytes": EVENT_BYTES,
        "ours_events_per_s": statistics.median_high(one["rate"] for one in ours),
        "bare_poll_events_per_s": statistics.median_high(polls),
        "bare_merge_rows_per_s": statistics.median_high(merges),
        "ratio_to_bare_poll": statistics.median_high([one["rate"] / poll for one, poll in zip(ours, polls, strict=True)]),
        "ratio_to_bare_merge": statistics.median_high([one["rate"] / merge for one, merge in zip(ours, merges, strict=True)]),
        "stored": best["rows"],
        "duplicates": best["duplicates"],
        "dead_letters": best["dead"],
        "memory_mib": best["memory_mib"],
        "catch_up": catch_up,
    }


def _in_process(target: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - what the target returns
    # Spawned: LanceDB must not be used in a forked child.
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(target, arguments)


def payloads(count: int) -> Iterator[bytes]:
    """Yield article events of about 1.5 KB in import order; every hundredth repeats an earlier one, and another is invalid."""
    texts = news_texts(2_000)
    random.seed(11)
    earlier: list[bytes] = []
    for number in range(count):
        if number % 100 == 50:
            yield random.choice(earlier)
        elif number % 100 == 99:
            yield b'{"type": "article", "event_id": "broken-%d"}' % number
        else:
            body = " ".join(texts[(number + step) % len(texts)] for step in range(4))
            event = {
                "type": "article", "event_id": f"a-{number}", "article_id": f"story-{number}", "title": f"Report {number}",
                "occurred_at": (_START + timedelta(seconds=number)).isoformat(), "body": "",
            }  # fmt: skip
            event["body"] = body[: EVENT_BYTES - len(json.dumps(event))]
            value = json.dumps(event).encode()
            earlier.append(value)
            yield value


def _publish(address: str, count: int) -> int:
    from kafka.admin import KafkaAdminClient, NewTopic

    from consumers.log.kafka.log import KafkaLog

    with closing(KafkaAdminClient(bootstrap_servers=address)) as admin:
        admin.create_topics([NewTopic(ARTICLES_TOPIC, num_partitions=1, replication_factor=1)])
    distinct = set()
    with closing(KafkaLog([address]).sink()) as sink:
        for number, value in enumerate(payloads(count)):
            sink.publish(ARTICLES_TOPIC, value, key=b"%d" % number)
            if not value.startswith(b'{"type": "article", "event_id": "broken'):
                distinct.add(hash(value))
    return len(distinct)


def _bare_poll(address: str, group: str, count: int) -> float:
    from kafka import KafkaConsumer

    with closing(
        KafkaConsumer(
            ARTICLES_TOPIC, bootstrap_servers=address, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
            max_poll_records=_BATCH,
        )
    ) as consumer:  # fmt: skip
        while not (first := consumer.poll(timeout_ms=500, max_records=_BATCH)):
            pass
        seen = sum(map(len, first.values()))
        started = time.perf_counter()
        counted_from = seen
        while seen < count:
            seen += sum(map(len, consumer.poll(timeout_ms=500, max_records=_BATCH).values()))
        return (seen - counted_from) / (time.perf_counter() - started)


def _bare_merge(folder: str, count: int) -> float:
    import lancedb
    import pyarrow as pa

    from consumers.events.parsing import parse
    from consumers.log.protocols import Position
    from consumers.rows.arriving.event_rows import Stored, payload_sha256, rows_of
    from consumers.tables.columns import SCHEMAS

    # The very rows that ours stores, made beforehand: only the merge is timed.
    table_name, schema = "articles", SCHEMAS["articles"]
    tasks = load_tasks(SHIPPED_TASKS_DIR)
    rows: list[dict[str, Any]] = []
    for value in payloads(count + count // 40 + 200):
        if len(rows) < count and not value.startswith(b'{"type": "article", "event_id": "broken'):
            now = datetime.now(UTC)
            event = parse(value, tasks=tasks, now=now)
            stored = Stored(event, Position(ARTICLES_TOPIC, 0, len(rows)))
            rows.append(rows_of(stored, payload_sha256(event), sequence=len(rows), now=now)[table_name])
    batches = [pa.Table.from_pylist(rows[start : start + _BATCH], schema=schema) for start in range(0, len(rows), _BATCH)]
    del rows
    table = lancedb.connect(folder).create_table(table_name, schema=schema)
    started = time.perf_counter()
    for number, batch in enumerate(batches, 1):
        table.merge_insert("row_id").when_not_matched_insert_all().execute(batch)
        if number % _OPTIMIZE_EVERY == 0:
            table.optimize(cleanup_older_than=timedelta(hours=1))
    return count / (time.perf_counter() - started)


def _ingest(address: str, group: str, folder: str, count: int) -> dict[str, Any]:
    process = psutil.Process()
    memory: list[int] = []
    totals = {"inserted": 0, "duplicates": 0, "dead": 0}
    for done, outcome, buffer in _steps(address, group, Path(folder), count):
        if not memory:
            # Opening the client and the tables, and the first events, are behind us.
            started, counted_from = time.perf_counter(), done
        if len(memory) <= 10 * done // count:
            memory.append(round(process.memory_info().rss / _MIB))
        totals["inserted"] += outcome.inserted
        totals["duplicates"] += outcome.duplicates
        totals["dead"] += outcome.dead
        buffer.optimize_if_due()
    rate = (count - counted_from) / (time.perf_counter() - started)
    rows = buffer.table_counts()["articles"]
    buffer.close()
    return {"rate": rate, "rows": rows, "memory_mib": memory, **totals}


def _catch_up(address: str, folder: str, count: int) -> dict[str, float]:
    from consumers.enrichment.enrich import Enricher

    enricher = None
    started = time.perf_counter()
    for _done, _outcome, buffer in _steps(address, "catch-up", Path(folder), count, batch=min(count, _BATCH)):
        # The encoder's loading is counted: a daemon that catches up has just started.
        settings = shipped_settings("training")
        enricher = enricher or Enricher(buffer, settings.enrich, settings.feedback)
        enricher.step()
    while enricher is not None and enricher.step().articles:
        pass
    stored = buffer.table_counts()["articles"]
    seconds = time.perf_counter() - started
    buffer.close()
    return {"articles": stored, "seconds": seconds, "articles_per_s": stored / seconds}


def _steps(address: str, group: str, folder: Path, count: int, *, batch: int = _BATCH) -> Iterator[tuple[int, Any, Any]]:
    """Ingest until `count` events of the topic are dealt with; yield after every step."""
    from consumers.buffer.open import open_writer
    from consumers.dead_letters.store import DeadLetters
    from consumers.erasure.requests import Erasures
    from consumers.ingest import Ingest
    from consumers.log.kafka.log import KafkaLog

    configure_logging(LogSettings(format="console", level="error"))
    settings = shipped_settings("training", data_dir=folder, ingest={"batch_events": batch})
    tasks = load_tasks(SHIPPED_TASKS_DIR)
    erasures = Erasures(folder)
    buffer = open_writer(settings.buffer_dir, settings.buffer, tasks=tasks, erasures=erasures)
    with (
        closing(DeadLetters(settings.dead_letter_file)) as letters,
        closing(KafkaLog([address]).source(group, [ARTICLES_TOPIC])) as source,
    ):
        ingest = Ingest(
            source, buffer, letters, erasures=erasures, tasks=lambda: tasks, settings=settings.ingest, data_dir=folder
        )
        done = 0
        while done < count:
            outcome = ingest.step()
            done += outcome.polled
            if outcome.polled:
                yield done, outcome, buffer


if __name__ == "__main__":
    main()
