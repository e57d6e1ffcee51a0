"""The benchmark `review_stream`: its desk answers what is asked, no more than 20 a week, and the pair is judged by that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from benchmarks import review_stream
from benchmarks.huffpost import TASK, Row
from benchmarks.huffpost_stream import Plan
from benchmarks.review_stream import A_WEEK, Course
from consumers.enrichment.enrich import Enricher
from daemon.training.pools import child
from tests.support.cycles import MadeUpRunner, better
from tests.support.encoders import WordEncoder
from tests.support.pairs import ByRule, says, undecided
from trainers.job.guards import StopRequest
from trainers.job.spec import JobResult, JobSpec
from trainers.pair import answering, judging, models
from trainers.pair.order import PairOrder, PairResult

FIRST = datetime(2014, 1, 7, tzinfo=UTC)
PLAN = Plan(0, 0, 0, 0, ["2014-01"], {"trigger.cooldown_minutes": 0.0, "trigger.weekly": False, "trigger.min_new_examples": 20},
            {"schedule": {"weekly": False}, "enrich": {"encoder": "minilm"}, "training": {"threads": 1}})  # fmt: skip


def in_this_process(order: PairOrder, folder: Path, _busy: Callable[[], bool]) -> PairResult | None:
    work = answering.answer if order.mode == "answer" else judging.judge
    return work(order, StopRequest(), folder)


@pytest.fixture
def by_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first candidate is better, those after it cannot be told apart; models answer with a word of the text."""

    def trained(spec: JobSpec) -> JobResult:
        return better(spec) if spec.champion is None else undecided(spec)

    both = models.BothModels(ByRule(1), ByRule(2), align=lambda _text, targets: targets)
    monkeypatch.setattr(models.BothModels, "open", classmethod(lambda *_given: both))
    monkeypatch.setattr(child, "carry_out", in_this_process)
    monkeypatch.setattr(review_stream, "open_runner", lambda *_given: MadeUpRunner(trained))
    monkeypatch.setattr(review_stream, "Enricher", partial(Enricher, encoder=WordEncoder()))


def rows(prefix: str, texts: Sequence[str], labels: str) -> list[Row]:
    """Rows with these labels in turn, whose other words are their own: no two are one story."""
    own = [" ".join(f"{prefix}{number}{letter}" for letter in "bcdefghijklmnopq") for number in range(len(texts))]
    return [
        Row(f"{prefix}-{n}", f"{text} {words}", labels[n % len(labels)], FIRST)
        for n, (text, words) in enumerate(zip(texts, own, strict=True))
    ]


def articles() -> list[Row]:
    return rows("a", [says("A", "B" if n < 60 else "A", "A", n) for n in range(120)], "A")


@pytest.mark.usefixtures("by_rule")
def test_the_desk_answers_as_many_as_are_asked_a_week_and_the_course_without_asks_in_vain(tmp_path: Path) -> None:
    counts = {}
    for desk in (True, False):
        with Course(tmp_path / str(desk), PLAN, desk=desk) as course:
            course.week(rows("first", [f"first words {n} of it" for n in range(40)], "AB"), (), FIRST)
            assert course.champion() == f"{TASK}/v1"
            course.week(rows("more", [f"more words {n} of it" for n in range(40)], "AB"), articles(), FIRST + timedelta(days=7))
            counts[desk] = course.sent["answers"]
            [pool] = course.registry.pools.of_task(TASK)
            asked = course.registry.pools.requests(pool.pool_id)
            assert sum(one.asked_at is not None for one in asked) == A_WEEK
            assert pool.looks == (1 if desk else 0)
            assert course.sent["labels"] == 80
    assert counts == {True: A_WEEK, False: 0}
