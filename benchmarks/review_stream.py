"""HuffPost 2014 by date with a desk that answers what it is asked, beside the shipped stream without: does asking pay?

The stream is that of `huffpost_stream`: a first champion, then the labels of each week, with articles of the week that nobody
has labelled. Where too little evidence chose between two models, the daemon asks about texts on which they differ, and a
simulated desk gives at most 20 of them a week their right section. Two courses are played, each by a process of its own: with
that desk, and with one that answers nothing. The champion of each month is asked about the following month.

The daemon's own classes run on a clock that goes from week to week; training and comparing is done in child processes, as
always, with one thread. No candidate goes through the sandbox. `--quick` is one month, with heads alone (no tuning).
"""

from __future__ import annotations

import tempfile
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import huffpost, report
from benchmarks.huffpost import TASK, Row
from benchmarks.huffpost_stream import Plan, accuracy, mean
from config.logging import configure_logging
from config.sections import LogSettings
from config.tasks import load_tasks
from consumers.buffer.open import open_writer
from consumers.enrichment.enrich import Enricher
from consumers.enrichment.feature_store import FeatureStore
from consumers.events.schemas import TOPIC_OF_TYPE, AnyEvent, Label, content_sha256
from consumers.log.protocols import Position
from consumers.rows.arriving.event_rows import Stored
from daemon.demo.installation import Installation
from daemon.operations.simulating.ways import NoSandbox
from daemon.operations.simulating.world import HistoryClock, SilentTeller
from daemon.serving.client import load_version
from daemon.telemetry.metrics import DaemonMetrics
from daemon.training.cycle import Cycle
from daemon.training.preparing.features import Features
from daemon.training.runners.open import open_runner
from perennial_artifact.predictor import Predictor
from registry.artifacts.open import open_store
from registry.store import Registry

A_WEEK = 20
"""Requests that the desk answers."""
_WEEKS = ((1, 8), (8, 15), (15, 22), (22, 32))
"""Of a month: first day, and the day after the last."""
_ARTICLES_A_MONTH = 1_200
_QUICK = {"training.tuning": "never", "review.pool_rows": 200}
_A_CORE_EACH = {"nice": 0, "threads": 1}
"""Nothing is served beside a training child here: one that stepped back would only wait for other programs of the machine."""
_QUICK_ARTICLES = 300
_LEASE_S = 1e9


class Course:
    """The daemon's classes over a folder, driven from week to week."""

    def __init__(self, folder: Path, plan: Plan, *, desk: bool) -> None:
        task = {**plan.task, "review.per_week": A_WEEK}
        settings = Installation(folder, task_overrides={TASK: task}, serve=False, settings_overrides=plan.settings).settings
        self.settings = settings
        self.desk = desk
        self.clock = HistoryClock(datetime(2013, 12, 31, tzinfo=UTC))
        self.sent: Counter[str] = Counter()
        self._known: dict[str, Row] = {}
        self._answered: set[str] = set()
        self._stack = ExitStack()
        tasks = load_tasks(settings.tasks_folder)
        self.registry = Registry.open(settings.registry_url, clock=self.clock)
        self._stack.callback(self.registry.close)
        self.buffer = open_writer(
            settings.buffer_dir, settings.buffer, tasks=tasks, min_quality=settings.enrich.min_quality, clock=self.clock
        )
        self._stack.callback(self.buffer.close)
        self._enricher = Enricher(self.buffer, settings.enrich, settings.feedback, clock=self.clock)
        stop = threading.Event()
        store = FeatureStore(settings.data_dir)
        self._stack.callback(store.close)
        token = self.registry.lease.acquire("review_stream", _LEASE_S)
        assert token is not None
        self._cycle = Cycle(
            settings=settings, tasks=lambda: tasks, registry=self.registry, buffer=self.buffer,
            artifacts=open_store(settings.artifacts_dir), runner=open_runner(settings, stop), sandbox=NoSandbox(),
            metrics=DaemonMetrics(), stop=stop, fencing_token=token, features=Features(store, settings.training, stop),
            teller=SilentTeller(settings, self.registry, token), clock=self.clock,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def week(self, labelled: Sequence[Row], articles: Sequence[Row], until: datetime) -> None:
        """Let a week pass: its labels and articles come, the daemon does what is due, and the desk answers."""
        self.clock.to(until)
        self._known |= {content_sha256(row.text): row for row in articles}
        self._send("labels", (row.event() for row in labelled))
        self._send("articles", (row.article() for row in articles))
        self._cycle.step()
        if self.desk and (answers := self._answers()):
            self._send("answers", answers)
            self._cycle.step()

    def champion(self) -> str | None:
        """Return the version in production."""
        alias = self.registry.versions.champion(TASK)
        return None if alias is None else alias.version

    def load(self, name: str) -> Predictor:
        """Open a version."""
        return load_version(self.settings, self.registry.versions.get(name))

    def _answers(self) -> list[Label]:
        """Return the right label of each text that is asked about, at most 20."""
        asked = [one for one in self.registry.pools.asked(TASK) if one.request_id not in self._answered][:A_WEEK]
        self._answered.update(one.request_id for one in asked)
        return [
            Label(
                event_id=f"desk:{one.request_id}", occurred_at=row.at, source="desk", task=TASK, text=row.text,
                article_id=f"huffpost:{row.identifier}", target={"label": row.label}, origin="audit", selected_by="disagreement",
                annotator="desk", request=one.request_id,
            )
            for one in asked
            if (row := self._known.get(one.text_sha256 or "")) is not None
        ]  # fmt: skip

    def _send(self, what: str, events: Iterable[AnyEvent]) -> None:
        batch = []
        for event in events:
            self.sent[what] += 1
            batch.append(Stored(event, Position(TOPIC_OF_TYPE[event.type], 0, sum(self.sent.values()))))
        if batch:
            self.buffer.insert(batch)
            self.buffer.sync()
        while (outcome := self._enricher.step()).articles or outcome.examples or outcome.resolved or outcome.judged:
            pass


def main() -> None:
    """Read the arguments, play both courses, report."""
    arguments = report.parser(__doc__ or "").parse_args()
    _quiet()
    report.write("review_stream", arguments, _both(arguments), arguments.json)


def _both(arguments: Namespace) -> dict[str, Any]:
    plan, months = Plan.of(quick=arguments.quick), huffpost.by_month()
    plan = replace(plan, settings={**plan.settings, "training": {**plan.settings["training"], **_A_CORE_EACH}})
    if arguments.quick:
        plan = replace(plan, task={**plan.task, **_QUICK})
    articles = _QUICK_ARTICLES if arguments.quick else _ARTICLES_A_MONTH
    play = partial(_course, plan, months, articles)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=_quiet) as pool:
        ours, theirs = pool.map(play, (True, False))
    return {
        "overrides": {**plan.task, **plan.settings},
        "requests_a_week_at_most": A_WEEK,
        "articles_a_month": articles,
        "accuracy_gain": ours["mean_accuracy_champion"] - theirs["mean_accuracy_champion"],
        "labels_more": ours["labels_used"] - theirs["labels_used"],
        "with_desk": ours,
        "without": theirs,
    }


