"""Stories: clusters of near-duplicate texts, each wholly on one side of the split between training and testing.

The document comes first: a part of one goes where the document's hash says, and never leaves its side. A part that is like a text
of the other side is left out: of the two, the test side stays whole. A text that is a document by itself (an article) joins the
side of the story that it is like, so that reprints are not lost.

A story is led by its first text. A later text joins when it is similar enough to the *leader*, never to just any member:
with members, one template or one long-running event chains thousands of headlines into a single story.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from consumers.enrichment.periods import Period, Vector
from consumers.rows.documents import DocumentSides, Side, is_test_document
from consumers.rows.enrichment_rows import Split, StoryRow
from consumers.text.outlines import Outline

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEADERS_PER_BLOCK = 16_384
"""Leaders compared with a batch in one matrix product, so that its scores stay within a few megabytes."""
_PERIODS_KEPT = 12
"""Periods, each as long as the window, that stay in memory; others are read again from the buffer when they are needed."""
_KEPT_S = 3_600.0
"""How long one stays that no text needs any more: a stream goes on, and would keep a year of periods for good."""
_REACH = 2
"""A text's leader is at most one period away, and the members of that leader's story at most one more."""


@dataclass(frozen=True, slots=True)
class NewText:
    """A text that has no story yet. Equal texts have equal `text_key`s; `vector` has length 1."""

    row_id: str
    text_key: str
    event_time: datetime
    vector: Vector
    anchor: bool = False
    takes_out: bool = True
    """Whether stories that it ties to a held-out one leave training; what users write must not be able to do that."""
    document: str | None = None
    """The document that it belongs to; None when it is one by itself and has no name."""
    is_part: bool = False
    """Whether its document has other texts beside it, so that the document decides before any story does."""
    outline: Outline = ()
    test_fraction: float | None = None
    """The share held out where its story or document is new; None: the index's own."""
    wanted_for_test: bool = False
    """Whether it is held out whatever its hash says, unless examples of its document or of a story like it train already."""


