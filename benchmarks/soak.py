"""A steady stream through ingest for as long as a million events take: does the memory stay flat?

Articles of about 1 KB, labels, and one in a hundred that is not an event, one in a hundred that comes twice. A process of its own
ingests them as the daemon does (validated, deduplicated, durable, committed, compacted; without enrichment, whose cost is the
encoder's); its memory is sampled all along. What grows is a few bytes an id, by which events that come twice are told. It ends
with an error when an event is lost or doubled, or when the last quarter's peak lies further above the second quarter's than the
ids and a merge of fragments explain.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import report
from benchmarks.kafka_broker import kafka_sections
from config.errors import RetryError
from config.logging import configure_logging
from config.sections import LogSettings
from config.settings import SHIPPED_TASKS_DIR, Settings, shipped_settings
from config.tasks import load_tasks
from consumers.buffer.open import open_reader, open_writer
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.events.schemas import ARTICLES_TOPIC, FEEDBACK_TOPIC, AnyEvent, Article, Label, to_bytes
from consumers.ingest import Ingest
from consumers.log.open import open_event_log

GROWTH_LIMIT_MIB = 96.0
"""What one more large merge of fragments may leave with the allocator, above the ids' own bytes. Peaks are compared with peaks:
memory goes up and down with these merges."""
_ID_BYTES = 48
"""8 for each of the two or three filters that know an id, and as much again while one is merged."""
_PORTION = 500
_AHEAD = 5_000
_MIB = 1 << 20
_START = datetime(2024, 5, 1, tzinfo=UTC)


def main() -> None:
    """Read the arguments, stream, report."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--events", type=int, help="how many (default 1,000,000; quick 30,000)")
    parser.add_argument("--kafka", action="store_true", help="through a real Apache Kafka")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sections = stack.enter_context(kafka_sections(Path(folder) / "kafka")) if arguments.kafka else {}
        results = measure(Path(folder), arguments.events or (30_000 if arguments.quick else 1_000_000), sections)
    report.write("soak", arguments, results, arguments.json)
    if results["lost"] or results["doubled"] or results["grown_mib"] > results["allowed_mib"]:
        message = f"lost {results['lost']}, doubled {results['doubled']}, grown by {results['grown_mib']:.0f} MiB"
        raise SystemExit(message)


