"""Dead letters: events that could not be used, with what they hold as far as it can be read; and what was set aside."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from consumers.dead_letters import store
from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader

_EXCERPT_BYTES = 2_000


class DeadLetter(View):
    """One event that could not be used."""

    id: int
    topic: str
    partition: int
    offset: int
    reason: str
    field: str | None
    value: str
    """The beginning of its bytes as text; what is not UTF-8 is escaped (`\\xff`)."""
    value_sha256: str
    value_bytes: int
    """All that the event had."""
    replayable: bool
    key: str | None
    headers: tuple[tuple[str, str], ...]
    dead_at: datetime
    replayed_at: datetime | None
    dropped_at: datetime | None = None
    """When a person decided that nothing comes of it."""
    mended_sha256: str | None = None
    """Of what was published in the place of its bytes; None: it was replayed as it came, or not at all."""

    @property
    def became(self) -> str:
        """What came of it, in a word; empty while it waits for a person."""
        if self.dropped_at is not None:
            return "dropped"
        return "" if self.replayed_at is None else "mended" if self.mended_sha256 else "replayed"

    @property
    def settled_at(self) -> datetime | None:
        """When."""
        return self.dropped_at or self.replayed_at


class SetAside(View):
    """A stored text or answer that the program itself failed on."""

    table: str
    row_id: str
    task: str | None
    reason: str
    stored_at: datetime


def listed(
    letters: store.DeadLetters, limit: int, *, include_settled: bool = False, before: int | None = None
) -> list[DeadLetter]:
    """Return the newest `limit` letters, newest first, those that wait or all; only ids below `before` where that is given."""
    return [_of(letter) for letter in letters.list(limit=limit, include_settled=include_settled, before=before)]


def of_id(letters: store.DeadLetters, letter_id: int) -> DeadLetter:
    """Return one letter. Raises `UserError` when there is none with this id."""
    return _of(letters.get(letter_id))


def set_aside(buffer: BufferReader, limit: int) -> list[SetAside]:
    """Return what is set aside, oldest first."""
    return [SetAside.model_validate(one) for one in buffer.put_aside(limit)]


def _of(letter: store.DeadLetter) -> DeadLetter:
    return DeadLetter(
        id=letter.id,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        reason=letter.reason,
        field=letter.field,
        value=_text(letter.value[:_EXCERPT_BYTES]),
        value_sha256=letter.value_sha256,
        value_bytes=letter.value_bytes,
        replayable=letter.replayable,
        key=None if letter.key is None else _text(letter.key),
        headers=tuple((name, _text(content)) for name, content in letter.headers),
        dead_at=letter.dead_at,
        replayed_at=letter.replayed_at,
        dropped_at=letter.dropped_at,
        mended_sha256=letter.mended_sha256,
    )


def _text(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")
