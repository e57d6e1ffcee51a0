"""Taking feedback: validated as ingest will validate it, durable in the log before it is acknowledged, once per key."""

from __future__ import annotations

import hashlib
import json
import threading
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from config.clock import Clock, utc_now
from config.errors import DeadLetterError, RetryError
from config.sections import IngestSettings
from config.tasks import TaskSpec
from consumers.events import parsing, wire
from consumers.events import schemas as events
from consumers.events.answers import stored_answer, target_of
from consumers.events.cloud_events import Headers
from consumers.events.errors import explain
from consumers.events.event import EventId
from consumers.events.targets import read_target
from consumers.log.protocols import EventSink
from daemon.flow.accepted import Accepted, AcceptedFeedback
from daemon.serving.http.errors import ApiError, of_dead_letter, of_malformed, unknown_task

Outcome = Literal["accepted", "repeated", "conflict", "refused", "unavailable"]

_OUTCOMES: Mapping[int, Outcome] = {409: "conflict", 503: "unavailable"}
_LOCKS = 64
_ACKNOWLEDGE_S = 10.0
_EVENT_ID: TypeAdapter[str] = TypeAdapter(EventId)


@dataclass(frozen=True, slots=True)
class _Read:
    """Feedback that ingest would take, and its bytes; `content_sha256` is of what the client sent."""

    event: events.Feedback
    content_sha256: str
    value: bytes


