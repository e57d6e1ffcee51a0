"""Dead letters: what could not be used, and what a person does with it: replay, mend, drop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response

from config.errors import DeadLetterError, RetryError, UserError
from daemon.dashboard import routing
from daemon.dashboard.pages import acting
from daemon.dashboard.routing import Look
from daemon.flow import settling
from daemon.views import dead_letters as views
from registry.people.audit import By

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 50
_MOST_DIGITS = 18
"""Of an id: SQLite has no longer ones."""
_MOST_BYTES = 256 << 10
"""A form triples what is no plain letter, and `serving.max_body_bytes` bounds it."""
_DONE: Mapping[str, str] = {
    "replay": "The letter was published again; should it fail again, it becomes another dead letter.",
    "mend": "The mended event is published in the place of the letter, whose own bytes stay recorded.",
    "drop": "The letter is dropped: nobody waits for it. Its bytes stay for as long as those of other letters.",
}


def listed(look: Look) -> Response:
    """Return the newest dead letters, those that wait for a person or all."""
    reader, everything = look.sources.reader, look.query.get("all") == "1"
    before = look.number("before", default=0, least=0, most=2**53)
    found = views.listed(reader.dead_letters, _SHOWN + 1, include_settled=everything, before=before or None)
    return look.page(
        "dead_letters.html",
        here="Dead letters",
        letters=found[:_SHOWN],
        more=found[_SHOWN - 1].id if len(found) > _SHOWN else None,
        everything=everything,
        waiting=reader.dead_letters.count(),
        set_aside=views.set_aside(reader.buffer, _SHOWN),
    )


def one(look: Look) -> Response:
    """Return one dead letter: its reason and its bytes, which nothing here acts on, and what can be done with it."""
    return _shown(look)


def replay(look: Look) -> Response:
    """Publish it again as it came."""
    with _at(look) as at:
        settling.replay(at, [_id(look)], _by(look))
    return _back(look, "replay")


def mend(look: Look) -> Response:
    """Publish what was written in its place, once it is a valid event; else show the form again with every problem."""
    text = look.form.get("text", "").replace("\r\n", "\n")
    given = {"text": settling.inert(text), "reason": look.form.get("reason", "").strip()}
    try:
        by = _by(look)
        with _at(look) as at:
            settling.mend(at, look.sources.tasks, _id(look), text, by, clock=look.sources.clock)
    except DeadLetterError as error:
        return _shown(look, problems=error.problems, code=HTTPStatus.UNPROCESSABLE_ENTITY, **given)
    except (UserError, RetryError) as error:
        return _shown(look, problems=(("", str(error)),), code=routing.code_of(error), **given)
    return _back(look, "mend")


def drop(look: Look) -> Response:
    """Mark it: nobody waits for it any more."""
    with _at(look) as at:
        settling.drop(at, [_id(look)], _by(look))
    return _back(look, "drop")


def _shown(
    look: Look, *, code: int = HTTPStatus.OK, problems: Sequence[tuple[str, str]] = (), text: str | None = None, reason: str = "",
) -> Response:  # fmt: skip
    kept = look.sources.reader.dead_letters.get(_id(look))
    too_large = kept.value_bytes > _MOST_BYTES
    return look.page(
        "dead_letter.html",
        code=code,
        here="Dead letters",
        letter=views.of_id(look.sources.reader.dead_letters, kept.id),
        done=_DONE.get(look.query.get("done", ""), ""),
        text=text if text is not None else None if too_large else settling.text_of(kept),
        why_not=settling.why_not(kept)
        or (f"it has more than {_MOST_BYTES >> 10} KiB; use `perennial dlq mend`" if too_large else ""),
        problems=problems,
        reason=reason,
        kept_days=look.sources.settings.ingest.dead_letters_days,
    )


@contextmanager
def _at(look: Look) -> Iterator[settling.At]:
    letters = look.sources.reader.dead_letters
    with acting.registry(look) as registry:
        yield settling.At(look.sources.settings, letters, registry)


def _id(look: Look) -> int:
    said = look.params["number"]
    if not (said.isascii() and said.isdigit() and len(said) <= _MOST_DIGITS):
        message = f"there is no dead letter {said[:_MOST_DIGITS]}"
        raise UserError(message)
    return int(said)


def _by(look: Look) -> By:
    return By(acting.by(look), acting.why(look))


def _back(look: Look, done: str) -> Response:
    look.sources.look_anew()
    return routing.redirect(f"/ui/dead-letters/{_id(look)}?done={done}")
