"""kill -9 of the whole daemon at random moments, over and over, while events come in: is one lost or stored twice?

A producer publishes labels, articles and bytes that are no event, some of them twice, and notes what was acknowledged. Every
forty labels a small model is due, so the kills also meet freezing, training, publishing and promoting; and each life begins with
a start that may not come to its end. When the last one has died a daemon is left in peace, and everything is counted. It ends
with an error where an acknowledged event is lost or doubled, or where a task has not exactly one champion.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil

from benchmarks import report
from benchmarks.kafka_broker import kafka_sections
from config.clock import utc_now
from consumers.buffer.open import open_reader
from consumers.dead_letters.store import DeadLetters
from consumers.events.schemas import FEEDBACK_TOPIC, TOPIC_OF_TYPE, AnyEvent, Article, Label, key_of, to_bytes
from consumers.log.open import open_event_log
from daemon.demo.installation import PROGRAM, Installation
from registry.store import Registry
from tests.support.daemons import ENTITIES, TOPICS, Second, check_one_champion, give_champion, lines_of, make_models
from tests.support.tiny_models import toy_rows

LIFE_S = 8.0
"""How long a daemon lives on average: about half of that goes by before it leads."""
NEW_EXAMPLES = 40
_PORTION = 10
_PAUSE_S = 0.5
_SETTLE_LIMIT_S = 600.0


def main() -> None:
    """Read the arguments, kill, report."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--kills", type=int, help="how often (default 100; quick 12)")
    parser.add_argument("--kafka", action="store_true", help="through a real Apache Kafka")
    arguments = parser.parse_args()
    kills = arguments.kills or (12 if arguments.quick else 100)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sections = stack.enter_context(kafka_sections(Path(folder) / "kafka")) if arguments.kafka else {}
        results = survive(Path(folder), kills, sections=sections)
    report.write("random_kills", arguments, results, arguments.json)
    if results["lost"] or results["doubled"] or any(count != 1 for count in results["champions"].values()):
        message = f"lost {results['lost']}, doubled {results['doubled']}, champions {results['champions']}"
        raise SystemExit(message)


def survive(
    folder: Path,
    kills: int,
    *,
    sections: dict[str, dict[str, Any]] | None = None,
    life_s: float = LIFE_S,
    new_examples: int = NEW_EXAMPLES,
    seed: int = 20,
    program: Sequence[str] = PROGRAM,
) -> dict[str, Any]:
    """Kill a daemon `kills` times in lives of up to twice `life_s`; return what was counted at the end.

    Each `new_examples` start a run. `program` is what the interpreter runs for a daemon.
    """
    daemon = _installation(folder, new_examples, sections or {})
    give_champion(daemon)
    chance = random.Random(seed)
    met: Counter[str] = Counter()
    producer = _Producer(daemon)
    started = time.monotonic()
    with producer:
        for number in range(kills):
            with Second(daemon, "life", program=program) as life:
                time.sleep(chance.uniform(0.0, 2 * life_s))
                if life.process.poll() is not None:
                    message = f"life {number} ended by itself: {life.log_file.read_text(errors='replace')[-2_000:]}"
                    raise RuntimeError(message)
                met[_doing(life)] += 1
    killing_s = time.monotonic() - started
    try:
        daemon.start(program)
        daemon.wait_until_quiet(limit_s=_SETTLE_LIMIT_S)
    finally:
        daemon.stop()
    return {
        "kills": kills,
        "killed_while": dict(met),
        "seconds_a_kill": killing_s / max(1, kills),
        **_counted(daemon, producer),
        "settled_s": time.monotonic() - started - killing_s,
    }


class _Producer:
    """Publishes from a thread of its own until the `with` block ends, and notes what was acknowledged, and how often."""

    def __init__(self, daemon: Installation) -> None:
        self.acknowledged: set[str] = set()
        self.unusable: Counter[bytes] = Counter()
        self.failure: Exception | None = None
        self._daemon = daemon
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._publish, name="producer", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._done.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _publish(self) -> None:
        try:
            with closing(open_event_log(self._daemon.settings)) as log, closing(log.sink()) as sink:
                number = 0
                while not self._done.wait(_PAUSE_S):
                    number += 1
                    events = _events(number)
                    # The producer of these did not hear of its success.
                    again = _events(number - 1)[:2] if number > 1 else []
                    unusable = b"no event %d" % number
                    for event in [*events, *again]:
                        sink.publish(TOPIC_OF_TYPE[event.type], to_bytes(event), key=key_of(event))
                    sink.publish(FEEDBACK_TOPIC, unusable)
                    sink.flush()
                    self.acknowledged |= {event.event_id for event in events}
                    self.unusable[unusable] += 1
        except Exception as error:  # noqa: BLE001 - the edge of a thread: told to whoever ends it
            self.failure = error


