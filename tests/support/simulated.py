"""A history that the daemon's own classes make in no time: a learner that gets better with its rows, really judged."""

from __future__ import annotations

import json
import math
import threading
import zlib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from config.settings import Settings
from config.tasks import TaskSpec
from consumers.training_set.snapshot import load_training_set
from daemon.operations.simulating.ways import REAL, Ways
from registry.runs import Run
from tests.support import buffers
from tests.support.cycles import NAME, MadeUpRunner, PassesAll, Train, World, task
from trainers.compare.comparison import compare
from trainers.compare.scoring import ROLES
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec, Progress

_COLUMNS = ("example_id", "role", "story_id", "document_id", "event_time", "language")
_KNOWS_AFTER = 60.0
"""Rows after which a model knows nearly two of three texts."""


def knows(text: str, rows: int) -> bool:
    """Return whether a model that has learnt from so many rows answers a text rightly."""
    return zlib.crc32(text.encode()) % 1000 < 1000 * (1.0 - math.exp(-rows / _KNOWS_AFTER))


def learns(spec: JobSpec) -> JobResult:
    """What a child leaves whose model knows the more, the more rows it has learnt from."""
    found = load_training_set(spec.training_set)
    ids = found.rows("train")["example_id"].to_pylist()
    pq.write_table(pa.table({"example_id": ids}), spec.run_dir / job_spec.LINEAGE_FILE)
    model = spec.run_dir / job_spec.MODEL_FOLDER
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text(json.dumps({"rows": len(ids)}), encoding="utf-8")
    before = 0 if spec.champion is None else rows_of(spec.champion)
    rows = found.rows(*ROLES, embeddings=False)
    gold = [json.loads(target)["label"] for target in rows["target"].to_pylist()]
    sides = {
        name: [_answer(text, right, known) for text, right in zip(rows["text"].to_pylist(), gold, strict=True)]
        for name, known in (("candidate", len(ids)), ("opponent", before))
    }
    scores = rows.select(list(_COLUMNS)).append_column("gold", rows["target"])
    for name, answers in sides.items():
        scores = scores.append_column(name, pa.array(answers, pa.string()))
    pq.write_table(scores, spec.run_dir / job_spec.SCORES_FILE)
    comparison = compare(
        spec.task, run_id=spec.run_id, champion_version=spec.champion_version, opponent=spec.champion_version or "baseline",
        scores=scores, candidate_latency=None, champion_latency=None, size_mib=0.1, looks=spec.looks, seed=spec.training.seed,
    )  # fmt: skip
    return JobResult(
        run_id=spec.run_id, status="done", model=model, comparison=comparison, rows_new=len(ids), train_s=1.0, cpu_s=2.0
    )


def rows_of(folder: Path) -> int:
    """Return how many rows the model in a folder has learnt from."""
    return int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["rows"])


def _answer(text: str, right: str, rows: int) -> str:
    return json.dumps({"label": right if knows(text, rows) else "C", "scores": {right: 0.6, "C": 0.4}})


def scores(_task: TaskSpec, _settings: Settings, folder: Path, rows: pa.Table) -> float:
    """Return the share of the rows that the model in a folder knows."""
    known = rows_of(folder)
    return sum(knows(text, known) for text in rows["text"].to_pylist()) / rows.num_rows


def ways(train: Train = learns) -> Ways:
    """Replays are trained by the same learner."""
    return replace(REAL, runner=lambda _settings, _stop: MadeUpRunner(train), sandbox=lambda *_what: PassesAll(), score=scores)


class Watching:
    """Hears how far a replay is."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def passes(self, policy: str, at: datetime, share: float, runs: int) -> None:
        """Note it."""
        self.shares.append(share)

    def hears(self, progress: Progress) -> None:
        """Pass over it."""


class Recorded:
    """An installation with some weeks of runs on record."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        spec = task(
            trigger={
                "min_new_examples": 20, "cooldown_minutes": 30, "weekly": False, "max_age_days": 3, "max_age_min_examples": 5,
            },
            refresh={"enabled": False},
            promotion={"metric": "accuracy", "min_test_examples": 20, "max_latency_ratio": 1000.0, "window_days": 3650},
            **changes,
        )  # fmt: skip
        self.folder = folder
        self.world = World(folder, spec, train=learns)
        tasks = folder / "tasks"
        tasks.mkdir(exist_ok=True)
        (tasks / "toy.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json")), encoding="utf-8")
        self.settings = self.world.settings.model_copy(update={"tasks_dir": str(tasks)})
        self.sent = 0
        self.counted: list[tuple[int, Any]] = []
        """The highest number at each look, and what the buffer counted then."""

    def day(self, *, labels: int, held_out: int = 0) -> None:
        """Let a day pass on which labels come in twice, and look after each time."""
        for _half in range(2):
            rows = [(f"train-{self.sent + n}", f"text number {self.sent + n}", "AABBR"[n % 5]) for n in range(labels // 2)]
            # Nothing of R is held out by itself: freezes move some of its documents there.
            rows += [(f"test-{self.sent + n}", f"held out number {self.sent + n}", "AB"[n % 2]) for n in range(held_out // 2)]
            self.sent += labels + held_out
            self.world.learn(rows)
            self.look()
            self.world.clock.now += timedelta(hours=12)

    def send(self, *events: Any) -> None:
        """Store and enrich other events."""
        self.world.buffer.insert(buffers.stored(*events, offset=10_000 + self.sent))
        self.sent += len(events)
        buffers.enrich(self.world.buffer)

    def look(self) -> None:
        """Let the daemon look once, and carry out what is due; each run takes a minute."""
        self.counted.append((self.world.buffer.counts(NAME).max_seq, self.world.buffer.counts(NAME)))
        runner = self.world.runner
        assert isinstance(runner, MadeUpRunner)

        def timed(spec: JobSpec) -> JobResult:
            self.world.clock.now += timedelta(minutes=1)
            return learns(spec)

        runner.train = timed
        self.world.cycle.step()

    @property
    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        return list(reversed(self.world.registry.runs.list(NAME, limit=1000)))

    def close(self) -> None:
        """End it, so that nothing holds its buffer."""
        self.world.__exit__(None, None, None)


def two_weeks(folder: Path) -> Recorded:
    """Return a history of two weeks: promotions, refusals, a request, feedback, documents that moved to the test side."""
    made = Recorded(folder)
    for day in range(13):
        made.day(labels=(30, 8, 0, 0, 0, 34)[day % 6], held_out=6 if day else 44)
        if day == 7:
            made.send(buffers.retrain("ask-1", NAME))
            made.look()
        if day == 8:
            made.send(
                *(
                    buffers.feedback(f"said-{day}-{n}", f"somebody wrote {day} {n}", "AB"[n % 2], task=NAME, user_id=f"u-{n}")
                    for n in range(4)
                )
            )
            made.look()
    return made


def never() -> threading.Event:
    """Nobody stops it."""
    return threading.Event()