def _quiet() -> None:
    configure_logging(LogSettings(format="auto", level="warning"))


def _course(plan: Plan, months: dict[str, list[Row]], articles: int, desk: bool) -> dict[str, Any]:
    began, lines = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder, Course(Path(folder), plan, desk=desk) as course:
        course.week(plan.first(months), (), course.clock())
        first = course.champion()
        if first is None:
            message = f"no first champion: {[(run.verdict, run.error, run.reasons) for run in course.registry.runs.list(TASK)]}"
            raise SystemExit(message)
        frozen = course.load(first)
        print(f"{'with' if desk else 'without'} a desk: first champion {first}, {time.monotonic() - began:.0f} s", flush=True)
        for month in plan.months:
            labelled = plan.streamed(months, month)
            known = {row.identifier for row in labelled}
            others = huffpost.sample([row for row in months[month] if row.identifier not in known], articles, seed=4)
            for since, before in _WEEKS:
                year, number = int(month[:4]), int(month[5:])
                until = datetime(year, number, since, tzinfo=UTC) + timedelta(days=7)
                course.week(_between(labelled, since, before), _between(others, since, before), until)
            asked = plan.asked(months, month)
            champion = course.champion()
            assert champion is not None
            line = {
                "month": month,
                "champion": champion,
                "champion_accuracy": accuracy(course.load(champion), asked),
                "frozen_accuracy": accuracy(frozen, asked),
                "answers": course.sent["answers"],
            }
            lines.append(line)
            print(
                f"{'with' if desk else 'without'} a desk, {month}: {champion} answers the next month at "
                f"{line['champion_accuracy']:.1%}, frozen {line['frozen_accuracy']:.1%}; "
                f"{line['answers']} answers of the desk so far",
                flush=True,
            )
        runs = course.registry.runs.list(TASK, limit=1_000)
        pools = course.registry.pools.of_task(TASK)
        return {
            "mean_accuracy_champion": mean(lines, "champion_accuracy"),
            "mean_accuracy_frozen": mean(lines, "frozen_accuracy"),
            "labels_used": course.sent["labels"] + course.sent["answers"],
            "answers": course.sent["answers"],
            "runs": sum(not run.refresh for run in runs),
            "refreshes": sum(run.refresh for run in runs),
            "promoted": sum(run.verdict == "promote" for run in runs),
            "undecided": sum(run.verdict == "insufficient_evidence" for run in runs),
            "failed": sum(run.state == "failed" for run in runs),
            "pools": dict(Counter(pool.outcome or pool.state for pool in pools)),
            "cpu_s": sum(run.cpu_s or 0.0 for run in runs),
            "wall_s": time.monotonic() - began,
            "months": {line["month"]: line for line in lines},
        }


def _between(rows: Sequence[Row], since: int, before: int) -> list[Row]:
    return [row for row in rows if since <= row.at.day < before]


if __name__ == "__main__":
    main()