def _events(portion: int) -> list[AnyEvent]:
    """Return a portion of labels that a tiny model learns, and two articles; the same ones whenever it is asked for."""
    made: list[AnyEvent] = []
    for number, row in enumerate(toy_rows(("SPORT", "MARKETS"), (_PORTION - 2) // 2, seed=portion)):
        fields = {"task": TOPICS, "text": f"{portion} {row.text}", "target": dict(row.target)}
        made.append(Label(event_id=f"label-{portion}-{number}", occurred_at=_START, **fields))
    for number in range(2):
        name = f"article-{portion}-{number}"
        made.append(Article(event_id=name, occurred_at=_START, article_id=name, title=name, body=f"The body of {name}."))
    return made


_START = utc_now()
"""One moment for all, so that an event published again is the same event."""


def _installation(folder: Path, new_examples: int, sections: dict[str, dict[str, Any]]) -> Installation:
    models = make_models(folder / "models")
    topics = {
        "base_model": str(models / "bert"),
        "trigger.min_new_examples": new_examples, "trigger.cooldown_minutes": 0.0, "trigger.weekly": False,
        "training.max_rows": 300, "training.epochs": 2, "training.full_epochs": 6, "training.learning_rate": 5e-3,
        "training.full_learning_rate": 5e-3, "training.batch_size": 16, "training.max_tokens": 32,
        "promotion.min_test_examples": 20, "promotion.max_latency_ratio": 1000.0,
    }  # fmt: skip
    settings: dict[str, dict[str, Any]] = {
        # Random vectors are all alike: only equal texts make a story.
        "enrich": {
            "encoder": str(models / "encoder"), "story_similarity": 1.0, "min_quality": 0.0, "test_fraction": 0.3,
            "interval_s": 0.2,
        },
        "ingest": {"batch_events": 20, "min_free_disk_mib": 1},
        "training": {"device": "cpu", "precision": "fp32", "threads": 1},
        "schedule": {"check_interval_s": 0.5, "weekly": False},
        # The next life need not wait long for the lease of the killed one.
        "registry": {"lease_s": 2.0},
    }  # fmt: skip
    entities = {"trigger.min_new_examples": 1_000_000, "trigger.weekly": False}
    overrides: dict[str, dict[str, Any]] = {TOPICS: topics, ENTITIES: entities}
    return Installation(folder, task_overrides=overrides, serve=False, settings_overrides=settings | sections)


def _doing(life: Second) -> str:
    """Return what a daemon is at, as far as it can be seen from outside."""
    if not lines_of(life.log_file, "daemon.started"):
        return "starting"
    with contextlib.suppress(psutil.NoSuchProcess):
        if any("trainers.job" in child.cmdline() for child in psutil.Process(life.process.pid).children()):
            return "training"
    return "ingesting"


def _counted(daemon: Installation, producer: _Producer) -> dict[str, Any]:
    """Compare what was acknowledged with what is stored; look at every task's champion."""
    settings = daemon.settings
    with closing(open_reader(settings.buffer_dir, tasks={})) as buffer:
        stored: Counter[str] = Counter()
        for table, column in (("examples", "row_id"), ("articles", "event_id")):
            stored.update(buffer._tables.scan(table, [column])[column].to_pylist())  # noqa: SLF001 - ids alone, of any number of rows
    with closing(DeadLetters(settings.dead_letter_file)) as letters:
        dead = Counter(letter.value for letter in letters.list(limit=1_000_000))
    lost = (producer.acknowledged - stored.keys()) | {repr(value) for value in producer.unusable - dead}
    doubled = {name for name, rows in stored.items() if rows > 1} | {repr(value) for value in dead - producer.unusable}
    champions: dict[str, int] = {}
    with Registry.open(settings.registry_url, read_only=True) as registry:
        for task in (TOPICS, ENTITIES):
            champions[task] = sum(alias.name == "champion" for alias in registry.versions.aliases(task))
            check_one_champion(daemon, task)
        runs = registry.runs.list(TOPICS, limit=10_000)
    return {
        "acknowledged": len(producer.acknowledged) + producer.unusable.total(),
        "stored": stored.total(),
        "dead_letters": dead.total(),
        "lost": len(lost),
        "doubled": len(doubled),
        "champions": champions,
        "runs": len(runs),
        "promoted": sum(run.verdict == "promote" for run in runs),
        "most_attempts_at_a_run": max((run.attempt for run in runs), default=0),
    }


if __name__ == "__main__":
    main()
