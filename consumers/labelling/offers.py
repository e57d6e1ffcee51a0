"""What the buffer holds for people who label: articles that may be offered, and what people said of texts. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Offer:
    """An article that a person may be asked about, its newest revision; or the text of a prediction."""

    row_id: str
    """Of a text that was served the id of its prediction."""
    article_id: str | None
    text_sha256: str
    story_id: str | None
    event_time: datetime
    test: bool
    """Whether its story is held out for testing."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said of a text."""

    text_sha256: str
    annotator: str
    target: Mapping[str, Any]
    event_id: str
    selected_by: str
    settles: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Feedback about a text that waits for a person."""

    event_id: str
    text_sha256: str
    user: str
    target: Mapping[str, Any]
    why: str
    """Its standing, or the alarm that holds it."""
    arrived_at: datetime


@dataclass(frozen=True, slots=True)
class Requested:
    """A text that people are asked about because two models disagree, or as a sample of those on which they agree."""

    request: str
    text_sha256: str


@dataclass(frozen=True, slots=True)
class Next:
    """A text that was chosen to be labelled next."""

    text_sha256: str
    at_random: bool
    """Whether no model had a part in it."""
    why: str
    """In words."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Everything that the lanes of one task draw from."""

    held_out: Sequence[Offer] = ()
    """Articles on the test side within the window, newest first."""
    drawn: Sequence[Offer] = ()
    """Articles drawn at random for audits, in the order of the draw."""
    held: Sequence[Held] = ()
    """Feedback that waits, oldest first."""
    said: Sequence[Said] = ()
    """By people with a name, oldest first."""
    labelled: frozenset[str] = frozenset()
    """SHA-256 of the texts that carry a label of the task, whoever gave it."""
    measured: frozenset[str] = frozenset()
    """Stories that have a test row of the task."""
    changed: Sequence[Offer] = ()
    """Texts whose label was split, newest first, until somebody says which part it is."""
    split: frozenset[str] = frozenset()
    """Labels that were split."""
    served: Sequence[Offer] = ()
    """Texts that models were asked about, in the order of the draw."""
    requested: Sequence[Requested] = ()
    """What is asked of a pair of models, in the order of the draw, which says nothing of either model."""
    kept_for_pairs: frozenset[str] = frozenset()
    """SHA-256 of the texts drawn to tell two models apart, by now or later: a label given elsewhere would spoil them."""
    doubted: Sequence[str] = ()
    """SHA-256 of the texts whose labels are in doubt, the worst first."""
    next: Sequence[Next] = ()
    """What the last draw chose to be labelled next."""


@dataclass(slots=True)
class BySaid:
    """The newest that each person said, by text."""

    of: dict[str, dict[str, Said]] = field(default_factory=dict)

    @classmethod
    def among(cls, said: Sequence[Said]) -> BySaid:
        """Sort what people said, oldest first, by text and person."""
        found: dict[str, dict[str, Said]] = {}
        for one in said:
            of_text = found.setdefault(one.text_sha256, {})
            # Last in its place too: the newest of all stands last.
            of_text.pop(one.annotator, None)
            of_text[one.annotator] = one
        return cls(found)

    def about(self, text_sha256: str) -> Sequence[Said]:
        """Return what people said of a text, the newest last."""
        return tuple(self.of.get(text_sha256, {}).values())