@dataclass(frozen=True, slots=True)
class Member:
    """A text that has its story, as the buffer keeps it. Without a vector it counts for its story's side but leads nothing."""

    row_id: str
    text_key: str
    event_time: datetime
    vector: Vector | None
    story_id: str
    split: Split
    counts: bool = True
    """Whether its split says anything of its story: not of what users wrote and was left out for its document alone."""
    outline: Outline = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a text belongs, and the rows that must leave training because of it."""

    row_id: str
    story_id: str
    split: Split
    dropped: tuple[str, ...] = ()


def story_id_of(text_key: str) -> str:
    """Return the id of the story that a text leads: the same text leads the same story, on any machine and in any order."""
    return f"s-{hashlib.sha256(text_key.encode()).hexdigest()[:24]}"


def is_test(story_id: str, test_fraction: float) -> bool:
    """Return whether a story is held out: the hash of its id, read as a number in 0..1, lies below `test_fraction`."""
    return int.from_bytes(hashlib.sha256(story_id.encode()).digest()[:8]) / 2**64 < test_fraction


class StoryIndex:
    """Finds the story of each new text among those near in event time: a cache over what the buffer keeps.

    `load(start, end)` returns the members whose event time lies in that span, end not included; `rows_of_stories` all rows of
    these stories, of whatever time. `documents` says where the documents of placed texts stand, and `rows_of_document` returns
    row id and story id of one's training rows; `trains` whether examples of stories, or of a document, train. Not thread-safe.
    """

    def __init__(
        self,
        *,
        similarity: float,
        window: timedelta,
        test_fraction: float,
        dimensions: int,
        load: Callable[[datetime, datetime], Iterable[Member]],
        rows_of_stories: Callable[[Sequence[str]], Iterable[StoryRow]] = lambda _story_ids: (),
        documents: DocumentSides | None = None,
        rows_of_document: Callable[[str], Iterable[tuple[str, str]]] = lambda _document: (),
        trains: Callable[[Sequence[str], str | None], bool] = lambda _story_ids, _document: False,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._similarity = similarity
        self._window_s = window.total_seconds()
        self._test_fraction = test_fraction
        self._dimensions = dimensions
        self._load = load
        self._rows_of_stories = rows_of_stories
        self._documents = documents or DocumentSides()
        self._rows_of_document = rows_of_document
        self._trains = trains
        self._trains_now: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._elapsed = elapsed
        self._periods: dict[int, Period] = {}
        self._used_at: dict[int, float] = {}
        self._rows: dict[str, dict[str, Split]] = defaultdict(dict)
        self._story_of_text: dict[str, str] = {}

    def place(self, texts: Sequence[NewText], stories_of_equal: Mapping[str, str] | None = None) -> list[Placement]:
        """Return the place of each text, in order; each counts for those behind it.

        `stories_of_equal`: the story of each text, by `text_key`, that is placed already, at whatever distance in time.
        The caller stores every placement and every dropped row before it calls again: a period may be read again.
        """
        if not texts:
            return []
        self._make_present({self._period_of(text.event_time) for text in texts})
        self._trains_now.clear()
        self._story_of_text = dict(stories_of_equal or {})
        sizes = {number: len(period.leaders) for number, period in self._periods.items()}
        near = self._near(texts, sizes)
        distant = self._make_whole({*self._story_of_text.values(), *(story_id for found in near for story_id in found)})
        placements = [self._place(text, near[index] | self._near_newest(text, sizes)) for index, text in enumerate(texts)]
        for row in distant:
            self._forget_row(row.story_id, row.row_id)
        return placements

    def _make_whole(self, story_ids: set[str]) -> list[StoryRow]:
        """Have all rows of stories in memory; return those that lie too far away to stay there.

        Its equal texts are scattered over time: the side of a story, and what leaves training with it, is theirs too.
        """
        rows = self._rows_of_stories(sorted(story_ids)) if story_ids else ()
        distant = [row for row in rows if row.counts and row.row_id not in self._rows.get(row.story_id, {})]
        for row in distant:
            self._rows[row.story_id][row.row_id] = row.split
        return distant

    def _place(self, text: NewText, near: dict[str, float]) -> Placement:
        same = self._story_of_text.get(text.text_key)
        if same is not None:
            near[same] = np.inf
        # Nearest first, equally near ones by id, so that a restart decides alike.
        candidates = sorted(near, key=lambda story_id: (-near[story_id], story_id))
        share = self._test_fraction if text.test_fraction is None else text.test_fraction
        held_out = [story_id for story_id in candidates if self._side(story_id, share) in ("test", "anchor")]
        # Equal texts share their story whatever else is near; otherwise held out wins over nearest.
        story_id = same or next(iter(held_out or candidates), story_id_of(text.text_key))
        own = self._side_of_document(text, share, unlike_any=not candidates)
        dropped: tuple[str, ...] = ()
        wanted = text.wanted_for_test and own != "anchor" and not self._trains(candidates, text.document)
        if (text.anchor or wanted) and text.document is not None and own == "train":
            dropped = self._document_leaves_training(text.document)
        own = "test" if wanted else own
        if text.anchor or own == "test" or (held_out and own is None):
            # It is held out itself, so that nothing like it may train.
            dropped += self._leave_training(candidates) if text.takes_out else ()
        elif held_out and same is not None:
            # The same text stands in training already, and is like one that is held out.
            dropped += self._leave_training([same]) if text.takes_out else ()
        tied = any(self._rows.get(story_id) for story_id in held_out)
        split = "anchor" if text.anchor else self._split(text, own, story_id, share, tied_to_held_out=tied)
        if text.document is not None and split != "dropped":
            if split == "train":
                self._trains_now[text.document].append((text.row_id, story_id))
            if text.takes_out:
                self._documents.put(text.document, split)
        counts = text.takes_out or split != "dropped"
        self._remember(Member(text.row_id, text.text_key, text.event_time, text.vector, story_id, split, counts, text.outline))
        return Placement(text.row_id, story_id, split, dropped)

    def _side_of_document(self, text: NewText, share: float, *, unlike_any: bool) -> Side | None:
        """Return where a text's document stands; None where the stories that it is like decide instead."""
        if text.document is None:
            return None
        known = self._documents.side(text.document)
        if known is None and (text.is_part or unlike_any):
            return "test" if is_test_document(text.document, share) else "train"
        return known

    def _split(self, text: NewText, own: Side | None, story_id: str, share: float, *, tied_to_held_out: bool) -> Split:
        """Return the split of a text that is not an anchor: all texts of a document, and of a story, are on the same side."""
        has_rows = bool(self._rows.get(story_id))
        story = self._side(story_id, share)
        if own is None:
            return "dropped" if story == "anchor" else story
        if own == "test":
            # Its story has left training for it; for what users write none does, and the text itself is left out.
            joins = not has_rows or story == "test" or (text.takes_out and story == "dropped")
            return "test" if joins else "dropped"
        joins = own == "train" and not tied_to_held_out and (not has_rows or story == "train")
        return "train" if joins else "dropped"

    def _document_leaves_training(self, document: str) -> tuple[str, ...]:
        """Drop the train rows of a document, one of whose texts is held out whatever its hash says; return their ids."""
        rows = dict((*self._rows_of_document(document), *self._trains_now[document]))
        for row_id, story_id in rows.items():
            if self._rows.get(story_id, {}).get(row_id) == "train":
                self._rows[story_id][row_id] = _DROPPED
        return tuple(rows)

    def _side(self, story_id: str, share: float) -> Split:
        """Return where the next text of a story goes: held out wins, and a story once dropped stays dropped.

        `share`: how much is held out of stories that have no row yet.
        """
        splits = set(self._rows[story_id].values()) if story_id in self._rows else set()
        if not splits:
            return "test" if is_test(story_id, share) else "train"
        return next(split for split in _PRECEDENCE if split in splits)

    def _leave_training(self, story_ids: Iterable[str]) -> tuple[str, ...]:
        """Drop the train rows of stories that a text has just tied to held-out ones; return their row ids."""
        dropped = []
        for story_id in story_ids:
            rows = self._rows.get(story_id, {})
            train = [row_id for row_id, split in rows.items() if split == "train"]
            rows.update(dict.fromkeys(train, _DROPPED))
            dropped += train
        return tuple(dropped)

    def _remember(self, member: Member) -> None:
        period = self._periods[self._period_of(member.event_time)]
        period.members.append((member.row_id, member.story_id))
        if member.counts:
            self._rows[member.story_id][member.row_id] = member.split
        self._story_of_text[member.text_key] = member.story_id
        # The leader's own text leads again wherever it reappears; that much can be read back after a restart.
        if member.vector is not None and member.story_id == story_id_of(member.text_key):
            period.lead(member.story_id, member.vector, member.outline, _seconds(member.event_time))

    def _near(self, texts: Sequence[NewText], sizes: dict[int, int]) -> list[dict[str, float]]:
        """Return per text the stories led by a similar text within the window, with the similarity."""
        batch = np.stack([text.vector for text in texts])
        seconds = np.array([_seconds(text.event_time) for text in texts])
        numbers = np.array([self._period_of(text.event_time) for text in texts])
        found: list[dict[str, float]] = [{} for _ in texts]
        for number, size in sizes.items():
            period = self._periods[number]
            columns = np.flatnonzero(np.abs(numbers - number) <= 1)
            for start in range(0, size if len(columns) else 0, _LEADERS_PER_BLOCK):
                rows = slice(start, min(start + _LEADERS_PER_BLOCK, size))
                scores = period.vectors[rows] @ batch[columns].T
                within = np.abs(period.seconds[rows, None] - seconds[columns]) <= self._window_s
                alike = (scores >= self._similarity) & within
                for column in np.flatnonzero(alike.any(axis=0)):
                    near = np.flatnonzero(alike[:, column])
                    period.keep_near(found[columns[column]], texts[columns[column]].outline, start + near, scores[near, column])
        return found

    def _near_newest(self, text: NewText, sizes: dict[int, int]) -> dict[str, float]:
        """Return the same among the leaders that the batch itself has added so far."""
        found: dict[str, float] = {}
        number = self._period_of(text.event_time)
        for neighbour in (number - 1, number, number + 1):
            period = self._periods[neighbour]
            start, size = sizes[neighbour], len(period.leaders)
            scores = period.vectors[start:size] @ text.vector
            within = np.abs(period.seconds[start:size] - _seconds(text.event_time)) <= self._window_s
            near = np.flatnonzero((scores >= self._similarity) & within)
            period.keep_near(found, text.outline, start + near, scores[near])
        return found

    def _make_present(self, numbers: set[int]) -> None:
        """Have every period in memory that texts of periods `numbers` can touch; forget those unused for longest."""
        wanted = {number + step for number in numbers for step in range(-_REACH, _REACH + 1)}
        unused, now = [number for number in self._periods if number not in wanted], self._elapsed()
        too_many = max(len(unused) + len(wanted) - _PERIODS_KEPT, 0)
        for place, number in enumerate(unused):
            if place < too_many or now - self._used_at[number] > _KEPT_S:
                self._forget(number)
        self._used_at |= dict.fromkeys(wanted, now)
        for number in sorted(wanted):
            if number in self._periods:
                # A dictionary keeps the order of insertion: put back, this one is forgotten last.
                self._periods[number] = self._periods.pop(number)
                continue
            self._periods[number] = Period(np.empty((64, self._dimensions), np.float32), np.empty(64, np.float64))
            start = _EPOCH + timedelta(seconds=number * self._window_s)
            for member in self._load(start, start + timedelta(seconds=self._window_s)):
                self._remember(member)

    def _forget(self, number: int) -> None:
        del self._used_at[number]
        for row_id, story_id in self._periods.pop(number).members:
            self._forget_row(story_id, row_id)

    def _forget_row(self, story_id: str, row_id: str) -> None:
        rows = self._rows.get(story_id, {})
        rows.pop(row_id, None)
        if not rows:
            self._rows.pop(story_id, None)

    def _period_of(self, moment: datetime) -> int:
        return int(_seconds(moment) // self._window_s)


_DROPPED: Split = "dropped"
_PRECEDENCE: tuple[Split, ...] = ("test", "anchor", "dropped", "train")


def _seconds(moment: datetime) -> float:
    return (moment - _EPOCH).total_seconds()
