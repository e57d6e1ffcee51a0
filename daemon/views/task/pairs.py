"""The pair of models that people are asked about: how large its pool is, and how far asking has come."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from config.tasks import TaskSpec
from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from registry.store import Registry


class Pair(View):
    """The two models that are to be told apart. Nothing here says which of them said what of a text."""

    state: Literal["answering", "open"]
    """`answering` until both models have answered the pool."""
    candidate: str
    champion: str
    opened_at: datetime | None
    """When people were first asked."""
    articles: int
    """That both models answered."""
    disagreement: float
    """The share of them that they answer differently, 0..1."""
    drawn: int
    """Texts that may be asked about in all."""
    asked: int
    """Texts that people were asked about so far."""
    answered: int
    """Those of them that somebody labelled, passed over, or could not tell; texts that are stored no more count too."""
    left: int
    """Those of all drawn that have no answer yet."""
    looks: int
    """How often the answers were judged."""

    @property
    def words(self) -> str:
        """In one sentence."""
        if self.state == "answering":
            return f"{self.candidate} and {self.champion} are to answer articles without a label; then people are asked."
        return (
            f"{self.candidate} and {self.champion} differ on {100 * self.disagreement:.3g} % of {self.articles:,} articles; "
            f"asked about so far: {self.asked} of {self.drawn} texts ({self.answered} answered, {self.left} left)."
        )


def of(task: TaskSpec, registry: Registry, buffer: BufferReader) -> Pair | None:
    """Return the pair of a task that is not decided yet, None where there is none."""
    pool = next((one for one in registry.pools.unclosed() if one.task == task.name), None)
    if pool is None or pool.state == "closed":
        return None
    drawn = registry.pools.requests(pool.pool_id)
    asked = [one for one in drawn if one.asked_at is not None]
    stored = buffer.answers_to(task, {one.request_id for one in asked}) if asked else {}
    answered = sum(bool(one.request_id in stored or one.gone or one.skips or one.cannot_tell) for one in asked)
    return Pair(
        state=pool.state, candidate=pool.candidate, champion=pool.champion, opened_at=pool.opened_at, articles=pool.rows,
        disagreement=pool.disagreement, drawn=len(drawn), asked=len(asked),
        answered=answered, left=len(drawn) - answered, looks=pool.looks,
    )  # fmt: skip
