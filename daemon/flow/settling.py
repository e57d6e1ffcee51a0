"""What a person does with a dead letter: replay, mend, drop, remove. Each is checked, then recorded, then done."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from typing import NamedTuple

from config.clock import Clock, utc_now
from config.errors import DeadLetterError, UserError
from config.settings import Settings
from config.tasks import TaskSpec
from consumers.dead_letters.store import DeadLetter, DeadLetters
from consumers.events.parsing import parse
from consumers.events.schemas import AnyEvent
from consumers.log.open import open_event_log
from registry.people.audit import By
from registry.store import Registry

_MOST_NAMED = 20
# What a screen must not act on, or a form does not send back as it came. JSON can write all of it as escapes.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb]")


class At(NamedTuple):
    """Where the letters are, and what is done with them is recorded."""

    settings: Settings
    letters: DeadLetters
    registry: Registry


def replay(at: At, ids: Sequence[int], by: By) -> int:
    """Publish letters again as they came; return how many. Raises `UserError` where one cannot be, `RetryError` for the log."""
    wanted = [letter.id for letter in at.letters.wholly_kept(ids)]
    if not wanted:
        return 0
    with closing(open_event_log(at.settings)) as event_log, closing(event_log.sink()) as sink:
        _record(at.registry, "dead_letter.replay", wanted, by)
        return at.letters.replay(wanted, sink)


def mend(at: At, tasks: Mapping[str, TaskSpec], letter_id: int, text: str, by: By, *, clock: Clock = utc_now) -> AnyEvent:
    """Publish `text`, JSON, in the place of a letter's bytes, once it is a valid event; return the event.

    Raises `DeadLetterError` with every problem where it is not one, `UserError` for a letter that cannot be mended.
    """
    letter = at.letters.get(letter_id)
    if text_of(letter) is None:
        message = f"dead letter {letter_id} cannot be mended: {why_not(letter)}. Nothing was changed"
        raise UserError(message)
    value = text.encode("utf-8", "surrogatepass")
    event = checked(at.settings, tasks, letter, value, clock=clock)
    hashes = {"before_sha256": letter.value_sha256, "after_sha256": hashlib.sha256(value).hexdigest()}
    with closing(open_event_log(at.settings)) as event_log, closing(event_log.sink()) as sink:
        _record(at.registry, "dead_letter.mend", [letter_id], by, task=getattr(event, "task", None), **hashes)
        at.letters.mend(letter_id, value, sink)
    return event


def drop(at: At, ids: Sequence[int], by: By) -> int:
    """Mark letters as dropped; return how many. Their bytes stay until `ingest.dead_letters_days` are over."""
    wanted = [at.letters.get(letter_id).id for letter_id in dict.fromkeys(ids)]
    if wanted:
        _record(at.registry, "dead_letter.drop", wanted, by)
    return at.letters.drop(wanted)


def remove(at: At, ids: Sequence[int], by: By) -> int:
    """Remove letters for good, bytes and all; return how many."""
    wanted = [at.letters.get(letter_id).id for letter_id in dict.fromkeys(ids)]
    if wanted:
        _record(at.registry, "dead_letter.remove", wanted, by)
    return at.letters.remove(wanted)


def checked(
    settings: Settings, tasks: Mapping[str, TaskSpec], letter: DeadLetter, value: bytes, *, clock: Clock = utc_now
) -> AnyEvent:
    """Return the event that `value` would be at a letter's place. Raises `DeadLetterError` with every problem."""
    limit = settings.ingest.max_event_bytes
    if len(value) > limit:
        message = f"the event has {len(value)} bytes, more than the limit of {limit} (ingest.max_event_bytes); shorten it"
        raise DeadLetterError(message)
    tolerance = timedelta(seconds=settings.ingest.future_tolerance_s)
    return parse(
        value, tasks=tasks, now=clock(), future_tolerance=tolerance, headers=letter.headers, arrived=letter.dead_at
    )  # fmt: skip


def text_of(letter: DeadLetter) -> str | None:
    """Return a letter's bytes as text to mend, JSON in lines of its own where it is that; None where it cannot be mended.

    Characters that a screen would act on are written as JSON's escapes, which mean the same.
    """
    if why_not(letter):
        return None
    text = letter.value.decode("utf-8")
    try:
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = text.replace("\r\n", "\n")
    return inert(text)


def inert(text: str) -> str:
    """Return a text of JSON with the characters that a screen would act on written as JSON's escapes."""
    return _CONTROLS.sub(lambda one: f"\\u{ord(one[0]):04x}", text)


def why_not(letter: DeadLetter) -> str:
    """Return why a letter cannot be mended; empty where it can be."""
    if not letter.replayable:
        return f"only {len(letter.value)} of its {letter.value_bytes} bytes are kept"
    try:
        letter.value.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"its bytes are not text (not UTF-8 at byte {error.start}); correct the sender, which sends it again"
    return ""


def _record(registry: Registry, action: str, ids: Sequence[int], by: By, *, task: str | None = None, **details: str) -> None:
    named = ", ".join(map(str, ids[:_MOST_NAMED])) + (f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else "")
    registry.audit.add(
        action, actor=by.actor, reason=by.reason, task=task, subject=f"dead letter{'s' if len(ids) > 1 else ''} {named}",
        details={"letters": len(ids), **details},
    )  # fmt: skip
