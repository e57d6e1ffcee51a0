"""A newsroom whose champion and candidate too few test rows cannot tell apart; both models answer in this process, by rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from daemon.training.pools import child
from registry.people.pools import Pool
from registry.runs import Run
from tests.support.cycles import NAME, better, task
from tests.support.desks import Newsroom
from trainers.job.guards import StopRequest
from trainers.job.spec import JobResult, JobSpec
from trainers.pair import answering, judging, models
from trainers.pair.order import PairOrder, PairResult

PROMOTION = {"metric": "accuracy", "min_test_examples": 25, "max_latency_ratio": 1000.0}


def undecided(spec: JobSpec) -> JobResult:
    """A candidate that ten test rows say little of."""
    result = better(spec)
    assert result.comparison is not None
    few = {"rows": 10, "stories": 10, "lower_bound": -0.1, "upper_bound": 0.4, "standard_error": 0.15, "p_equal": 0.2}
    return result.model_copy(update={"comparison": result.comparison.model_copy(update=few | {"metric": "accuracy"})})


def says(candidate: str, champion: str, truth: str, number: int) -> str:
    """A text on which both models answer like this."""
    return f"says {candidate} {champion} and is {truth}, story {number}"


class ByRule:
    """Answers with the word of a text at a place."""

    def __init__(self, place: int) -> None:
        self._place = place

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        return [{"label": text.split()[self._place] if text.startswith("says ") else "A"} for text in texts]


class Undecided(Newsroom):
    """A champion, and a candidate with ten test rows; `pool` articles that both may answer."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, review: dict[str, Any] | None = None, **more: Any
    ) -> None:
        self.orders: list[PairOrder] = []
        self.child: Callable[[PairOrder, Path, Callable[[], bool]], PairResult | None] = self.in_this_process
        monkeypatch.setattr(child, "carry_out", lambda *given: self.child(*given))  # noqa: PLW0108 - tests put another child there
        both = models.BothModels(ByRule(1), ByRule(2), align=lambda _text, targets: targets)
        monkeypatch.setattr(models.BothModels, "open", classmethod(lambda *_given: both))
        spec = task(promotion=PROMOTION, review=review or {})
        super().__init__(folder, spec, **more)
        self.grow(10)
        self.cycle.step()
        assert self.champion() == f"{NAME}/v1"

    def in_this_process(self, order: PairOrder, folder: Path, busy: Callable[[], bool]) -> PairResult | None:
        if busy():
            return None
        self.orders.append(order)
        work = answering.answer if order.mode == "answer" else judging.judge
        return work(order, StopRequest(), folder)

    def disagree(self, differing: int, alike: int, *, right: str = "A") -> None:
        """Store articles: on `differing` of them the candidate says A and the champion B; `right` is right there."""
        texts = [says("A", "B", right, number) for number in range(differing)]
        self.articles(texts + [says("A", "A", "A", differing + number) for number in range(alike)], prefix="p")

    def compare(self) -> Run:
        """Train a candidate that cannot be told from the champion, and take its pool as far as it goes."""
        self.train_with(undecided)
        self.grow(10)
        self.cycle.step()
        run = self.registry.runs.list(limit=1)[0]
        assert run.verdict == "insufficient_evidence"
        return run

    def pool(self) -> Pool:
        return self.registry.pools.of_task(NAME)[-1]

    def answer(self, decide: Callable[[str], str | None], annotator: str = "anna") -> int:
        """Have somebody answer all that waits in the lane; None: they cannot tell. Returns how many texts there were."""
        items = self.look(annotator, "disagreement").items
        for item in items:
            name, desk = decide(item.text), self.desk(annotator)
            told = desk.cannot_tell(item.lane, item.item) if name is None else desk.say(item.lane, item.item, {"label": name})
            assert told.done
        self.take_in()
        return len(items)


def truth(text: str) -> str:
    """What is right of a text."""
    return text.split(" is ")[1][0]


def with_review(news: Newsroom, **review: Any) -> None:
    """Change the section `review` of the task file."""
    (spec,) = news.tasks.values()
    news.tasks[NAME] = spec.model_copy(update={"review": spec.review.model_copy(update=review)})


__all__ = ["NAME", "Undecided", "says", "truth", "undecided", "with_review"]
