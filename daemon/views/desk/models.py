"""What the desk shows of one task, as the page, the command and its JSON have it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from config.kinds.forms import Widget
from daemon.views.task.pairs import Pair
from daemon.views.view import View


class Choice(View):
    """A label that may be chosen, and the key that chooses it."""

    key: str
    """Empty from where there are no keys left."""
    name: str


class Measured(View):
    """Something that a number, or a score and a tag, is asked of."""

    name: str
    low: float
    high: float
    tags: tuple[str, ...] = ()


class Opinion(View):
    """What one person said of a text."""

    annotator: str
    target: dict[str, Any]
    words: str
    note: str | None


class HeldAnswer(View):
    """Feedback that waits for a decision, and the key that accepts it."""

    key: str
    event_id: str
    user: str
    words: str
    why: str
    arrived_at: datetime


class Item(View):
    """One text that a person is asked about."""

    item: str
    """Its id: the SHA-256 of the text."""
    lane: str
    why: str | None = None
    """Why it is asked about, in the lane of what to label next."""
    request: str | None = None
    """What a label of it answers, where a pair of models is asked about."""
    text: str
    chars: int
    """Of the whole text."""
    article_id: str | None
    event_time: datetime
    said: tuple[Opinion, ...] = ()
    """What others said, where the lane shows that."""
    held: tuple[HeldAnswer, ...] = ()
    """The feedback to decide about, in the lane of conflicts."""
    yours: Opinion | None = None
    """What the person who looks said before: the next answer replaces it."""

    @property
    def cut(self) -> bool:
        """Whether only the beginning of the text is shown."""
        return len(self.text) < self.chars


class LaneView(View):
    """A lane, and how much waits in it for this person."""

    name: str
    title: str
    about: str
    waiting: int
    decides: Literal["label", "feedback"]
    blind: bool
    cannot_tell: bool = False
    """Whether "I cannot tell" is an answer here."""
    on_request: bool = False
    """Whether it is asked about only when it is named."""


class Progress(View):
    """How many test rows there are of those that a decision needs."""

    test_rows: int
    needed: int
    coming: int
    """Answers that the daemon has not stored yet."""

    @property
    def words(self) -> str:
        """In one phrase, such as `142 of 200 test rows`."""
        return f"{self.test_rows} of {self.needed} test rows" + (f", {self.coming} on their way" if self.coming else "")


class AgreedNumbers(View):
    """How far people agree in one dimension."""

    name: str
    alpha: float | None
    """Krippendorff's, interval; None where it says nothing."""
    apart: float
    """Mean distance of two answers to one text."""
    pairs: int


class Agreed(View):
    """How often people said the same of one text."""

    between: tuple[str, ...]
    compared: int
    same: int
    share: float
    alpha: float | None
    """Krippendorff's, nominal; None where it says nothing."""
    numbers: tuple[AgreedNumbers, ...] = ()
    """By dimension, where answers are numbers."""

    @property
    def who(self) -> str:
        """Between whom, in words."""
        if not self.between:
            return "all"
        return f"{self.between[0]} and the others" if len(self.between) == 1 else " and ".join(self.between)


class Last(View):
    """Something that this person did of late, and may do otherwise."""

    item: str
    lane: str
    did: Literal["label", "decide", "skip"]
    words: str
    at: datetime


class Desk(View):
    """The desk of one person in one lane of a task."""

    task: str
    kind: str
    widget: Widget
    annotator: str
    lane: LaneView
    lanes: tuple[LaneView, ...]
    progress: Progress
    pair: Pair | None = None
    """None while no pair of models is asked about."""
    gain: tuple[str, ...] = ()
    """What more labels may bring, in words, as the last draw of texts to label next found."""
    choices: tuple[Choice, ...]
    open_labels: bool
    """Whether other labels than these may be given."""
    measured: tuple[Measured, ...]
    items: tuple[Item, ...]
    """The next ones."""
    last: tuple[Last, ...]
    """The newest first."""
    agreement: tuple[Agreed, ...]
    one_sided: tuple[str, ...] = ()
    """Of people who label nearly everything alike, in sentences with what to do."""
