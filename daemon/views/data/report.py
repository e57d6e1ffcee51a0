"""What the buffer holds for a task: by label, source, language, month and side; leaks, shifts, holes; what rules leave out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from config.settings import Settings
from config.tasks import TaskSpec
from config.words import counted, named
from daemon.views.data import near as of_near
from daemon.views.data import policy
from daemon.views.data.near import NearCopies
from daemon.views.data.policy import PolicyEffect
from daemon.views.desk.models import Agreed
from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from consumers.holdings.columns import Holdings

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
MOST_LABELS, MOST_SOURCES, MOST_LANGUAGES = 200, 50, 30
_HOLES = {
    "label": "declared labels that no row carries",
    "test": "labels without a test row: nobody can tell how well they are answered",
    "few": "labels that too few training rows carry to join (new_label_min_examples)",
    "month": "months without a row",
    "source": "labels whose rows all come from one source: a model may learn the source in their place",
    "every_source": "one source per label: a model learns the source, and test rows cannot tell. Mix sources, or import others",
}


class Part(View):
    """Rows of one label, source, language or month, by side."""

    name: str
    rows: int
    train: int
    test: int
    anchor: int


class Leaking(View):
    """Something on both sides."""

    sort: Literal["text", "document", "story"]
    times: int
    train: int


class Moved(View):
    """A name whose share differs."""

    name: str
    before: float
    after: float


class Shifting(View):
    """How far two parts of the rows differ."""

    what: Literal["labels", "sources", "languages"]
    between: Literal["train and test", "older and newest"]
    rows: tuple[int, int]
    distance: float
    chance: float
    matters: bool
    moved: tuple[Moved, ...]

    @property
    def words(self) -> str:
        """In one sentence."""
        told = ", ".join(f"{one.name} {one.before:.1%} to {one.after:.1%}" for one in self.moved[:3])
        return f"{self.what} of {self.between} rows differ by {self.distance:.0%} (total variation): {told}"


class Missing(View):
    """A hole."""

    sort: Literal["label", "test", "few", "month", "source", "every_source"]
    names: tuple[str, ...]
    times: int

    @property
    def words(self) -> str:
        """In one sentence."""
        more = self.times - len(self.names)
        return f"{_HOLES[self.sort]}: {named(self.names, 8)}" + (f" (and {more} more)" if more and len(self.names) <= 8 else "")  # noqa: PLR2004 - as many as are named


class Annotators(View):
    """How far the people who labelled agree, and who labels nearly everything alike."""

    people: int
    agreement: tuple[Agreed, ...]
    one_sided: tuple[str, ...]
    """In sentences, with what to do."""


class DataReport(View):
    """What the buffer holds for a task."""

    task: str
    kind: str
    at: datetime
    rows: int
    """Enriched rows that neither users nor rules gave."""
    feedback: int
    """Rows that users gave; they are not looked at here."""
    weak: int
    """Likewise, rows that rules gave."""
    unenriched: int
    unusable: int
    """Rows whose target fits the task no more."""
    texts: int
    """Different ones."""
    sides: dict[str, int]
    labels: tuple[Part, ...]
    other_labels: int
    """How many more there are."""
    sources: tuple[Part, ...]
    other_sources: int
    without_source: int
    languages: tuple[Part, ...]
    months: tuple[Part, ...]
    leaks: tuple[Leaking, ...]
    near_copies: NearCopies | None
    """None where nobody has looked for them."""
    annotators: Annotators
    shifts: tuple[Shifting, ...]
    holes: tuple[Missing, ...]
    policy: PolicyEffect
    suspicious: dict[str, int] | None
    """Labels in doubt by sort, as the last `perennial data suspicious` found them; None: never looked."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should look at, in sentences, the gravest first."""
        found = [leak_in_words(leak) for leak in self.leaks]
        found += [one.words for one in self.holes if one.sort == "every_source"]
        found += self.annotators.one_sided
        found += [self.policy.warning] if self.policy.warning else []
        if self.near_copies is not None and self.near_copies.either:
            found.append(
                f"{counted(self.near_copies.either, 'test row')} of the newest {self.near_copies.test:,} have a near copy among "
                f"the newest {self.near_copies.train:,} training rows ({self.near_copies.by_embedding} by embedding, "
                f"{self.near_copies.by_words} by words)"
            )
        found += [one.words for one in self.shifts if one.matters]
        return (*found, *(one.words for one in self.holes if one.sort != "every_source"))


