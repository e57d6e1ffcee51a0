"""A flood of label flips through the real log, ingest, enrichment and freeze: the anchor metric stays where it was.

The model is one that trains in a moment; `benchmarks.label_flip` does the same with the real one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from config.sections import FeedbackSettings
from config.settings import Settings, load_settings
from config.task_files.sections.feedback import FeedbackPolicy
from consumers.buffer.open import open_writer
from consumers.buffer.writer import BufferWriter
from consumers.dead_letters.store import DeadLetters
from consumers.enrichment.enrich import Enricher
from consumers.erasure.requests import Erasures
from consumers.events.schemas import FEEDBACK_TOPIC, AnyEvent, Feedback, Label, to_bytes
from consumers.ingest import Ingest
from consumers.log.embedded.log import EmbeddedLog
from tests.support.buffers import NOW, TASKS, TOPICS
from tests.support.encoders import WordEncoder
from trainers.job.rows import replay

LABELS = ("sport", "politics", "science", "culture")
WORDS = {name: [f"{name[:3]}{number}word" for number in range(60)] for name in LABELS}
COMMON = [f"common{number}word" for number in range(200)]
TASK = TOPICS.model_copy(update={"new_label_min_examples": 1})
FLOOD = 1_500
OPEN_DOOR = FeedbackPolicy(max_share=1.0, max_user_share=1.0)
NO_DEFENCE = {
    "max_per_user_day": 0, "max_per_source_day": 0, "max_per_article": 0, "trust_min_evidence": 10**6, "alarm_min_count": 10**6
}  # fmt: skip


def text(rng: random.Random, name: str) -> str:
    return " ".join(rng.sample(WORDS[name], 4) + rng.sample(COMMON, 12)).capitalize() + "."


def labels(rng: random.Random, count: int, *, anchor: bool = False) -> Iterable[AnyEvent]:
    for number in range(count):
        name = LABELS[number % len(LABELS)]
        yield Label(
            event_id=f"{'anchor' if anchor else 'gold'}-{number}", occurred_at=NOW - timedelta(days=number % 60), task=TASK.name,
            text=text(rng, name), target={"label": name}, anchor=anchor,
        )  # fmt: skip


def flood(rng: random.Random, users: int) -> Iterable[AnyEvent]:
    """Texts of sport, "corrected" to politics; every attacker has a source of their own."""
    for number in range(FLOOD):
        yield Feedback(
            event_id=f"poison-{number}", occurred_at=NOW, task=TASK.name, text=text(rng, "sport"), target={"label": "politics"},
            user_id=f"attacker-{number % users}", source=f"app-{number % users}", verdict="correction",
        )  # fmt: skip


class World:
    """The durable things of one installation; every `live` is a process of its own."""

    def __init__(self, folder: Path, feedback: FeedbackSettings) -> None:
        self.folder = folder
        self.settings: Settings = load_settings(data_dir=folder, ingest={"poll_timeout_s": 0.01, "min_free_disk_mib": 0})
        self.feedback = feedback
        self.log = EmbeddedLog(folder / "events.db", retention=timedelta(days=1))

    def publish(self, events: Iterable[AnyEvent]) -> None:
        with closing(self.log.sink()) as sink:
            for event in events:
                sink.publish(FEEDBACK_TOPIC, to_bytes(event))
            sink.flush()

    def open(self) -> BufferWriter:
        return open_writer(self.settings.buffer_dir, self.settings.buffer, tasks={**TASKS, TASK.name: TASK}, clock=lambda: NOW)

    def live(self, steps: int = 10**6) -> None:
        """Ingest, enrich and judge all that waits, or die after so many steps."""
        with (
            closing(self.open()) as buffer,
            closing(self.log.source("ingest", [FEEDBACK_TOPIC])) as source,
            closing(DeadLetters(self.folder / "dead.db")) as dead,
            closing(Erasures(self.folder)) as erasures,
        ):
            ingest = Ingest(
                source,
                buffer,
                dead,
                erasures=erasures,
                tasks=lambda: TASKS,
                settings=self.settings.ingest,
                data_dir=self.folder,
                clock=lambda: NOW,
            )
            enricher = Enricher(buffer, self.settings.enrich, self.feedback, encoder=WordEncoder(), clock=lambda: NOW)
            for _ in range(steps):
                polled = ingest.step().polled
                outcome = enricher.step()
                if not (polled or outcome.examples or outcome.judged or buffer.counts(TASK.name).unenriched):
                    return

    def anchor_accuracy(self, policy: FeedbackPolicy) -> tuple[float, Sequence[str]]:
        """Freeze, select and train as a run would; return how much of the anchor set is right, and what was learnt."""
        with closing(self.open()) as buffer:
            run = f"set-{len(list(self.folder.glob('set-*')))}"
            frozen = buffer.freeze(TASK, run_id=run, folder=self.folder / run, learnt=frozenset())
        chosen = replay.select(frozen.rows("train"), TASK.training, full=True, seed=20, feedback=policy).table
        anchor = frozen.rows("anchor")
        words = CountVectorizer()
        model = MultinomialNB()
        model.fit(words.fit_transform(chosen["text"].to_pylist()), names(chosen), sample_weight=chosen["weight"].to_numpy())
        return float(model.score(words.transform(anchor["text"].to_pylist()), names(anchor))), chosen["example_id"].to_pylist()

    def close(self) -> None:
        self.log.close()


def names(rows: pa.Table) -> list[str]:
    return [json.loads(target)["label"] for target in rows["target"].to_pylist()]


@pytest.mark.parametrize("users", [1, 50])
@pytest.mark.slow
def test_a_label_flip_flood_does_not_move_the_anchor_metric(tmp_path: Path, users: int) -> None:
    moved = {}
    defences = {
        "defended": (load_settings().feedback, TASK.feedback),
        "undefended": (load_settings().feedback.model_copy(update=NO_DEFENCE), OPEN_DOOR),
    }
    for name, (settings, policy) in defences.items():
        rng = random.Random(7)
        with closing(World(tmp_path / name, settings)) as world:
            world.publish([*labels(rng, 240), *(labels(rng, 400, anchor=True))])
            world.live()
            before, _ = world.anchor_accuracy(policy)
            world.publish(flood(rng, users))
            # The daemon is killed in the middle of it and started again.
            world.live(steps=4)
            world.live()
            after, learnt = world.anchor_accuracy(policy)
            moved[name] = 100 * (after - before)
            with closing(world.open()) as buffer:
                state = buffer.defence(TASK.name)
                assert sum(state.standings.values()) == FLOOD, "nothing is lost: all of it is kept, with what became of it"
                if name == "defended":
                    assert [alarm.move for alarm in state.alarms] == ["(unknown) -> politics"]
                    assert state.standings.get("effective", 0) == 0
                    assert not any(example_id.startswith("poison") for example_id in learnt)
                    assert buffer.counts(TASK.name).anchor == 400
    assert abs(moved["defended"]) < 1
    assert moved["undefended"] < -5, "or the flood would prove nothing"