class FeedbackDesk:
    """Accepts feedback. Thread-safe; `accept` blocks for the durable write, so it is called off the event loop.

    The key (header `Idempotency-Key`, or `event_id` in the body) becomes the event id. A key already acknowledged with the
    same content gets the same answer and no second event; with other content it is refused, by any serving process that
    shares the data folder and for as long as the log keeps events. Later, or from another producer, such an event is still
    never mixed up: the buffer keeps the first and makes the other a dead letter.
    """

    def __init__(
        self,
        sink: EventSink,
        accepted: AcceptedFeedback,
        *,
        tasks: Mapping[str, TaskSpec],
        settings: IngestSettings,
        known_prediction: Callable[[str], events.PredictionMade | None],
        report: Callable[[str, Outcome], None],
        clock: Clock = utc_now,
    ) -> None:
        """`known_prediction` looks up a recent prediction; `report(task, outcome)` is called for every attempt."""
        self._sink = sink
        self._accepted = accepted
        self._tasks = tasks
        self._settings = settings
        self._known_prediction = known_prediction
        self._report = report
        self._clock = clock
        # Two requests with one key must not both find it unused; those with other keys need not wait for a slow log.
        self._locks = tuple(threading.Lock() for _ in range(_LOCKS))

    def use_tasks(self, tasks: Mapping[str, TaskSpec]) -> None:
        """Take feedback by these task files from now on."""
        self._tasks = tasks

    def accept(self, body: bytes, key: str | None, *, api_key: str | None = None, headers: Headers = ()) -> Accepted:
        """Make one feedback event durable and return its acknowledgement. Raises `ApiError` naming field and remedy.

        `key` is the idempotency key; `api_key` the name of the API key that posts, which becomes the event's `source`; `headers`
        are those of a CloudEvent in binary mode.
        """
        return self._published([self._read(body, key, api_key, headers)])[0]

    def accept_batch(self, bodies: Sequence[bytes], *, api_key: str | None = None) -> list[Accepted]:
        """Make several feedback events durable; nothing is, when one of them cannot be used. Raises `ApiError`.

        Where the log fails in between, some are: posted again, each is stored once.
        """
        read = []
        for number, body in enumerate(bodies):
            try:
                read.append(self._read(body, None, api_key, ()))
            except ApiError as error:
                raise _numbered(error, number) from None
        return self._published(read, numbered=True)

    def _read(self, body: bytes, key: str | None, api_key: str | None, headers: Headers) -> _Read:
        task = "unknown"
        try:
            payload = _decoded(body, headers)
            named = payload.get("task")
            if isinstance(named, str) and named not in self._tasks:
                raise unknown_task(named, self._tasks)
            task = named if isinstance(named, str) else "unknown"
            event, content_sha256 = self._validated(payload, _event_id(payload, key), api_key)
            return _Read(event, content_sha256, self._written(event))
        except DeadLetterError as error:
            self._report(task, "refused")
            raise of_dead_letter(error) from None
        except ApiError:
            self._report(task, "refused")
            raise

    def _published(self, read: Sequence[_Read], *, numbered: bool = False) -> list[Accepted]:
        """Make durable what is new; nothing is where the id of one is known with other content. `numbered`: they are a batch."""
        with ExitStack() as held:
            # In one order, so that no two batches wait for each other.
            for lock in sorted({hash(one.event.event_id) % _LOCKS for one in read}):
                held.enter_context(self._locks[lock])
            try:
                known = self._known(read, numbered=numbered)
                made = self._stored({one.event.event_id: one for one in read if one.event.event_id not in known})
            except DeadLetterError as error:
                remedy = "send a shorter text, or name the article instead of its text"
                refusal = ApiError(413, f"the feedback is not acknowledged: {error}", remedy, field="text")
                raise self._reported(refusal, read) from None
            except RetryError as error:
                what = "the batch again; each event" if numbered else f"it again under the key {read[0].event.event_id}; it"
                refusal = ApiError(
                    503, f"the feedback is not acknowledged: {error}", f"send {what} is stored only once",
                    field="event_id", headers={"Retry-After": "2"},
                )  # fmt: skip
                raise self._reported(refusal, read) from None
        answers = []
        for one in read:
            earlier = known.get(one.event.event_id)
            self._report(one.event.task, "accepted" if earlier is None else "repeated")
            answers.append(made[one.event.event_id] if earlier is None else replace(earlier, repeated=True))
            known.setdefault(one.event.event_id, answers[-1])
        return answers

    def _reported(self, refusal: ApiError, read: Sequence[_Read]) -> ApiError:
        for one in read:
            self._report(one.event.task, _OUTCOMES.get(refusal.status, "refused"))
        return refusal

    def _known(self, read: Sequence[_Read], *, numbered: bool) -> dict[str, Accepted]:
        """Return what was acknowledged before, by id. Raises `ApiError` where other content has the id of one."""
        known: dict[str, Accepted] = {}
        contents: dict[str, str] = {}
        for number, one in enumerate(read):
            name = one.event.event_id
            earlier = self._accepted.get(name)
            if earlier is not None:
                known[name] = earlier
            content = earlier.content_sha256 if earlier is not None else contents.setdefault(name, one.content_sha256)
            if content != one.content_sha256:
                when = f"was acknowledged at {earlier.accepted_at.isoformat()}" if earlier is not None else "stands before it"
                message = f"event_id: {name!r} {when} with other content"
                refusal = ApiError(409, message, "send new feedback under a new key; the first is unchanged", field="event_id")
                raise self._reported(_numbered(refusal, number) if numbered else refusal, [one])
        return known

    def _stored(self, new: Mapping[str, _Read]) -> dict[str, Accepted]:
        """Make events durable in the log, then note each as acknowledged."""
        if not new:
            return {}
        for one in new.values():
            self._sink.publish(events.FEEDBACK_TOPIC, one.value, key=events.key_of(one.event))
        self._sink.flush(_ACKNOWLEDGE_S)
        made = {}
        for name, one in new.items():
            value_sha256 = hashlib.sha256(one.value).hexdigest()
            made[name] = Accepted(name, one.event.task, one.content_sha256, value_sha256, self._clock())
            # After the log, not before: a key must never be taken by feedback that is not durable. A crash between
            # the two makes the client send again, which the buffer recognises: the same content under the same id, whatever
            # time it was given here.
            self._accepted.add(made[name])
        return made

    def _validated(self, payload: Mapping[str, Any], event_id: str, api_key: str | None) -> tuple[events.Feedback, str]:
        now, tasks = self._clock(), self._tasks
        content = {name: value for name, value in payload.items() if name != "event_id"}
        content_sha256 = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        filled = {"type": "feedback", "occurred_at": now.isoformat(), **content, "event_id": event_id}
        if filled["type"] != "feedback":
            reason = f"type: {str(filled['type'])[:80]!r} is not accepted here; send feedback, or use `perennial import`"
            raise DeadLetterError(reason, field="type")
        tolerance = timedelta(seconds=self._settings.future_tolerance_s)
        filled["source"] = _source(filled.get("source"), api_key)
        event = parsing.parse(json.dumps(filled).encode(), tasks=tasks, now=now, future_tolerance=tolerance)
        assert isinstance(event, events.Feedback)  # noqa: S101 - by its type, checked above
        if event.prediction_id is not None and (prediction := self._known_prediction(event.prediction_id)) is not None:
            if prediction.task != event.task:
                reason = f"task: prediction {event.prediction_id} was made for task {prediction.task!r}; name that task"
                raise DeadLetterError(reason, field="task")
            # The prediction itself may never reach the log (its queue full, this process killed): the feedback then would wait
            # for ever for its text, or for the answer that it confirms.
            confirmed = stored_answer(prediction.answer, prediction.text) if event.target is None else None
            target = event.target if confirmed is None else target_of(confirmed)
            text = prediction.text if event.text is None or event.target is None else event.text
            if target is not None:
                read_target(tasks[event.task], target, text)
            event = event.model_copy(update={"text": text, "target": target})
        return event, content_sha256

    def _written(self, event: events.Feedback) -> bytes:
        value = events.to_bytes(event)
        if len(value) > self._settings.max_event_bytes:
            message = f"the event would have {len(value)} bytes; at most {self._settings.max_event_bytes} are accepted"
            raise ApiError(413, message, "send a shorter text, or name the article instead of its text", field="text")
        return value