def leak_in_words(leak: Leaking) -> str:
    """Return a leak as a sentence."""
    what = {"text": "text", "document": "document", "story": "story"}[leak.sort]
    several = what if leak.times == 1 else "stories" if what == "story" else f"{what}s"
    return f"{leak.times:,} {several} on both sides, with {counted(leak.train, 'training row')}: test scores are too high by them"


def read(buffer: BufferReader, task: TaskSpec, settings: Settings, *, now: datetime, near: bool = True) -> DataReport:
    """Return the report. Memory: some tens of bytes a row; with `near`, also the beginnings of 11,000 texts."""
    from consumers.holdings import across, columns, findings  # noqa: PLC0415 - load LanceDB and scipy
    from consumers.labelling import kept  # noqa: PLC0415 - likewise
    from consumers.labelling.doubts.doubt import Doubts  # noqa: PLC0415 - likewise

    with buffer.looked_at(columns.READ) as tables:
        held = columns.read(tables, task)
        found = across.near_across(tables, task.name) if near else None
    copies = of_near.last(settings, buffer, task.name) if found is None else NearCopies.model_validate(found)
    effect = policy.read(buffer, task)
    doubts = kept.read(settings.suspicious_dir, Doubts, task.name)
    labels = _parts(held, held.labels, held.by_label)
    sources = _parts(held, held.sources, held.by_source)
    return DataReport(
        task=task.name, kind=task.kind, at=now, rows=len(held), feedback=held.feedback, weak=held.weak,
        unenriched=held.unenriched, unusable=held.unusable, texts=len(np.unique(held.text)),
        sides={side: int(held.on(side).sum()) for side in columns.SIDES},
        labels=labels[:MOST_LABELS], other_labels=max(0, len(labels) - MOST_LABELS),
        sources=sources[:MOST_SOURCES], other_sources=max(0, len(sources) - MOST_SOURCES),
        without_source=int((held.source < 0).sum()),
        languages=_parts(held, held.languages, held.by_language)[:MOST_LANGUAGES],
        months=_months(held, columns.month_name),
        leaks=tuple(Leaking.model_validate(one) for one in findings.leaks(held)),
        near_copies=copies, annotators=_annotators(buffer, task),
        shifts=tuple(Shifting.model_validate(one) for one in findings.shifts(held)),
        holes=tuple(Missing.model_validate(one) for one in findings.holes(held, task)),
        policy=effect, suspicious=None if doubts is None else dict(doubts.counts),
    )  # fmt: skip


def _annotators(buffer: BufferReader, task: TaskSpec) -> Annotators:
    from consumers.labelling import agreement, one_sided, reading  # noqa: PLC0415 - load LanceDB

    with buffer.looked_at(reading.SAID_READ) as tables:
        said = reading.said_by_people(tables, task)
    return Annotators(
        people=len({one.annotator for one in said}),
        agreement=tuple(Agreed.model_validate(one) for one in agreement.agreements(said)),
        one_sided=tuple(one.told for one in one_sided.one_sided(said)),
    )


def _parts(held: Holdings, names: Sequence[str], by: Callable[[Mask], Counts]) -> tuple[Part, ...]:
    """Return the rows of each name by side, the name with most rows first. Dropped rows count on no side."""
    sides = {side: by(held.on(side)) for side in ("train", "test", "anchor")}
    rows = by(np.ones(len(held), dtype=bool))
    order = sorted(range(len(names)), key=lambda at: (-rows[at], names[at]))
    return tuple(
        Part(name=names[at], rows=int(rows[at]), **{side: int(counts[at]) for side, counts in sides.items()}) for at in order
    )


def _months(held: Holdings, name: Callable[[int], str]) -> tuple[Part, ...]:
    """Return the rows of each month that has any, oldest first."""
    months, which = np.unique(held.months, return_inverse=True)

    def by(chosen: Mask) -> Counts:
        return np.bincount(which[chosen], minlength=len(months))

    sides = {side: by(held.on(side)) for side in ("train", "test", "anchor")}
    rows = by(np.ones(len(held), dtype=bool))
    return tuple(
        Part(name=name(int(month)), rows=int(rows[at]), **{side: int(counts[at]) for side, counts in sides.items()})
        for at, month in enumerate(months)
    )