def measure(folder: Path, count: int, sections: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """Stream `count` events through ingest and return the figures."""
    settings = _settings(folder, sections or {})
    context = multiprocessing.get_context("spawn")
    taken, done = context.Value("q", 0), context.Event()
    process = context.Process(target=_ingest, args=(folder, sections or {}, taken, done))
    process.start()
    samples: list[tuple[int, float]] = []
    started = time.monotonic()
    try:
        with closing(open_event_log(settings)) as log, closing(log.sink()) as sink:
            sent = 0
            for portion in _portions(count):
                for topic, value in portion:
                    sink.publish(topic, value)
                sink.flush()
                sent += len(portion)
                _wait(process, taken, sent - _AHEAD)
                samples.append((taken.value, psutil.Process(process.pid).memory_info().rss / _MIB))
        _wait(process, taken, count)
        took_s = time.monotonic() - started
        samples.append((taken.value, psutil.Process(process.pid).memory_info().rss / _MIB))
        done.set()
        process.join(60)
    finally:
        process.kill()
    return _figures(settings, count, took_s, samples)


def _ingest(folder: Path, sections: dict[str, dict[str, Any]], taken: Synchronized[int], done: Event) -> None:
    """Take in what comes until told to end; the process whose memory is looked at."""
    configure_logging(LogSettings(level="error", format="json"))
    settings = _settings(folder, sections)
    tasks = load_tasks(SHIPPED_TASKS_DIR)
    with ExitStack() as stack:
        log = stack.enter_context(closing(open_event_log(settings)))
        source = stack.enter_context(closing(log.source("soak", [ARTICLES_TOPIC, FEEDBACK_TOPIC])))
        erasures = stack.enter_context(closing(Erasures(settings.data_dir)))
        letters = stack.enter_context(closing(DeadLetters(settings.dead_letter_file)))
        buffer = stack.enter_context(closing(open_writer(settings.buffer_dir, settings.buffer, tasks=tasks, erasures=erasures)))
        ingest = Ingest(
            source, buffer, letters, erasures=erasures, tasks=lambda: tasks, settings=settings.ingest, data_dir=settings.data_dir
        )
        while not done.is_set():
            try:
                polled = ingest.step().polled
            except RetryError:
                # As the daemon does: nothing is lost, and it is tried again.
                continue
            buffer.optimize_if_due()
            with taken.get_lock():
                taken.value += polled


def _settings(folder: Path, sections: dict[str, dict[str, Any]]) -> Settings:
    (folder / "data").mkdir(exist_ok=True)
    return shipped_settings("training", data_dir=folder / "data", **sections)


def _wait(process: Any, taken: Synchronized[int], until: int) -> None:  # noqa: ANN401 - the library's processes share no type
    while taken.value < until:
        if not process.is_alive():
            message = f"ingest ended with code {process.exitcode}"
            raise RuntimeError(message)
        time.sleep(0.01)


def _portions(count: int) -> Iterator[list[tuple[str, bytes]]]:
    portion: list[tuple[str, bytes]] = []
    for number in range(count):
        portion.append(_message(number))
        if len(portion) == _PORTION or number == count - 1:
            yield portion
            portion = []


def _message(number: int) -> tuple[str, bytes]:
    """Return a topic and what is published there; number 101, 201, ... are the ones before once more, 50, 150, ... no events."""
    if number % 100 == 50:
        return FEEDBACK_TOPIC, b"no event %d" % number
    if _is_again(number):
        number -= 1
    chance = random.Random(number)
    body = " ".join(chance.choices(_WORDS, k=150))
    event: AnyEvent
    if number % 10 < 6:
        name = f"article-{number}"
        event = Article(event_id=name, occurred_at=_START, article_id=name, title=f"Title {number}", body=body)
        return ARTICLES_TOPIC, to_bytes(event)
    text = f"{number} {body[:200]}"
    event = Label(
        event_id=f"label-{number}", occurred_at=_START, task="news-topics", text=text, target={"label": _WORDS[number % 8]}
    )
    return FEEDBACK_TOPIC, to_bytes(event)


def _is_again(number: int) -> bool:
    return number > 100 and number % 100 == 1


_WORDS = tuple(f"word{number}" for number in range(2_000))


def _figures(settings: Settings, count: int, took_s: float, samples: list[tuple[int, float]]) -> dict[str, Any]:
    unusable = sum(number % 100 == 50 for number in range(count))
    again = sum(_is_again(number) for number in range(count))
    with closing(open_reader(settings.buffer_dir, tasks={})) as buffer:
        stored = {
            column: buffer._tables.scan(table, [column])[column].to_pylist()  # noqa: SLF001 - ids alone
            for table, column in (("examples", "row_id"), ("articles", "event_id"))
        }
    ids = [one for names in stored.values() for one in names]
    with closing(DeadLetters(settings.dead_letter_file)) as letters:
        dead = letters.count()
    half = [(done, rss) for done, rss in samples if done >= count / 2]
    events, memory = np.array(half).T
    slope = float(np.polyfit(events, memory, 1)[0]) if len(half) > 1 else 0.0
    second, last = (
        max((rss for done, rss in samples if start <= done / count <= start + 0.25), default=samples[-1][1])
        for start in (0.25, 0.75)
    )
    return {
        "events": count,
        "events_per_s": count / took_s,
        "stored": len(ids),
        "dead_letters": dead,
        # Each for itself: one too many of the one kind must not hide one too few of the other.
        "lost": max(0, count - unusable - again - len(set(ids))) + max(0, unusable - dead),
        "doubled": len(ids) - len(set(ids)) + max(0, dead - unusable),
        **{f"memory_mib_at_{share}_percent": _at(samples, count * share / 100) for share in (10, 50, 100)},
        "peak_mib_in_second_quarter": second,
        "peak_mib_in_last_quarter": last,
        "grown_mib": last - second,
        "allowed_mib": GROWTH_LIMIT_MIB + _ID_BYTES * count / 2 / _MIB,
        "bytes_an_event_in_second_half": slope * _MIB,
        "buffer_mib": sum(path.stat().st_size for path in settings.buffer_dir.rglob("*") if path.is_file()) / _MIB,
    }


def _at(samples: list[tuple[int, float]], events: float) -> float:
    """Return the memory at the first sample with so many events taken in."""
    return next((rss for done, rss in samples if done >= events), samples[-1][1])


if __name__ == "__main__":
    main()