def _numbered(error: ApiError, number: int) -> ApiError:
    """Let a refusal say which event of a batch it is about."""
    error.field = f"{number}.{error.field}" if error.field else str(number)
    error.message = f"event {number} of the batch: {error.message}"
    return error


def _decoded(body: bytes, headers: Headers) -> dict[str, Any]:
    try:
        return wire.decode(body, noun="body", headers=headers, types=events.EVENT_TYPES)
    except DeadLetterError as error:
        raise of_malformed(error) from None


def _source(said: object, api_key: str | None) -> object:
    """Return who an event comes from. Raises `DeadLetterError` for one that claims to come from a key that did not post it."""
    if api_key is not None:
        return f"{events.KEY_SOURCE}{api_key}"
    if isinstance(said, str) and said.startswith(events.KEY_SOURCE):
        reason = f"source: {said[:80]!r} names an API key, which serving itself writes; leave it out, or post with that key"
        raise DeadLetterError(reason, field="source")
    return said


def _event_id(payload: Mapping[str, Any], key: str | None) -> str:
    """Return the event's id. Raises `DeadLetterError` when header and body disagree or the header is not an id."""
    if key is None:
        # Whatever stands there, an empty string too, is validated with the event.
        return f"fb-{uuid.uuid4().hex}" if payload.get("event_id") is None else payload["event_id"]
    key = _in_utf8(key)
    try:
        key = _EVENT_ID.validate_python(key)
    except ValidationError as error:
        raise explain(error, prefix="Idempotency-Key") from None
    said = payload.get("event_id")
    if said is not None and (not isinstance(said, str) or unicodedata.normalize("NFC", said) != key):
        reason = f"event_id: the body says {str(said)[:80]!r} and the header Idempotency-Key {key!r}; send one of them"
        raise DeadLetterError(reason, field="event_id")
    return key


def _in_utf8(header: str) -> str:
    # HTTP hands headers over as Latin-1; today's clients write them in UTF-8.
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header
