"""Labels that are probably wrong, as the last look found them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from config.tasks import TaskSpec
from daemon.views.desk.reading import in_words
from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from consumers.labelling.doubts.doubt import Doubt, Doubts

_BEGINS_CHARS = 200
WORDS = {
    "same_text": "the same text has another label too",
    "near_copy": "a near copy has another label",
    "contradicted": "a model that has not seen it says otherwise",
}


class Suspicious(View):
    """One label in doubt."""

    text_sha256: str
    example_id: str
    begins: str
    given: str
    suggested: str | None
    why: tuple[Literal["same_text", "near_copy", "contradicted"], ...]
    score: float
    """0..1: the higher, the more likely is the label wrong."""
    side: str
    beside: tuple[str, ...]
    """Ids of the examples that say otherwise."""

    @property
    def why_in_words(self) -> str:
        """Why it is in doubt, in words."""
        return "; ".join(WORDS[one] for one in self.why)


class Looked(View):
    """What the last look at a task found."""

    task: str
    at: datetime
    texts: int
    judged: int
    not_judged: str | None
    counts: dict[str, int]
    found: int
    """In all; `labels` are the worst of them."""
    labels: tuple[Suspicious, ...]


def told(buffer: BufferReader, task: TaskSpec, doubts: Doubts, *, limit: int) -> Looked:
    """Return the worst `limit` labels in doubt with the beginnings of their texts; those of texts that are gone are left out."""
    shown = [found for one in doubts.doubts[:limit] if (found := _shown(buffer, task, one)) is not None]
    return Looked(
        task=doubts.task, at=doubts.at, texts=doubts.texts, judged=doubts.judged, not_judged=doubts.not_judged,
        counts=dict(doubts.counts), found=len(doubts.doubts), labels=tuple(shown),
    )  # fmt: skip


def _shown(buffer: BufferReader, task: TaskSpec, one: Doubt) -> Suspicious | None:
    text = buffer.text(one.text_sha256, task.name)
    if text is None:
        return None
    return Suspicious(
        text_sha256=one.text_sha256,
        example_id=one.example_id,
        begins=" ".join(text.text[:_BEGINS_CHARS].split()),
        given=in_words(one.given, text.text),
        suggested=None if one.suggested is None else in_words(one.suggested, text.text),
        why=one.sorts,
        score=round(one.score, 4),
        side=one.side,
        beside=one.beside,
    )
