"""Ingest while a user is erased from a buffer of a million rows: how much slower is it, and how long do its commits take?

The tables are filled directly, a twentieth of the answers by one user and a fifth of all rows past their retention. Then one
thread ingests labels and articles without end, as the daemon does (validated, deduplicated, durable, committed), with the
daemon's watchdog over it; beside it another compacts, and a third erases the user, rewrites what held the rows, enforces
retention and purges, one after the other. It ends with an error when ingest falls below half of its rate during the erasure, when
the watchdog trips, or when an event is lost or a row of the user is left.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import report
from config.clock import utc_now
from config.settings import SHIPPED_TASKS_DIR, Settings, shipped_settings
from config.tasks import load_tasks
from consumers.buffer import folder as buffer_folder
from consumers.buffer.open import open_writer
from consumers.buffer.writer import BufferWriter
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.events.schemas import ARTICLES_TOPIC, FEEDBACK_TOPIC, Article, Erase, Label, content_sha256, to_bytes
from consumers.ingest import Ingest
from consumers.log.protocols import Position, RawEvent, TopicPartition
from consumers.tables.columns import KEYS, SCHEMAS
from consumers.tables.lance import Tables
from daemon.flow.ingest_task import STEP_LIMIT_S
from daemon.process.side_task import SideTask

LEAST_SHARE = 0.5
"""Of its rate alone, what ingest must keep while the user is erased."""
_LEAVER = "user-who-leaves"
_OF_LEAVER = 20
_PAST_RETENTION = 5
_FILL = 50_000
_BODY = "Parliament passes the budget after a long debate about roads, schools and the price of bread. " * 4
# Of all rows, how many stand in each table that events arrive in.
_SHARES: Mapping[str, float] = {"articles": 0.4, "examples": 0.25, "feedback": 0.25, "predictions": 0.1}


def main() -> None:
    """Read the arguments, fill, measure, report."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--rows", type=int, help="rows that events arrived in (default 1,000,000; quick 50,000)")
    parser.add_argument("--alone-s", type=float, help="seconds of ingest alone (default 30; quick 5)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows, alone_s = arguments.rows, arguments.alone_s
        results = measure(
            Path(folder), rows or (50_000 if arguments.quick else 1_000_000), alone_s or (5.0 if arguments.quick else 30.0)
        )
    report.write("erasure_beside_ingest", arguments, results, arguments.json)
    share, tripped, left = (results[name] for name in ("share_while_erasing", "watchdog_tripped", "rows_left"))
    lost = abs(results["lost"]) + abs(results["neighbours_lost"])
    if share < LEAST_SHARE or tripped or lost or left:
        message = f"share of the rate {share:.2f}, watchdog tripped: {tripped}, events lost: {lost}, rows left: {left}"
        raise SystemExit(message)


def measure(folder: Path, rows: int, alone_s: float) -> dict[str, Any]:
    """Return the figures for a buffer of so many rows."""
    settings = shipped_settings("training", data_dir=folder)
    filled_s = _timed(lambda: _fill(settings, rows))
    tasks = load_tasks(SHIPPED_TASKS_DIR)
    stop = threading.Event()
    with ExitStack() as stack:
        erasures = stack.enter_context(closing(Erasures(folder)))
        letters = stack.enter_context(closing(DeadLetters(settings.dead_letter_file)))
        buffer = stack.enter_context(closing(open_writer(settings.buffer_dir, settings.buffer, tasks=tasks, erasures=erasures)))
        source = _Endless()
        ingest = Ingest(
            source, buffer, letters, erasures=erasures, tasks=lambda: tasks, settings=settings.ingest, data_dir=folder
        )
        watched = _Watched(ingest)
        compacting = SideTask("compact", lambda: (buffer.optimize_if_due(), 0.2)[1], stop)
        ingesting = SideTask("ingest", watched.step, stop, step_limit_s=STEP_LIMIT_S)

        def watch() -> float:
            ingesting.check_progress()
            return 0.5

        watchdog = SideTask("watchdog", watch, stop)
        for side_task in (compacting, ingesting, watchdog):
            side_task.start()
        results: dict[str, Any] = {"rows": sum(buffer.table_counts().values()), "fill_s": filled_s}

        def erase() -> None:
            erasures.request(Erase(event_id="erase", occurred_at=utc_now(), user_id=_LEAVER))
            results["rows_erased"] = buffer.erase()

        def retain() -> None:
            results["rows_past_retention"] = sum(buffer.enforce_retention().values())

        phases: Mapping[str, Callable[[], object]] = {
            "alone": lambda: time.sleep(alone_s), "erasing": erase, "rewriting": lambda: _rewrite(buffer), "retention": retain,
            "purging": lambda: buffer.purge(timedelta(hours=settings.buffer.keep_versions_hours)),
        }  # fmt: skip
        for name, work in phases.items():
            results |= watched.during(name, work)
        stop.set()
        ended = [side_task.join(STEP_LIMIT_S) for side_task in (ingesting, compacting, watchdog)]
        failures = [str(side_task.failure) for side_task in (ingesting, compacting, watchdog) if side_task.failure]
        lost = source.committed - sum(
            buffer._tables.count(name, "starts_with(event_id, 'new-')" if name == "articles" else "starts_with(row_id, 'new-')")  # noqa: SLF001 - counted as stored
            for name in ("articles", "examples")
        )
        stay = sum(1 for number in range(int(rows * _SHARES["examples"])) if _stays(number, int(rows * _SHARES["examples"])))
        neighbours_lost = stay - buffer._tables.count("examples", "starts_with(row_id, 'old-')")  # noqa: SLF001 - counted as stored
        left = int(buffer.holds_erased())
    alone = results["alone_events_per_s"]
    return results | {
        "share_while_erasing": _share(results, ("erasing", "rewriting")),
        "share_while_retaining": results["retention_events_per_s"] / alone,
        "share_while_purging": results["purging_events_per_s"] / alone,
        "lost": lost, "neighbours_lost": neighbours_lost, "rows_left": left, "watchdog_tripped": not all(ended) or bool(failures),
        "failures": failures,
    }  # fmt: skip


class _Watched:
    """Ingest's steps, timed: each is a commit."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._steps: list[tuple[float, int]] = []

    def step(self) -> float:
        began = time.perf_counter()
        taken = self._ingest.step().polled
        self._steps.append((time.perf_counter() - began, taken))
        return 0.0

    def during(self, name: str, work: Callable[[], object]) -> dict[str, float]:
        """Return what ingest did while `work` was done, and how long that took."""
        first, took_s = len(self._steps), _timed(work)
        # The step under way belongs here too: it may be the one that waited.
        while len(self._steps) <= first:
            time.sleep(0.01)
        steps = self._steps[first:]
        seconds = np.array([step_s for step_s, _ in steps])
        return {
            f"{name}_s": took_s,
            f"{name}_events_per_s": sum(taken for _, taken in steps) / float(seconds.sum()),
            f"{name}_commit_p50_s": float(np.median(seconds)),
            f"{name}_commit_p99_s": float(np.quantile(seconds, 0.99)),
            f"{name}_commit_max_s": float(seconds.max()),
        }


class _Endless:
    """A source that always has more: a label and an article in turn."""

    def __init__(self) -> None:
        self.committed = 0
        self._numbers = count()

    def poll(self, *, timeout_s: float, max_events: int) -> Sequence[RawEvent]:  # noqa: ARG002 - the protocol's
        now = datetime.now(UTC)
        return [self._event(number, now) for _, number in zip(range(min(max_events, 500)), self._numbers, strict=False)]

    def hold(self) -> None:
        """Nobody else takes this one's place."""

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self.committed = sum(next_offsets.values()) if len(next_offsets) == 2 else self.committed

    def lag(self) -> Mapping[TopicPartition, int]:
        return {}

    def close(self) -> None:
        """Nothing is open."""

    def _event(self, number: int, now: datetime) -> RawEvent:
        offset, is_label = divmod(number, 2)
        if is_label:
            value = to_bytes(
                Label(
                    event_id=f"new-l-{offset}",
                    occurred_at=now,
                    task="news-topics",
                    text=f"{offset} {_BODY}",
                    target={"label": "economy"},
                )
            )
        else:
            value = to_bytes(
                Article(event_id=f"new-e-{offset}", occurred_at=now, article_id=f"new-a-{offset}", body=f"{offset} {_BODY}")
            )
        topic = FEEDBACK_TOPIC if is_label else ARTICLES_TOPIC
        return RawEvent(Position(topic, 0, offset), value, None, (), now)


def _rewrite(buffer: BufferWriter) -> None:
    while buffer.rewrite_erased() is None:
        pass


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _share(results: Mapping[str, Any], phases: Sequence[str]) -> float:
    seconds = sum(results[f"{name}_s"] for name in phases)
    events = sum(results[f"{name}_events_per_s"] * results[f"{name}_s"] for name in phases)
    return float(events / seconds / results["alone_events_per_s"])


def _fill(settings: Settings, rows: int) -> None:
    """Write tables of so many rows, and findings about the examples, without going through ingest."""
    buffer_folder.prepare(settings.buffer_dir)
    tables = Tables(settings.buffer_dir, writer=True)
    sizes = {name: int(rows * share) for name, share in _SHARES.items()}
    for name, size in (sizes | {"example_enrichment": sizes["examples"]}).items():
        for start in range(0, size, _FILL):
            tables._handles[name].add(_rows(name, range(start, min(start + _FILL, size)), size))  # noqa: SLF001 - faster than ingest


def _stays(number: int, size: int) -> bool:
    return number % _OF_LEAVER != 0 and number >= size // _PAST_RETENTION


def _rows(name: str, numbers: range, size: int) -> pa.Table:
    now = utc_now()
    old = now - timedelta(days=1_200)
    times = [old if number < size // _PAST_RETENTION else now for number in numbers]
    # The ledger's answers and the examples' are the same ones.
    ids = [f"old-{name if name in ('articles', 'predictions') else 'answer'}-{number}" for number in numbers]
    texts = [f"{number} {name} {_BODY}" for number in numbers]
    known: dict[str, list[Any]] = {
        KEYS[name]: ids,
        "row_id": ids,
        "event_id": ids,
        "text": texts,
        "text_sha256": [content_sha256(text) for text in texts] if "text" in SCHEMAS[name].names else ids,
        "user_id": [_LEAVER if number % _OF_LEAVER == 0 else f"user-{number % 5000}" for number in numbers],
        "task": ["news-topics"] * len(numbers),
        "target": ['{"label":"economy"}'] * len(numbers),
        "verdict": ["correction"] * len(numbers),
        "status": ["joined"] * len(numbers),
        "split": ["train"] * len(numbers),
        "article_id": [f"old-article-{number}" if name == "articles" else None for number in numbers],
        "prediction_id": [f"old-prediction-{number}" for number in numbers],
        "topic": [ARTICLES_TOPIC if name == "articles" else FEEDBACK_TOPIC] * len(numbers),
    }
    columns = []
    for field in SCHEMAS[name]:
        if field.name in known:
            values: list[Any] = known[field.name]
        elif pa.types.is_timestamp(field.type):
            values = times
        elif pa.types.is_string(field.type):
            values = [field.name] * len(numbers)
        elif pa.types.is_list(field.type):
            values = [None] * len(numbers)
        elif pa.types.is_boolean(field.type):
            values = [False] * len(numbers)
        else:
            values = [number + 1 for number in numbers]
        columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=SCHEMAS[name])


if __name__ == "__main__":
    main()
