"""Near copies across the sides, as `perennial data report` found them: looking takes seconds, so pages show what is kept.

The file holds counts and ids; an erasure removes it. How the texts begin is read when somebody looks.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from config.settings import Settings
from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader

_BEGINS_CHARS = 120


class NearCopy(View):
    """A test row and the training row that is most like it."""

    test_id: str
    train_id: str
    alike: float
    test_begins: str
    train_begins: str


class Counts(View):
    """Rows that were looked at, and pairs of near copies by how they were found."""

    test: int
    train: int
    by_embedding: int
    by_words: int
    either: int


class NearCopies(Counts):
    """Near copies across the sides that no story has seen, among the newest rows."""

    examples: tuple[NearCopy, ...]
    at: datetime | None = None
    """When they were looked for; None: just now."""


class Pair(View):
    """A pair, without words."""

    test_id: str
    train_id: str
    alike: float


class Kept(Counts):
    """What the file of a task holds."""

    at: datetime
    pairs: tuple[Pair, ...]


def last(settings: Settings, buffer: BufferReader, task: str) -> NearCopies | None:
    """Return what the last look found; None where nobody ever looked. Pairs of which a row is gone are left out."""
    from consumers.labelling import kept  # noqa: PLC0415 - heavy

    found = kept.read(settings.near_copies_dir, Kept, task)
    if found is None:
        return None
    ids = sorted({name for pair in found.pairs for name in (pair.test_id, pair.train_id)})
    with buffer.looked_at(("examples",)) as tables:
        rows = tables.lookup("examples", "row_id", ids, ["row_id", "text"]).to_pylist()
    begins = {row["row_id"]: " ".join(row["text"][:_BEGINS_CHARS].split()) for row in rows}
    return NearCopies(
        **found.model_dump(exclude={"pairs"}),
        examples=tuple(
            NearCopy(
                test_id=one.test_id, train_id=one.train_id, alike=one.alike, test_begins=begins[one.test_id],
                train_begins=begins[one.train_id],
            )
            for one in found.pairs
            if one.test_id in begins and one.train_id in begins
        ),
    )  # fmt: skip
